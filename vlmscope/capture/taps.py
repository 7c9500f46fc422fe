"""Hooks that read named sites while the model runs, reduce on the device and leave no trace behind.

Axis order: [sample, layer, token, unit].
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlmscope.capture.plan import Take
from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Site
from vlmscope.models.load import Loaded

# Numbers in the work space of a count: what a CPU's cache holds, what a GPU starts few kernels for.
WORK = {"cpu": 1 << 18, "cuda": 1 << 24}


def module_at(model: nn.Module, path: str, layer: int = 0) -> nn.Module:
    """The module behind a site path."""
    return model.get_submodule(path.replace("{l}", str(layer)))


@contextlib.contextmanager
def reading(loaded: Loaded, site: Site, layers: Sequence[int], see: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Call `see(layer, tensor)` whenever a layer of the site is computed; hooks are gone afterwards, come what may.

    A tensor lies where its layer does: a model spread over GPUs hands them out on several devices. Attention
    probabilities are there only inside `attention.eager`.
    Raises AttributeError where the model lacks a module of that path.
    """
    handles = []
    try:
        for layer in layers:
            module = module_at(loaded.model, site.path, layer)
            handles.append(_hook(module, site, layer, see))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(module: nn.Module, site: Site, layer: int, see: Callable[[int, Tensor], None]) -> Any:
    if site.side == "input":

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            see(layer, args[0] if args else kwargs["hidden_states"])

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        see(layer, _probabilities(output) if site.stream == "attention" else _first(output))

    return module.register_forward_hook(after)


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _probabilities(output: tuple[Tensor, Tensor | None]) -> Tensor:
    """What attention gives beside its output."""
    if output[1] is None:
        raise VlmscopeError(
            "The model computes attention without its probabilities (fused kernels).",
            where="site attn_prob",
            instead="run it inside vlmscope.capture.attention.eager(loaded)",
        )
    return output[1]


def of_units(value: Tensor, units: Sequence[int]) -> Tensor:
    """The listed units of the last axis; all of them for none."""
    return value[..., list(units)] if units else value


