"""Two ways to turn one word into another without training; both are ours (mm_neurons.md 2.11, 8).

Notation as in `readings`; t0 source, t1 target, N the chosen neurons, w_i their output weights.
    q           (W_U[t1] - W_U[t0]) g / r: what a change of the stream has to meet to raise the margin t1 over t0
    closed form Delta_i = c_i q / |q|^2 with the least c for which sum_{i in N} z_i c_i is the wanted rise at places of
                the source word, and 0 at places that shall stay as they are
    shift       z_i is raised by alpha times the difference of its means at target and source words, the differences
                of all chosen neurons together being of length one
"""

import numpy as np
import torch
from torch import Tensor

from vlmscope.mm_neurons.runs import readings
from vlmscope.mm_neurons.runs.columns import Added
from vlmscope.mm_neurons.runs.readings import Neurons, Reading
from vlmscope.models.load import Loaded


def best(
    loaded: Loaded, found: Reading, token: int, *, k: int, first: int | None = None, last: int | None = None
) -> Neurons:
    """Layers and units of the neurons that contribute most to a token, mean over places; int64 [k] each.

    first, last   layers that they are taken from, as in a slice
    """
    scores = readings.contributions(loaded, found.z.mean(0), token, readings.gain(loaded))
    layers = np.arange(len(scores))[first or None : last]
    order = torch.sort(scores[layers].flatten(), descending=True, stable=True).indices[:k].numpy()
    return layers[order // scores.shape[1]], order % scores.shape[1]


def gaps(found: Reading, tokens: tuple[int, int]) -> Tensor:
    """How far the source's logit stands above the target's, float32 [place]."""
    source, target = tokens
    return found.log_prob[:, source] - found.log_prob[:, target]


def closed_form(
    loaded: Loaded,
    at: Reading,
    kept: Reading | None,
    tokens: tuple[int, int],
    places: Neurons,
    rises: Tensor,
    *,
    preserve: float = 0.0,
    ridge: float = 0.0,
) -> Added:
    """The least rows that raise the margin at places of the source word by `rises`, the norm held fixed.

    at         places of the source word, z of the neurons alone
    kept       places that shall stay as they are, the same; None for none of them
    places     layers and units of the neurons
    rises      float32 [place]
    preserve   weight of the places that stay, all of them together, against those of the source word
    ridge      weight of small rows against exact rises, as a share of the mean square of the rows behind them

    With one place, nothing to keep and no ridge: Delta_i = rise z_i q / (|q|^2 sum_j z_j^2).
    """
    gained = readings.gain(loaded)
    parts = [_scaled(loaded, at, gained)]
    wanted = [rises.double()]
    if kept is not None and preserve and len(kept.z):
        weight = (preserve * len(at.z) / len(kept.z)) ** 0.5
        parts.append(weight * _scaled(loaded, kept, gained))
        wanted.append(torch.zeros(len(kept.z), dtype=torch.float64))
    rows, aim = torch.cat(parts), torch.cat(wanted)
    coefficients = torch.linalg.lstsq(_ridged(rows, ridge), _padded(aim, rows.shape[1], ridge), driver="gelsd").solution
    head = readings.head(loaded)
    q = ((head[tokens[1]] - head[tokens[0]]).float().cpu() * gained).double()
    delta = coefficients[:, None] * q / q.square().sum()
    return Added(*places, delta.float().numpy())


def _scaled(loaded: Loaded, found: Reading, gained: Tensor) -> Tensor:
    """z / r, float64 [place, k]: the r of q stands here, since it differs between places."""
    return (found.z / readings.sizes(loaded, found.x, gained)[:, None]).double()


def _ridged(rows: Tensor, ridge: float) -> Tensor:
    """Rows with those of the ridge below them: least squares then weigh the size of the solution too."""
    if not ridge:
        return rows
    strength = (ridge * rows.square().sum(1).mean()).sqrt()
    return torch.cat([rows, strength * torch.eye(rows.shape[1], dtype=rows.dtype)])


def _padded(aim: Tensor, width: int, ridge: float) -> Tensor:
    return torch.cat([aim, torch.zeros(width, dtype=aim.dtype)]) if ridge else aim


def movers(loaded: Loaded, source: Reading, target: Reading, tokens: tuple[int, int], k: int) -> Neurons:
    """Layers and units of the neurons whose difference between both words moves the margin most; int64 [k] each.

    source, target   places of the words
    """
    gained, gap = readings.gain(loaded), target.z.mean(0) - source.z.mean(0)
    towards, away = (readings.contributions(loaded, gap, token, gained) for token in (tokens[1], tokens[0]))
    order = torch.sort((towards - away).flatten(), descending=True, stable=True).indices[:k].numpy()
    return order // gap.shape[1], order % gap.shape[1]


def direction(source: Reading, target: Reading, places: Neurons) -> np.ndarray:
    """Difference of the mean activations of the neurons at target and source words, of length one; float32 [k]."""
    layers, units = places
    gap = (target.z.mean(0) - source.z.mean(0))[layers, units].numpy()
    # Words that no neuron tells apart have no direction: zeros, not a division by zero.
    return (gap / max(float(np.linalg.norm(gap)), 1e-30)).astype(np.float32)
