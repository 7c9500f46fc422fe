"""Which latents of a token are active: rules beside the k largest.

Notation: T tokens, F latents; every rule gives values and numbers of latents [T, k], 0 where fewer are active.
"""

from typing import Any

import torch
from torch import Tensor


def groups(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The largest of each of k equal groups of neighbouring latents."""
    size = pre.shape[1] // k
    values, index = pre.unflatten(1, (k, size)).max(2)
    return values, index + torch.arange(k, device=pre.device) * size


def batch_threshold(pre: Tensor, k: int) -> Tensor:
    """The k T-th largest activation of a batch (BatchTopK, arXiv 2412.06410)."""
    return pre.flatten().topk(k * len(pre), sorted=False).values.min()


def above(pre: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """All that are positive and not below their threshold, a number or one per latent: as many as any token has."""
    kept = pre * ((pre >= threshold) & (pre > 0))
    most = max(1, int((kept > 0).sum(1).max()))
    return kept.topk(most, sorted=False)


class _Jump(torch.autograd.Function):
    """a if a > threshold else 0; thresholds get the gradient of a rectangle around them (arXiv 2407.14435)."""

    @staticmethod
    def forward(ctx: Any, acts: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        """Cut."""
        ctx.save_for_backward(acts, threshold)
        ctx.bandwidth = bandwidth
        return acts * (acts > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of activations and thresholds."""
        acts, threshold = ctx.saved_tensors
        near = (acts - threshold).abs() < ctx.bandwidth / 2
        return grads[0] * (acts > threshold), -threshold / ctx.bandwidth * near * grads[0], None


class _Count(torch.autograd.Function):
    """1 if a > threshold else 0, with the same gradient."""

    @staticmethod
    def forward(ctx: Any, acts: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        """Cut."""
        ctx.save_for_backward(acts, threshold)
        ctx.bandwidth = bandwidth
        return (acts > threshold).to(acts.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        """Gradients of activations and thresholds."""
        acts, threshold = ctx.saved_tensors
        near = (acts - threshold).abs() < ctx.bandwidth / 2
        return None, -1 / ctx.bandwidth * near * grads[0], None


def jump(acts: Tensor, threshold: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
    """Activations above their thresholds [T, k], and how many a token has on average; both move the thresholds."""
    return _Jump.apply(acts, threshold, bandwidth), _Count.apply(acts, threshold, bandwidth).sum(1).mean()
