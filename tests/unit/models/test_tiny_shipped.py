"""The shipped model: loads without a warning, answers well above the blind floor, and belongs to the recipe."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from vlmscope.models.tiny import card, measure
from vlmscope.models.tiny import train as training
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.world.scene import DOMAINS

FOLDER = Path(__file__).parents[3] / "weights" / "llava"
FRESH = 3_000_000


@pytest.fixture(scope="module")
def shipped():
    return training.load(FOLDER)


def test_the_weights_carry_the_digest_of_the_recipe() -> None:
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt", "recipe": Recipe().digest()}
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118
    assert (FOLDER / "model.safetensors").stat().st_size <= 2_000_000


def test_the_card_is_that_of_the_recipe_and_the_measurement() -> None:
    about = json.loads((FOLDER / "measured.json").read_text(encoding="utf-8"))
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == card.page(Recipe(), about)
    assert sum(about["domains"].values()) / 5 >= 0.9


def test_no_weight_is_missing_or_left_over() -> None:
    _, told = training.LlavaNextForConditionalGeneration.from_pretrained(
        FOLDER, local_files_only=True, output_loading_info=True
    )
    assert not any(told[part] for part in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_it_answers_every_domain_through_processor_and_generate(shipped) -> None:
    scenes = training.world(60, FRESH)
    said = measure.generated(*shipped, scenes, letters=Recipe().language.letters < 1)
    right = measure.accuracy(said, measure.domain)
    assert set(right) == set(DOMAINS) and min(right.values()) >= 0.6
    assert sum(right.values()) / len(right) >= 0.8


def test_it_reads_five_joined_frames(shipped) -> None:
    driving = [scene for scene in training.world(60, FRESH) if scene.domain == "ad"]
    said = measure.generated(*shipped, driving, frames=5)
    assert measure.accuracy(said, measure.domain)["ad"] >= 0.65


def test_packed_and_generated_answers_agree(shipped) -> None:
    scenes = training.world(25, FRESH)
    letters = Recipe().language.letters < 1
    packed = {(one.domain, one.question): one for one in measure.packed(*shipped, scenes[:5], letters=letters)}
    for one in measure.generated(*shipped, scenes[:5], letters=letters):
        assert packed[one.domain, one.question].is_right == one.is_right
