"""Causal tracing from files to records: every patch at every layer, and the object's patches together."""

from collections.abc import Iterator, Mapping
from typing import Any

from vlmscope.llava_interp.asking import experiments, geometry, prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.tracing import repair
from vlmscope.llava_interp.tracing.repair import Repair
from vlmscope.llava_interp.tracing.tables import TRACES


def from_files(own: Bench, samples: str) -> Found:
    """Records `TRACES` of pictures whose untouched answer is right, and the funnel of pictures.

    settings   objects, asking; images, corrupted, layers, seed of tracing; value: mean, zero
    """
    asked, funnel = experiments.questioned(own, samples, own.told["images"])
    return experiments.gathered(own, asked, lambda one: _of_picture(own, one), TRACES), funnel


def _of_picture(own: Bench, target: Target) -> Iterator[Record]:
    asked, word, plain = experiments.question(own, target)
    if not experiments.right(plain):
        return
    told, grid = own.told, prompts.view(own.loaded).grid
    lost = range(asked.visual) if told["corrupted"] == "whole" else target.patches
    broken = prompts.next_logits(own.loaded, [(asked, lost)], own.value, 1)[0]
    same = experiments.named(target) | {"grid": grid, "corrupted": told["corrupted"], "layer": None, "patch": None}
    corrupted = prompts.told(own.loaded, broken, word)
    for part, count, found in (("clean", 0, plain), ("corrupted", len(lost), corrupted)):
        yield same | {"part": part, "tokens": count} | _read(found)
    depth = own.loaded.family.site("resid_post").layers(own.loaded.config)
    parts = {
        Repair(layer, places): part
        for layer in repair.layers(depth, told["layers"])
        for part, places in _parts(target, grid, told["seed"])
    }
    for one, logits in repair.restored(own.loaded, asked, lost, own.value, list(parts), own.batch):
        part, patch = parts[one], one.tokens[0] if not parts[one].endswith("_set") else None
        where = {"part": part, "layer": one.layer, "patch": patch, "tokens": len(one.tokens)}
        yield same | where | _read(prompts.told(own.loaded, logits, word))


def _parts(target: Target, grid: int, seed: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What is given back: each patch by itself, the object's together, as many others together.

    Sets of a single patch would be told twice; they are left out.
    """
    inside, near = set(target.patches), set(geometry.grown(target.patches, 1, grid))
    for patch in range(grid * grid):
        yield "object" if patch in inside else "near" if patch in near else "other", (patch,)
    draws = tokens.seeded(seed, target.image_id, "tracing")
    others = tokens.drawn(draws, grid * grid, len(inside), near)
    for name, places in (("object_set", target.patches), ("matched_set", tuple(sorted(others)))):
        if len(places) > 1:
            yield name, tuple(places)


def _read(found: Mapping[str, Any]) -> dict[str, float]:
    return {"prob": found["right_prob"], "log_prob": found["right_log_prob"]}
