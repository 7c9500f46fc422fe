"""Products with k latents per token, forward and back: no [token, latent] matrix is kept (multimodal_sae.md 2.12).

Notation: T tokens, F latents, d units, k latents per token.
"""

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

# Numbers that are gathered at a time: what a CPU's cache holds, what keeps a GPU busy.
GATHERED = {"cpu": 1 << 19, "cuda": 1 << 26}
# Numbers from which on a CPU gathers none. Sums are then made in another order; the embedded scale, where neither way
# costs much, keeps the one that its measured numbers come from.
SAMPLED = 1 << 21
# Numbers of pre-activations that are there at a time.
DENSE = 1 << 26

Pick = Callable[[Tensor], tuple[Tensor, Tensor]]


class Places:
    """Which latents every token selects, and the same told latent by latent.

    index     int64 [T, k]   no latent twice in a row
    latents   F
    """

    def __init__(self, index: Tensor, latents: int) -> None:
        self.index, self.latents = index, latents

    @cached_property
    def by_latent(self) -> tuple[Tensor, Tensor]:
        """Entries of `index` in the order of their latents int64 [T k], and where each latent's begin int64 [F + 1]."""
        flat = self.index.flatten()
        starts = flat.new_zeros(self.latents + 1)
        torch.cumsum(torch.bincount(flat, minlength=self.latents), 0, out=starts[1:])
        return flat.argsort(stable=True), starts

    def summed(self, weight: Tensor, rows: Tensor) -> Tensor:
        """Per latent the weighted sum of the rows of the tokens that select it: [F, d] of [T, k] and [T, d].

        A product of a sparse matrix and a dense one, added up in the order of the tokens whatever the threads.
        """
        order, starts = self.by_latent
        token = torch.div(order, self.index.shape[1], rounding_mode="floor")
        weights = weight.flatten()[order]
        return embedding_bag(token, rows, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)

    def totals(self, weight: Tensor) -> Tensor:
        """Per latent the sum of its weights: [F] of [T, k]."""
        zeros = weight.new_zeros(self.latents)
        return zeros.index_add_(0, self.index.flatten(), weight.flatten())


def weighted(index: Tensor, weight: Tensor, table: Tensor) -> Tensor:
    """Per token the weighted sum of its latents' rows: [T, d] of [T, k], [T, k] and [F, d]."""
    return embedding_bag(index, table, mode="sum", per_sample_weights=weight)


def dots(index: Tensor, rows: Tensor, table: Tensor) -> Tensor:
    """Per token the products of its row with its latents' rows: [T, k] of [T, k], [T, d] and [F, d]."""
    many = index.numel() * rows.shape[1] >= SAMPLED
    return (_sampled if many and rows.device.type == "cpu" else _gathered)(index, rows, table)


def _gathered(index: Tensor, rows: Tensor, table: Tensor) -> Tensor:
    """Latents' rows are copied side by side, a part of the tokens at a time."""
    room = GATHERED.get(rows.device.type, GATHERED["cuda"])
    step = max(1, room // max(1, index.shape[1] * rows.shape[1]))
    parts = zip(index.split(step), rows.split(step), strict=True)
    return torch.cat([torch.bmm(table[some], row[:, :, None]).squeeze(2) for some, row in parts])


def _sampled(index: Tensor, rows: Tensor, table: Tensor) -> Tensor:
    """The same as entries of a sparse matrix: no row is copied, which on a CPU costs most."""
    tokens, k = index.shape
    # Rows of a sparse matrix have their columns in order.
    columns, order = index.sort(1)
    starts = torch.arange(0, tokens * k + 1, k)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        wanted = torch.sparse_csr_tensor(
            starts, columns.flatten(), rows.new_zeros(tokens * k), (tokens, len(table)), check_invariants=False
        )
    found = torch.sparse.sampled_addmm(wanted, rows, table.T, beta=0.0).values().view(tokens, k)
    return torch.empty_like(found).scatter_(1, order, found)


class _Encode(torch.autograd.Function):
    """relu((x - b_dec) W^T + b) at the selected latents, whose values are already known."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, b_dec: Tensor, weight: Tensor, bias: Tensor, acts: Tensor, places: Places
    ) -> Tensor:
        """Hand the values on."""
        ctx.save_for_backward(x, b_dec, weight, acts)
        ctx.places = places
        return acts.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of states, b_dec, W and b: k rows per token."""
        x, b_dec, weight, acts = ctx.saved_tensors
        grad = grads[0] * (acts > 0)
        d_bias = ctx.places.totals(grad)
        d_weight = ctx.places.summed(grad, x - b_dec)
        d_x = weighted(ctx.places.index, grad, weight) if ctx.needs_input_grad[0] else None
        # Every token has the same bias: the sum over tokens is one product.
        return d_x, -(d_bias @ weight), d_weight, d_bias, None, None


class _Decode(torch.autograd.Function):
    """Weighted sum of the selected rows."""

    @staticmethod
    def forward(ctx: Any, acts: Tensor, table: Tensor, places: Places) -> Tensor:
        """Gather and add up."""
        ctx.save_for_backward(acts, table)
        ctx.places = places
        return weighted(places.index, acts, table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of activations and rows."""
        acts, table = ctx.saved_tensors
        grad = grads[0].contiguous()
        d_acts = dots(ctx.places.index, grad, table) if ctx.needs_input_grad[0] else None
        d_table = ctx.places.summed(acts, grad) if ctx.needs_input_grad[1] else None
        return d_acts, d_table, None


def encode(
    x: Tensor, b_dec: Tensor, weight: Tensor, bias: Tensor, picks: list[Pick], together: bool = False
) -> list[tuple[Tensor, Places]]:
    """Selected activations with gradients, one selection per pick, all from one product.

    x          float32 [T, d]
    picks      pre-activations [T, F] -> values and latents [T, k]
    together   a pick looks at all tokens at once; else they come in parts
    """
    step = len(x) if together else max(1, DENSE // len(weight))
    with torch.no_grad():
        parts: list[list[tuple[Tensor, Tensor]]] = []
        for some in x.split(step):
            before = torch.addmm(bias, some - b_dec, weight.T).relu_()
            parts.append([pick(before) for pick in picks])
    found = []
    for one in zip(*parts, strict=True):
        acts, index = (torch.cat(each) if len(one) > 1 else each[0] for each in zip(*one, strict=True))
        places = Places(index, len(weight))
        found.append((_Encode.apply(x, b_dec, weight, bias, acts, places), places))
    return found


def decode(acts: Tensor, table: Tensor, places: Places) -> Tensor:
    """Reconstruction without biases, [T, d]."""
    return _Decode.apply(acts, table, places)
