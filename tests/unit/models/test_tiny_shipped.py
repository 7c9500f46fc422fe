"""The shipped models: each belongs to its recipe, loads whole, and answers well above the blind floor."""

import json
from pathlib import Path
from statistics import mean

import pytest
import torch
from safetensors import safe_open

from vlmscope.models.tiny import card, measure, shelf
from vlmscope.models.tiny import train as training
from vlmscope.models.tiny.recipe import RECIPES
from vlmscope.world.scene import DOMAINS

WEIGHTS = Path(__file__).parents[3] / "weights"
# Models of other seeds are trained on request; only what they scored is kept.
SHIPPED = [name for name in RECIPES if "seed" not in name]
SPOKEN = [name for name in SHIPPED if RECIPES[name].language]
LEAST = {"llava": 0.92, "llava15": 0.92}
FRESH = 3_000_000


def about(name: str) -> dict:
    return json.loads((WEIGHTS / name / "measured.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_weights_carry_the_digest_of_the_recipe(name: str) -> None:
    with safe_open(WEIGHTS / name / shelf.WEIGHTS, "pt") as weights:
        assert weights.metadata() == {"format": "pt", "recipe": RECIPES[name].digest()}
        assert {weights.get_tensor(one).dtype for one in weights.keys()} <= {torch.float16, torch.int64}  # noqa: SIM118
    assert (WEIGHTS / name / shelf.WEIGHTS).stat().st_size <= 2_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_is_that_of_the_recipe_and_the_measurement(name: str) -> None:
    told = (WEIGHTS / name / "README.md").read_text(encoding="utf-8")
    assert told == card.page(name, RECIPES[name], about(name))


@pytest.mark.parametrize("name", SPOKEN)
def test_the_measured_accuracy_reaches_the_aim(name: str) -> None:
    for part in ("domains", "unseen"):
        assert mean(about(name)[part].values()) >= LEAST.get(name, 0.85)


def test_the_overview_is_that_of_the_measurements() -> None:
    told = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in WEIGHTS.glob("seeds/*.json")}
    told |= {name: about(name) for name in SHIPPED}
    assert (WEIGHTS / "README.md").read_text(encoding="utf-8") == card.overview(told)


@pytest.mark.parametrize("name", SPOKEN)
def test_it_answers_every_domain_through_processor_and_generate(name: str) -> None:
    loaded, pupil = shelf.opened(RECIPES[name], WEIGHTS / name)
    scenes = training.world(60, FRESH)
    said = measure.generated(loaded, scenes)
    right = measure.accuracy(said, measure.domain)
    assert set(right) == set(DOMAINS) and min(right.values()) >= 0.5
    assert mean(right.values()) >= 0.75
    packed = {(one.domain, one.question): one for one in measure.packed(pupil, scenes[:5])}
    assert all(packed[one.domain, one.question].is_right == one.is_right for one in said[:5])


def test_llava_reads_five_joined_frames() -> None:
    loaded, _ = shelf.opened(RECIPES["llava"], WEIGHTS / "llava")
    driving = [scene for scene in training.world(60, FRESH) if scene.domain == "ad"]
    assert measure.accuracy(measure.generated(loaded, driving, frames=5), measure.domain)["ad"] >= 0.65


def test_clip_finds_captions() -> None:
    assert min(about("clip")[part] for part in ("retrieval", "unseen_retrieval")) >= 0.85


def test_the_run_to_run_spread_is_that_of_three_seeds() -> None:
    seeds = [name for name in RECIPES if "seed" in name and RECIPES[name].language]
    reached = [about("llava15"), *(json.loads((WEIGHTS / "seeds" / f"{name}.json").read_text()) for name in seeds)]
    assert len(reached) == 3 and len({one["domains"]["com"] for one in reached}) == 3
    assert min(mean(one["domains"].values()) for one in reached) >= 0.92
