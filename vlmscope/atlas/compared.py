"""Ways to steer beside each other, at equal effect and over strength."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.atlas.schemas import STEERED
from vlmscope.store import tables

# One row per word and way on held-out pictures, at the strength that was matched on others; draws are averaged first.
#   kl_typical    geometric mean, which was matched; kl: plain mean, which shows how unequal pictures are
#   gain          rise of log p of the word; says: share of pictures where it becomes the answer
#   loss          fall of log p of right answers about other objects; right: share still right, beside right_clean
#   beyond        gain above that of random directions (neurons: random neurons; edits: random ones), picture by picture
STEERING = {
    "word": pl.String,
    "method": pl.String,
    "n": pl.Int64,
    "strength": pl.Float64,
    "kl_typical": pl.Float64,
    "kl": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "says": pl.Float64,
    "loss": pl.Float64,
    "loss_low": pl.Float64,
    "loss_high": pl.Float64,
    "right": pl.Float64,
    "right_clean": pl.Float64,
    "control": pl.String,
    "beyond": pl.Float64,
    "beyond_low": pl.Float64,
    "beyond_high": pl.Float64,
    "p": pl.Float64,
}
# The same over strength, on the pictures that strengths are matched on, all words together.
DOSE = {
    "method": pl.String,
    "strength": pl.Float64,
    "kl_typical": pl.Float64,
    "gain": pl.Float64,
    "loss": pl.Float64,
    "says": pl.Float64,
    "right": pl.Float64,
}
NOTES = (
    "Equal effect: the same geometric mean of the next token's divergence on pictures apart, in nats "
    "(atlas.steer.kl); what it came to on the held-out ones stands beside.",
    "Strength is in lengths of a mean state; of neurons in units of what they are above usual where they write; "
    "of edits in margins that the word lacks against the picture's own answer.",
    "Every position of the prompt is changed. Answers are single tokens: nothing is written on.",
)
CONTROL = {"neurons": "random neurons", "edit": "random edit", "edit elsewhere": "random edit"}
ALL, RANDOM = "all", "random"
DIGITS = 6
VALUES = ("strength", "log_kl", "kl", "gain", "says", "loss", "right", "right_clean")


def table(steered: pl.DataFrame, draws: stats.Draws) -> pl.DataFrame:
    """Every way at equal effect, `STEERING`; all words first.

    steered   `schemas.STEERED`
    """
    held = _logged(steered.filter(stage="held_out"))
    # A picture may be steered to several words: it counts once among all of them.
    parts = [(ALL, held), *((word, part) for (word,), part in held.group_by("word", maintain_order=True))]
    rows = [row for word, part in parts for row in _rows(word, part, draws)]
    numbers = [name for name, kind in STEERING.items() if kind == pl.Float64]
    return pl.DataFrame(rows, schema=STEERING).with_columns(pl.col(numbers).fill_nan(None).round(DIGITS))


def _logged(steered: pl.DataFrame) -> pl.DataFrame:
    return steered.with_columns(log_kl=pl.col("kl").clip(1e-6).log(), says=pl.col("says").cast(pl.Float64))


def _rows(word: str, part: pl.DataFrame, draws: stats.Draws) -> Iterator[dict[str, Any]]:
    every = part.group_by("method", "sample", maintain_order=True).agg(pl.col(*VALUES).mean())
    groups = {method: own.sort("sample") for (method,), own in every.group_by("method", maintain_order=True)}
    for method, own in groups.items():
        control = CONTROL.get(method, RANDOM)
        row = {"word": word, "method": method, "n": len(own), "kl_typical": float(np.exp(own["log_kl"].mean()))}
        row |= {name: own[name].mean() for name in ("strength", "kl", "says", "right", "right_clean")}
        for name in ("gain", "loss"):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), draws.mean(own[name].to_numpy()), strict=True))
        if not method.startswith(RANDOM):
            both = own.join(groups[control], on="sample", suffix="_random", maintain_order="left")
            more = (both["gain"] - both["gain_random"]).to_numpy()
            row |= dict(zip(("beyond", "beyond_low", "beyond_high"), draws.mean(more), strict=True))
            row |= {"control": control, "p": stats.sign_flip(more, *draws)}
        yield dict.fromkeys(STEERING) | row


def dose(steered: pl.DataFrame) -> pl.DataFrame:
    """Means over words, draws and pictures at the strengths of the grid, `DOSE`."""
    tried = _logged(steered.filter(stage="tried"))
    words = tried.group_by("method", "draw", "strength").agg(pl.col("word").n_unique())
    # What was tried once more has a strength of its own for every word.
    grid = words.filter(pl.col("word") == tried["word"].n_unique()).select("strength").unique()
    own = tried.join(grid, on="strength", how="semi")
    found = own.group_by("method", "strength", maintain_order=True).agg(
        pl.col("log_kl").mean().exp().alias("kl_typical"), pl.col("gain", "loss", "says", "right").mean()
    )
    numbers = [name for name, kind in DOSE.items() if kind == pl.Float64]
    return found.sort("method", "strength").select(*DOSE).with_columns(pl.col(numbers).round(DIGITS))


def from_files(steered: str, settings: Mapping[str, Any]) -> dict[str, tuple[pl.DataFrame, Any]]:
    """`table` and `dose` from the records of a model.

    settings   bootstrap, seed
    """
    found = tables.read(steered, STEERED)
    draws = stats.Draws(settings["bootstrap"], settings["seed"])
    return {"table": (table(found, draws), STEERING), "dose": (dose(found), DOSE)}
