"""What is added to the output weights of neurons, in a hook or in the weights themselves (mm_neurons.md 2.9, 2.11).

Notation: z [.., unit] enters the down projection, which adds sum_i z_i w_i to the stream; w_i is column i of its
matrix. With r_k added to the column of neuron k it adds sum_k z_k r_k more. Done in a hook, every row of a batch can
have its own neurons and its own r, and no weight is touched; the released code writes into the weights and back
[differs: mm_neurons.md 2.9].
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded

# The site whose units are the neurons.
SITE = "mlp_hidden"


@dataclass(frozen=True)
class Added:
    """Rows that are added to output weights; a neuron may be named several times, its rows then add up.

    layer   int64 [k]
    unit    int64 [k]
    rows    float32 [k, d]
    """

    layer: np.ndarray
    unit: np.ndarray
    rows: np.ndarray

    def of_layer(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Units and rows of one layer."""
        here = self.layer == layer
        return self.unit[here], self.rows[here]


def shape(loaded: Loaded) -> tuple[int, int]:
    """Layers and units per layer: how many neurons there are."""
    site = loaded.family.site(SITE)
    return site.layers(loaded.config), site.width(loaded.config)


def module(loaded: Loaded, layer: int) -> torch.nn.Module:
    """The down projection of a layer."""
    return taps.module_at(loaded.model, loaded.family.site(SITE).columns, layer)


def weight(loaded: Loaded, layer: int) -> Tensor:
    """Its matrix [d, unit], refused where it is packed or elsewhere."""
    found = module(loaded, layer).weight
    if found.is_meta or not found.is_floating_point():
        raise VlmscopeError(
            "The weights of this model are packed (quantised) or offloaded: their columns cannot be read or written.",
            where=f"down projection of layer {layer}",
            instead="models.*.quantize: none, and room for the whole model; changes in a hook work as they are",
        )
    return found


def rms(loaded: Loaded) -> np.ndarray:
    """Root mean square of every neuron's output weights, float32 [layer, unit]."""
    layers = range(shape(loaded)[0])
    return np.stack([weight(loaded, one).detach().float().square().mean(0).sqrt().cpu().numpy() for one in layers])


@contextlib.contextmanager
def added(loaded: Loaded, changes: Sequence[Added]) -> Iterator[None]:
    """Row k of the batch runs with changes[k]; a single change holds for all rows, whatever their number."""
    layers = sorted({int(layer) for change in changes for layer in change.layer})
    handles = []
    try:
        for layer in layers:
            add = _one(*changes[0].of_layer(layer)) if len(changes) == 1 else _several(changes, layer)
            handles.append(module(loaded, layer).register_forward_hook(_hook(add), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def learned(loaded: Loaded, layer: np.ndarray, unit: np.ndarray, rows: Tensor) -> Iterator[None]:
    """As `added` with a single change, for rows that gradients are asked of: float32 [k, d]."""
    handles = []
    try:
        for one in np.unique(layer):
            here = np.flatnonzero(layer == one)
            add = _weighted(torch.from_numpy(unit[here]), rows, torch.from_numpy(here))
            handles.append(module(loaded, int(one)).register_forward_hook(_hook(add), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _weighted(index: Tensor, rows: Tensor, here: Tensor) -> Callable[[Tensor], Tensor]:
    def add(z: Tensor) -> Tensor:
        return z[..., index.to(z.device)] @ rows[here.to(rows.device)].to(z)

    return add


def _hook(add: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def after(module: torch.nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + add(args[0])

    return after


def _one(units: np.ndarray, rows: np.ndarray) -> Callable[[Tensor], Tensor]:
    return _weighted(torch.from_numpy(units), torch.from_numpy(rows), torch.arange(len(rows)))


def _several(changes: Sequence[Added], layer: int) -> Callable[[Tensor], Tensor]:
    """Neurons of each row side by side, short lists filled up with zeros."""
    parts = [change.of_layer(layer) for change in changes]
    most = max(len(units) for units, _ in parts)
    index = torch.zeros(len(parts), most, dtype=torch.int64)
    weights = torch.zeros(len(parts), most, changes[0].rows.shape[1])
    for row, (units, rows) in enumerate(parts):
        index[row, : len(units)] = torch.from_numpy(units)
        weights[row, : len(units)] = torch.from_numpy(rows)

    def add(z: Tensor) -> Tensor:
        places = index.to(z.device)[:, None, :].expand(-1, z.shape[1], -1)
        return z.gather(2, places) @ weights.to(z)

    return add


@contextlib.contextmanager
def merged(loaded: Loaded, changes: Sequence[Added]) -> Iterator[None]:
    """The same in the weights, all changes one upon the other; the old columns come back bit-equal afterwards."""
    with contextlib.ExitStack() as undo, torch.no_grad():
        for change in changes:
            for layer in sorted({int(one) for one in change.layer}):
                undo.enter_context(_columns(weight(loaded, layer), *change.of_layer(layer)))
        yield


@contextlib.contextmanager
def _columns(matrix: Tensor, units: np.ndarray, rows: np.ndarray) -> Iterator[None]:
    index = torch.from_numpy(units).to(matrix.device)
    before = matrix.data[:, index].clone()
    matrix.data.index_add_(1, index, torch.from_numpy(rows).to(matrix).T)
    try:
        yield
    finally:
        matrix.data[:, index] = before
