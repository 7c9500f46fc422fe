"""An official release turned into a folder of safetensors: shard by shard, checked by name and shape before a byte."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.models import load
from vlmscope.models.base import family
from vlmscope.models.convert import pickles
from vlmscope.models.convert.recipe import ModelConfig, Recipe, Source, recipe
from vlmscope.store import files, tensors

log = logging.getLogger(__name__)

CONVERTED = "vlmscope.converted/1"
INDEX = "model.safetensors.index.json"
# Names told in an error; a wrong layout has thousands.
TOLD = 6


@dataclass(frozen=True)
class Part:
    """What one file of the release gives.

    path     the file; None for tensors that no file holds
    names    official name -> ours
    shapes   our name -> shape
    size     bytes of the tensors kept
    """

    path: Path | None
    names: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    size: int


def convert(manifest: str | Path, target: str | Path, *, family: str) -> dict[str, Any]:
    """Convert the release that a download recorded (`hub.json`). Returns the manifest (`converted.json`).

    Each file of the release becomes one file of safetensors; those that an interrupted run left are kept. No more than
    one file is in memory, and of that only what the system maps from disk.
    """
    about, target, known = files.read_json(manifest), Path(target), recipe(family)
    source = Path(about["folder"])
    load.slim_imports()
    config = _config(known, source)
    parts = _parts(known, source, config)
    _check(parts, _wanted(family, config), source)
    target.mkdir(parents=True, exist_ok=True)
    _check_room(target, parts)
    digests = _digests(about)
    places = {}
    for number, part in enumerate(parts, 1):
        name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        _write(part, target / name, _stamp(part, source, digests), lambda: known.added(config))
        places |= dict.fromkeys(part.names.values(), name)
    _remove_others(target, set(places.values()))
    known.texts(source, target)
    config.save_pretrained(target)
    index = {"metadata": {"total_size": sum(part.size for part in parts)}, "weight_map": dict(sorted(places.items()))}
    files.write_json(index, target / INDEX)
    made = {path.name: path.stat().st_size for path in sorted(target.glob("*.safetensors"))}
    told = {key: about[key] for key in ("checkpoint", "revision", "commit")}
    return {"format": CONVERTED, "family": family, "folder": str(target), **told, "files": made}


# ---- reading -----------------------------------------------------------------------------------------------------


def _config(known: Recipe, folder: Path) -> ModelConfig:
    try:
        return known.config(folder)
    except KeyError as error:
        raise VlmscopeError(
            f"The configuration of the release lacks {error}.",
            where=str(folder / "config.json"),
            instead="the release that docs/data.md names, or a fine-tune of it",
        ) from None


def _wanted(name: str, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights of the model class."""
    with torch.device("meta"):
        model = load.model_class(family(name))(config)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _parts(known: Recipe, folder: Path, config: ModelConfig) -> list[Part]:
    """What every file gives, in the order of precedence; files that give nothing are left out."""
    parts: list[Part] = []
    for source in known.sources:
        found = sorted(folder.glob(source.files))
        if not found and not source.fallback:
            raise VlmscopeError(
                f"The release has no file {source.files}.", where=str(folder), instead="delete the folder and run again"
            )
        _check_shards(folder, {path.name for path in found})
        before = {name for part in parts for name in part.names.values()} if source.fallback else set()
        parts += [_part(path, source, before) for path in found]
    added = known.added(config)
    parts.append(Part(None, dict(zip(added, added, strict=True)), _shapes(added), _size(added)))
    return [part for part in parts if part.names]


def _check_shards(folder: Path, found: set[str]) -> None:
    """Compare with the index of the release, where it has one."""
    for path in folder.glob("pytorch_model*.index.json"):
        listed = set(files.read_json(path)["weight_map"].values())
        is_other = not found & listed
        if not is_other and listed != found:
            raise VlmscopeError(
                f"The shards are not those of the index: {', '.join(sorted(listed ^ found)[:TOLD])}.",
                where=str(path),
                instead="delete the folder of the download and run again",
            )


