"""Noise on a noun's neurons and captions without them, beside random ones: intervals over images (mm_neurons.md 6.7).

Every image has one value: the mean over its nouns and draws. Intervals are 95 % bootstrap intervals over images.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope.mm_neurons.measures import similarities
from vlmscope.mm_neurons.measures.semantic import scorers
from vlmscope.mm_neurons.schemas import CAPTIONS, EFFECTS
from vlmscope.stats import Draws
from vlmscope.store import tables

# sigma: null for neurons set to zero. ci_low, ci_high: of noun_gone. *_more: noun_gone, dlogp minus those of as many
# random neurons in the same images; layers_*: minus those of random neurons in the same layers. n: images.
PERTURB = {
    "set": pl.String,
    "activation": pl.String,
    "kind": pl.String,
    "k": pl.Int64,
    "sigma": pl.Float64,
    "noun_gone": pl.Float64,
    "dlogp": pl.Float64,
    "caption_changed": pl.Float64,
    "bertscore": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "n": pl.Int64,
    "paper": pl.Float64,
    "dlogp_low": pl.Float64,
    "dlogp_high": pl.Float64,
    "changed_low": pl.Float64,
    "changed_high": pl.Float64,
    "bertscore_low": pl.Float64,
    "bertscore_high": pl.Float64,
    "gone_more": pl.Float64,
    "gone_more_low": pl.Float64,
    "gone_more_high": pl.Float64,
    "dlogp_more": pl.Float64,
    "dlogp_more_low": pl.Float64,
    "dlogp_more_high": pl.Float64,
    "layers_more": pl.Float64,
    "layers_more_low": pl.Float64,
    "layers_more_high": pl.Float64,
    "layers_dlogp_more": pl.Float64,
    "layers_dlogp_more_low": pl.Float64,
    "layers_dlogp_more_high": pl.Float64,
    "nouns": pl.Int64,
    "draws": pl.Int64,
    "bertscore_by": pl.String,
}
EXAMPLES = {
    "image_id": pl.String,
    "noun": pl.String,
    "original": pl.String,
    "perturbed": pl.String,
    "random": pl.String,
    "activation": pl.String,
    "kind": pl.String,
    "k": pl.Int64,
    "sigma": pl.Float64,
}
SETS = ("contribution", "activation", "gradient", "random", "random_layers")
# Column of the table, that of the effects, and the names of its interval.
MEASURES = {
    "noun_gone": ("gone", "ci"),
    "dlogp": ("dlogp", "dlogp"),
    "caption_changed": ("changed", "changed"),
    "bertscore": ("bertscore", "bertscore"),
}
SIZE = ("kind", "k", "sigma")


def by_image(effects: pl.DataFrame) -> pl.DataFrame:
    """One row per set, size and image: means over nouns and draws, images in their order.

    effects   `EFFECTS` with a column `bertscore`
    """
    means = [pl.col(name).cast(pl.Float64).mean() for name in ("gone", "dlogp", "changed", "bertscore")]
    counted = pl.col("noun").n_unique().alias("nouns"), pl.col("draw").n_unique().alias("draws")
    return effects.group_by("set", "activation", *SIZE, "sample", maintain_order=True).agg(*means, *counted)


def table(effects: pl.DataFrame, by: str, draws: Draws) -> pl.DataFrame:
    """One row per set of neurons and size, `PERTURB`.

    effects   `EFFECTS` with a column `bertscore`, of the new caption and the old one
    by        what gave that score
    """
    images = by_image(effects)
    keys = ("set", "activation", *SIZE)
    parts = dict(images.group_by(*keys, maintain_order=True))
    ordered = sorted(parts, key=_order)
    rows = [{**dict(zip(keys, key, strict=True)), **_row(key, parts, draws)} for key in ordered]
    found = pl.DataFrame(rows, schema={name: kind for name, kind in PERTURB.items() if name != "bertscore_by"})
    return found.with_columns(bertscore_by=pl.lit(by)).select(list(PERTURB))


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Noise by strength and size, then what is set to zero; of each the sets in their order."""
    name, activation, kind, k, sigma = key
    return kind, sigma or 0.0, k, SETS.index(name), activation


