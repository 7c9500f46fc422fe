"""Pictures behind a list of links: many servers, many dead links, and a set that stays as it was found.

Links are asked in their order until there are enough pictures, as the official loader of SBU Captions does, but many at
a time, and what was found is frozen in `manifest.parquet` (mm_neurons.md 5). Each outcome is noted in `.links.jsonl`
at once, so that a run that broke off goes on where it ended.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl

from vlmscope import raw
from vlmscope.datasets import base, sbu
from vlmscope.errors import VlmscopeError
from vlmscope.fetch import benchmarks, picture, web
from vlmscope.session import progress

log = logging.getLogger(__name__)

CONNECTIONS = 16
JOURNAL = ".links.jsonl"
# So many links with the very same bytes show a notice of their server.
SAME = 3
# So many links that are silent all together mean that there is no network.
MANY = 10
REPORT = {"row": pl.Int64, "url": pl.String, "status": pl.String}


class Link(NamedTuple):
    """A link, its row in the list, and the name of its picture below images/."""

    row: int
    url: str
    file: str


# Row of a link -> what it led to.
Known = dict[int, picture.Found]


def fetch_linked(
    folder: str | Path, splits: Mapping[str, str], deal: Mapping[str, int], table: Path = benchmarks.SOURCES
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Fetch SBU Captions: its lists, then the pictures of all splits. Returns the manifest and the dead links.

    splits   role (train, val) -> official split name
    deal     sizes of the splits and `seed`, where they are not the official ones
    """
    folder = Path(folder)
    about = benchmarks.fetch_dataset("sbu", folder, splits, table)
    lists, path = sbu.lists(folder), folder / sbu.MANIFEST
    sizes = {split: deal.get(split, size) for split, size in sbu.SIZES.items()}
    frozen = base.read_table(path, list(sbu.SCHEMA), sbu.SOURCE) if path.is_file() else None
    if frozen is not None and _is_deal(frozen, sizes, deal.get("seed", sbu.SEED)):
        _restore(frozen, folder)
    else:
        links = _named(lists[sbu.LISTS["url"]][: 2 * sum(sizes.values())])
        known = _gathered(links, folder, sum(sizes.values()))
        frozen = _frozen(links, known, lists[sbu.LISTS["caption"]], sizes, deal.get("seed", sbu.SEED))
        base.write_table(frozen, path)
    digests = {name: one["sha256"] for name, one in about["fetched"].items()}
    digests[path.name] = web.measure(path)["sha256"]
    dead = frozen.filter(pl.col("status") != picture.OK).select(REPORT.keys())
    counts = {"pictures": len(frozen) - len(dead), "dead": len(dead)}
    return {**about, **raw.manifest("sbu", folder, "download", digests), **counts}, dead


def _named(urls: Sequence[str]) -> list[Link]:
    """Links with names that no two share, in any case: the second and later ones of a name get their row behind it."""
    taken: set[str] = set()
    links = []
    for row, url in enumerate(urls):
        path = PurePosixPath(re.sub(r"[^\w.-]", "_", sbu.base_name(url), flags=re.ASCII).lstrip("."))
        name = path.name if path.name and path.name.lower() not in taken else f"{path.stem}-{row}{path.suffix}"
        taken.add(name.lower())
        links.append(Link(row, url, name))
    return links


def _is_deal(frozen: pl.DataFrame, sizes: Mapping[str, int], seed: int) -> bool:
    """Whether a manifest is what these sizes and this seed make of its pictures."""
    rows = sorted(frozen.filter(pl.col("split").is_not_null())["row"])
    if len(rows) != sum(sizes.values()):
        return False
    dealt = sbu.deal(len(rows), sizes, seed)
    return all(
        frozen.filter(pl.col("split") == split)["row"].to_list() == [rows[place] for place in dealt[split]]
        for split in sizes
    )


def _restore(frozen: pl.DataFrame, folder: Path) -> None:
    """Fetch the pictures of a manifest that are not there; they must be the same bytes."""
    chosen = frozen.filter(pl.col("split").is_not_null()).to_dicts()
    missing = [one for one in chosen if not (folder / "images" / one["file"]).is_file()]
    digests = {one["row"]: one["sha256"] for one in missing}
    changed = []
    for link, found in _asked([Link(one["row"], one["url"], one["file"]) for one in missing], folder):
        if found.sha256 != digests[link.row]:
            (folder / "images" / link.file).unlink(missing_ok=True)
            changed.append(f"\n    {link.url} ({'other bytes' if found.status == picture.OK else found.status})")
    if changed:
        raise VlmscopeError(
            f"{len(changed)} of the {len(chosen)} pictures of the manifest cannot be fetched again:"
            + "".join(changed[:20]),
            where=str(folder / sbu.MANIFEST),
            instead="copy images/ from where the manifest comes from, or delete the manifest for a new set",
        )


