"""Edits: changes of a forward pass that are undone completely afterwards."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded

# site -> layer -> unit numbers
Units = Mapping[str, Mapping[int, Sequence[int]]]


@dataclass(frozen=True)
class Change:
    """What happens to some units at every position: a -> factor a + mean.

    factor   0 sets them to zero, 1 leaves them alone
    means    site -> float [layer, unit]: what is added to the changed units; nothing where a site is missing
    """

    units: Units
    factor: float = 0.0
    means: Mapping[str, Any] = field(default_factory=dict)

    def of(self, sites: Iterable[str]) -> "Change":
        """The same at some sites alone; layers without units left out."""
        kept = {
            site: {layer: list(one) for layer, one in self.units.get(site, {}).items() if len(one)} for site in sites
        }
        return Change({site: layers for site, layers in kept.items() if layers}, self.factor, self.means)


@contextlib.contextmanager
def zeroed(loaded: Loaded, units: Units) -> Iterator[None]:
    """Set units to zero at every position, in prefill and in each decoding step, by zeroing weight columns.

    Bit-equal to zeroing the activations themselves (mmneuron.md 2.4), costs nothing per step and works with fused
    kernels. The columns come back bit-equal afterwards, also after an exception. Captures inside the block still
    see the activations before the cut. Where a weight is packed (quantised) or elsewhere (offloaded), the units are
    cut from what enters the module instead, which is the same.
    """
    # Last in, first out: a unit named twice gets back what it had before the first cut.
    with contextlib.ExitStack() as cuts:
        for name, layers in units.items():
            site = loaded.family.site(name)
            if not site.columns:
                raise VlmscopeError(f"No columns of weights stand for units of '{name}'.", instead="silenced")
            for layer, members in layers.items():
                module = taps.module_at(loaded.model, site.columns, layer)
                within_reach = module.weight.is_floating_point() and not module.weight.is_meta
                cuts.enter_context((_without_columns if within_reach else _without_input)(module, members))
        yield


@contextlib.contextmanager
def _without_columns(module: torch.nn.Module, members: Sequence[int]) -> Iterator[None]:
    weight = module.weight
    index = torch.as_tensor(members, dtype=torch.long, device=weight.device)
    columns = weight.data[:, index].clone()
    weight.data[:, index] = 0
    try:
        yield
    finally:
        weight.data[:, index] = columns


@contextlib.contextmanager
def _without_input(module: torch.nn.Module, members: Sequence[int]) -> Iterator[None]:
    """Wraps `forward`, which runs after every hook on the input: captures see the units before the cut."""
    whole, cut = module.forward, _silence(list(members))
    with instead(module, lambda value: whole(cut(value))):
        yield


@contextlib.contextmanager
def instead(module: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Another `forward` of a module for a while; one that stands on the module itself comes back afterwards."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


@contextlib.contextmanager
def silenced(loaded: Loaded, units: Units) -> Iterator[None]:
    """Set units to zero in the activation itself, so that captures see the zeros.

    The cut runs before every other hook of its module: before captures, and before the hooks with which
    transformers records the hidden states that a vision tower hands on.
    """
    handles = []
    try:
        for name, layers in units.items():
            site = loaded.family.site(name)
            if site.stream == "attention":
                raise VlmscopeError("Attention probabilities can be read, not edited.", instead="attn_out")
            for layer, members in layers.items():
                module = taps.module_at(loaded.model, site.path, layer)
                handles.append(hook(module, site.side, _silence(list(members))))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def changed(loaded: Loaded, changes: Sequence[Change]) -> Iterator[None]:
    """Row k of the batch goes through changes[k]; a single change holds for all rows, whatever their number.

    Several changes ask for sites whose first axis is that of the samples. As in `silenced`, captures see the result.
    """
    handles = []
    try:
        for name in sorted({site for change in changes for site in change.units}):
            site = loaded.family.site(name)
            for layer in sorted({one for change in changes for one in change.units.get(name, {})}):
                module = taps.module_at(loaded.model, site.path, layer)
                handles.append(hook(module, site.side, _mixture(changes, name, layer, site.width(loaded.config))))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def shuffled(loaded: Loaded, inputs: Mapping[str, torch.Tensor], orders: Sequence[Sequence[int]]) -> Iterator[None]:
    """Image embeddings in another order: image position p of row k holds what belongs to position orders[k][p].

    inputs   `input_ids` and `attention_mask` of the prompts that run inside, padded as they will be
    orders   one permutation per row, as long as the row has image positions
    Everything else keeps its place: position numbers, masks, the flags of models with a branch per modality. Only
    calls that hold the whole prompt are changed; a decoding step reads the prompt from its cache.
    """
    index = _moved(loaded, inputs, orders)

    def order(value: torch.Tensor) -> torch.Tensor:
        if value.shape[1] < index.shape[1]:
            return value
        own = index.to(value.device)[..., None].expand(-1, -1, value.shape[2])
        return torch.cat([value.gather(1, own), value[:, index.shape[1] :]], 1)

    site = loaded.family.site("embeds")
    handle = hook(taps.module_at(loaded.model, site.path), site.side, order)
    try:
        yield
    finally:
        handle.remove()


def _moved(loaded: Loaded, inputs: Mapping[str, torch.Tensor], orders: Sequence[Sequence[int]]) -> torch.Tensor:
    """Which position each position reads, int64 [sample, token]."""
    ids = inputs["input_ids"]
    is_image = (ids == loaded.family.image_token(loaded.config)) & inputs["attention_mask"].bool()
    index = torch.arange(ids.shape[1]).repeat(len(ids), 1)
    for row, (mask, order) in enumerate(zip(is_image.cpu(), orders, strict=True)):
        places, chosen = mask.nonzero().squeeze(1), torch.as_tensor(order, dtype=torch.long)
        if not torch.equal(chosen.sort().values, torch.arange(len(places))):
            raise VlmscopeError(
                f"Row {row} has {len(places)} image positions, its order is no permutation of them.",
                where="edits.shuffled",
                instead=f"the numbers 0 to {len(places) - 1}, each once",
            )
        index[row, places] = places[chosen]
    return index


def _mixture(changes: Sequence[Change], site: str, layer: int, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """One factor and one summand per row and unit."""
    factor, summand = torch.ones(len(changes), 1, width), torch.zeros(len(changes), 1, width)
    for row, change in enumerate(changes):
        members = list(change.units.get(site, {}).get(layer, ()))
        factor[row, 0, members] = change.factor
        if site in change.means:
            summand[row, 0, members] = torch.as_tensor(change.means[site][layer])[members].to(summand)
    if len(changes) == 1:
        # One vector for every row: it then also fits sites that pack their pictures without a batch axis.
        factor, summand = factor[0, 0], summand[0, 0]
    adding = bool(summand.any())

    def cut(value: torch.Tensor) -> torch.Tensor:
        times, plus = (one.to(value) for one in (factor, summand))
        return torch.addcmul(plus, value, times) if adding else value * times

    return cut


def hook(module: torch.nn.Module, side: str, cut: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A hook on what leaves or what enters a module."""
    if side == "input":

        def before(module: torch.nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            if args:
                return (cut(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": cut(kwargs["hidden_states"])}

        return module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)

    def after(module: torch.nn.Module, args: tuple, output: Any) -> Any:
        return (cut(output[0]), *output[1:]) if isinstance(output, tuple) else cut(output)

    return module.register_forward_hook(after, prepend=True)


def _silence(members: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def cut(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[..., members] = 0
        return value

    return cut