def _row(key: tuple[Any, ...], parts: Mapping[tuple[Any, ...], pl.DataFrame], draws: Draws) -> dict[str, Any]:
    own, (name, activation, *size) = parts[key], key
    row: dict[str, Any] = {"n": len(own), "nouns": int(own["nouns"].sum()), "draws": int(own["draws"].max())}
    for column, (measure, interval) in MEASURES.items():
        row |= _means((column, f"{interval}_low", f"{interval}_high"), own[measure].to_numpy(), draws)
    controls = {"gone_more": ("random", "", "gone"), "dlogp_more": ("random", "", "dlogp")}
    controls["layers_more"] = ("random_layers", activation, "gone")
    controls["layers_dlogp_more"] = ("random_layers", activation, "dlogp")
    for column, (control, of, measure) in controls.items():
        other = parts.get((control, of, *size))
        if other is not None and control != name and (control == "random" or name == "contribution"):
            both = own.join(other, on="sample", suffix="_other", maintain_order="left")
            gap = (both[measure] - both[f"{measure}_other"]).to_numpy()
            row |= _means((column, f"{column}_low", f"{column}_high"), gap, draws)
    return row


def _means(names: tuple[str, str, str], values: np.ndarray, draws: Draws) -> dict[str, float]:
    return dict(zip(names, draws.mean(values[~np.isnan(values)]), strict=True))


def examples(effects: pl.DataFrame, captions: pl.DataFrame) -> pl.DataFrame:
    """Captions with the neurons that contribute most changed, and random ones, first draws; one row per size.

    captions   `CAPTIONS`
    """
    first = effects.filter(pl.col("draw") == 0)
    random = first.filter(pl.col("set") == "random").select("sample", "noun", *SIZE, random="caption")
    best = first.filter(pl.col("set") == "contribution")
    joined = best.join(random, on=["sample", "noun", *SIZE], how="left", maintain_order="left", nulls_equal=True)
    joined = joined.join(captions.select("sample", original="caption"), on="sample", maintain_order="left")
    return joined.rename({"sample": "image_id", "caption": "perturbed"}).select(EXAMPLES.keys()).cast(EXAMPLES)


def scored(
    effects: pl.DataFrame, captions: pl.DataFrame, model: str, settings: Mapping[str, Any], device: str = "cpu"
) -> pl.DataFrame:
    """The effects with BERTScore F1 between old and new caption; each pair of texts is compared once."""
    told = effects.join(captions.select("sample", old="caption"), on="sample", maintain_order="left")
    pairs = told.select("old", "caption").unique(maintain_order=True)
    said, meant = (pairs[name].unique(maintain_order=True) for name in ("caption", "old"))
    places = [
        pairs[name].replace_strict(texts, range(len(texts)), return_dtype=pl.Int64).to_numpy()
        for name, texts in (("caption", said), ("old", meant))
    ]
    single, tokenize = similarities.stand_in(model)
    candidates = [(tokenize(text), [text]) for text in said]
    scores = similarities.Scorers(settings, single, tokenize, device=device)
    found = scores.bertscore(similarities.Pairs(candidates, meant.to_list(), np.stack(places, 1)))
    compared = pairs.with_columns(bertscore=pl.Series(found, dtype=pl.Float64).fill_nan(None))
    return told.join(compared, on=["old", "caption"], maintain_order="left").drop("old")


def from_files(
    *, effects: str, captions: str, model: str, settings: Mapping[str, Any]
) -> dict[str, tuple[pl.DataFrame, Mapping[str, Any]]]:
    """Both tables with their schemas.

    settings   mm_neurons.measures
    """
    told = tables.read(captions, CAPTIONS)
    found = scored(tables.read(effects, EFFECTS), told, model, settings)
    draws = Draws(settings["bootstrap"], settings["seed"])
    whole = table(found, scorers(settings)["bertscore"], draws)
    return {"table": (whole, PERTURB), "examples": (examples(found, told), EXAMPLES)}
