"""Local interpretation: held-out samples, each by its most active concepts (xl_vlms.md 2.6)."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope import samples as sample_table
from vlmscope.store import tables
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries import schemas
from vlmscope.xl_vlms.pages.gallery import key_of
from vlmscope.xl_vlms.pages.parts import RANDOM, Numbered, Page, concepts, rounded


def strongest(activations: np.ndarray, count: int) -> list[list[Any]]:
    """Numbers and activations of the most active concepts of a sample, most active first; inactive ones left out.

    activations   float [K]
    """
    order = np.argsort(-activations, kind="stable")[:count]
    return [[int(one), rounded(float(activations[one]))] for one in order if activations[one] > 0]


def scored_by(scored: pl.DataFrame, method: str) -> dict[str, dict[str, float | None]]:
    """Metric -> score of every held-out sample by the words of its most active concept.

    scored   `SCORED`, rows of one set
    """
    own = scored.filter(split="test", method=method, top_k=1)
    found: dict[str, dict[str, float | None]] = {}
    for sample, metric, value in own.select("item", "metric", "value").iter_rows():
        found.setdefault(sample, {})[metric] = rounded(value)
    return found


def references(path: str) -> dict[str, str]:
    """First caption of samples that have captions."""
    found = {}
    for one in sample_table.read(path):
        answer = json.loads(one.answer)
        if isinstance(answer, dict) and answer.get("captions"):
            found[one.sample] = answer["captions"][0]
    return found


def from_files(path: str, *, scored: str, samples: str, raw: str, settings: Mapping[str, Any]) -> Page:
    """Held-out samples of a set by the concepts of the main method.

    path       dictionaries of the set
    scored     table `SCORED`
    samples    sample table, for captions
    raw        manifest of the pictures
    settings   method; samples: how many, the first ones; strongest: concepts per sample
    """
    key, sides = key_of(path, settings["method"]), dictionary_files.sides(path)
    about, pictures = dictionary_files.recipe(path), Numbered()
    one, test = dictionary_files.read(path, key), sides["test"]
    values = tables.read(scored, schemas.SCORED).filter(token=about["set"])
    own, random = (scored_by(values, method) for method in (key.method, RANDOM))
    captions = references(samples)
    shown = [
        {
            "sample": name,
            "picture": pictures.place(test.images[row]),
            "text": test.texts[row],
            "reference": captions.get(name),
            "concepts": strongest(one.held_out[row], settings["strongest"]),
            "scores": {
                metric: [value, random.get(name, {}).get(metric)] for metric, value in own.get(name, {}).items()
            },
        }
        for row, name in enumerate(test.samples[: settings["samples"]])
    ]
    data = {
        **{"model": about["model"], "set": about["set"], **key._asdict(), "n_test": len(test.samples)},
        "concepts": concepts(one, sides["train"], pictures),
        "samples": shown,
    }
    return Page.below(raw, data, pictures)
