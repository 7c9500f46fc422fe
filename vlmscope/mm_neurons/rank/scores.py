"""Contribution of neurons to a token, and the order of neurons by any score (mm_neurons.md 2.4, 2.6).

Notation: L layers, I units of an MLP, d width, V vocabulary, u_t the row of the unembedding that belongs to token t.
    projection   P_t[l, i] = (W_down[l]^T u_t)_i
    contribution s[l, i] = a[l, i] P_t[l, i]
"""

from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "official_fp16"]
# What stands in the low half of a key that sorts by value, then by place.
LOW = 1 << 32


def projection(down: Tensor, rows: Tensor, precision: Precision = "float32") -> Tensor:
    """What the output weights of every unit of a layer give to tokens, float32 [token, I].

    down    output weights [d, I]
    rows    rows of the unembedding, float32 [token, d]
    """
    found = rows @ down.to(rows)
    # The released code keeps projections in half precision.
    return found.half().float() if precision == "official_fp16" else found


def contribution(activation: Tensor, projected: Tensor, precision: Precision = "float32") -> Tensor:
    """Scores float32 of activations and projections of one shape; official_fp16: rounded as in the released code."""
    found = activation.float() * projected
    return found.half().float() if precision == "official_fp16" else found


def best(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest values of the last axis, highest first, and their places; of equal values the lower place first.

    values   float32 [..., n]; not a number must not occur
    """
    flat = values.float().reshape(-1, values.shape[-1])
    k = min(k, flat.shape[1])
    # One more shows whether the last place is shared; only then the whole row is put in order, which is slow.
    top, places = flat.topk(min(k + 1, flat.shape[1]), dim=1)
    if top.shape[1] > k:
        shared = (top[:, k - 1] == top[:, k]).nonzero().squeeze(1)
        top, places = top[:, :k], places[:, :k]
        for row in shared:
            places[row] = _keys(flat[row], torch.arange(flat.shape[1], device=flat.device)).topk(k).indices
        top = flat.gather(1, places)
    places = places.gather(1, _keys(top, places).argsort(dim=1, descending=True))
    shape = *values.shape[:-1], k
    return flat.gather(1, places).reshape(shape), places.reshape(shape)


def _keys(values: Tensor, places: Tensor) -> Tensor:
    """Whole numbers in the order of float32 values, of equal ones the lower place above."""
    # Adding zero turns -0 into 0. Bits of negative numbers grow as they fall.
    bits = (values + 0.0).contiguous().view(torch.int32)
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long() * LOW - places
