"""Takes: what to keep of a forward pass, checked against a family before a model is loaded."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.models import base
from vlmscope.models.base import Family, ModelConfig, Site
from vlmscope.store.files import digest_text

log = logging.getLogger(__name__)

# Positions that there are only where an answer is written.
WRITTEN = ("answer", "emitting", "word")
# Longest list that stands in a take's name as it is.
READABLE = 40


@dataclass(frozen=True)
class Take:
    """Site x where x keep.

    layers   layer numbers in ascending order
    k        for keep = top: how many units per position
    single   one layer was asked for by number, which then belongs to the name
    words    for where = word: whole words, in any case
    at       for where = at: numbers of positions, negative ones from the end
    units    numbers of the units to keep; empty for all
    """

    site: str
    where: str
    keep: str
    layers: tuple[int, ...]
    k: int = 0
    single: bool = False
    words: tuple[str, ...] = ()
    at: tuple[int, ...] = ()
    units: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Group name in a shard, e.g. `mlp_gate.all.counts`, `resid_post[24].word(dog+cat).first.units(3+7)`."""
        layer = f"[{self.layers[0]}]" if self.single else ""
        where = self.where + _listed(self.words or self.at)
        return (
            f"{self.site}{layer}.{where}.{self.keep}{self.k or ''}"
            + (".units" if self.units else "")
            + _listed(self.units)
        )


def _listed(values: Sequence[str | int]) -> str:
    """A list in brackets, its digest where it is long, nothing for none."""
    text = "+".join(map(str, values))
    if len(text) > READABLE:
        text = "#" + digest_text(text)[:8]
    return f"({text})" if values else ""


def of_family(takes: Iterable[dict[str, Any]], family: Family) -> list[dict[str, Any]]:
    """The takes whose site a family has: a capture may list the sites of several families, each takes its own.

    A site that no family has stays in the list, and `resolve` refuses it; so do all takes where none would be left.
    """
    takes = list(takes)
    elsewhere = base.site_names() - set(family.sites)
    own = [take for take in takes if _site_name(take) not in elsewhere]
    for take in takes if own else ():
        if take not in own:
            reason = family.without.get(_site_name(take), "it belongs to other families")
            log.info("No take of '%s': %s has no such site, %s.", take["site"], family.name, reason)
    return own or takes


def _site_name(take: dict[str, Any]) -> str:
    return take["site"].partition("[")[0]


def resolve(takes: Iterable[dict[str, Any]], family: Family, config: ModelConfig, run: str = "prefill") -> list[Take]:
    """Configured takes as checked values; a `[layer]` behind the site selects one layer.

    run   prefill or generate; only the latter has answer, emitting and word positions
    """
    found = [_resolve_one(take, family, config) for take in takes]
    written = [take.name for take in found if take.where in WRITTEN]
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


def _resolve_one(take: dict[str, Any], family: Family, config: ModelConfig) -> Take:
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
    _check_stream(name, site, take)
    keep, k = re.fullmatch(r"(\w+)(?:\((\d+)\))?", take["keep"]).groups()
    units = tuple(sorted(take.get("units", ())))
    width = site.width(config)
    if units and units[-1] >= width:
        raise VlmscopeError(
            f"The site '{name}' has {width} units, there is no unit {units[-1]}.", where="captures.*.take"
        )
    if k and not 1 <= int(k) <= (len(units) or width):
        raise VlmscopeError(f"top({k}) of '{name}' needs 1 to {len(units) or width}.", where="captures.*.take")
    layers = tuple(range(count)) if layer is None else (int(layer),)
    lists = {"words": tuple(take.get("words", ())), "at": tuple(take.get("at", ())), "units": units}
    return Take(name, take["where"], keep, layers, int(k or 0), layer is not None, **lists)


def _check_stream(name: str, site: Site, take: dict[str, Any]) -> None:
    """Only text positions are told apart; tiles are counted whole, since their number differs between pictures."""
    if site.stream in ("vision", "projector") and (take["where"] != "all" or take["keep"] != "counts"):
        raise VlmscopeError(
            f"The site '{name}' has {site.stream} positions, which are kept as counts over all of them.",
            where="captures.*.take",
            instead=f"{{site: {name}, where: all, keep: counts}}",
        )
    if site.stream == "attention" and take["keep"] not in ("values", "first"):
        raise VlmscopeError(
            f"Of the site '{name}' the probabilities themselves are kept, for every query that `where` selects.",
            where="captures.*.take",
            instead=f"{{site: {name}, where: {take['where']}, keep: values}}",
        )
