"""An embedded model from nothing: world, tower, language model, measurement, model card, one folder."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vlmscope.errors import VlmscopeError
from vlmscope.models.tiny import card, language, measure, pixels, shelf, tower
from vlmscope.models.tiny.descent import Clock
from vlmscope.models.tiny.pupil import Pupil
from vlmscope.models.tiny.recipe import RECIPES, Recipe
from vlmscope.world.draw import draw
from vlmscope.world.scene import DOMAINS, Scene

Report = Callable[[str], None]
# Recipes were chosen by what they reach on the scenes from `Recipe.fresh`; these were looked at afterwards only.
UNSEEN = 4_000_000


def recipe(name: str) -> Recipe:
    """The recipe of that name, or an error that lists the names."""
    if name not in RECIPES:
        raise VlmscopeError(
            f"There is no recipe '{name}'.",
            where="models.*.checkpoint in the configuration (source: train)",
            instead="one of: " + ", ".join(RECIPES),
        )
    return RECIPES[name]


def train(name: str, folder: Path, report: Report, *before: Path) -> dict[str, Any]:
    """Train the model of a recipe and write it to `folder`; what was measured comes back.

    before   weights of the models that the recipe takes parts of: tower, then decoder, as far as it names them

    Single-threaded on purpose: on one machine two runs give the same weights to the bit.
    """
    numbers, clock = recipe(name), Clock()
    folder.mkdir(parents=True, exist_ok=True)
    with single_thread():
        scenes, pupil = world(numbers.scenes), shelf.untrained(numbers)
        report(f"{name}: {len(scenes)} scenes, {len(pupil.tokenizer)} tokens, {clock.seconds():.0f} CPU s")
        about: dict[str, Any] = {"parameters": sum(one.numel() for one in pupil.model.parameters())}
        parts = dict(zip(filter(None, (numbers.tower_of, numbers.start_of)), before, strict=True))
        if numbers.start_of:
            left = shelf.start_from(pupil, recipe(numbers.start_of), parts[numbers.start_of].parent)
            report(f"from {numbers.start_of}: all but {', '.join(left)}")
        about |= _see(numbers, pupil, scenes, parts.get(numbers.tower_of), report)
        if numbers.language:
            albums = language.albums(numbers.language, pupil, scenes, numbers.joined_scenes)
            language.train(numbers.language, pupil, albums, numbers.seed, report)
        else:
            shelf.save_tower(pupil, folder)
        # Measured is what is shipped: the saved float16 weights, opened again.
        shelf.save(pupil, folder, numbers.digest())
        about |= measured(numbers, folder, report)
    about["cpu_seconds"] = clock.seconds()
    (folder / "README.md").write_text(card.page(name, numbers, about), encoding="utf-8")
    (folder / "measured.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return about


def _see(numbers: Recipe, pupil: Pupil, scenes: list[Scene], tower_of: Path | None, report: Report) -> dict[str, Any]:
    """Stage one, or the tower of another model; how well patches can be read off it."""
    if numbers.tower_of:
        shelf.put_tower(pupil, tower_of.with_name(shelf.TOWER))
        told = json.loads(tower_of.with_name("measured.json").read_text(encoding="utf-8"))
        return {"patches": told["patches"]}
    heads = tower.train(numbers.tower, pupil, pupil.album(scenes), numbers.seed, report)
    found = tower.patch_accuracy(pupil, heads, world(numbers.measured, numbers.fresh))
    report(f"patch accuracy {found}")
    return {"patches": found}


def world(number: int, first: int = 0) -> list[Scene]:
    """Scenes dealt round the domains, seeds from `first`."""
    return [draw(DOMAINS[place % len(DOMAINS)], first + place) for place in range(number)]


def measured(numbers: Recipe, folder: Path, report: Report) -> dict[str, Any]:
    """Accuracies of a saved model on fresh scenes."""
    loaded, pupil = shelf.opened(numbers, folder)
    scenes = world(numbers.measured, numbers.fresh)
    if numbers.language is None:
        others = world(numbers.measured, UNSEEN)
        return {"retrieval": tower.retrieval(pupil, scenes), "unseen_retrieval": tower.retrieval(pupil, others)}
    told, plain = measure.packed(pupil, scenes), measure.packed(pupil, scenes, measure.plain)
    said = measure.generated(loaded, scenes)
    asked = [one for one in told if one.kind != measure.CAPTION]
    about = {
        "domains": measure.accuracy(asked, measure.domain),
        "kinds": measure.accuracy(asked, measure.kind),
        "domain_kinds": measure.accuracy(asked, lambda one: f"{one.domain} {one.kind}"),
        "captions": measure.accuracy([one for one in told if one.kind == measure.CAPTION], measure.domain),
        "unseen": unseen(pupil, numbers.measured),
        "plain": measure.accuracy([one for one in plain if one.kind != measure.CAPTION], measure.domain),
        "blind_domains": measure.blind(asked, measure.domain),
        "blind_kinds": measure.blind(asked, measure.kind),
        "generated": measure.accuracy(said, measure.domain),
    }
    report(f"packed {about['domains']}, generated {about['generated']}")
    if numbers.language.lens:
        about["lens"] = measure.lens(numbers.language, pupil, scenes)
    if numbers.language.joined:
        driving = [scene for scene in scenes if scene.domain == "ad"]
        frames = measure.packed(pupil, driving, frames=pixels.FRAMES)
        about["frames"] = measure.accuracy([one for one in frames if one.kind != measure.CAPTION], measure.domain)["ad"]
        said_frames = measure.generated(loaded, driving, frames=pixels.FRAMES)
        about["generated_frames"] = measure.accuracy(said_frames, measure.domain)["ad"]
    return about


def unseen(pupil: Pupil, number: int) -> dict[str, float]:
    """Accuracy per domain on scenes that had no part in choosing the recipe."""
    told = measure.packed(pupil, world(number, UNSEEN))
    return measure.accuracy([one for one in told if one.kind != measure.CAPTION], measure.domain)


@contextmanager
def single_thread() -> Iterator[None]:
    """One computing thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
