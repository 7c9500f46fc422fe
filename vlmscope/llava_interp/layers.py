"""States of visual tokens taken away at one layer, not where they enter, from files to records (llava_interp.md 9c).

What takes a state's place is the mean state of visual tokens at that layer, of pictures of the same split. Layer 0 is
what enters the decoder, layer l the output of block l; behind the last block nothing of a patch reaches the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from torch import Tensor

from vlmscope.capture.batches import picture_of
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp import ablate, geometry, prompts, tokens, tracing, tuned
from vlmscope.llava_interp.ablate import Bench, Record
from vlmscope.llava_interp.layers_tables import LAYERS
from vlmscope.llava_interp.selection import Target
from vlmscope.llava_interp.tracing import Repair
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress


def from_files(
    loaded: Loaded, *, raw: str, samples: str, settings: Mapping[str, Any], batch: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Records `LAYERS` of the pictures' own questions, the untouched one first, and the funnel of pictures.

    settings   objects, asking, layers
    """
    own = Bench(loaded, picture_of(read_manifest(raw)["root"]), None, None, settings, batch)
    targets, funnel = ablate.chosen(loaded, samples, settings)
    told = settings["layers"]
    means = averages(own, read(samples)[: told["averaged"]])
    asked = [one for one in targets if one.sample.question][: told["images"]]
    records = [record for one in progress(asked, len(asked), "pictures") for record in _of_picture(own, one, means)]
    return pl.DataFrame(records, schema=LAYERS), funnel | {"with_question": len(asked)}


def averages(own: Bench, rows: Sequence[Sample]) -> Tensor:
    """Mean state of visual tokens at every layer, float32 [L + 1, d]."""
    if not rows:
        raise VlmscopeError("There is no picture to average.", where="llava_interp.layers", instead="a split with some")
    total: Tensor | float = 0.0
    for start in range(0, len(rows), own.batch):
        part = [own.picture(one) for one in rows[start : start + own.batch]]
        text = own.ask(own.told["asking"]["describe"])
        for asked in prompts.prepare(own.loaded, [text] * len(part), part, own.batch):
            total = total + tuned.states(own.loaded, asked).float().mean(1)
    return total / len(rows)


def _of_picture(own: Bench, target: Target, means: Tensor) -> Iterator[Record]:
    asked, word, plain = ablate.question(own, target)
    same = dict.fromkeys(LAYERS) | ablate.named(target)
    yield same | {"part": "none", "tokens": 0} | plain
    if not ablate.right(plain):
        return
    wanted = {
        Repair(layer, places): (part, layer)
        for layer in tracing.layers(len(means) - 1, own.told["layers"]["layers"])
        for part, places in parts(target, prompts.view(own.loaded).grid, own.told["layers"])
    }
    states = {layer: means[layer].expand(len(asked.ids), -1) for _, layer in wanted.values()}
    for one, logits in tracing.patched(own.loaded, asked, states, list(wanted), own.batch):
        part, layer = wanted[one]
        where = {"part": part, "layer": layer, "tokens": len(one.tokens)}
        yield same | where | prompts.told(own.loaded, logits, word)


def parts(target: Target, grid: int, told: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The object with its neighbours, and as many tokens beside them."""
    inside = geometry.grown(target.patches, told["buffer"], grid)
    draws = tokens.seeded(told["seed"], target.image_id, "layers")
    yield "object", tuple(inside)
    if others := tokens.drawn(draws, grid * grid, len(inside), set(inside)):
        yield "matched", tuple(sorted(others))
