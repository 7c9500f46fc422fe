"""Cards of steered latents: what a model answered before, with the latent held, and with a random one (figures 5-18).

The pictures of a card are the first that do not show the thing, not those in which steering works best.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from vlmscope import samples, stats
from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.steer.shares import ROWS
from vlmscope.raw import read_manifest
from vlmscope.store import tables

HELD = pl.col("kind") != "random"


def features(rows: pl.DataFrame, most: int) -> list[int]:
    """The first latents that were held for a thing, random ones left out."""
    return rows.filter(HELD)["feature"].unique(maintain_order=True).to_list()[:most]


def card(
    rows: pl.DataFrame, feature: int, settings: Mapping[str, Any], picture: Callable[[str], Image.Image]
) -> dict[str, Any]:
    """What a card shows of a latent.

    rows       `steer.shares.ROWS`
    settings   mode, value, pictures
    picture    name -> picture
    """
    own = rows.filter(HELD & (pl.col("feature") == feature))
    if own.is_empty():
        known = ", ".join(map(str, features(rows, 12)))
        raise VlmscopeError(f"Latent {feature} was not steered.", where="multimodal_sae.steer", instead=known)
    first = own.row(0, named=True)
    own = own.filter(description=first["description"], positions=first["positions"])
    random = rows.filter(~HELD, pl.col("description") == first["description"], positions=first["positions"])
    how = {"mode": _mode(own, settings["mode"]), "value": settings["value"] or own["value"].max()}
    shown = own.filter(**how)
    if shown.is_empty():
        raise VlmscopeError(
            f"Latent {feature} was not held at {how['value']:g}.",
            where="multimodal_sae.figures.value",
            instead=", ".join(f"{one:g}" for one in own["value"].unique().sort()),
        )
    about = {key: first[key] for key in ("feature", "description", "kind", "positions", "judge")}
    examples = [_example(one, random.filter(**how), picture) for one in _chosen(shown, settings["pictures"])]
    return {**about, **how, "examples": examples, "dose": _dose(own, random)}


def _mode(own: pl.DataFrame, wanted: str) -> str:
    known = own["mode"].unique(maintain_order=True).to_list()
    return wanted if wanted in known else known[0]


def _chosen(shown: pl.DataFrame, pictures: int) -> list[dict[str, Any]]:
    """The first answers about pictures without the thing, and the first without a picture."""
    with_picture = pl.col("image").fill_null("") != ""
    lacking = shown.filter(with_picture, ~pl.col("in_picture").fill_null(False)).head(pictures)
    return [*lacking.to_dicts(), *shown.filter(~with_picture).head(1).to_dicts()]


def _example(row: dict[str, Any], random: pl.DataFrame, picture: Callable[[str], Image.Image]) -> dict[str, Any]:
    """One line of a card; `control` is the same question with a random latent."""
    beside = random.filter(pl.col("prompt") == row["prompt"], pl.col("image").eq_missing(row["image"]))
    told = ("feature", "steered", "category", "relevance")
    control = {key: beside[key][0] for key in told} if len(beside) else None
    kept = {key: row[key] for key in ("prompt", "original", "steered", "category", "relevance")}
    return {**kept, "picture": picture(row["image"]) if row["image"] else None, "control": control}


def _dose(own: pl.DataFrame, random: pl.DataFrame) -> list[dict[str, Any]]:
    """Share of answers that name the thing by mode and value, of the latent and of random ones, Wilson intervals."""
    found = []
    for held, part in ((True, own), (False, random)):
        lacking = part.filter(~pl.col("in_picture").fill_null(False))
        for (mode, value), some in lacking.group_by("mode", "value", maintain_order=True):
            named, n = int((some["category"] == "names").sum()), len(some)
            low, high = stats.wilson(named, n)
            told = {"named": named, "n": n, "share": named / n, "low": low, "high": high}
            found.append({"held": held, "mode": mode, "value": value, **told})
    return found


def from_files(categories: str, raw: str, table: str, feature: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A card's data; manifest and sample table are those of the pictures that were asked about."""
    rows, root = tables.read(categories, ROWS), Path(read_manifest(raw)["root"])
    named = {one.sample: one for one in samples.read(table)}
    return card(rows, feature, settings, lambda name: samples.picture(named[name], root))
