"""Edits: changes of a forward pass that are undone completely afterwards."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from vlmscope.capture import taps
from vlmscope.models.load import Loaded

# site -> layer -> unit numbers
Units = Mapping[str, Mapping[int, Sequence[int]]]


@contextlib.contextmanager
def zeroed(loaded: Loaded, units: Units) -> Iterator[None]:
    """Set units to zero at every position, in prefill and in each decoding step, by zeroing weight columns.

    Bit-equal to zeroing the activations themselves (mmneuron.md 2.4), costs nothing per step and works with fused
    kernels. The columns come back bit-equal afterwards, also after an exception. Captures inside the block still
    see the activations before the cut.
    """
    saved = []
    try:
        for name, layers in units.items():
            site = loaded.family.site(name)
            for layer, members in layers.items():
                weight = taps.module_at(loaded.model, site.columns, layer).weight
                index = torch.as_tensor(members, dtype=torch.long, device=weight.device)
                saved.append((weight, index, weight.data[:, index].clone()))
                weight.data[:, index] = 0
        yield
    finally:
        # Last in, first out: a unit named twice gets back what it had before the first cut.
        for weight, index, columns in reversed(saved):
            weight.data[:, index] = columns


@contextlib.contextmanager
def silenced(loaded: Loaded, units: Units) -> Iterator[None]:
    """Set units to zero in the activation itself, so that captures inside the block see the zeros.

    Enter before the capture starts: hooks run in the order in which they were placed.
    """
    handles = []
    try:
        for name, layers in units.items():
            site = loaded.family.site(name)
            for layer, members in layers.items():
                module = taps.module_at(loaded.model, site.path, layer)
                handles.append(module.register_forward_hook(_silence(list(members))))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _silence(members: list[int]) -> Callable[..., torch.Tensor]:
    def hook(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[..., members] = 0
        return output

    return hook
