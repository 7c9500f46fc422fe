"""What made a table: the JSON beside it, with checkpoint, data, settings, inputs, code and versions."""

import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmscope.store import files

META = "vlmscope.meta/1"
LISTING = "vlmscope.listing/1"
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "polars", "h5py")
# What a table says of the model and of the datasets behind it; folders of this machine are left out.
CHECKPOINT = ("checkpoint", "revision", "dtype", "quantize", "attention", "fingerprint", "family")
DATA = ("kind", "source", "digest")
# Manifests among the inputs, by the start of their format: where they go and what is told of them.
MANIFESTS = {"vlmscope.model/": ("checkpoint", CHECKPOINT), "vlmscope.raw/": ("data", DATA)}


def write(
    target: str, table: str, params: Mapping[str, Any], inputs: Iterable[str], *, notes: Sequence[str] = ()
) -> None:
    """Write the companion of a table, once the table stands.

    params   what the job was given, by name, as texts of canonical JSON: `about` (scale, label), `code` (digest of its
             code), `settings`; others stand among the settings under their names
    Everything else as in `describe`.
    """
    given = {name: _unpacked(value) for name, value in params.items()}
    about, code, settings = (given.pop(name, empty) for name, empty in (("about", {}), ("code", ""), ("settings", {})))
    found = describe(table, about=about, settings={**settings, **given}, inputs=inputs, code=code, notes=notes)
    files.write_json(found, target)


def listing(system: str, model: str, paths: Iterable[str]) -> dict[str, Any]:
    """Results of one system and model, as JSON: path below their folder -> bytes and digest; folders file by file."""
    home = Path("results", system, model)
    files_below = [file for path in paths for file in _inside(Path(path))]
    found = {
        one.relative_to(home).as_posix(): {"bytes": one.stat().st_size, "digest": files.digest(one)}
        for one in files_below
    }
    return {"format": LISTING, "system": system, "model": model, "files": found}


def _inside(path: Path) -> list[Path]:
    return [one for one in sorted(path.rglob("*")) if one.is_file()] if path.is_dir() else [path]


def _unpacked(value: Any) -> Any:
    """What a text of canonical JSON stands for; plain texts and other values as they are."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value


def describe(
    table: str,
    *,
    about: Mapping[str, Any],
    settings: Mapping[str, Any],
    inputs: Iterable[str],
    code: str,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """What made a table, as JSON.

    table      the file
    about      stands at the top: scale, label
    settings   that the job was given
    inputs     files that it read; manifests of models and datasets among them say what is behind the table
    code       digest of the job's code
    notes      what a reader who knows the published work would stumble over
    Inputs and table have the digests of their bytes: equal digests, equal content.
    """
    read = list(dict.fromkeys(inputs))
    return {
        **about,
        **_manifests(read),
        "format": META,
        "table": Path(table).name,
        "digest": files.digest(table),
        "settings": dict(settings),
        "inputs": {path: files.digest(path) for path in read},
        "code": code,
        "versions": versions(),
        "notes": list(notes),
    }


def _manifests(paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`checkpoint` and `data`: name of the model or dataset -> what its manifest tells."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        content = files.read_json(path) if path.endswith(".json") else None
        told = str(content.get("format", "")) if isinstance(content, dict) else ""
        for start, (kind, keys) in MANIFESTS.items():
            if told.startswith(start):
                found.setdefault(kind, {})[Path(path).parent.name] = {key: content[key] for key in keys}
    return found


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on, as far as they are there."""
    there = [name for name in PACKAGES if importlib.util.find_spec(name) is not None]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in there}}
