"""Takes: what to keep of a forward pass, checked against a family before a model is loaded."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Family, ModelConfig, Site


@dataclass(frozen=True)
class Take:
    """Site x where x keep.

    layers   layer numbers in ascending order
    k        for keep = top: how many units per position
    single   one layer was asked for by number, which then belongs to the name
    """

    site: str
    where: str
    keep: str
    layers: tuple[int, ...]
    k: int = 0
    single: bool = False

    @property
    def name(self) -> str:
        """Group name in a shard, e.g. `mlp_gate.all.counts` or `resid_post[24].last.values`."""
        layer = f"[{self.layers[0]}]" if self.single else ""
        return f"{self.site}{layer}.{self.where}.{self.keep}{self.k or ''}"


def resolve(takes: Iterable[dict[str, str]], family: Family, config: ModelConfig, run: str = "prefill") -> list[Take]:
    """Configured takes as checked values; a `[layer]` behind the site selects one layer.

    run   prefill or generate; only the latter has answer and emitting positions
    """
    found = [_resolve_one(take, family, config) for take in takes]
    written = [take.name for take in found if take.where in ("answer", "emitting")]
    if written and run != "generate":
        raise VlmscopeError(
            f"The takes {written} look at an answer, but none is written.",
            where="captures.*.run",
            instead="run: generate",
        )
    doubled = {take.name for take in found if sum(other.name == take.name for other in found) > 1}
    if doubled:
        raise VlmscopeError(f"The takes {sorted(doubled)} are listed twice.", where="captures.*.take")
    return found


def _resolve_one(take: dict[str, str], family: Family, config: ModelConfig) -> Take:
    shape = re.fullmatch(r"([a-z_]+)(?:\[(\d+)\])?", take["site"])
    if shape is None:
        raise VlmscopeError(
            f"'{take['site']}' is not written like a site.",
            where="captures.*.take",
            instead="a site, with [layer] for a single layer: mlp_gate, resid_post[24]",
        )
    name, layer = shape.groups()
    site = family.site(name)
    count = site.layers(config)
    if layer is not None and int(layer) >= count:
        raise VlmscopeError(
            f"The site '{name}' has {count} layers, there is no layer {layer}.", where="captures.*.take"
        )
    _check_where(name, site, take)
    keep, k = re.fullmatch(r"(\w+)(?:\((\d+)\))?", take["keep"]).groups()
    if k and not 1 <= int(k) <= site.width(config):
        raise VlmscopeError(f"top({k}) of '{name}' needs 1 to {site.width(config)}.", where="captures.*.take")
    layers = range(count) if layer is None else [int(layer)]
    return Take(name, take["where"], keep, tuple(layers), int(k or 0), layer is not None)


def _check_where(name: str, site: Site, take: dict[str, str]) -> None:
    """Only text positions are told apart; tiles are counted whole, since their number differs between pictures."""
    if site.stream != "text" and (take["where"] != "all" or take["keep"] != "counts"):
        raise VlmscopeError(
            f"The site '{name}' has {site.stream} positions, which are kept as counts over all of them.",
            where="captures.*.take",
            instead=f"{{site: {name}, where: all, keep: counts}}",
        )