def _gathered(links: Sequence[Link], folder: Path, n: int) -> Known:
    """What the first links led to, up to the one with the n-th picture."""
    known = _recall(links, folder)
    while pending := _next(links, known, n, folder):
        silent = 0
        with open(folder / JOURNAL, "a", encoding="utf-8") as journal:
            for link, found in progress(_asked(pending, folder), len(pending), "links"):
                # The line end comes first: the last line of a run that was killed is then harmed alone.
                journal.write("\n" + json.dumps([*link, *found]))
                journal.flush()
                known[link.row] = found
                silent += found.status == picture.SILENT
        if silent == len(pending) >= MANY:
            raise VlmscopeError(
                f"None of {silent} links answers.",
                where=pending[0].url,
                instead="run again where there is a network; what is here is kept",
            )
    last = _alive(known)[n - 1]
    return {row: found for row, found in sorted(known.items()) if row <= last}


def _next(links: Sequence[Link], known: Known, n: int, folder: Path) -> list[Link]:
    """Links to ask now: as many as pictures are missing, or those before the n-th picture that nobody asked yet."""
    alive = _alive(known)
    unknown = [link for link in links if link.row not in known]
    if len(alive) >= n:
        return [link for link in unknown if link.row < alive[n - 1]]
    if not unknown:
        raise _too_few(known, n, folder)
    return unknown[: n - len(alive)]


def _asked(links: Sequence[Link], folder: Path) -> Iterator[tuple[Link, picture.Found]]:
    """Fetch many links at a time; outcomes in the order of the links."""
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        yield from zip(
            links, pool.map(lambda link: picture.fetch(link.url, folder / "images" / link.file), links), strict=True
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _recall(links: Sequence[Link], folder: Path) -> Known:
    """Outcomes of earlier runs; links that were silent are asked again, and pictures that are gone from the disk."""
    known: Known = {}
    path = folder / JOURNAL
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row, url, file, *rest = json.loads(line)
        except ValueError:
            continue
        found = picture.Found(*rest)
        is_same = row < len(links) and links[row] == (row, url, file)
        is_there = found.status != picture.OK or (folder / "images" / file).is_file()
        if is_same and is_there and found.status != picture.SILENT:
            known[row] = found
    return known


def _alive(known: Known) -> list[int]:
    """Rows with a picture of their own, ascending."""
    shared = Counter(found.sha256 for found in known.values() if found.status == picture.OK)
    return sorted(row for row, found in known.items() if found.status == picture.OK and shared[found.sha256] < SAME)


def _too_few(known: Known, n: int, folder: Path) -> VlmscopeError:
    silent = sum(found.status == picture.SILENT for found in known.values())
    again = f"run again, {silent} links did not answer; or " if silent else ""
    return VlmscopeError(
        f"The first {len(known)} links lead to {len(_alive(known))} pictures, {n} are needed.",
        where=str(folder / sbu.LINKS),
        instead=again + "smaller options train, valid, test of the dataset",
    )


def _frozen(
    links: Sequence[Link], known: Known, captions: Sequence[str], sizes: Mapping[str, int], seed: int
) -> pl.DataFrame:
    """The manifest: pictures by split, then dead links."""
    alive = _alive(known)
    dealt = sbu.deal(len(alive), sizes, seed)
    order = [(alive[place], split) for split in sizes for place in dealt[split]]
    order += [(row, None) for row in sorted(set(known) - set(alive))]
    rows = []
    for row, split in order:
        found = known[row] if split or known[row].status != picture.OK else picture.Found(picture.GONE)
        seen = {"sha256": found.sha256, "width": found.width, "height": found.height} if split else {}
        rows.append({"row": row, "url": links[row].url, "caption": captions[row], "status": found.status, **seen})
        rows[-1] |= {"split": split, "file": links[row].file if split else None}
    return pl.DataFrame(rows, schema=sbu.SCHEMA)
