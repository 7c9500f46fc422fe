"""The measures over the number of neurons, as lines of a figure."""

import polars as pl

from vlmscope.mm_neurons.measures import invariance, semantic, specificity
from vlmscope.store import tables

# A point: which line of its panel it is on; the method tells lines of one name apart.
POINT = ("method", "activation", "k", "line", "value", "ci_low", "ci_high")


def from_files(*, semantic_long: str, region: str, cross: str, specific: str) -> dict[str, pl.DataFrame]:
    """Title of a panel -> its points, columns `POINT`.

    Cross-image invariance is shown for the fewest images that a noun may have.
    """
    match = tables.read(semantic_long, semantic.LONG).filter(measure="match_at_k")
    again, other = tables.read(region, invariance.REGION), tables.read(cross, invariance.CROSS)
    other = other.filter(pl.col("m_images") == pl.col("m_images").min())
    alone = tables.read(specific, specificity.SPECIFICITY)
    return {
        "neurons that write the noun": _points(match, pl.lit(""), "value"),
        "shared after shuffling": _points(again, pl.col("mode"), "overlap"),
        "shared with other pictures": pl.concat(
            [
                _points(other, pl.lit("same noun"), "overlap_same", "same_low", "same_high"),
                _points(other, pl.lit("other noun"), "overlap_diff", "diff_low", "diff_high"),
            ]
        ),
        "not shared in the picture": _points(alone, pl.lit(""), "specificity"),
    }


def _points(table: pl.DataFrame, line: pl.Expr, value: str, low: str = "ci_low", high: str = "ci_high") -> pl.DataFrame:
    return table.select("method", "activation", "k", line=line, value=value, ci_low=low, ci_high=high)
