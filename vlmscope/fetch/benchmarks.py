"""Fetching a benchmark by the dataset table (`datasets/sources.toml`), and the manifest of what was fetched.

A file of the table comes from a web address, from a Hugging Face repository, or by hand where its authors hand it out
behind an account. What was measured once is kept in `.fetched.json`, so that a second run reads no gigabytes and an
archive may be deleted after it was unpacked.
"""

import contextlib
import fcntl
import logging
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlmscope import raw
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.fetch import archives, hub, web
from vlmscope.store import files

log = logging.getLogger(__name__)

SOURCES = Path(base.__file__).parent / "sources.toml"
REGISTER, LOCK = ".fetched.json", ".fetching"


def sources(path: Path = SOURCES) -> dict[str, Any]:
    """The dataset table: benchmark kind -> title, version, homepage, licence, files."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return {kind: {**table.get(one.get("like", ""), {}), **one} for kind, one in table.items()}


def fetch_dataset(kind: str, folder: str | Path, splits: Mapping[str, str], table: Path = SOURCES) -> dict[str, Any]:
    """Fetch the files of these splits and unpack them in the benchmark's layout. Returns the manifest (`raw.json`).

    splits   role (train, val) -> official split name, or several as `train+restval`
    Datasets may share a folder, and so files; one of them fetches at a time.
    """
    folder = Path(folder)
    about = sources(table).get(kind)
    if about is None:
        raise VlmscopeError(
            f"The dataset table does not know where {kind} comes from.", where=str(table), instead="source: folder"
        )
    names = {part for split in splits.values() for part in split.split("+")}
    wanted = _wanted(about, names, kind, table)
    found: dict[str, Any] = {}
    with _alone(folder):
        register = _Register(folder)
        _check_by_hand(wanted, folder, register, about)
        for entry in wanted:
            found |= _fetch(entry, folder, register)
    digests = {path: one["sha256"] for path, one in found.items()}
    told = {key: about[key] for key in ("title", "version", "homepage", "licence")}
    return {**raw.manifest(kind, folder, "download", digests), **told, "fetched": found}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other job fetches into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Register:
    """What was measured of the files in a folder, kept there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / REGISTER
        self.known: dict[str, Any] = files.read_json(self.path) if self.path.is_file() else {}

    def recall(self, name: str) -> dict[str, Any] | None:
        """What is known of a file, unless it changed since; a deleted file stays known."""
        known, path = self.known.get(name), self.folder / name
        if known and path.is_file() and _times(path) != known["times"]:
            return None
        return known

    def keep(self, name: str, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Note what was measured."""
        self.known[name] = {**measured, "times": _times(self.folder / name)}
        files.write_json(self.known, self.path)
        return self.known[name]


def _times(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _wanted(about: Mapping[str, Any], splits: set[str], kind: str, table: Path) -> list[dict[str, Any]]:
    """Entries of the table that these splits need, in the table's order."""
    known = {split for entry in about["files"] for split in entry["splits"]}
    if unknown := sorted(splits - known):
        raise VlmscopeError(
            f"The dataset table has no files for the split {', '.join(unknown)} of {kind}.",
            where=str(table),
            instead=f"splits: {', '.join(sorted(known))}",
        )
    return [entry for entry in about["files"] if splits & set(entry["splits"])]


def _check_by_hand(wanted: list[dict[str, Any]], folder: Path, register: _Register, about: Mapping[str, Any]) -> None:
    """Stop before the first download when a file is missing that only its authors hand out."""
    by_hand = [entry for entry in wanted if "manual" in entry]
    missing = [entry for entry in by_hand if not (folder / entry["path"]).is_file()]
    missing = [entry for entry in missing if not (register.recall(entry["path"]) and _is_unpacked(entry, folder))]
    if missing:
        places = [f"\n    {(folder / entry['path']).absolute()}\n      from {entry['manual']}" for entry in missing]
        raise VlmscopeError(
            f"{about['title']} is handed out by its authors ({about['homepage']}); put these files in their places:"
            + "".join(places),
            where=str(folder.absolute()),
            instead="then run the same command again; or source: folder for a copy you have (docs/data.md)",
        )


def _is_unpacked(entry: Mapping[str, Any], folder: Path) -> bool:
    if "unpack" not in entry:
        return False
    return archives.unpacked_marker(folder / entry["path"], folder / entry["unpack"]).is_file()


def _fetch(entry: Mapping[str, Any], folder: Path, register: _Register) -> dict[str, Any]:
    """Bring one entry of the table in its place; path -> url, size, sha256."""
    if "hub" in entry:
        into = entry.get("into", "")
        got = hub.hub(entry["hub"], entry["revision"], folder / into, entry["patterns"])
        at = f"https://huggingface.co/datasets/{got['repo']}/resolve/{got['commit']}/"
        return {str(Path(into, name)): {"url": at + name, **measured} for name, measured in got["files"].items()}
    name = entry["path"]
    known = register.recall(name)
    is_done = known and ((folder / name).is_file() or _is_unpacked(entry, folder))
    if not (is_done and _agree(entry, known)):
        known = register.keep(name, _bring(entry, folder / name))
    if "unpack" in entry:
        target = folder / entry["unpack"]
        archives.unpack(folder / name, target, entry.get("members"), flat=entry.get("flat", False))
    return {name: {key: known[key] for key in ("url", "size", "sha256")}}


def _agree(entry: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether what was measured still is what the table asks for."""
    return all(entry.get(key) in (None, known[key]) for key in ("size", "sha256"))


def _bring(entry: Mapping[str, Any], target: Path) -> dict[str, Any]:
    if "manual" in entry:
        return {"url": entry["manual"], **web.measure(target)}
    sums = {key: entry.get(key) for key in ("size", "sha256", "md5")}
    return web.download(entry["url"], target, **sums)
