"""Attention probabilities: an implementation that computes them, and what is kept of them.

Axis order of one layer: [sample, head, query, key].
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.capture.plan import Take
from vlmscope.models.load import Loaded


@contextlib.contextmanager
def eager(loaded: Loaded) -> Iterator[None]:
    """Let the decoder compute attention step by step: fused kernels never hold the probabilities.

    Vision towers keep their implementation. States differ from those of fused kernels by rounding.
    """
    config = loaded.config
    text = config.get_text_config()
    own = {key: getattr(config, key)._attn_implementation for key in config.sub_configs}
    before = {"": config._attn_implementation, **own}
    place = next((key for key in own if getattr(config, key) is text), "")
    loaded.model.set_attn_implementation({**before, place: "eager"})
    try:
        yield
    finally:
        loaded.model.set_attn_implementation(before)


class Attended:
    """Probabilities of one take, a row for every pair of a query that it looks at and a key of the same text.

    values   [row, layer, head]; rows in the order of samples, queries, keys, padding left out
    """

    def __init__(self, take: Take, heads: int) -> None:
        self.take, self.heads = take, heads
        self.blocks: list[dict[str, Tensor]] = []
        self.queries: tuple[Tensor, ...] = ()
        self.layers: dict[int, Tensor] = {}

    def begin(self, mask: Tensor) -> None:
        """Queries of the coming batch, bool [sample, token]."""
        self.queries, self.layers = mask.nonzero(as_tuple=True), {}

    def see(self, layer: int, value: Tensor) -> None:
        """Pick the queries of one layer, [sample, head, query, key], on the device."""
        sample, query = (index.to(value.device) for index in self.queries)
        # [query, key, head], as the units of other sites stand last.
        self.layers[layer] = taps.of_units(value[sample, :, query].transpose(1, 2), self.take.units)

    def end(self, rows: Sequence[int], inputs: dict[str, Tensor]) -> None:
        """Move the batch to the host in one copy, without keys that are padding."""
        first = self.layers[self.take.layers[0]].device
        # [query, key, layer, head]
        values = torch.stack([self.layers[layer].to(first) for layer in self.take.layers], 2).cpu()
        real = inputs["attention_mask"].bool().cpu()
        sample, query = (index.cpu() for index in self.queries)
        row, key = real[sample].nonzero(as_tuple=True)
        token = inputs["input_ids"].cpu()[sample, query]
        block = {"sample": torch.tensor(rows)[sample][row], "position": query[row], "key": key, "token": token[row]}
        self.blocks.append(
            {"values": values[real[sample]]} | {name: one.to(torch.int32) for name, one in block.items()}
        )

    def result(self) -> dict[str, Any]:
        """Arrays as they go into a shard, in the order of samples; no row where nothing was looked at."""
        heads = len(self.take.units) or self.heads
        names = ("sample", "position", "token", "key")
        nothing = {"values": torch.zeros(0, len(self.take.layers), heads)}
        nothing |= {name: torch.zeros(0, dtype=torch.int32) for name in names}
        blocks = [nothing, *self.blocks]
        joined = {name: torch.cat([block[name].to(nothing[name].dtype) for block in blocks]) for name in nothing}
        order = torch.argsort(joined["sample"], stable=True)
        return {name: value[order].numpy() for name, value in joined.items()} | taps.chosen(self.take)
