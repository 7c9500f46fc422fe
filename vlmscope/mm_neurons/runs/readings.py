"""What a model holds at some steps of captions: input of the down projections, last states, log-probabilities.

Notation: z [layer, unit] enters the down projections; x [d] is the residual stream behind the last block; the final
norm gives g x / r with a gain g [d] and r = rms(x), so that the logit of token t is W_U[t] . (g x / r).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.mm_neurons.runs import columns, passes
from vlmscope.mm_neurons.runs.passes import Prompt
from vlmscope.models.load import Loaded


class Place(NamedTuple):
    """A step of a caption: a prompt, the caption's tokens as far as they are read, the step."""

    prompt: Prompt
    tokens: tuple[int, ...]
    step: int


# Layers and units of some neurons, int64 [k] each.
Neurons = tuple[np.ndarray, np.ndarray]


class Reading(NamedTuple):
    """States of several places, on the host.

    z          float32 [place, layer, unit], or [place, k] where neurons were named
    x          float32 [place, d]
    log_prob   float32 [place, vocabulary]
    """

    z: Tensor
    x: Tensor
    log_prob: Tensor

    def of(self, neurons: Neurons) -> "Reading":
        """The same with z of some neurons alone."""
        return self._replace(z=self.z[:, neurons[0], neurons[1]])


@torch.inference_mode()
def read(loaded: Loaded, places: Sequence[Place], batch: int, neurons: Neurons | None = None) -> Reading:
    """States at the places, order kept; every caption is read once, however many places it has.

    neurons   those whose z is wanted; all of them for None
    """
    captions: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for number, one in enumerate(places):
        captions.setdefault((id(one.prompt), one.tokens), []).append(number)
    groups = list(captions.values())
    found: dict[int, tuple[Tensor, ...]] = {}
    for rows in passes.batches([places[group[0]].prompt for group in groups], batch):
        chosen = [groups[row] for row in rows]
        states = _batch(loaded, [[places[number] for number in group] for group in chosen], neurons)
        found |= dict(zip([number for group in chosen for number in group], states, strict=True))
    parts = zip(*(found[number] for number in range(len(places))), strict=True)
    return Reading(*(torch.stack(one) for one in parts))


def _batch(loaded: Loaded, groups: Sequence[Sequence[Place]], neurons: Neurons | None) -> Iterator[tuple[Tensor, ...]]:
    """States of the places of some captions, caption by caption."""
    tokens = [group[0].tokens for group in groups]
    # Steps stand at the end of a row, one more than the longest caption has tokens.
    behind = max(map(len, tokens)) + 1
    rows = torch.tensor([row for row, group in enumerate(groups) for _ in group])
    steps = torch.tensor([one.step for group in groups for one in group]) - behind
    layers = range(columns.shape(loaded)[0])
    hidden, last = loaded.family.site(columns.SITE), loaded.family.site("resid_post")
    seen: dict[int, Tensor] = {}
    states: dict[int, Tensor] = {}

    def keep(into: dict[int, Tensor], layer: int, value: Tensor) -> None:
        into[layer] = value[rows.to(value.device), steps.to(value.device)].float().cpu()

    with (
        taps.reading(loaded, hidden, layers, lambda layer, value: keep(seen, layer, value)),
        taps.reading(loaded, last, [layers[-1]], lambda layer, value: keep(states, layer, value)),
    ):
        values = passes.log_probs(loaded, [group[0].prompt for group in groups], tokens)
    z = torch.stack([seen[layer] for layer in layers], 1)
    log_prob = values[rows.to(values.device), steps.to(values.device)].cpu()
    yield from zip(z if neurons is None else z[:, neurons[0], neurons[1]], states[layers[-1]], log_prob, strict=True)


def head(loaded: Loaded) -> Tensor:
    """The unembedding, [vocabulary, d], where the model has it."""
    return taps.module_at(loaded.model, loaded.family.head).weight


@torch.inference_mode()
def gain(loaded: Loaded) -> Tensor:
    """What the final norm multiplies a normed state with, float32 [d]; some norms add one to their weight."""
    norm = taps.module_at(loaded.model, loaded.family.norm)
    ones = torch.ones_like(norm.weight)
    return norm(ones).float().cpu()


@torch.inference_mode()
def sizes(loaded: Loaded, x: Tensor, gained: Tensor) -> Tensor:
    """What the final norm divides states by, float32 [place].

    x        float32 [place, d]
    gained   see `gain`
    """
    norm = taps.module_at(loaded.model, loaded.family.norm)
    normed = norm(x.to(norm.weight)).float().cpu()
    return (x * gained).norm(dim=-1) / normed.norm(dim=-1)


def contributions(loaded: Loaded, z: Tensor, token: int, gained: Tensor) -> Tensor:
    """z_i w_i . (g W_U[t]) of every neuron, float32 [layer, unit].

    z   float32 [layer, unit]
    """
    direction = head(loaded)[token].float().cpu() * gained
    parts = [columns.weight(loaded, layer).float().cpu().T @ direction for layer in range(len(z))]
    return z * torch.stack(parts)
