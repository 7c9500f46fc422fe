"""Training the embedded models: packing is exact for every body, losses fall, one recipe is one model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.models.tiny import card, language, measure, packing, pixels, shelf, tower
from vlmscope.models.tiny import train as training
from vlmscope.models.tiny.recipe import RECIPES, Recipe

BODIES = {recipe.body: name for name, recipe in reversed(RECIPES.items())}
SPOKEN = sorted(name for name in BODIES.values() if RECIPES[name].language)
FEW = 100


def short(name: str, steps: int, batch: int = 8) -> Recipe:
    """A recipe with few steps."""
    recipe = RECIPES[name]
    quick = replace(recipe, tower=replace(recipe.tower, pace=replace(recipe.tower.pace, steps=steps, batch=16)))
    if recipe.language is None:
        return quick
    pace = replace(recipe.language.pace, steps=steps, batch=batch)
    return replace(quick, language=replace(recipe.language, pace=pace, joined_batch=4))


@pytest.fixture(scope="module")
def scenes():
    return training.world(FEW)


def plain_logits(pupil, prompt, answer, shown):
    """Logits of one question by itself, through the processor and the whole model."""
    end = prompt.reply(answer) + pupil.body.special.end
    if not pupil.body.alone:
        inputs = pupil.processor(images=[shown], text=[prompt.text() + end], padding=True, return_tensors="pt")
        return pupil.model(**inputs).logits[0]
    # The Q-Former must not see the answer.
    inputs = pupil.processor(images=[shown], text=[prompt.text()], padding=True, return_tensors="pt")
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([pupil.encode(end)])], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return pupil.model(**inputs).logits[0]


@pytest.mark.parametrize(("name", "frames"), [*((name, 1) for name in SPOKEN), ("llava", 5)])
@torch.no_grad()
def test_a_packed_row_gives_each_question_the_numbers_of_its_plain_prompt(scenes, name: str, frames: int) -> None:
    pupil = shelf.untrained(RECIPES[name])
    pupil.model.eval()
    album = pupil.album(scenes[:1], frames)
    told = measure.official(pupil.family, scenes[0])
    rows = pupil.asked(album, 0, told)
    batch, inputs = pupil.pack(album, rows)
    ours = pupil.head(pupil.states(inputs))
    places = [(row, packing.FIRST + n) for row, one in enumerate(rows) for n in range(len(one.row.segments))]
    for (row, segment), (prompt, answer) in zip(places, told, strict=True):
        theirs = plain_logits(pupil, prompt, answer, pixels.picture(scenes[0], frames))
        here = ours[row][batch.segments[row] == segment]
        assert (here - theirs[-len(here) :]).abs().max() <= 1e-5


@pytest.mark.parametrize("name", [name for name in SPOKEN if RECIPES[name].language.lens])
def test_the_lens_loss_names_the_patch_behind_every_image_token(scenes, name: str) -> None:
    pupil = shelf.untrained(RECIPES[name])
    words = language.lens_words(RECIPES[name].language, pupil, scenes[:2])
    ids = pupil.begun(pupil.family.template.format(prompt="<image>\n"), 1)["input_ids"]
    assert words.shape == (2, int((ids == pupil.family.image_token(pupil.model.config)).sum()))


@pytest.mark.parametrize("name", ["llava15", "blip", "qwen2-vl"])
def test_the_answers_loss_falls_and_the_tower_stays_as_it_is(scenes, name: str) -> None:
    recipe = short(name, 30, batch=6)
    pupil = shelf.untrained(recipe)
    eyes = pupil.model.get_submodule(pupil.body.eyes)
    before = {key: weight.clone() for key, weight in eyes.state_dict().items()}
    albums = language.albums(recipe.language, pupil, scenes, 0)
    losses = language.train(recipe.language, pupil, albums, 0, lambda _: None)
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert all(torch.equal(weight, before[key]) for key, weight in eyes.state_dict().items())


@pytest.mark.parametrize("name", ["clip", "idefics2", "qwen2-vl", "molmo"])
def test_the_towers_loss_falls(scenes, name: str) -> None:
    recipe, told = short(name, 60), []
    pupil = shelf.untrained(recipe)
    tower.train(recipe.tower, pupil, pupil.album(scenes), 0, told.append)
    assert float(told[-1].split("loss ")[1].split(",")[0]) < 5.0


def test_two_runs_give_the_same_weights_to_the_bit(scenes) -> None:
    runs = []
    with training.single_thread():
        for _ in range(2):
            recipe = short("idefics2", 3)
            pupil = shelf.untrained(recipe)
            tower.train(recipe.tower, pupil, pupil.album(scenes), 1, lambda _: None)
            language.train(recipe.language, pupil, language.albums(recipe.language, pupil, scenes, 0), 1, print)
            runs.append(pupil.model.state_dict())
    assert all(torch.equal(weight, runs[1][name]) for name, weight in runs[0].items())


def test_a_saved_model_opens_as_the_workflow_opens_it_and_answers_alike(scenes, tmp_path) -> None:
    recipe = short("llava", 1)
    pupil = shelf.untrained(recipe)
    shelf.save(pupil, tmp_path, recipe.digest())
    loaded, again = shelf.opened(recipe, tmp_path)
    assert loaded.model.dtype == torch.float32 and loaded.about["family"] == "llava_next"
    with torch.no_grad():
        first, second = (
            one.states(one.pack(album, one.asked(album, 0, measure.plain(one.family, scenes[0])))[1])
            for one, album in ((pupil, pupil.album(scenes[:1])), (again, again.album(scenes[:1])))
        )
    # The file is in half precision.
    assert torch.allclose(first, second, atol=2e-2)


def test_a_whole_training_leaves_weights_measurement_and_card(tmp_path, monkeypatch) -> None:
    chain = {"clip": (), "llava15": ("clip",), "llava": ("clip", "llava15"), "qwen2-vl": ()}
    for name in chain:
        monkeypatch.setitem(RECIPES, name, replace(short(name, 2), scenes=FEW, joined_scenes=8, measured=10))
    for name, before in chain.items():
        about = training.train(name, tmp_path / name, print, *(tmp_path / one / shelf.WEIGHTS for one in before))
        assert json.loads((tmp_path / name / "measured.json").read_text(encoding="utf-8")) == about
        assert (tmp_path / name / "README.md").read_text(encoding="utf-8") == card.page(name, RECIPES[name], about)
        assert ("unseen" if RECIPES[name].language else "unseen_retrieval") in about
        shelf.opened(RECIPES[name], tmp_path / name)
    assert [path.name for path in card.reprint(tmp_path)] == ["README.md"] * 5


def test_the_digest_follows_every_number_of_the_recipe_and_of_a_borrowed_tower() -> None:
    assert len({recipe.digest() for recipe in RECIPES.values()}) == len(RECIPES)
    recipe = RECIPES["llava15"]
    changed = [
        replace(recipe, seed=3),
        replace(recipe, tower_of="clip-seed1"),
        replace(recipe, language=replace(recipe.language, bare=0.2)),
    ]
    assert len({recipe.digest(), *(one.digest() for one in changed)}) == 4


def test_an_unknown_recipe_is_named_with_those_there_are() -> None:
    with pytest.raises(VlmscopeError, match="llava15-seed1"):
        training.recipe("llava16")
