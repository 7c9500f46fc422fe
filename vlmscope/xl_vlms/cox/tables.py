"""Tables of the paper on concept dictionaries, with its numbers beside (arXiv 2406.08074; xl_vlms.md 7)."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.stats import Draws
from vlmscope.store import tables
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries import schemas
from vlmscope.xl_vlms.dictionaries.files import Stored, main_module
from vlmscope.xl_vlms.dictionaries.schemas import CAPTION, RANDOM

Row = dict[str, Any]
PUBLISHED = Path(__file__).with_name("published.toml")
NOISE = "noise_images"


def published() -> dict[str, Any]:
    """What the paper prints: table1.TOKEN.METRIC.METHOD -> mean and deviation, overlap.TOKEN.METHOD."""
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))


def overlap(found: pl.DataFrame) -> pl.DataFrame:
    """Table 2: `OVERLAP` with the published column."""
    known = published()["overlap"]
    values = [known.get(token, {}).get(method) for token, method in found.select("token", "method").iter_rows()]
    sources = [None if value is None else known["source"] for value in values]
    told = {"published": pl.Series(values, dtype=pl.Float64), "source": pl.Series(sources, dtype=pl.String)}
    return found.with_columns(**told)


def table1(scored: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    """`TABLE1`: mean over held-out pictures, and mean difference from random words on the same pictures."""
    rows: list[Row] = []
    test = scored.filter(split="test")
    for part in test.partition_by("token", "metric", "top_k", "method", "k", "seed", maintain_order=True):
        first = part.row(0, named=True)
        random = test.filter(token=first["token"], metric=first["metric"], method=RANDOM)
        rows.append(_about(first) | _spread(part, draws) | _over(part, random, draws) | _printed(first))
    for token, metric in test.select("token", "metric").unique(maintain_order=True).iter_rows():
        row = {"model": test["model"][0], "token": token, "metric": metric, "top_k": 1, "method": NOISE, "n_test": 0}
        if told := _printed(row):
            rows.append(row | told)
    return pl.DataFrame(rows, schema=schemas.TABLE1)


def _about(row: Row) -> Row:
    names = ("model", "token", "metric", "top_k", "method", "by")
    fitted = row["method"] not in (RANDOM, CAPTION)
    return {name: row[name] for name in names} | {name: row[name] if fitted else None for name in ("k", "seed")}


def _spread(part: pl.DataFrame, draws: Draws) -> Row:
    middle, low, high = draws.mean(part["value"].to_numpy())
    return {"mean": middle, "std": part["value"].std(ddof=0), "low": low, "high": high, "n_test": len(part)}


def _over(part: pl.DataFrame, random: pl.DataFrame, draws: Draws) -> Row:
    if part["method"][0] == RANDOM:
        return {}
    both = part.join(random.select("item", control="value"), on="item", how="inner", maintain_order="left")
    middle, low, high = draws.mean((both["value"] - both["control"]).to_numpy())
    return {"over_random": middle, "over_random_low": low, "over_random_high": high}


def _printed(row: Row) -> Row:
    """The published mean and deviation, which are of the most active concept."""
    known = published()["table1"]
    found = known.get(row["token"], {}).get(row["metric"], {}).get(row["method"]) if row["top_k"] == 1 else None
    return {"published_mean": found[0], "published_std": found[1], "source": known["source"]} if found else {}


def fig3(scored: pl.DataFrame, stored: Mapping[tuple[str, str, str], Stored]) -> pl.DataFrame:
    """`FIG3`: every concept of the main dictionaries beside random words.

    stored   (token, module, method) -> dictionary
    """
    rows = []
    for (token, module, method), one in stored.items():
        own = scored.filter(split="concept", token=token, module=module)
        random = {(row["item"], row["metric"]): row["value"] for row in own.filter(method=RANDOM).iter_rows(named=True)}
        for row in own.filter(method=method).iter_rows(named=True):
            about = {name: row[name] for name in ("model", "token", "metric", "method", "k", "seed", "by")}
            concept = int(row["item"])
            control = {"random": random.get((row["item"], row["metric"])), "grounded": row["value"]}
            rows.append(
                about | control | {"concept": concept, "n": one.images.shape[1], "words": " ".join(one.words[concept])}
            )
    return pl.DataFrame(rows, schema=schemas.FIG3)


def layers(scored: pl.DataFrame, diagnosed: pl.DataFrame, method: str, draws: Draws) -> pl.DataFrame:
    """`LAYERS`: CLIPScore of words by the place of the states; the final norm stands behind the last block."""
    rows = []
    own = scored.filter(split="concept", metric="CS")
    for part in own.filter(method=method).partition_by("token", "module", maintain_order=True):
        first = part.row(0, named=True)
        middle, low, high = draws.mean(part["value"].to_numpy())
        random = own.filter(token=first["token"], module=first["module"], method=RANDOM)["value"].mean()
        about = diagnosed.filter(token=first["token"], module=first["module"], method=method)
        told = {name: first[name] for name in ("model", "token", "module", "method", "k", "seed")}
        told |= {"layer": layer(first["module"], own["module"].unique()), "n": len(part), "random": random}
        rows.append(told | {"clipscore": middle, "low": low, "high": high, "own_word": about["own_word"][0]})
    return pl.DataFrame(rows, schema=schemas.LAYERS).sort("token", "layer", maintain_order=True)


def layer(module: str, modules: Sequence[str]) -> int:
    """Number of a block, and one more than the last for the final norm."""
    numbers = [int(one.partition(".")[2]) for one in modules if one.startswith("block.")]
    return int(module.partition(".")[2]) if module.startswith("block.") else max(numbers, default=-1) + 1


def main_dictionaries(paths: Sequence[str]) -> dict[tuple[str, str, str], Stored]:
    """All main dictionaries of several files, for `fig3`."""
    found = {}
    for path in paths:
        token, main = dictionary_files.recipe(path)["set"], main_module(path)
        for key in dictionary_files.keys(path):
            if key.module == main:
                found[token, key.module, key.method] = dictionary_files.read(path, key)
    return found


def from_files(
    scored: str, *, diagnosed: str, overlaps: str, dictionaries: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, tuple[pl.DataFrame, tables.Schema]]:
    """All tables with their schemas, by the names of the outputs.

    scored, diagnosed, overlaps   tables `SCORED`, `DICTIONARIES`, `OVERLAP`
    dictionaries                  files of dictionaries
    settings                      main, bootstrap, seed
    """
    known = tables.read(scored, schemas.SCORED)
    about = tables.read(diagnosed, schemas.DICTIONARIES)
    draws = Draws(settings["bootstrap"], settings["seed"])
    return {
        "table1": (table1(known, draws), schemas.TABLE1),
        "overlap": (overlap(tables.read(overlaps, schemas.OVERLAP)), schemas.OVERLAP),
        "fig3": (fig3(known, main_dictionaries(dictionaries)), schemas.FIG3),
        "layers": (layers(known, about, settings["main"], draws), schemas.LAYERS),
    }
