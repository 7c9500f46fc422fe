"""SBU Captions: photographs with the captions of their owners, of which only the pictures are looked at.

The official loader downloads links until there are enough pictures and deals them out; which links are alive changes
from day to day. `manifest.parquet` freezes what was found. Without it the deal of the official loader is made again
from the pictures that are there (mm_neurons.md 5).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

LABEL = "SBU Captions"
DOMAIN = "com"
SPLITS = ("train", "valid", "test")
SOURCE = "https://www.cs.rice.edu/~vo9/sbucaptions/"
LINKS = "sbu-captions-all.json"
MANIFEST = "manifest.parquet"
SIZES = {"train": 1000, "valid": 200, "test": 200}
SEED = 2023
QUERY = "Describe the image in few words."
# One row per link that was asked for: first the splits, each in its order, then links that are in none.
#   row      place in the lists of sbu-captions-all.json
#   file     name below images/, null where there is no picture
#   status   ok, or why there is no picture
#   split    train, valid, test; null where none
SCHEMA = {
    "row": pl.Int64,
    "url": pl.String,
    "file": pl.String,
    "sha256": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "caption": pl.String,
    "split": pl.String,
    "status": pl.String,
}
# What drawn pictures have beyond that.
DRAWN = {"user_id": pl.String, "in_picture": pl.List(pl.String)}
# Lists of sbu-captions-all.json; the last one only with drawn pictures.
LISTS = {"url": "image_urls", "caption": "captions", "user_id": "user_ids", "in_picture": "in_picture"}


def read(
    root: Path,
    split: str,
    *,
    name: str,
    limit: int | None = None,
    query: str = QUERY,
    train: int = SIZES["train"],
    valid: int = SIZES["valid"],
    test: int = SIZES["test"],
    seed: int = SEED,
) -> Iterator[Sample]:
    """One row per picture; the answer is {caption, in_picture}, the latter null where nobody knows what is shown.

    query               what the model is asked of every picture
    train, valid, test  pictures per split, and
    seed                of the deal: they only count where there is no manifest
    """
    base.check_split(split, SPLITS, name)
    links = lists(root)
    sizes = {"train": train, "valid": valid, "test": test}
    chosen = _frozen(root, links, split) if (root / MANIFEST).is_file() else _dealt(root, links, split, sizes, seed)

    def pictures(item: tuple[int, str]) -> list[str | None]:
        return [base.first_there(root, [f"images/{item[1]}"])]

    captions = links[LISTS["caption"]]
    known = links.get(LISTS["in_picture"]) or [None] * len(captions)
    for item in base.found(((one[0], one) for one in chosen), pictures, root, limit=limit, name=name):
        answer = {"caption": captions[item.index], "in_picture": known[item.index]}
        yield base.sample(item, name=name, split=split, question=query, answer=answer)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes in the lists of the benchmark, with a list of what is in each picture; other splits stay."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    pictures = [base.write_picture(scene.image, root / _picture(split, scene)) for scene in scenes]
    entries = pl.DataFrame([_entry(root, split, scene) for scene in scenes], schema=SCHEMA | DRAWN)
    whole = pl.concat([_others(root, split), entries])
    # In the order of the splits, whichever was written last.
    rank = pl.col("split").replace_strict(SPLITS, range(len(SPLITS)), return_dtype=pl.Int64)
    whole = whole.sort(rank, maintain_order=True).with_columns(row=pl.int_range(pl.len()))
    content = {LISTS[column]: whole[column].to_list() for column in LISTS}
    table = base.write_table(whole.select(SCHEMA.keys()), root / MANIFEST)
    return [*pictures, base.write_json(content, root / LINKS), table]


def prompt(sample: Sample, style: str) -> str:
    """The query; there is no longer form."""
    return base.styled(sample, style, sample.question)


def base_name(url: str) -> str:
    """What the official loader calls the picture of a link: the last part of its path."""
    return re.split("[?#]", url)[0].rpartition("/")[2]


def deal(n: int, sizes: Mapping[str, int], seed: int = SEED) -> dict[str, np.ndarray]:
    """Places in a list of `n` pictures that each split gets, int64, in the order of the split."""
    # The legacy generator is the one of the official loader.
    order = np.random.RandomState(seed).permutation(n)
    ends = np.cumsum(list(sizes.values()))
    return {split: order[end - size : end] for (split, size), end in zip(sizes.items(), ends, strict=True)}


def lists(root: Path) -> dict[str, list]:
    """The parallel lists of the benchmark, by their names there."""
    path = root / LINKS
    content = base.read_json(path, SOURCE)
    needed = {LISTS["url"], LISTS["caption"]}
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in needed):
        raise base.damaged(path, f"there are no lists {' and '.join(sorted(needed))}", SOURCE)
    lengths = {key: len(value) for key, value in content.items() if isinstance(value, list)}
    if len(set(lengths.values())) > 1:
        raise base.damaged(path, f"its lists are of different lengths, {lengths}", SOURCE)
    return content


def _frozen(root: Path, links: Mapping[str, list], split: str) -> list[tuple[int, str]]:
    """Row and file of the pictures of a split as the manifest has them."""
    path = root / MANIFEST
    table = base.read_table(path, ["row", "url", "file", "split"], SOURCE).filter(pl.col("split") == split)
    urls = links[LISTS["url"]]
    for row, url in table.select("row", "url").iter_rows():
        if row >= len(urls) or urls[row] != url:
            raise base.damaged(path, f"row {row} of {LINKS} is not the link {url}", SOURCE)
    return list(table.select("row", "file").iter_rows())


def _dealt(
    root: Path, links: Mapping[str, list], split: str, sizes: Mapping[str, int], seed: int
) -> list[tuple[int, str]]:
    """Row and file of the pictures of a split as the official loader deals those that are there."""
    n = sum(sizes.values())
    names = [base_name(url) for url in links[LISTS["url"]][: 2 * n]]
    counts = Counter(names)
    # [differs: mm_neurons.md 5] Of a name that two links share nobody knows whose picture is there.
    there = [(row, one) for row, one in enumerate(names) if counts[one] == 1 and (root / "images" / one).is_file()]
    if len(there) < n:
        sizes_text = ", ".join(f"{key} {size}" for key, size in sizes.items())
        raise VlmscopeError(
            f"{MANIFEST} is not there, and {len(there)} pictures are not enough to deal out ({sizes_text}).",
            where=str(root / MANIFEST),
            instead=f"smaller options train, valid, test; or source: download (from {SOURCE})",
        )
    return [there[place] for place in deal(len(there), sizes, seed)[split]]


def _picture(split: str, scene: Scene) -> str:
    return f"images/{split}-{scene.seed}.jpg"


def seed_of(reference: str) -> int:
    """The number of the scene that a drawn picture shows."""
    found = re.fullmatch(r"images/\w+-(\d+)\.jpg", reference)
    if not found:
        raise VlmscopeError("This is no drawn picture.", where=reference, instead="datasets.*.source: drawn")
    return int(found[1])


def _entry(root: Path, split: str, scene: Scene) -> dict[str, Any]:
    """A row of the manifest, and what only drawn pictures have."""
    path = root / _picture(split, scene)
    height, width = scene.image.shape[:2]
    return {
        "row": None,
        "url": f"file:///drawn/{path.name}",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "width": width,
        "height": height,
        "caption": scene.caption,
        "split": split,
        "status": "ok",
        "user_id": "drawn",
        "in_picture": in_picture(scene),
    }


def in_picture(scene: Scene) -> list[str]:
    """Things that can be seen and the place, sorted: nouns that a caption may say of this scene."""
    seen = {thing.name for k, thing in enumerate(scene.things, start=1) if (scene.mask == k).any()}
    places = {asked.answer for asked in scene.questions if asked.text == "what place is this?"}
    return sorted(seen | places)


def _others(root: Path, split: str) -> pl.DataFrame:
    """What was drawn for the other splits."""
    if not ((root / MANIFEST).is_file() and (root / LINKS).is_file()):
        return pl.DataFrame(schema=SCHEMA | DRAWN)
    table, links = base.read_table(root / MANIFEST, list(SCHEMA), SOURCE), lists(root)
    more = pl.DataFrame({column: links[LISTS[column]] for column in DRAWN}, schema=DRAWN)
    return table.hstack(more).filter(pl.col("split") != split)