class Counter:
    """Firing statistics of one take.

    fired   int64   [layer, unit]   positions with activation > 0 (mmneuron.md 2.1)
    total   float64 [layer, unit]   sum of the activation
    seen    positions counted
    """

    def __init__(self, take: Take, width: int, device: torch.device) -> None:
        self.take = take
        shape = len(take.layers), len(take.units) or width
        self.fired = torch.zeros(shape, dtype=torch.int64, device=device)
        self.total = torch.zeros(shape, dtype=torch.float64, device=device)
        self.seen = 0
        self.mask: Tensor | None = None
        # By device: the layers of a large model lie on several.
        self.weights: dict[torch.device, Tensor] = {}
        self.space: dict[torch.device, Tensor] = {}

    def begin(self, mask: Tensor | None, columns: Tensor | None = None) -> None:
        """Positions of the coming batch; None counts every position of every tile. `columns` as for `Keeper`."""
        self.mask = mask if columns is None else mask[:, columns.to(mask.device)]

    def see(self, layer: int, value: Tensor) -> None:
        """Add one layer's activations, [..., unit].

        Weighted column sums: a product with the 0/1 vector of positions is several times faster than selecting
        rows and summing truth values, and just as exact, since float32 holds every count of a batch. Positions go in
        parts that stay in the processor's cache, through one work space: fresh memory costs more than the sums.
        """
        value = of_units(value, self.take.units)
        flat, row = value.reshape(-1, value.shape[-1]), self.take.layers.index(layer)
        if row == 0:
            self.weights.clear()
            self.seen += len(flat) if self.mask is None else int(self.mask.sum())
        weight, space = self._space(flat)
        step = max(1, len(space) // flat.shape[1])
        for part, share in zip(flat.split(step), weight.split(step), strict=True):
            above = torch.gt(part, 0, out=space[: part.numel()].view_as(part))
            self.fired[row] += (share @ above).to(self.fired)
            # Sums of a part in float32, over parts in float64: cheap, and exact to 1e-6 of the sum.
            self.total[row] += (share @ part if part.dtype == torch.float32 else _sum(part, share)).to(self.total)

    def _space(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the batch's positions, and a work space that every layer uses again; both beside the layer."""
        place = flat.device
        if place not in self.weights:
            ones = torch.ones(len(flat), device=place)
            self.weights[place] = ones if self.mask is None else self.mask.flatten().to(place, torch.float32)
        # At least one position; small batches do with less than a part.
        needed = max(min(flat.numel(), WORK.get(place.type, WORK["cuda"])), flat.shape[1])
        if place not in self.space or len(self.space[place]) < needed:
            self.space[place] = torch.empty(needed, device=place)
        return self.weights[place], self.space[place]

    def result(self) -> dict[str, Any]:
        """Arrays as they go into a shard."""
        counts = {"fired": self.fired.cpu().numpy(), "total": self.total.cpu().numpy(), "seen": self.seen}
        return counts | chosen(self.take)


def chosen(take: Take) -> dict[str, Any]:
    """Numbers of the units, where a take lists them."""
    return {"chosen": np.array(take.units, dtype=np.int32)} if take.units else {}


def _sum(flat: Tensor, weight: Tensor) -> Tensor:
    """Column sums of 16-bit activations, added up in float32."""
    return (flat * weight.to(flat.dtype)[:, None]).sum(0, dtype=torch.float32)


class Keeper:
    """Values, means or top units of one take, one block of rows per batch, in the order of the samples.

    values, first   [row, layer, unit]   one row per position; first: at most one per sample
    mean            [row, layer, unit]   one row per sample that has such a position
    top             `values` and `units` [row, layer, k]
    """

    def __init__(self, take: Take, width: int, device: torch.device) -> None:
        self.take, self.device, self.width = take, device, len(take.units) or width
        self.blocks: list[dict[str, Any]] = []
        self.mask: Tensor | None = None
        self.seen: Tensor | None = None
        self.places: Tensor | None = None
        self.layers: dict[int, Any] = {}

    def begin(self, mask: Tensor, columns: Tensor | None = None) -> None:
        """Positions of the coming batch, bool [sample, token].

        columns   positions that the site is computed at, the same for all samples; None for all of them
        """
        self.mask, self.layers = mask, {}
        self.seen = mask if columns is None else mask[:, columns.to(mask.device)]
        # Places are found once: selecting by truth values would make a GPU wait at every layer.
        self.places = self.seen.flatten().nonzero().squeeze(1)

    def see(self, layer: int, value: Tensor) -> None:
        """Reduce one layer of the batch, [sample, token, unit], on the device."""
        value = of_units(value, self.take.units)
        if self.take.keep == "mean":
            weight = self.seen.to(value.device, torch.float32)
            summed = torch.einsum("st,std->sd", weight, value.float())
            self.layers[layer] = summed / weight.sum(1, keepdim=True).clamp(min=1)
        elif self.take.keep == "top":
            self.layers[layer] = self._picked(value).float().topk(self.take.k, dim=-1)
        else:
            self.layers[layer] = self._picked(value)

    def _picked(self, value: Tensor) -> Tensor:
        """States at the batch's positions, [row, unit]."""
        return value.flatten(0, 1).index_select(0, self.places.to(value.device))

    def end(self, rows: Sequence[int], inputs: dict[str, Tensor]) -> None:
        """Move the batch to the host in one copy and note which row belongs to which sample and token."""
        order = [self.layers[layer] for layer in self.take.layers]
        if self.take.keep == "mean":
            # A sample without such a position has no mean.
            there = self.mask.any(1).cpu()
            block = {"values": _stacked(order).cpu()[there], "sample": torch.tensor(rows)[there]}
            block |= dict.fromkeys(("position", "token"), torch.full((int(there.sum()),), -1))
        else:
            places = self.mask.nonzero().cpu()
            block = self._values(order) | {"sample": torch.tensor(rows)[places[:, 0]], "position": places[:, 1]}
            block["token"] = inputs["input_ids"][self.mask].cpu()
        self.blocks.append({key: one if key == "values" else one.to(torch.int32) for key, one in block.items()})

    def _values(self, order: Sequence[Any]) -> dict[str, Tensor]:
        """Values on the host, with the numbers of the units where they are the highest ones."""
        if self.take.keep != "top":
            return {"values": _stacked(order).cpu()}
        units = _stacked([one.indices for one in order]).cpu()
        numbers = torch.tensor(self.take.units)[units] if self.take.units else units
        return {"values": _stacked([one.values for one in order]).cpu(), "units": numbers}

    def result(self) -> dict[str, Any]:
        """Arrays in the order of samples, then positions; a shard without samples has no rows."""
        if not self.blocks:
            return self._nothing()
        joined = {key: torch.cat([block[key] for block in self.blocks]) for key in self.blocks[0]}
        order = torch.argsort(joined["sample"], stable=True)
        return {
            key: value[order].float().numpy() if key == "values" else value[order].numpy()
            for key, value in joined.items()
        } | chosen(self.take)

    def _nothing(self) -> dict[str, Any]:
        """The same arrays with no row."""
        shape = (0, len(self.take.layers), self.take.k or self.width)
        named = {"values": torch.zeros(shape)} | ({"units": torch.zeros(shape).int()} if self.take.k else {})
        named |= dict.fromkeys(("sample", "position", "token"), torch.zeros(0, dtype=torch.int32))
        return {key: value.numpy() for key, value in named.items()} | chosen(self.take)


def _stacked(layers: Sequence[Tensor]) -> Tensor:
    """[row, layer, unit] where the first layer lies: the layers of a large model lie on several devices."""
    return torch.stack([layer.to(layers[0].device) for layer in layers], 1)
