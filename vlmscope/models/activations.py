"""Activation functions of our own model classes."""

import torch
from torch import Tensor, nn


class QuickGELU(nn.Module):
    """`x * sigmoid(1.702 x)`; a module of its own, so that its output can be read and edited."""

    def forward(self, hidden: Tensor) -> Tensor:
        """The activation, same shape."""
        # The approximation of GELU that CLIP was trained with; the exact function gives other states.
        return hidden * torch.sigmoid(1.702 * hidden)
