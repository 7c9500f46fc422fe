"""Tables of steering as the paper has them, with what random directions do and what was published (xl_vlms.md 7)."""

import importlib.resources
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.stats import Draws
from vlmscope.store import tables
from vlmscope.xl_vlms.sets.vectors import opened
from vlmscope.xl_vlms.steer import effects as steer_effects
from vlmscope.xl_vlms.steer.plan import ABLATIONS
from vlmscope.xl_vlms.steer.schemas import CONTROLS, EFFECTS, PAPER, STEER, STEERED

# What one steers with: columns that a control shares with its vector.
PLACE = ["vector", "block", "alpha", "positions", "start"]


def published(model: str) -> dict[str, dict[str, Any]]:
    """Rows of table 2 of the paper, by name; nothing for a model that it does not report."""
    text = importlib.resources.files("vlmscope.xl_vlms.steer").joinpath("published.toml").read_text("utf-8")
    told = tomllib.loads(text)
    return told["table2"] if told["model"] == model else {}


def from_files(*, steered: str, samples: str, model: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """Effects of every condition, `EFFECTS`, from the answers and the questions.

    settings   vectors (xl_vlms.vectors), bootstrap, seed
    """
    rows = tables.read(steered, STEERED)
    asked = steer_effects.questions(samples, rows.filter(condition=0)["sample"].to_list())
    draws = Draws(settings["bootstrap"], settings["seed"])
    found = steer_effects.effects(rows, asked, steer_effects.aims(settings["vectors"], asked), draws)
    return found.with_columns(model=pl.lit(model))


def beside_controls(effects: pl.DataFrame, vectors: Mapping[str, Any], last: int) -> pl.DataFrame:
    """Vectors and gated vectors with the mean of their controls and published numbers, `STEER`; no steering first.

    last   number of the last block, behind which the paper steers
    """
    shown = effects.filter(pl.col("kind").is_in(["none", "vector", "gated"]))
    for kind in ("random", "shuffled"):
        shown = shown.join(_control(effects, kind), on=PLACE, how="left")
    higher = _above(effects, shown)
    methods = {name: one["method"] + ("-orthogonal" if one["without"] else "") for name, one in vectors.items()}
    shown = shown.with_columns(
        above_random=pl.Series(higher, dtype=pl.Float64),
        method=pl.col("vector").replace_strict(methods, default=""),
    )
    paper = [_paper(row, vectors, last) for row in shown.iter_rows(named=True)]
    named = [f"paper_{name}" for name in PAPER]
    told = pl.DataFrame(paper, schema={name: STEER[name] for name in (*named, "source")})
    return pl.concat([shown, told], how="horizontal").select(list(STEER)).cast(STEER)


def _control(effects: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Means over the draws of a control."""
    means = [pl.col(name).cast(pl.Float64).mean().alias(f"{kind}_{name}") for name in CONTROLS]
    count = pl.len().cast(pl.Int64).alias(f"{kind}_draws")
    return effects.filter(kind=kind).group_by(PLACE, maintain_order=True).agg(*means, count)


def _above(effects: pl.DataFrame, shown: pl.DataFrame) -> list[float | None]:
    """Share of random draws whose wanted answer became less frequent than the vector's."""
    drawn = effects.filter(kind="random").group_by(PLACE, maintain_order=True).agg(pl.col("d_wanted"))
    known = {tuple(row[name] for name in PLACE): row["d_wanted"] for row in drawn.iter_rows(named=True)}
    found = []
    for row in shown.iter_rows(named=True):
        others = known.get(tuple(row[name] for name in PLACE), [])
        comparable = row["d_wanted"] is not None and others
        found.append(sum(one < row["d_wanted"] for one in others) / len(others) if comparable else None)
    return found


def _paper(row: Mapping[str, Any], vectors: Mapping[str, Any], last: int) -> dict[str, Any]:
    """Published numbers that this row repeats: the same sort of vector, behind the last block, at strength 1."""
    if row["kind"] == "none":
        key = "none"
    elif row["kind"] == "vector" and row["block"] == last and row["alpha"] == 1:
        key = vectors[row["vector"]]["like"]
    else:
        key = ""
    known = published(row["model"]).get(key, {})
    return {f"paper_{name}": known.get(name) for name in PAPER} | {"source": known.get("source", "")}


def by_task(effects: pl.DataFrame, vectors: Mapping[str, Any], numbered: str) -> dict[str, pl.DataFrame]:
    """The tables `type`, `targeted` and `extra`, `STEER`; extra are gates, concepts, right angles and sums.

    numbered   a file of vectors of the model, which tells how many blocks it has
    """
    with opened(numbered) as file:
        shown = beside_controls(effects, vectors, int(file.attrs["layers"]) - 1)
    tasks = {name: one["task"] for name, one in vectors.items()}
    is_extra = (pl.col("kind") == "gated") | (~pl.col("method").is_in(["shift_of_means", "imported", ""]))
    task, none = pl.col("vector").replace_strict(tasks, default=""), pl.col("kind") == "none"
    # Vectors that others in the table are variants of stand beside them.
    varied = [name for name, one in vectors.items() if one["gate"]] + [
        part for one in vectors.values() for part in (*one["parts"], *one["without"])
    ]
    return {
        "type": shown.filter(none | ((task == "type") & ~is_extra)),
        "targeted": shown.filter(none | ((task == "targeted") & ~is_extra)),
        "extra": shown.filter(none | is_extra | pl.col("vector").is_in(varied)),
    }


def ablation(effects: pl.DataFrame, what: str, model: str) -> pl.DataFrame:
    """Rows in which one thing is varied, `EFFECTS`, in rising order, no steering first."""
    rows = effects.filter(kind=what)
    if not len(rows):
        raise VlmscopeError(
            f"Nothing was varied for the model '{model}' ({what}).",
            where="xl_vlms.steer.sweep",
            instead=f"models: [{model}], and something to vary",
        )
    order = {"n": ["n_samples", "draw"], "layer": ["block"], "alpha": ["alpha"], "tokens": ["condition"]}[what]
    return pl.concat([effects.filter(kind="none"), rows.sort("vector", *order, maintain_order=True)])


def ablations(path: str, model: str) -> dict[str, pl.DataFrame]:
    """All of them by what is varied, from a table of effects."""
    effects = tables.read(path, EFFECTS)
    return {what: ablation(effects, what, model) for what in ABLATIONS}


def write_ablations(varied: Mapping[str, pl.DataFrame], targets: Sequence[str]) -> None:
    """Write tables of what is varied to targets in the same order."""
    for frame, target in zip(varied.values(), targets, strict=True):
        tables.write(frame, target, EFFECTS)


def over_models(paths: Sequence[str], vectors: Mapping[str, Any]) -> pl.DataFrame:
    """The rows of all models for vectors that repeat the paper's, at strength 1, `STEER`."""
    repeated = [name for name, one in vectors.items() if one["like"]]
    joined = pl.concat(tables.read(path, STEER) for path in paths)
    at_one = (pl.col("kind") == "vector") & (pl.col("alpha") == 1) & pl.col("vector").is_in(repeated)
    return joined.filter((pl.col("kind") == "none") | at_one)


def write_all(effects: pl.DataFrame, shown: Mapping[str, pl.DataFrame], targets: Any) -> None:
    """Write the effects and the tables of `by_task` to the targets of their names."""
    tables.write(effects, targets["effects"], EFFECTS)
    for name, frame in shown.items():
        tables.write(frame, targets[name], STEER)