def _part(path: Path, source: Source, before: set[str]) -> Part:
    held = _read(path)
    names = {official: ours for official in held if (ours := source.name(official)) and ours not in before}
    kept = {ours: held[official] for official, ours in names.items()}
    if len(kept) < len(names):
        raise VlmscopeError("Two weights of the file get one name.", where=str(path), instead="another release")
    return Part(path, names, _shapes(kept), _size(kept))


def _read(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.suffix == ".safetensors" else pickles.read(path)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.nbytes for value in tensors.values())


# ---- checking ----------------------------------------------------------------------------------------------------


def _check(parts: list[Part], wanted: Mapping[str, tuple[int, ...]], where: Path) -> None:
    """Every weight of the class once, none left over, all shapes right; all problems are told at once."""
    counts = Counter(name for part in parts for name in part.shapes)
    shapes = {name: shape for part in parts for name, shape in part.shapes.items()}
    problems = {
        "missing": sorted(wanted.keys() - shapes.keys()),
        "left over": sorted(shapes.keys() - wanted.keys()),
        "there twice": sorted(name for name, count in counts.items() if count > 1),
        "of another shape": [
            f"{name} {shapes[name]} instead of {shape}"
            for name, shape in wanted.items()
            if shapes.get(name, shape) != shape
        ],
    }
    lines = [f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names]
    if lines:
        raise VlmscopeError(
            "The weights are not those of the model class:\n    " + "\n    ".join(lines),
            where=str(where),
            instead="the release that docs/data.md names, or another family",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:TOLD]) + (", ..." if len(names) > TOLD else "")


def _check_room(target: Path, parts: list[Part]) -> None:
    there = sum(path.stat().st_size for path in target.glob("*.safetensors"))
    needed, free = sum(part.size for part in parts) - there, shutil.disk_usage(target).free
    if needed > free:
        raise VlmscopeError(
            f"The conversion needs {needed / 1e9:.1f} GB more and {free / 1e9:.1f} GB are free.",
            where=str(target),
            instead="make room; the downloaded files are kept",
        )


# ---- writing -----------------------------------------------------------------------------------------------------


def _digests(about: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of every file of the release and of what lies beside, by its path."""
    found = {name: one["sha256"] for name, one in about["files"].items()}
    for folder, other in about.get("beside", {}).items():
        found |= {f"{folder}/{name}": one["sha256"] for name, one in other["files"].items()}
    return found


def _stamp(part: Part, folder: Path, digests: Mapping[str, str]) -> str:
    """What a file is made of: the file of the release, and which of its tensors under which names."""
    name = str(part.path.relative_to(folder)) if part.path else ""
    return files.digest_text(json.dumps([name, digests.get(name, ""), sorted(part.names.items())]))


def _write(part: Part, path: Path, stamp: str, added: Callable[[], Mapping[str, Tensor]]) -> None:
    """Write the tensors of one part, unless the file is there already and made of the same."""
    if path.is_file() and _stamp_of(path) == stamp:
        log.info("%s is there", path.name)
        return
    held = _read(part.path) if part.path else added()
    own = dict(_owned(held, part.names))
    tensors.write(own, path, {"made of": stamp})
    log.info("%s: %d tensors, %.1f GB", path.name, len(own), part.size / 1e9)


def _stamp_of(path: Path) -> str:
    """The stamp in a file's header; empty for a file that is damaged, which is then written again."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("made of", "")
    except SafetensorError:
        return ""


def _owned(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    """Our names with tensors that share no memory; only those that do are copied."""
    seen: set[int] = set()
    for official, ours in names.items():
        value = tensors[official].detach()
        is_shared = value.untyped_storage().nbytes() != value.nbytes or value.data_ptr() in seen
        yield ours, value.clone().contiguous() if is_shared or not value.is_contiguous() else value
        seen.add(value.data_ptr())


def _remove_others(target: Path, kept: set[str]) -> None:
    """Files of an earlier conversion would be read along."""
    for path in target.glob("*.safetensors"):
        if path.name not in kept:
            path.unlink()
