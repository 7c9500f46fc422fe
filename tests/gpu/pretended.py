"""Two devices where there is none: tensors of the host that say they lie on `cpu:0` or `cpu:1`.

Every call of torch is looked at. Tensors on different devices do not meet, as on GPUs; a result lies where its
arguments do; `.to` and `device=` say where it goes. Values are those of the host, so they can be compared bit by bit.
"""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

HOST = torch.device("cpu")
DEVICES = (torch.device("cpu", 0), torch.device("cpu", 1))
# Indices may lie on the host, whatever they pick from.
PICKING = ("__getitem__", "__setitem__")


class Placed(torch.Tensor):
    """A tensor that says it lies on a device."""


def device_of(value: torch.Tensor) -> torch.device:
    """Where a tensor says it lies."""
    return value.place if isinstance(value, Placed) else HOST


def put(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same memory, said to lie on a device."""
    bare = value.as_subclass(torch.Tensor)
    if device == HOST:
        return bare
    placed = bare.as_subclass(Placed)
    placed.place = device
    return placed


class Pretending(TorchFunctionMode):
    """A block in which `DEVICES` exist."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            if name == "__get__" and func.__self__ is torch.Tensor.device:
                return device_of(args[0])
            if name == "to":
                return moved(*args, **kwargs)
            if name in ("numpy", "__array__") and device_of(args[0]) != HOST:
                raise TypeError(f"A tensor on {device_of(args[0])} is no array; copy it to the host first.")
            return run(func, name, args, kwargs)


def moved(value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`Tensor.to`, in all its forms."""
    target, kind = device_of(value), value.dtype
    for one in (*args, kwargs.get("device"), kwargs.get("dtype")):
        if isinstance(one, torch.Tensor):
            target, kind = device_of(one), one.dtype
        elif isinstance(one, torch.dtype):
            kind = one
        elif isinstance(one, str | torch.device):
            target = torch.device(one)
    if (target, kind) == (device_of(value), value.dtype):
        return value
    return put(value.as_subclass(torch.Tensor).to(kind, copy=True), target)


def run(func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """Any other call: on one device, or refused."""
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    places = {device_of(one) for one in tensors if one.dim() or isinstance(one, Placed)}
    if name in PICKING:
        places = {device_of(args[0])} | (places - {HOST})
    if len(places) > 1 and name != "copy_":
        raise RuntimeError(f"{name}: tensors on {', '.join(sorted(map(str, places)))}")
    home = device_of(args[0]) if name == "copy_" else next(iter(places), HOST)
    if name == "cpu":
        home = HOST
    elif kwargs.get("device") is not None:
        home, kwargs["device"] = torch.device(kwargs["device"]), HOST
    bare = tree_map(lambda one: one.as_subclass(torch.Tensor) if isinstance(one, Placed) else one, (args, kwargs))
    result = func(*bare[0], **bare[1])
    if not any(isinstance(one, torch.Tensor) for one in tree_leaves(result)):
        return result
    return tree_map(lambda one: put(one, home) if isinstance(one, torch.Tensor) else one, result)


def scatter(model: torch.nn.Module, places: dict[str, torch.device]) -> None:
    """Say of every parameter and buffer that it lies where the map of its module says."""
    for name, module in model.named_modules():
        for store in (module._parameters, module._buffers):
            for key in [key for key, value in store.items() if value is not None]:
                whole = f"{name}.{key}".lstrip(".")
                place = places[max((one for one in places if not one or f"{whole}.".startswith(f"{one}.")), key=len)]
                placed = put(store[key].data, place)
                if store is module._parameters:
                    placed = torch.nn.Parameter(placed, requires_grad=False)
                    placed.place = place
                store[key] = placed
