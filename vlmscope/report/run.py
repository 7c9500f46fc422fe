"""What was run: changed settings, checkpoints, datasets, versions, and where the time went."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from vlmscope.config import default, digest_ready, plain
from vlmscope.report.finding import number
from vlmscope.report.systems import SYSTEMS
from vlmscope.store import files

MOST_CHANGES = 80
MOST_RULES = 20


class Spent(NamedTuple):
    """Jobs of a rule that were measured: their number, seconds together, highest memory in MB, share of the longest."""

    rule: str
    jobs: int
    seconds: float
    memory: float
    share: float

    @property
    def text(self) -> str:
        """Minutes and seconds."""
        return clock(self.seconds)


def clock(seconds: float) -> str:
    """`1 h 02 min`, `3 min 20 s`, `4.9 s`"""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def digest(tree: Mapping[str, Any]) -> str:
    """Digest of a whole configuration."""
    return files.digest_text(digest_ready(tree))


def changed(tree: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Keys whose values differ from the embedded default: key, default, here."""
    before, after = _leaves(plain(default())), _leaves(tree)
    keys = [*after, *(key for key in before if key not in after)]
    return [(key, before.get(key, ""), after.get(key, "")) for key in keys if before.get(key) != after.get(key)]


def _leaves(tree: Any, path: str = "") -> dict[str, str]:
    """Dotted key -> value as text; lists and empty mappings count as values."""
    if not (isinstance(tree, Mapping) and tree):
        return {path: tree if isinstance(tree, str) else digest_ready(tree)}
    return {
        key: value for name, one in tree.items() for key, value in _leaves(one, f"{path}.{name}".strip(".")).items()
    }


def models(tree: Mapping[str, Any], root: Path) -> list[dict[str, Any]]:
    """Models of the configuration that this results folder has: name, label, manifest, and what they serve."""
    used = {name: [one.title for one in SYSTEMS if name in tree["run"][one.name]] for name in tree["models"]}
    found = []
    for name, one in tree["models"].items():
        manifest = root / "models" / name / "model.json"
        if manifest.is_file():
            found.append(
                {"name": name, "label": one["label"], "used": ", ".join(used[name]), **files.read_json(manifest)}
            )
    return sorted(found, key=lambda one: not one["used"])


def datasets(tree: Mapping[str, Any], root: Path) -> list[dict[str, Any]]:
    """Datasets of the configuration that this results folder has: name, manifest, samples by split."""
    found = []
    for name in tree["datasets"]:
        folder = root / "data" / name
        if (folder / "raw.json").is_file():
            counts = {split: _length(folder / f"{split}.parquet") for split in ("train", "val")}
            found.append({"name": name, **files.read_json(folder / "raw.json"), **counts})
    return found


def _length(path: Path) -> str:
    """Number of rows, empty where the split was not needed."""
    return number(pl.scan_parquet(path).select(pl.len()).collect().item()) if path.is_file() else ""


def versions(companions: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Package -> versions that the results were made with, several where they differ."""
    found: dict[str, set[str]] = {}
    for one in companions:
        for package, version in one.get("versions", {}).items():
            found.setdefault(package, set()).add(version)
    return [(package, ", ".join(sorted(some))) for package, some in sorted(found.items())]


def spent(folder: Path) -> list[Spent]:
    """Measured rules, longest first; `benchmarks/RULE/JOB.tsv` holds the last run of each job."""
    found = []
    for rule in sorted(path for path in folder.glob("*") if path.is_dir()):
        jobs = [_measured(path) for path in sorted(rule.rglob("*.tsv"))]
        if jobs:
            seconds, memory = zip(*jobs, strict=True)
            found.append((rule.name, len(jobs), sum(seconds), max(memory)))
    longest = max((one[2] for one in found), default=0.0) or 1.0
    return [Spent(*one, one[2] / longest) for one in sorted(found, key=lambda one: -one[2])]


def _measured(path: Path) -> tuple[float, float]:
    """Seconds and highest memory in MB of one job; the engine writes `-` for what it did not see."""
    frame = pl.read_csv(path, separator="\t", infer_schema_length=0)
    memory = frame["max_rss"].cast(pl.Float64, strict=False).max()
    return float(frame["s"].cast(pl.Float64).sum()), float(memory or 0.0)
