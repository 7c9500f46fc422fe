"""Concept catalogue: one row per noun over all images, with the neurons that come back in picture after picture.

Notation as in `sets`: S(x, w, k) the k best neurons of the noun w of image x. A neuron is stable for a noun when it is
in S(x, w, k) of at least half of the noun's images. Definitions are ours (mm_neurons.md 6.4, 9 (d), (g)).

Case does not tell nouns apart. Where the data set knows what its pictures show, images of a noun are divided: those
that show the thing, and those that do not, in which the model has made it up.
"""

from typing import Any

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.look.examples import BAR, Known, flat, words
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.schemas import NEURON_TOKENS, NOUNS
from vlmscope.store import tables

METHOD = "contribution"
KEPT = "kept"
# Share of a noun's images in which a stable neuron is found, at least.
STABLE = 0.5
# One row per noun and activation.
#   k               neurons of each image that are counted
#   images          images whose caption has the noun
#   shown, absent   of these, images that show the thing, and that do not; empty where nobody knows
#   stable          number of stable neurons
#   neurons         those found in most images, first by number of images, then by mean rank
#   absent_neurons  the same over the images that do not show the thing
#   decoding        neurons of the whole model whose decoded tokens hold the noun, strongest first
CATALOGUE = {
    "noun": pl.String,
    "activation": pl.String,
    "k": pl.Int32,
    "images": pl.Int32,
    "shown": pl.Int32,
    "absent": pl.Int32,
    "stable": pl.Int32,
    "neurons": pl.String,
    "absent_neurons": pl.String,
    "decoding": pl.String,
}
# One row per noun, activation and neuron.
#   images          images in which it is among the k best; `share` of the noun's images
#   mean_rank       over these images, counted from 1
#   shown, absent   of these images, those that show the thing, and that do not
#   writes          the noun is among its decoded tokens
NEURONS = {
    "noun": pl.String,
    "activation": pl.String,
    "place": pl.Int32,
    "layer": pl.Int32,
    "unit": pl.Int32,
    "images": pl.Int32,
    "share": pl.Float64,
    "mean_rank": pl.Float64,
    "mean_score": pl.Float64,
    "shown": pl.Int32,
    "absent": pl.Int32,
    "writes": pl.Boolean,
    "tokens": pl.String,
}
GROUP = ["noun", "activation"]


def occurrences(nouns: pl.DataFrame) -> pl.DataFrame:
    """Sample, noun, in_picture of the nouns that were kept, each once per image.

    nouns   `schemas.NOUNS`
    """
    kept = nouns.filter(status=KEPT).select("sample", pl.col("noun").str.to_lowercase(), "in_picture")
    return kept.unique(["sample", "noun"], keep="first", maintain_order=True)


def ranked(path: str, k: int) -> pl.DataFrame:
    """The k best neurons of every noun and image, all activations: columns of `examples.LISTED`, and activation."""
    parts = []
    for activation, methods in lists.about(path)["lists"].items():
        if METHOD in methods:
            found = flat(lists.read(path, activation, METHOD, k))
            parts.append(found.with_columns(pl.col("noun").str.to_lowercase(), activation=pl.lit(activation)))
    if not parts:
        raise VlmscopeError(f"The file has no lists of '{METHOD}'.", where=path, instead="neurons.h5")
    # "Dog" and "dog" of one caption are one noun: the lists of the first are taken.
    whole = pl.concat(parts)
    return whole.unique(["activation", "sample", "noun", "rank"], keep="first", maintain_order=True)


def _seen() -> tuple[pl.Expr, pl.Expr]:
    """Images that show the thing, and that do not; null where of none is known."""
    known = pl.col("in_picture").count() > 0
    shown, absent = pl.col("in_picture").sum(), (~pl.col("in_picture")).sum()
    return pl.when(known).then(shown).alias("shown"), pl.when(known).then(absent).alias("absent")


