"""One object of a picture is taken away, and the model is asked for it and for another one.

Of every picture with two objects that count, one ordered pair is drawn: rows of tables are then independent. Patches
that the other object touches are never taken away.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vlmscope.llava_interp.ablation.several_tables import POLLS
from vlmscope.llava_interp.asking import experiments, geometry, prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.geometry import Mode, View
from vlmscope.llava_interp.asking.selection import Filter, Target
from vlmscope.samples import Sample, read


@dataclass(frozen=True)
class Pair:
    """Two objects of one picture: `first` is taken away, `second` stays."""

    first: Target
    second: Target


def fitting(sample: Sample, told: Filter, view: View, mode: Mode) -> list[Target]:
    """All objects of a picture that count: alone of their class, of fitting size, no crowd, in view."""
    answer, size = json.loads(sample.answer), (sample.width, sample.height)
    objects = answer["objects"]
    if len(objects) > told.most:
        return []
    counts, found = Counter(one["class"] for one in objects), []
    for one in objects:
        if counts[one["class"]] > 1 or not told.fits(one, size):
            continue
        if touched := geometry.patches(one, size, view, mode):
            names = {"image_id": answer["image_id"], "ann_id": one["id"], "name": one["class"]}
            found.append(Target(sample, **names, area=float(one["area"]), patches=tuple(touched)))
    return found


def drawn(found: Sequence[Target], seed: int) -> Pair:
    """Two of at least two objects, in random order."""
    return Pair(*tokens.seeded(seed, found[0].image_id, "pair").sample(list(found), 2))


def sets(pair: Pair, grid: int, buffer: int, seed: int) -> dict[str, list[int]]:
    """Condition -> visual tokens: the first object's, and as many that neither object touches or has beside it."""
    other = set(pair.second.patches)
    own = [one for one in geometry.grown(pair.first.patches, buffer, grid) if one not in other]
    taken = {*own, *geometry.grown(pair.second.patches, buffer, grid)}
    draws = tokens.seeded(seed, pair.first.image_id, "several", buffer)
    return {"object": own, "matched": sorted(tokens.drawn(draws, grid * grid, len(own), taken))}


def from_files(own: Bench, samples: str) -> Found:
    """Answers `POLLS` about both objects of every pair, and the funnel of pictures.

    settings   objects, asking, several; value: mean, zero
    """
    told, geometrical = own.told["several"], own.told["objects"]["geometry"]
    rows, seen, limits = read(samples), prompts.view(own.loaded), Filter.of(own.told["objects"])
    every = [fitting(one, limits, seen, geometrical) for one in rows]
    pairs = [drawn(found, told["seed"]) for found in every if len(found) > 1]
    # An object all of whose patches another one touches too cannot be taken away by itself.
    pairs = [one for one in pairs if set(one.first.patches) - set(one.second.patches)]
    part = pairs[: told["images"]]
    counts = {"pictures": len(rows), "with_pair": len(pairs), "asked": len(part)}
    return experiments.gathered(own, part, lambda one: _of_pair(own, one), POLLS), counts


def _of_pair(own: Bench, pair: Pair) -> Iterator[Record]:
    """Both questions, untouched and under every condition."""
    told, grid = own.told["several"], prompts.view(own.loaded).grid
    roles = {"ablated": pair.first, "other": pair.second}
    texts = [own.ask(own.told["asking"]["poll"].replace("{class}", one.name)) for one in roles.values()]
    asked = prompts.prepare(own.loaded, texts, [own.picture(pair.first.sample)] * len(texts), own.batch)
    conditions: list[tuple[str, int | None, list[int]]] = [("none", None, [])]
    for buffer in told["buffers"]:
        conditions += [(name, buffer, found) for name, found in sets(pair, grid, buffer, told["seed"]).items()]
    word = prompts.word(own.loaded.processor.tokenizer, own.told["asking"]["affirmed"])
    rows = [(role, prompt, *one) for role, prompt in zip(roles, asked, strict=True) for one in conditions]
    logits = prompts.next_logits(own.loaded, [(row[1], row[4]) for row in rows], own.value, own.batch)
    for (role, _, condition, buffer, found), each in zip(rows, logits, strict=True):
        said = prompts.told(own.loaded, each, word)
        yield {
            **experiments.named(pair.first),
            "other": pair.second.name,
            "asked": role,
            "condition": condition,
            "buffer": buffer,
            "tokens": len(found),
            "indices": found,
            "text": said["text"],
            "prob": said["right_prob"],
        }
