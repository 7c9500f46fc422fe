"""Checkpoints: resolve a name to a folder, load model and processor from it. Safetensors only, no remote code."""

import contextlib
import gc
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.models import placement
from vlmscope.models.base import Family, family
from vlmscope.store import files

ROOT = Path(__file__).resolve().parents[2]
# What every model class and processor of transformers imports.
SHARED = ("transformers.modeling_utils", "transformers.processing_utils")


@dataclass(frozen=True)
class Loaded:
    """A model ready for inference.

    about       the manifest (`model.json`): where the weights came from and their fingerprint
    """

    model: Any
    processor: Any
    family: Family
    about: dict[str, Any]

    @property
    def config(self) -> Any:
        """The transformers configuration."""
        return self.model.config

    @property
    def device(self) -> Any:
        """Where the first of its parameters lies, which is where inputs go; other layers may lie elsewhere."""
        return next(self.model.parameters()).device


def checkpoint_folder(checkpoint: str) -> Path:
    """A checkpoint folder as given, or below the repository when it is not found from the working directory."""
    path = Path(checkpoint)
    return path if path.is_absolute() or path.is_dir() else ROOT / path


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a safetensors checkpoint, with the remedy."""
    if not (folder / "config.json").is_file():
        raise VlmscopeError(
            "There is no checkpoint here (no config.json).",
            where=str(folder),
            instead="models.*.checkpoint must name a Hugging Face folder or id (llava-hf/llava-v1.6-vicuna-7b-hf)",
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise VlmscopeError(
            "The checkpoint has no .safetensors file; pickled weights are never loaded.",
            where=str(folder),
            instead="models.*.source: official converts those of a Hugging Face id (docs/data.md)",
        )
    for path in weights:
        _check_whole(path)


def _check_whole(path: Path) -> None:
    """Refuse a safetensors file whose length is not what its header says; the weights themselves are not read."""
    size, expected = path.stat().st_size, None
    with open(path, "rb") as handle:
        # Eight bytes say how long the header is; behind it lie the weights, whose ends it tells.
        length = int.from_bytes(handle.read(8), "little")
        text = handle.read(length) if length <= size else b""
    try:
        ends = [one["data_offsets"][1] for name, one in json.loads(text).items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass
    if size != expected:
        asked = f"its header asks for {expected}" if expected else "its header is not whole"
        raise VlmscopeError(
            f"The weights are damaged or cut: the file has {size} bytes, {asked}.",
            where=str(path),
            instead="fetch or copy this file again",
        )


def describe(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a checkpoint folder: source, revision, and an xxh3 fingerprint over weights and tokenizer."""
    check_folder(folder)
    # Tokenizer and processor files count as well: other prompts or pixels are another model.
    kept = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
    digests = {path.name: files.digest(path) for path in kept}
    return {
        "format": "vlmscope.model/1",
        "folder": str(folder),
        "family": settings["family"],
        "checkpoint": settings["checkpoint"],
        "revision": _commit(folder) or settings["revision"],
        **placement.precision(settings),
        "files": digests,
        "fingerprint": files.digest_text(repr(sorted(digests.items()))),
    }


def _commit(folder: Path) -> str:
    """The commit that a download recorded beside its folder; empty for other folders."""
    record = folder.parent / "hub.json"
    return files.read_json(record)["commit"] if folder.name in ("hub", "converted") and record.is_file() else ""


def slim_imports() -> None:
    """Import what every model class needs in about half the time, and explain a broken torchvision.

    scikit-learn and scipy stay out: transformers pulls them in for assisted generation and detection losses only, which
    are not used here. The search for circular garbage rests meanwhile: it would walk over all modules again and again,
    to find none. Both are measured in docs/performance.md. A torchvision that does not match its torch breaks every
    processor with a message that names neither.
    """
    with contextlib.nullcontext() if SHARED[0] in sys.modules else _collector_resting():
        import transformers.utils
        import transformers.utils.import_utils

        # Both modules hold the name; models import it from either.
        for module in (transformers.utils, transformers.utils.import_utils):
            module.is_sklearn_available = module.is_scipy_available = lambda: False
        _check_torchvision()
        for name in SHARED:
            importlib.import_module(name)


@contextlib.contextmanager
def _collector_resting() -> Iterator[None]:
    """No search for circular garbage inside; objects that are there at the end are never looked at again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _check_torchvision() -> None:
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise VlmscopeError(
            f"torchvision is installed but does not fit this torch: {error}",
            where="the Python environment",
            instead="pip uninstall torchvision (it is not needed), or install the pair that belongs together",
        ) from error


def _class(library: Any, name: str) -> Any:
    """A class of transformers by its name, or one of our own by its dotted path."""
    module, _, own = name.rpartition(".")
    return getattr(importlib.import_module(module), own) if module else getattr(library, name)


def model_class(kind: Family) -> Any:
    """The class of a family's models."""
    import transformers

    return _class(transformers, kind.model_class)


def _check_complete(told: dict[str, Any], folder: Path) -> None:
    """Refuse a model of which a part would stay random; the library only mentions it."""
    if lacking := sorted(map(str, told["missing_keys"])):
        raise VlmscopeError(
            f"The checkpoint lacks {len(lacking)} weights of its model class: {', '.join(lacking[:4])}.",
            where=str(folder),
            instead="the family that belongs to this checkpoint (models.*.family), or the whole checkpoint",
        )


def load(manifest: str | Path, device: str = "cpu") -> Loaded:
    """Model in evaluation mode and processor of a manifest written by `describe`.

    device   cpu, cuda or auto, see `placement.arguments`
    """
    about = files.read_json(manifest)
    folder = Path(about["folder"])
    check_folder(folder)
    slim_imports()
    kind = family(about["family"])
    stored, chosen = placement.arguments(folder, about, device), model_class(kind)
    if stored.get("device_map") == "auto":
        chosen = placement.cuttable(chosen, kind, folder)
    model, told = chosen.from_pretrained(
        folder, **stored, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    _check_complete(told, folder)
    placement.check_on_gpus(model)
    return Loaded(model.eval().requires_grad_(False), kind.processor(folder, model.config), kind, about)
