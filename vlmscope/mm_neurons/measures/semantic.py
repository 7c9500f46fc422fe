"""Do a word's neurons write words like it? (mm_neurons.md 6.1; ours). Notation as in `sets`.

For every neuron of S(x, w, k) its decoded tokens are compared with a reference: the noun, the caption that holds it, or
that of the dataset. Mean over neurons, then over the nouns of an image, then over images. With `ends: signed` the
tokens of a neuron that was active below zero are those at its lower end, which it raised; with `top` the upper ones.
    match_at_k    share of the neurons that have the noun, in any case and number, among their tokens
    match_top     the same by the upper end alone, whatever `ends`
    match_token   share that have the very token that the noun was scored with; nouns of several pieces count too
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.metrics.text import forms
from vlmscope.mm_neurons.measures import sets
from vlmscope.mm_neurons.measures.sets import Sets
from vlmscope.mm_neurons.rank.lists import Kind
from vlmscope.mm_neurons.schemas import CAPTIONS, NEURON_TOKENS, NOUNS, SIMILARITIES
from vlmscope.stats import Draws
from vlmscope.store import tables

# ci_low and ci_high belong to match_at_k, which is about nouns alone; the other scores have theirs in the long table.
# n: images. *_by: name of the scoring model's folder, or of the offline stand-in that filled the column.
SEMANTIC = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    "ref": pl.String,
    "bertscore": pl.Float64,
    "moverscore": pl.Float64,
    "bleurt": pl.Float64,
    "match_at_k": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "n": pl.Int64,
    "paper": pl.Float64,
    "bertscore_by": pl.String,
    "moverscore_by": pl.String,
    "bleurt_by": pl.String,
    "ends": pl.String,
    "match_top": pl.Float64,
    "top_low": pl.Float64,
    "top_high": pl.Float64,
}
# One row per measure: all of `SEMANTIC`, and match_token; nouns: sets behind it.
LONG = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    "ref": pl.String,
    "measure": pl.String,
    "by": pl.String,
    "value": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "n": pl.Int64,
    "nouns": pl.Int64,
}
SCORES = ("bertscore", "moverscore", "bleurt")
STAND_INS = {
    "bertscore": "stand_in_embedding_f1",
    "moverscore": "stand_in_embedding_mover",
    "bleurt": "stand_in_embedding_cosine",
}
# What decoded tokens are compared with, and the column that holds it.
REFERENCES = {"noun": "noun", "caption": "caption", "dataset": "reference"}
MATCHES = ("match_at_k", "match_top", "match_token")


def scorers(settings: Mapping[str, Any]) -> dict[str, str]:
    """What gives each score: the name of the model's folder, or of the stand-in.

    settings   bertscore, moverscore, bleurt: folders, empty for the stand-in
    """
    return {name: Path(settings[name]).name if settings[name] else STAND_INS[name] for name in SCORES}


# ---- match -------------------------------------------------------------------------------------------------------


def writers(tokens: pl.DataFrame, nouns: Iterable[str]) -> dict[str, np.ndarray]:
    """Noun -> numbers of the ends of neurons that have it among their tokens, in any case and number.

    tokens    `schemas.NEURON_TOKENS`
    returns   int64, ascending; see `sets.LOWER`
    """
    spelt = {text: forms(text) for text in tokens["token"].unique()}
    found = {}
    for noun in set(nouns):
        wanted = forms(noun)
        texts = [text for text, known in spelt.items() if known & wanted]
        found[noun] = _ends(tokens.filter(pl.col("token").is_in(texts)))
    return found


def writers_of_tokens(tokens: pl.DataFrame, wanted: Iterable[int]) -> dict[int, np.ndarray]:
    """Token -> numbers of the ends of neurons that have it among their tokens; int64, ascending."""
    parts = tokens.filter(pl.col("token_id").is_in(set(wanted))).partition_by("token_id", as_dict=True)
    return {token: _ends(parts[token,]) if (token,) in parts else np.zeros(0, np.int64) for token in set(wanted)}


def _ends(rows: pl.DataFrame) -> np.ndarray:
    return rows.select(sets.end()).to_series().unique().sort().to_numpy()


def matches(chosen: Sets, having: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each neuron of a row is one of those that count: float64 [row, keep].

    having   per row, numbers of ends
    """
    rows = [np.isin(row, one) for row, one in zip(chosen.neurons, having, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(chosen.neurons.shape)


def scored(chosen: Sets, references: Sequence[str | None], known: pl.DataFrame) -> dict[str, np.ndarray]:
    """Scores of every neuron against its row's reference: name -> float64 [row, keep], NaN where not known.

    known   `schemas.SIMILARITIES` of one kind of reference
    """
    rows, keep = chosen.neurons.shape
    asked = pl.DataFrame(
        {
            "neuron": chosen.neurons.ravel(),
            "reference": pl.Series(references, dtype=pl.String).gather(np.repeat(np.arange(rows), keep)),
        },
        schema={"neuron": pl.Int64, "reference": pl.String},
    )
    found = asked.join(known, on=["neuron", "reference"], how="left", maintain_order="left")
    return {name: found[name].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(rows, keep) for name in SCORES}


# ---- tables ------------------------------------------------------------------------------------------------------


def measured(values: np.ndarray, images: np.ndarray, k: int, draws: Draws) -> dict[str, Any]:
    """Mean of the k best of every row, over images, with its interval and counts.

    values   float64 [row, keep]; NaN where not known
    """
    if k > values.shape[1]:
        return {"n": 0, "nouns": 0}
    part = values[:, :k]
    known = ~np.isnan(part)
    counts = known.sum(axis=1)
    means = np.divide(np.where(known, part, 0).sum(axis=1), counts, out=np.full(len(part), np.nan), where=counts > 0)
    own = sets.by_image(means, images)
    middle, low, high = draws.mean(own)
    return {"value": middle, "ci_low": low, "ci_high": high, "n": len(own), "nouns": int((counts > 0).sum())}


def rows(
    kind: Kind,
    ref: str,
    images: np.ndarray,
    values: Mapping[str, np.ndarray],
    *,
    sizes: Sequence[int],
    by: Mapping[str, str],
    draws: Draws,
) -> list[dict[str, Any]]:
    """Rows of `LONG` of one activation, method and kind of reference.

    values   measure -> float64 [row, keep]
    by       score -> what gave it
    """
    return [
        {
            "method": kind[1],
            "activation": kind[0],
            "k": k,
            "ref": ref,
            "measure": name,
            "by": by.get(name, "decoded tokens"),
            **measured(one, images, k, draws),
        }
        for k in sizes
        for name, one in values.items()
    ]


def wide(long: pl.DataFrame, by: Mapping[str, str], ends: str) -> pl.DataFrame:
    """Table `SEMANTIC` from `LONG`: a column per score; n is that of the match, or of the scores without one."""
    keys = ["method", "activation", "k", "ref"]
    found = []
    for part in long.partition_by(*keys, maintain_order=True):
        of = {row["measure"]: row for row in part.iter_rows(named=True)}
        match, top = of.get("match_at_k", {}), of.get("match_top", {})
        found.append(
            {
                **{key: part[key][0] for key in keys},
                **{name: of.get(name, {}).get("value") for name in SCORES},
                "match_at_k": match.get("value"),
                "ci_low": match.get("ci_low"),
                "ci_high": match.get("ci_high"),
                "n": match.get("n", of.get("bertscore", {}).get("n")),
                **{f"{name}_by": by[name] for name in SCORES},
                "ends": ends,
                "match_top": top.get("value"),
                "top_low": top.get("ci_low"),
                "top_high": top.get("ci_high"),
            }
        )
    return pl.DataFrame(found, schema=SEMANTIC)


def from_files(
    paths: Sequence[str], *, captions: str, nouns: str, tokens: str, similarities: str, settings: Mapping[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables `SEMANTIC` and `LONG` of all activations and methods.

    paths      files of lists
    settings   k, ends, references, texts (neurons per noun whose texts were scored), bertscore, moverscore, bleurt,
               bootstrap, seed
    """
    decoded, known = tables.read(tokens, NEURON_TOKENS), tables.read(similarities, SIMILARITIES)
    written, kept = tables.read(captions, CAPTIONS), tables.read(nouns, NOUNS).filter(status="kept")
    by, draws, found = scorers(settings), Draws(settings["bootstrap"], settings["seed"]), []
    having, of_token = writers(decoded, kept["noun"]), writers_of_tokens(decoded, kept["token"])
    pieces = {(row["sample"], row["noun"]): row["token"] for row in kept.iter_rows(named=True)}
    texts = {row["sample"]: row for row in written.iter_rows(named=True)}
    every = {"sizes": settings["k"], "by": by, "draws": draws}
    for kind, listed in sets.read(paths, max(settings["k"])).items():
        chosen = listed.ends(settings["ends"])
        few = replace(chosen, neurons=chosen.best(settings["texts"]))
        for ref in settings["references"]:
            told = [{**texts[image], "noun": noun}[REFERENCES[ref]] for image, noun in few.keys]
            values = scored(few, told, known.filter(ref=ref).drop("ref"))
            if ref == "noun":
                said = [having[noun] for _, noun in chosen.keys]
                values["match_at_k"], values["match_top"] = matches(chosen, said), matches(listed, said)
                values["match_token"] = matches(chosen, [of_token[pieces[key]] for key in chosen.keys])
            found += rows(kind, ref, chosen.images, values, **every)
    long = sets.frame(found, LONG)
    return wide(long, by, settings["ends"]), long
