"""Activation files of the released code: firing statistics of one domain, all modules (mmneuron.md 2.1, 2.2).

A table of `{module}_log` int32 [layer, unit], `{module}_value` float64 [layer, unit], `{module}_len` int64 [].
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import modules
from vlmscope.models.base import family as family_of
from vlmscope.store import files, shards, torch_files

# The released buffer is int32.
LARGEST = np.iinfo(np.int32).max
Arrays = dict[str, Any]


def read(path: str | Path, family: str, shapes: Mapping[str, tuple[int, int]]) -> dict[str, Arrays]:
    """Module -> fired int64 [layer, unit], total float64 [layer, unit], seen, of one file.

    shapes   module -> layers and units of the model that the file must fit
    """
    found = torch_files.read(path)
    if not isinstance(found, dict):
        raise _unfit(path, "it is no table")
    return {module: _module(found, module, shapes[module], path) for module in modules.sites(family)}


def _module(found: Mapping[str, Any], module: str, shape: tuple[int, int], path: str | Path) -> Arrays:
    parts = {kind: found.get(f"{module}_{kind}") for kind in ("log", "value", "len")}
    if lacking := [f"{module}_{kind}" for kind, one in parts.items() if not isinstance(one, np.ndarray)]:
        raise _unfit(path, f"it lacks {', '.join(lacking)}; it has {', '.join(map(str, found)) or 'nothing'}")
    fired, total, seen = parts["log"], parts["value"], parts["len"]
    if fired.shape != shape or total.shape != shape or seen.shape != ():
        raise _unfit(path, f"{module} has {fired.shape} counts, the model {shape[0]} layers of {shape[1]} units")
    if fired.dtype.kind != "i" or seen.dtype.kind != "i" or total.dtype.kind != "f":
        raise _unfit(path, f"{module} is counted in {fired.dtype}, summed in {total.dtype}")
    if fired.min(initial=0) < 0 or fired.max(initial=0) > seen or not np.isfinite(total).all():
        raise _unfit(path, f"{module} fired more often than its {int(seen)} positions, or less than never")
    return {"fired": fired.astype(np.int64), "total": total.astype(np.float64), "seen": int(seen)}


def _unfit(path: str | Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The counts do not fit: {why}.",
        where=str(path),
        instead="the file that the released code saved for this model (docs/formats.md)",
    )


def write(counts: Mapping[str, Arrays], target: str | Path) -> None:
    """Module -> fired, total, seen, as the released code saves them."""
    found: dict[str, Any] = {}
    for module, one in counts.items():
        if one["fired"].max(initial=0) > LARGEST:
            raise VlmscopeError(
                f"'{module}' has counts beyond the 32 bits of the released format.",
                where=str(target),
                instead="a smaller budget: captures.*.samples or vision_positions",
            )
        found[f"{module}_log"] = one["fired"].astype(np.int32)
        found[f"{module}_value"] = one["total"].astype(np.float64)
        found[f"{module}_len"] = np.array(one["seen"], dtype=np.int64)
    torch_files.write(found, target)


def import_shard(log: str, manifest: str, domain: str, target: str) -> None:
    """A released file as the shard of a capture, so that every reader of counts takes it."""
    about = files.read_json(manifest)
    kind = family_of(about["family"])
    config = _config(about["folder"])
    names = modules.sites(kind.name)
    sites = {module: kind.site(site) for module, site in names.items()}
    shapes = {module: (site.layers(config), site.width(config)) for module, site in sites.items()}
    found = read(log, kind.name, shapes)
    take = {module: modules.take_name(kind.name, module) for module in names}
    recipe = {
        "imported": files.digest(log),
        "family": kind.name,
        "model": about["fingerprint"],
        "domain": domain,
        "inert": {take[module]: sorted(site.inert(config)) for module, site in sites.items()},
    }
    # Whose pictures were counted, the file does not say.
    shards.write(target, [], {take[module]: arrays for module, arrays in found.items()}, recipe)


def _config(folder: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True)


def export(index: str, family: str, target: Path) -> None:
    """The counts of one domain's capture as a released file."""
    found = {}
    for module in modules.sites(family):
        one = shards.read_counts({"domain": index}, modules.take_name(family, module))
        found[module] = {"fired": one.fired[0], "total": one.total[0], "seen": int(one.seen[0])}
    write(found, target)
