"""Official files of a dataset, drawn here or already on disk, and the manifest (`raw.json`) that describes them."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.store import files
from vlmscope.world.draw import draw
from vlmscope.world.scene import Scene

log = logging.getLogger(__name__)

RAW = "vlmscope.raw/1"
# Seeds far from those that the embedded models were trained and chosen on (vlmscope/models/tiny/recipe.py).
FIRST_SEED = {"train": 3_000_000, "val": 4_000_000}


def scenes(domain: str, role: str, count: int) -> Iterator[Scene]:
    """Scenes of one split; the same number gives the same scene in every process."""
    for place in range(count):
        yield draw(domain, FIRST_SEED[role] + place)


def draw_benchmark(kind: str, folder: Path, splits: dict[str, str], counts: dict[str, int]) -> dict[str, Any]:
    """Draw every split, write it in the official format and describe what was written.

    splits   role (train, val) -> official split name
    counts   role -> number of pictures
    """
    benchmark = base.load(kind)
    written: list[Path] = []
    for role, split in splits.items():
        written += benchmark.write(list(scenes(benchmark.DOMAIN, role, counts[role])), folder, split)
        log.info("%s: %d pictures in split %s", kind, counts[role], split)
    return manifest(kind, folder, "drawn", {str(path.relative_to(folder)): files.digest(path) for path in written})


def manifest(kind: str, folder: Path, source: str, digests: dict[str, str]) -> dict[str, Any]:
    """What a run knows of a dataset's official files: `raw.json`."""
    return {
        "format": RAW,
        "kind": kind,
        "root": str(folder),
        "source": source,
        "files": len(digests),
        "digest": files.digest_text(repr(sorted(digests.items()))),
    }


def find_benchmark(kind: str, root: str) -> dict[str, Any]:
    """The manifest of a folder that the user has; sizes stand in for digests, since it may hold many gigabytes."""
    folder = Path(root)
    if not root or not folder.is_dir():
        raise VlmscopeError(
            f"The folder with the official files of {base.load(kind).LABEL} is not there.",
            where=root or "datasets.*.root is empty",
            instead="set datasets.*.root to the folder (layouts: docs/data.md), or source: download",
        )
    tables = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".csv", ".parquet"))
    sizes = {str(path.relative_to(folder)): str(path.stat().st_size) for path in tables}
    return manifest(kind, folder, "folder", sizes)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """`raw.json`, checked."""
    found = files.read_json(path)
    if not isinstance(found, dict) or found.get("format") != RAW:
        raise VlmscopeError(
            "This is not the manifest of a dataset.", where=str(path), instead=f"snakemake {path} --force"
        )
    return found
