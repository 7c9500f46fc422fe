"""Takes read in the decoding steps themselves, where they ask for nothing else: no second pass over what was written.

A step sees one new position, the one that predicts the next token; the first step sees the whole prompt, of which the
last position counts.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from vlmscope.capture import places, taps
from vlmscope.capture.plan import Take
from vlmscope.capture.run import Kept
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded


def suffice(takes: Sequence[Take]) -> bool:
    """Whether decoding passes all positions that are looked at: those from which tokens were written."""
    return all(take.where == "emitting" and take.keep == "values" for take in takes)


class Steps:
    """Values of the takes at every step of one batch after the other."""

    def __init__(self, loaded: Loaded, takes: Sequence[Take]) -> None:
        self.loaded, self.takes = loaded, list(takes)
        self.sites = [loaded.family.site(take.site) for take in takes]
        self.sinks = [
            taps.Keeper(take, site.width(loaded.config), loaded.device)
            for take, site in zip(takes, self.sites, strict=True)
        ]
        self.seen: list[dict[int, list[Tensor]]] = []

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Inside, a batch is written; its states at the last position of every step are kept on the device."""
        self.seen = [{layer: [] for layer in take.layers} for take in self.takes]
        with contextlib.ExitStack() as hooks:
            for take, site, seen in zip(self.takes, self.sites, self.seen, strict=True):
                hooks.enter_context(taps.reading(self.loaded, site, take.layers, partial(_see, take, seen)))
            yield

    def capture(self, answered: Iterable[Batch]) -> list[Kept]:
        """What the takes keep of batches that are written inside `reading` as they are asked for."""
        for batch in answered:
            ends = batch.inputs["attention_mask"].sum(1).tolist()
            counts = [end - start for start, end in zip(batch.starts, ends, strict=True)]
            rows = torch.tensor([row for row, count in enumerate(counts) for _ in range(count)], dtype=torch.long)
            steps = torch.tensor([step for count in counts for step in range(count)], dtype=torch.long)
            for take, sink, seen in zip(self.takes, self.sinks, self.seen, strict=True):
                sink.begin(places.chosen(self.loaded, take, batch))
                sink.layers = {layer: torch.stack(values)[steps, rows] for layer, values in seen.items()}
                sink.end(batch.rows, batch.inputs)
        return [Kept(take, sink.result()) for take, sink in zip(self.takes, self.sinks, strict=True)]


def _see(take: Take, seen: dict[int, list[Tensor]], layer: int, value: Tensor) -> None:
    # A copy: a view would keep the whole prompt's states.
    seen[layer].append(taps.of_units(value[:, -1], take.units).clone())
