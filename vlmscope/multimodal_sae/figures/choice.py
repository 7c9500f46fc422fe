"""Which latents are drawn: those that were steered, and those whose regions agree best with what they stand for."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.figures import cards
from vlmscope.multimodal_sae.schemas import SCORED
from vlmscope.multimodal_sae.score.classes import CLASSES
from vlmscope.multimodal_sae.steer.shares import ROWS
from vlmscope.store import tables

FORMAT = "vlmscope.chosen/1"
TRAINED, UNTRAINED = "trained", "untrained"


def concepts(classes: pl.DataFrame, explanations: pl.DataFrame) -> list[dict[str, Any]]:
    """Latents with what they stand for, best IoU first: words of the masks, or names where there are no masks.

    Every latent and every name occurs once. Keys: latent, name, concept, threshold, iou, low, high, untrained, by.
    """
    best = classes.filter(pl.col("coder") == TRAINED, pl.col("latent").is_not_null())
    found = [_of_word(row, classes) for row in best.iter_rows(named=True)]
    if not found:
        known = explanations.filter(pl.col("coder") == TRAINED, pl.col("iou").is_not_null())
        found = [_of_name(row) for row in known.iter_rows(named=True) if not explain_prompts.refused(row["refined"])]
    latents: dict[int, dict[str, Any]] = {}
    names: set[str] = set()
    for one in sorted(found, key=lambda one: -one["iou"]):
        if one["latent"] not in latents and one["name"] not in names:
            latents[one["latent"]] = one
            names.add(one["name"])
    return list(latents.values())


def _of_word(row: Mapping[str, Any], classes: pl.DataFrame) -> dict[str, Any]:
    beside = classes.filter(pl.col("coder") == UNTRAINED, pl.col("word") == row["word"], pl.col("kind") == row["kind"])
    told = {key: row[key] for key in ("latent", "threshold", "low", "high")}
    untrained = beside["iou"][0] if len(beside) else None
    return {
        **told,
        "iou": row["iou"] or 0.0,
        "name": row["word"],
        "concept": row["kind"],
        "untrained": untrained,
        "by": "masks",
    }


def _of_name(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {"latent": row["latent"], "name": row["refined"], "concept": row["concept"], "by": row["explainer"]}
    return {**told, "threshold": 0.0, "iou": row["iou"], "low": None, "high": None, "untrained": None}


def from_files(categories: str, classes: str, explanations: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is drawn: `steering` and `iou_example`, lists of latents, and `concepts`.

    settings   cards, concepts, examples (multimodal_sae.figures)
    """
    best = concepts(tables.read(classes, CLASSES), tables.read(explanations, SCORED))[: settings["concepts"]]
    return {
        "format": FORMAT,
        "steering": cards.features(tables.read(categories, ROWS), settings["cards"]),
        "concepts": best,
        "iou_example": [one["latent"] for one in best[: settings["examples"]]],
    }
