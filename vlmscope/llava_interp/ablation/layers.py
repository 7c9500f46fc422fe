"""States of visual tokens taken away at one layer, not where they enter, from files to records (llava_interp.md 9c).

What takes a state's place is the mean state of visual tokens at that layer, of pictures of the same split. Layer 0 is
what enters the decoder, layer l the output of block l; behind the last block nothing of a patch reaches the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.ablation.layers_tables import LAYERS
from vlmscope.llava_interp.asking import experiments, geometry, prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.lens import tuned
from vlmscope.llava_interp.tracing import repair
from vlmscope.llava_interp.tracing.repair import Repair
from vlmscope.samples import Sample, read


def from_files(own: Bench, samples: str) -> Found:
    """Records `LAYERS` of the pictures' own questions, the untouched one first, and the funnel of pictures.

    settings   objects, asking, layers
    """
    told = own.told["layers"]
    asked, funnel = experiments.questioned(own, samples, told["images"])
    means = averages(own, read(samples)[: told["averaged"]])
    return experiments.gathered(own, asked, lambda one: _of_picture(own, one, means), LAYERS), funnel


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
    asked, word, plain = experiments.question(own, target)
    same = dict.fromkeys(LAYERS) | experiments.named(target)
    yield same | {"part": "none", "tokens": 0} | plain
    if not experiments.right(plain):
        return
    wanted = {
        Repair(layer, places): (part, layer)
        for layer in repair.layers(len(means) - 1, own.told["layers"]["layers"])
        for part, places in parts(target, prompts.view(own.loaded).grid, own.told["layers"])
    }
    states = {layer: means[layer].expand(len(asked.ids), -1) for _, layer in wanted.values()}
    for one, logits in repair.patched(own.loaded, asked, states, list(wanted), own.batch):
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
