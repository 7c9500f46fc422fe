"""Files of Hugging Face repositories at a fixed commit: weights, tables and texts, nothing executable."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from vlmscope.errors import VlmscopeError
from vlmscope.fetch.web import measure

log = logging.getLogger(__name__)

HUB = "vlmscope.hub/1"
Kind = Literal["dataset", "model"]
# llava-hf published the shards of its largest models under this name.
MISNAMED = ".safetensors.md"
# Data and texts only: programs are never asked for.
HARMLESS = (".safetensors", MISNAMED, ".json", ".txt", ".model", ".parquet")
# Fetched for a converter alone, which reads them as data (vlmscope.models.convert.pickles).
PICKLES = (".bin",)
TEXTS = ("*.json", "*.txt", "*.model")
WEIGHTS = ("*.safetensors", "*" + MISNAMED)
# The same weights once more: for other programs, in other precisions, or the parts they were put together from.
DUPLICATES = (
    *("*/*.safetensors", "*/*.bin"),
    *("consolidated*", "original/*", "onnx/*", "openvino/*", "coreml/*", "gguf/*"),
    *("flax_*", "tf_*", "*.fp16.*", "*.fp32.*", "*.bf16.*", "*.onnx*"),
)


def hub(
    repo: str,
    revision: str,
    folder: str | Path,
    patterns: Sequence[str],
    kind: Kind = "dataset",
    endings: Sequence[str] = HARMLESS,
) -> dict[str, Any]:
    """Fetch files of a Hugging Face repository. Returns the commit behind the revision and every file as measured.

    patterns   names to fetch; each must end like data or text, so that nothing executable comes along
    endings    what counts as such
    """
    if unfit := [pattern for pattern in patterns if not pattern.endswith(tuple(endings))]:
        raise VlmscopeError(
            f"Files like {', '.join(unfit)} are never fetched.", where=repo, instead=f"endings: {', '.join(endings)}"
        )
    # Half a second of imports that a plain download does not need.
    import httpx
    import huggingface_hub

    folder = Path(folder)
    try:
        about = huggingface_hub.HfApi().repo_info(repo, repo_type=kind, revision=revision, files_metadata=True)
        found = {one.rfilename: one for one in about.siblings if _is_wanted(one.rfilename, patterns, kind)}
        names = sorted(found)
        log.info("%s at %s: %d files, %.1f GB", repo, about.sha, len(names), _total(found) / 1e9)
        _check_room(folder, found)
        huggingface_hub.snapshot_download(
            repo, repo_type=kind, revision=about.sha, local_dir=folder, allow_patterns=names
        )
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise VlmscopeError(
            f"Hugging Face does not hand this out: {str(error).split(chr(10))[0] or type(error).__name__}",
            where=f"{repo} at {revision}",
            instead="check id, revision and network; or fetch the folder elsewhere and set source: folder",
        ) from error
    return {"repo": repo, "commit": about.sha, "files": {name: _measured(folder / name, found[name]) for name in names}}


def _is_wanted(name: str, patterns: Sequence[str], kind: Kind) -> bool:
    unwanted = DUPLICATES if kind == "model" else ()
    return any(fnmatch(name, one) for one in patterns) and not any(fnmatch(name, one) for one in unwanted)


def _total(found: Mapping[str, Any]) -> int:
    """Bytes of the files, as far as the server told them."""
    return sum(one.size or 0 for one in found.values())


def _check_room(folder: Path, found: Mapping[str, Any]) -> None:
    """Stop before the first byte where the disk is too small for what is still missing."""
    lacking = {
        name: one
        for name, one in found.items()
        if not (folder / name).is_file() or (folder / name).stat().st_size != one.size
    }
    begun = sum(part.stat().st_size for part in (folder / ".cache").rglob("*.incomplete"))
    needed = max(_total(lacking) - begun, 0)
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise VlmscopeError(
            f"The download needs {needed / 1e9:.1f} GB more and {free / 1e9:.1f} GB are free.",
            where=str(folder),
            instead="make room, run elsewhere (snakemake --directory), or set source: folder for a copy you have",
        )


def _measured(path: Path, told: Any) -> dict[str, Any]:
    """Size and sha256 of a fetched file, which must be those that the repository lists."""
    found = measure(path)
    wanted = {"size": told.size, "sha256": told.lfs.sha256 if told.lfs else None}
    if wrong := [key for key, value in wanted.items() if value not in (None, found[key])]:
        raise VlmscopeError(
            f"The file {path.name} is not the one that was published: its {wrong[0]} is {found[wrong[0]]} "
            f"instead of {wanted[wrong[0]]}.",
            where=str(path),
            instead="delete it and run again",
        )
    return found


def fetch_model(
    folder: str | Path,
    checkpoint: str,
    revision: str,
    pickles: Sequence[str] = (),
    beside: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """Fetch a checkpoint: weights, configuration, tokenizer. Returns its manifest (`hub.json`).

    pickles   names of pickled weights, for checkpoints that a converter reads; else safetensors are fetched
    beside    subfolder -> repository, revision and patterns of what the converter reads too
    """
    folder = Path(folder)
    if pickles:
        found = hub(checkpoint, revision or "main", folder, (*TEXTS, *pickles), "model", (*HARMLESS, *PICKLES))
    else:
        found = hub(checkpoint, revision or "main", folder, (*TEXTS, *WEIGHTS), "model")
    weights = _named_well(folder, found["files"])
    _check_weights(folder, weights, f"{checkpoint} at {revision}", bool(pickles))
    others = {name: hub(*source[:2], folder / name, source[2], "model") for name, source in (beside or {}).items()}
    manifest = {"format": HUB, "folder": str(folder), "checkpoint": checkpoint, "revision": revision, **found}
    return manifest | ({"beside": others} if others else {})


def _named_well(folder: Path, names: Mapping[str, Any]) -> set[str]:
    """Files with weights; one that carries a second ending gets its proper name beside."""
    for name in names:
        if name.endswith(MISNAMED):
            proper = folder / name.removesuffix(".md")
            proper.unlink(missing_ok=True)
            proper.symlink_to(Path(name).name)
    return {name.removesuffix(".md") for name in names if name.endswith((".safetensors", MISNAMED, *PICKLES))}


def _check_weights(folder: Path, weights: set[str], where: str, is_pickled: bool) -> None:
    if not weights:
        raise VlmscopeError(
            f"The checkpoint has no {'pickled weights' if is_pickled else '.safetensors file'}.",
            where=where,
            instead="models.*.source: " + ("hub" if is_pickled else "official, which converts pickled weights"),
        )
    # Weights of another revision beside these would be read with them.
    kept = {str(path.relative_to(folder)) for path in folder.glob("*.bin" if is_pickled else "*.safetensors")}
    if others := kept - weights:
        raise VlmscopeError(
            f"The folder holds weights of another revision: {', '.join(sorted(others))}.",
            where=str(folder),
            instead="delete this folder and run again",
        )
