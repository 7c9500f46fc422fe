"""What goes with an object: concepts, latents and neurons without its tokens, or where the answer is blind for them.

Every change stands beside that under as many other tokens of the same picture; intervals are over pictures.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from vlmscope import stats
from vlmscope.atlas.schemas import CLEAN, CONTROLS, RECORDS
from vlmscope.store import tables

# One row per kind of thing, place and condition; `all` words and names: means over them within each picture.
#   clean        mean in the untouched picture; change: under the condition less that, with its interval
#   control      change under as many other tokens; difference: of both, with its interval; p of random signs
#   lost         share of the clean mean that is gone, where that is above zero
DESTROYED = {
    "kind": pl.String,
    "belongs": pl.String,
    "word": pl.String,
    "name": pl.String,
    "depth": pl.Int32,
    "place": pl.String,
    "condition": pl.String,
    "clean": pl.Float64,
    "change": pl.Float64,
    "change_low": pl.Float64,
    "change_high": pl.Float64,
    "control": pl.Float64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "p": pl.Float64,
    "lost": pl.Float64,
    "n": pl.Int64,
}
NOTES = (
    "condition blocked: the last position may not look at the object in any block; everything else stays as it is.",
    "concept: 0 where the other words' states are on average and 1 where the word's own are; latents and neurons in "
    "units of their own, neurons turned so that above zero writes the word.",
    "The question is answered by the word; only pictures whose untouched answer is right are read.",
)
ALL = "all"
WHAT = ("kind", "belongs", "word", "name", "depth", "place")
DIGITS = 6


def table(records: pl.DataFrame, draws: stats.Draws) -> pl.DataFrame:
    """All rows, `DESTROYED`.

    records   `schemas.RECORDS`
    """
    wide = records.pivot("condition", index=["sample", *WHAT], values="value", maintain_order=True)
    rows = [row for part in _parts(wide) for row in _rows(part, draws)]
    numbers = [name for name, kind in DESTROYED.items() if kind == pl.Float64]
    return pl.DataFrame(rows, schema=DESTROYED).with_columns(pl.col(numbers).fill_nan(None).round(DIGITS))


def _parts(wide: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Rows of every picture as they are summed up: over all names, word by word, name by name."""
    own = wide.filter(pl.col("belongs") == "own")
    yield _averaged(wide.filter(pl.col("kind") != "domain"), word=ALL, name=ALL)
    yield _averaged(wide.filter(pl.col("kind") == "domain"), word=ALL)
    yield _averaged(own, name=ALL)
    yield own.filter(pl.col("kind").is_in(["latent", "neuron"]), pl.col("place") == "last")


def _averaged(wide: pl.DataFrame, **instead: str) -> pl.DataFrame:
    """Means within each picture over what is put together."""
    told = wide.with_columns(pl.lit(value).alias(name) for name, value in instead.items())
    return told.group_by("sample", *WHAT, maintain_order=True).mean()


def _rows(part: pl.DataFrame, draws: stats.Draws) -> Iterator[dict[str, Any]]:
    for what, own in part.group_by(*WHAT, maintain_order=True):
        clean = own[CLEAN].to_numpy()
        for condition, control in CONTROLS.items():
            change, beside = (own[name].to_numpy() - clean for name in (condition, control))
            mean, low, high = draws.mean(change)
            difference = draws.mean(change - beside)
            yield {
                **dict(zip(WHAT, what, strict=True)),
                **{"condition": condition, "clean": float(clean.mean()), "control": float(beside.mean())},
                **{"change": mean, "change_low": low, "change_high": high},
                **dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True)),
                "p": stats.sign_flip(change - beside, *draws),
                "lost": -mean / float(clean.mean()) if clean.mean() > 0 else None,
                "n": len(own),
            }


def from_files(records: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """The table from the records of a model.

    settings   bootstrap, seed
    """
    return table(tables.read(records, RECORDS), stats.Draws(settings["bootstrap"], settings["seed"]))
