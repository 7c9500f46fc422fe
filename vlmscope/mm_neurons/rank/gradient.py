"""Gradient baseline: neurons at the image's positions on which the logit of a word hangs (mm_neurons.md 2.10).

Notation: z[l, p, i] enters the down projection of layer l at position p, y is the logit of token t where t is written.
    effect[l, i] = reduction over the image's positions p of z[l, p, i] dy/dz[l, p, i]
The gate's activation has the same effect, since z is the gate times another factor: g dy/dg = z dy/dz.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vlmscope.capture import places, run, taps
from vlmscope.models.base import Site
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded

Reduce = Literal["max", "sum", "mean"]
See = Callable[[int, Tensor], None]
REDUCE = {"max": lambda one: one.amax(0), "sum": lambda one: one.sum(0), "mean": lambda one: one.mean(0)}


class Place(NamedTuple):
    """Where a token is written: row of the batch, position in its text that predicts it, the token."""

    row: int
    position: int
    token: int


class Traced(NamedTuple):
    """One pass that remembers how logits came about.

    hidden   z by layer, [sample, token, I]
    logits   [place]
    seen     name of a site -> its values at the places, [place, layer, unit], without gradients
    """

    hidden: list[Tensor]
    logits: Tensor
    seen: dict[str, Tensor]


def trace(loaded: Loaded, batch: Batch, wanted: Sequence[Place], sites: dict[str, Site]) -> Traced:
    """One plain pass over right-padded texts; gradients reach back to the first layer's z, weights stay frozen."""
    rows, positions, tokens = (list(column) for column in zip(*wanted, strict=True))
    hidden, seen = [], {name: [] for name in sites}
    site = loaded.family.site("mlp_hidden")
    columns = torch.tensor(sorted(set(positions)))
    with torch.enable_grad(), contextlib.ExitStack() as hooks:
        hooks.enter_context(taps.reading(loaded, site, range(site.layers(loaded.config)), _keeper(hidden)))
        for name, one in sites.items():
            layers = range(one.layers(loaded.config))
            hooks.enter_context(taps.reading(loaded, one, layers, _picker(seen[name], rows, positions)))
        logits = run.forward(loaded, batch, columns).logits
    chosen = logits[rows, torch.searchsorted(columns, torch.tensor(positions)), tokens]
    return Traced(hidden, chosen, {name: torch.stack(values, 1) for name, values in seen.items()})


def _keeper(hidden: list[Tensor]) -> See:
    def see(layer: int, value: Tensor) -> None:
        # The first one has no history, since nothing before it asks for gradients; the others hang on it.
        hidden.append(value if value.requires_grad else value.requires_grad_())

    return see


def _picker(values: list[Tensor], rows: Sequence[int], positions: Sequence[int]) -> See:
    def see(layer: int, value: Tensor) -> None:
        values.append(value.detach()[rows, positions].cpu())

    return see


def active(traced: Traced, place: Place) -> Tensor:
    """z where a token is written, float [L, I] on the host."""
    return torch.stack([z.detach()[place.row, place.position].cpu() for z in traced.hidden])


def effects(
    loaded: Loaded, batch: Batch, wanted: Sequence[Place], traced: Traced, reduce: Reduce = "max"
) -> Iterator[tuple[int, Tensor]]:
    """Number of a place and its effects float32 [L, I] on the host; one backward pass per noun of a sample.

    Samples of a batch do not touch each other, so one pass goes back from one place of each of them.
    """
    image = places.positions("image", batch, loaded.family.image_token(loaded.config)).cpu()
    rounds = list(_rounds(wanted))
    for number, chosen in enumerate(rounds):
        together = traced.logits[chosen].sum()
        found = torch.autograd.grad(together, traced.hidden, retain_graph=number < len(rounds) - 1)
        for place in chosen:
            row = wanted[place].row
            at = image[row].nonzero().squeeze(1)
            pairs = ((z.detach()[row], slope[row]) for z, slope in zip(traced.hidden, found, strict=True))
            products = (z[at.to(z.device)].float() * slope[at.to(z.device)].float() for z, slope in pairs)
            yield place, torch.stack([REDUCE[reduce](one).cpu() for one in products])


def _rounds(wanted: Sequence[Place]) -> Iterator[list[int]]:
    """Numbers of places, each row at most once in a part."""
    waiting = list(range(len(wanted)))
    while waiting:
        rows: dict[int, int] = {}
        for number in waiting:
            rows.setdefault(wanted[number].row, number)
        yield list(rows.values())
        waiting = [number for number in waiting if number not in rows.values()]