def counted(best: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Every neuron that is among the k best of a noun in any image: counts, mean rank, share; most images first.

    best   `ranked`
    said   `occurrences`
    """
    both = best.join(said, on=["sample", "noun"])
    images = both.group_by(GROUP).agg(pl.col("sample").n_unique().alias("of"))
    found = both.group_by(*GROUP, "layer", "unit").agg(
        pl.len().alias("images"),
        pl.col("rank").mean().alias("mean_rank"),
        pl.col("score").cast(pl.Float64).mean().round(6).alias("mean_score"),
        *_seen(),
    )
    found = found.join(images, on=GROUP).with_columns(share=pl.col("images") / pl.col("of"))
    order = [*GROUP, "images", "mean_rank", "layer", "unit"]
    found = found.sort(order, descending=[name == "images" for name in order])
    return found.with_columns(pl.int_range(1, pl.len() + 1).over(GROUP).alias("place"))


def decoding(tokens: pl.DataFrame, nouns: pl.DataFrame) -> pl.DataFrame:
    """Noun, layer, unit: neurons of the model with the noun among their decoded tokens, by falling logit.

    nouns   with a column `noun`
    """
    top = tokens.filter(pl.col("end") == "top").with_columns(noun=pl.col("token").str.strip_chars().str.to_lowercase())
    order = ["noun", "logit", "layer", "unit"]
    top = top.join(nouns.select("noun").unique(), on="noun")
    top = top.sort(order, descending=[name == "logit" for name in order])
    # Several tokens may read alike: "dog", " dog", "Dog".
    return top.unique(["noun", "layer", "unit"], keep="first", maintain_order=True)


def named(frame: pl.DataFrame, by: list[str], column: str, most: int) -> pl.DataFrame:
    """The first neurons of each group as the released code prints them, `L2.u33 L0.u5`."""
    names = pl.format("L{}.u{}", "layer", "unit").head(most).str.join(" ")
    return frame.group_by(by, maintain_order=True).agg(names.alias(column))


def catalogue(
    nouns: pl.DataFrame, tokens: pl.DataFrame, best: pl.DataFrame, *, k: int, listed: int
) -> dict[str, pl.DataFrame]:
    """Both tables, `CATALOGUE` and `NEURONS`.

    nouns, tokens   `schemas.NOUNS`, `schemas.NEURON_TOKENS`
    best            `ranked`
    k               best neurons of an image that were counted
    listed          neurons per noun
    """
    said = occurrences(nouns)
    every, absent = counted(best, said), counted(best, said.filter(~pl.col("in_picture")))
    summed = said.group_by("noun").agg(pl.len().alias("images"), *_seen())
    rows = best.select("activation").unique().join(summed, how="cross").with_columns(k=pl.lit(k))
    for part in (
        every.group_by(GROUP).agg(stable=(pl.col("share") >= STABLE).sum()),
        named(every, GROUP, "neurons", listed),
        named(absent, GROUP, "absent_neurons", listed),
        named(decoding(tokens, summed), ["noun"], "decoding", listed),
    ):
        rows = rows.join(part, on=[name for name in GROUP if name in part.columns], how="left")
    return {
        "catalogue": _ordered(rows, CATALOGUE, GROUP),
        "neurons": _with_words(every.filter(pl.col("place") <= listed), tokens),
    }


def _with_words(rows: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    writes = decoding(tokens, rows).select("noun", "layer", "unit", writes=True)
    found = rows.join(words(tokens), on=["layer", "unit"], how="left").join(writes, on=writes.columns[:3], how="left")
    found = found.with_columns(pl.col("tokens").list.join(BAR), pl.col("writes").fill_null(False))
    return _ordered(found, NEURONS, [*GROUP, "place"])


def _ordered(frame: pl.DataFrame, schema: dict[str, Any], order: list[str]) -> pl.DataFrame:
    return frame.sort(order).select(schema.keys()).cast(schema)


def from_files(*, nouns: str, tokens: str, neurons: str, settings: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Both tables from the files of a model.

    settings   k, listed
    """
    best = ranked(neurons, settings["k"])
    return catalogue(tables.read(nouns, NOUNS), tables.read(tokens, NEURON_TOKENS), best, **settings)


def page(found: dict[str, pl.DataFrame], tokens: pl.DataFrame) -> dict[str, Any]:
    """Both tables as plain lists: every noun with its neurons by activation; nouns of most images first.

    tokens   `schemas.NEURON_TOKENS`
    """
    known = Known(tokens)
    nouns: dict[str, dict[str, Any]] = {}
    for row in found["catalogue"].sort("images", "noun", descending=[True, False]).iter_rows(named=True):
        about = {key: row[key] for key in ("noun", "images", "shown", "absent", "decoding")}
        own = {"stable": row["stable"], "absent": row["absent_neurons"], "neurons": []}
        nouns.setdefault(row["noun"], about | {"by": {}})["by"][row["activation"]] = own
    for row in found["neurons"].iter_rows(named=True):
        counts = [
            row["images"],
            round(row["mean_rank"], 2),
            float(f"{row['mean_score']:.4g}"),
            row["shown"],
            row["absent"],
        ]
        place = known.place(row["layer"], row["unit"])
        nouns[row["noun"]]["by"][row["activation"]]["neurons"].append([place, *counts])
    kinds = found["catalogue"]["activation"].unique().sort().to_list()
    k = found["catalogue"]["k"].max()
    return {"activations": kinds, "k": k, "nouns": list(nouns.values()), "neurons": known.rows()}
