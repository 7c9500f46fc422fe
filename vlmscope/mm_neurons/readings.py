"""What a model holds at some steps of captions: input of the down projections, last states, log-probabilities.

Notation: z [layer, unit] enters the down projections; x [d] is the residual stream behind the last block; the final
norm gives g x / r with a gain g [d] and r = rms(x), so that the logit of token t is W_U[t] . (g x / r).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.mm_neurons import columns, passes
from vlmscope.mm_neurons.passes import Prompt
from vlmscope.models.load import Loaded


class Place(NamedTuple):
    """A step of a caption: a prompt, the caption's tokens as far as they are read, the step."""

    prompt: Prompt
    tokens: tuple[int, ...]
    step: int


class Reading(NamedTuple):
    """States of several places, on the host.

    z          float32 [place, layer, unit]
    x          float32 [place, d]
    log_prob   float32 [place, vocabulary]
    """

    z: Tensor
    x: Tensor
    log_prob: Tensor


@torch.inference_mode()
def read(loaded: Loaded, places: Sequence[Place], batch: int) -> Reading:
    """States at the places, order kept; places of one caption may come together."""
    found: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    for rows in passes.batches([one.prompt for one in places], batch):
        for row, part in zip(rows, _batch(loaded, [places[row] for row in rows]), strict=True):
            found[row] = part
    parts = zip(*(found[row] for row in range(len(places))), strict=True)
    return Reading(*(torch.stack(one) for one in parts))


def _batch(loaded: Loaded, places: Sequence[Place]) -> list[tuple[Tensor, Tensor, Tensor]]:
    tokens = [one.tokens for one in places]
    # Steps stand at the end, one more than the longest caption has tokens.
    behind, rows = max(map(len, tokens)) + 1, torch.arange(len(places))
    columns_at = torch.tensor([one.step for one in places]) - behind
    layers = range(columns.shape(loaded)[0])
    hidden, last = loaded.family.site(columns.SITE), loaded.family.site("resid_post")
    seen: dict[int, Tensor] = {}
    states: dict[int, Tensor] = {}

    def keep(into: dict[int, Tensor], layer: int, value: Tensor) -> None:
        into[layer] = value[rows.to(value.device), columns_at.to(value.device)].float().cpu()

    with (
        taps.reading(loaded, hidden, layers, lambda layer, value: keep(seen, layer, value)),
        taps.reading(loaded, last, [layers[-1]], lambda layer, value: keep(states, layer, value)),
    ):
        values = passes.log_probs(loaded, [one.prompt for one in places], tokens)
    z = torch.stack([seen[layer] for layer in layers], 1)
    log_prob = values[rows.to(values.device), columns_at.to(values.device)].cpu()
    return list(zip(z, states[layers[-1]], log_prob, strict=True))


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
