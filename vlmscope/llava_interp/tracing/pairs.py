"""Activation patching on minimal pairs: two pictures that differ in one object alone (llava_interp.md 9c).

The twin of a picture has a rectangle around its object overwritten by another picture's object; everything else, and
the question, stay. States of the picture are put into the twin's prompt, some positions and one layer at a time: how
much of the way back to the first object's name do they lead? Layer 0 is what enters the decoder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from PIL import Image
from torch import Tensor

from vlmscope.llava_interp.asking import experiments, geometry, prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.prompts import Asked, Word
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.tracing import repair
from vlmscope.llava_interp.tracing.pairs_tables import PAIRS
from vlmscope.llava_interp.tracing.repair import Repair


@dataclass(frozen=True)
class Box:
    """Patches of a rectangle: first row and column, how many of each."""

    row: int
    column: int
    height: int
    width: int

    def patches(self, grid: int) -> list[int]:
        """Their numbers."""
        rows, columns = range(self.row, self.row + self.height), range(self.column, self.column + self.width)
        return [row * grid + column for row in rows for column in columns]

    def of(self, pixels: np.ndarray, patch: int) -> np.ndarray:
        """Its part of a square picture, a view that may be written to."""
        rows = slice(self.row * patch, (self.row + self.height) * patch)
        return pixels[rows, self.column * patch : (self.column + self.width) * patch]


def boxes(own: Sequence[int], other: Sequence[int], grid: int) -> tuple[Box, Box]:
    """Rectangles of one size around two objects, each within its picture."""
    ranges = [[np.divmod(np.asarray(one), grid)[axis] for axis in (0, 1)] for one in (own, other)]
    starts = [[int(axis.min()) for axis in one] for one in ranges]
    height, width = (max(int(np.ptp(one[axis])) + 1 for one in ranges) for axis in (0, 1))
    first, second = (Box(min(row, grid - height), min(column, grid - width), height, width) for row, column in starts)
    return first, second


def from_files(own: Bench, samples: str) -> Found:
    """Records `PAIRS` of the pairs whose two answers are right, and how many pairs each step left.

    settings   objects, asking, pairs
    """
    told = own.told["pairs"]
    targets, funnel = experiments.chosen(own.loaded, samples, own.told)
    asked = [one for one in targets if one.sample.question]
    matched = list(couples(asked, told["seed"], own.told["asking"]["begin"]))[: told["images"]]
    found = experiments.gathered(own, matched, lambda pair: _of_pair(own, *pair), PAIRS)
    right = found.filter(pl.col("part") == "own")["sample"].len()
    return found, funnel | {"pairs": len(matched), "right": right}


def couples(targets: Sequence[Target], seed: int, begin: str = "") -> Iterator[tuple[Target, Target]]:
    """Every picture beside one drawn of those whose object is of another class; none where all are of one.

    begin   of the answer; both classes go on from the same words, else an article alone would tell them apart
    """
    for one in targets:
        same = prompts.begun(begin, one.name)
        fitting = [other for other in targets if prompts.begun(begin, other.name) == same]
        others = [other for other in fitting if other.name.lower() != one.name.lower()]
        if others:
            yield one, tokens.seeded(seed, one.image_id, "twin").choice(others)


def twin(own: Bench, first: Target, second: Target) -> tuple[Image.Image, Image.Image, Box]:
    """The first picture as the model sees it, the same with the second's object, and where they differ."""
    view = prompts.view(own.loaded)
    seen = [np.array(geometry.viewed(own.picture(one.sample), view, "aligned")) for one in (first, second)]
    here, there = boxes(first.patches, second.patches, view.grid)
    changed, patch = seen[0].copy(), view.side // view.grid
    here.of(changed, patch)[:] = there.of(seen[1], patch)
    return Image.fromarray(seen[0]), Image.fromarray(changed), here


def _of_pair(own: Bench, first: Target, second: Target) -> Iterator[Record]:
    loaded, told = own.loaded, own.told["pairs"]
    plain, changed, box = twin(own, first, second)
    text = own.ask(first.sample.question, prompts.begun(own.told["asking"]["begin"], first.name))
    whole, broken = prompts.prepare(loaded, [text] * 2, [plain, changed], 2)
    words = [prompts.word(loaded.processor.tokenizer, one.name.lower()) for one in (first, second)]
    ends = prompts.next_logits(loaded, [(whole, ()), (broken, ())], None, 2)
    same = experiments.named(first) | {"twin": second.sample.sample, "twin_class": second.name, "layer": None}
    if any(int(logits.argmax()) not in word.right for logits, word in zip(ends, words, strict=True)):
        return
    for part, logits in zip(("own", "twin"), ends, strict=True):
        yield same | {"part": part, "tokens": 0} | _read(logits, words)
    depth = loaded.family.site("resid_post").layers(loaded.config)
    layers = repair.layers(depth, told["layers"])
    wanted = {
        Repair(layer, places): part
        for layer in layers
        for part, places in parts(box, whole, prompts.view(loaded).grid, told["seed"], first.image_id)
    }
    states = repair.clean(loaded, whole, layers)
    for one, logits in repair.patched(loaded, broken, states, list(wanted), own.batch):
        where = {"part": wanted[one], "layer": one.layer, "tokens": len(one.tokens)}
        yield same | where | _read(logits, words)


def parts(box: Box, asked: Asked, grid: int, seed: int, image: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Positions, counted from the first visual token: the rectangle, as many beside it, the question, the last one."""
    inside, last = box.patches(grid), len(asked.ids) - 1 - asked.first
    yield "object", tuple(inside)
    others = tokens.drawn(tokens.seeded(seed, image, "pairs"), asked.visual, len(inside), set(inside))
    if others:
        yield "matched", tuple(sorted(others))
    if question := tuple(range(asked.visual, last)):
        yield "question", question
    yield "last", (last,)


def _read(logits: Tensor, words: Sequence[Word]) -> Record:
    """Log probabilities of both classes, and whether the token is that of the first."""
    shares = logits.float().log_softmax(-1)
    own, other = (float(shares[list(word.right)].logsumexp(0)) for word in words)
    return {"log_prob": own, "twin_log_prob": other, "ok": int(logits.argmax()) in words[0].right}
