"""How well names fit the texts that excite their latents: ratings of 0 to 3 (multimodal_sae.md 2.10), beside controls.

Names were made from one half of the texts; pieces of the other half are rated.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain.naming import Talker
from vlmscope.multimodal_sae.schemas import TEXT_SCORED as SCORED
from vlmscope.multimodal_sae.score.fit import shuffled
from vlmscope.multimodal_sae.text import naming, prompts
from vlmscope.multimodal_sae.text.pieces import HELD_OUT, Pieces, Read
from vlmscope.session import progress
from vlmscope.stats import Draws
from vlmscope.store import tables as stored

# Texts per request, as released.
TOGETHER = 5
MATCH = "match"
RUBRIC = {
    "coder": pl.String,
    "explainer": pl.String,
    "judge": pl.String,
    "what": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n_features": pl.Int64,
    "n_refused": pl.Int64,
}
NOTES = (
    "Ratings are of pieces of texts that the name was not made from; `more` is what the own name has over another's.",
    "The judge `match` is a stand-in: three times the share of the marked tokens that the name has, rounded.",
    "No ratings of the published autoencoder are known.",
)


class Judge(Protocol):
    """Rates texts."""

    def rate(self, read: Read, text: str) -> list[int]:
        """0 to 3 for every piece; nothing where it cannot be told."""
        ...


class Match:
    """Compares the name with the marked tokens: an offline stand-in."""

    def rate(self, read: Read, text: str) -> list[int]:
        """Three times the share of the marked tokens that the name has."""
        named = set(re.findall(r"\S+", text.lower()))
        said = [read.words(piece) for piece in read.pieces]
        return [round(prompts.HIGHEST * np.mean([one in named for one in own])) if own else 0 for own in said]


class Asked:
    """A model that reads the name and the texts."""

    def __init__(self, talker: Talker) -> None:
        self.talker = talker

    def rate(self, read: Read, text: str) -> list[int]:
        """What it answers."""
        said = self.talker.say("", [prompts.rating(read, text)], 8 * len(read.pieces))
        return prompts.ratings(said, len(read.pieces))


def from_files(
    caches: Mapping[str, str], labels: str, settings: Mapping[str, Any], talkers: Callable[[str], Talker | None]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables `SCORED` and `RUBRIC` of names.

    caches     name of the autoencoder -> cache of texts
    settings   multimodal_sae.explain_texts, and who judges
    """
    named = stored.read(labels, naming.LABELS)
    talker = talkers("judge")
    judge: Judge = Match() if talker is None else Asked(talker)
    found: list[dict[str, Any]] = []
    for coder, path in caches.items():
        with cache_files.opened(path) as cache:
            pieces = naming.chooser(cache, settings)
            for _, some in named.filter(coder=coder).group_by("explainer", maintain_order=True):
                found += _rows(some, pieces, judge, settings["seed"])
    table = pl.DataFrame(found, schema=SCORED)
    by = MATCH if talker is None else settings["judge"]["model"]
    return table, summary(table, by, Draws(settings["resamples"], settings["seed"]))


def _rows(named: pl.DataFrame, pieces: Pieces, judge: Judge, seed: int) -> list[dict[str, Any]]:
    """Rows of `SCORED` of one explainer; nothing is rated of a refusal."""
    rows = named.to_dicts()
    others = shuffled([row["refined"] for row in rows], seed)
    return [
        _row(row, other, pieces, judge)
        for row, other in progress(list(zip(rows, others, strict=True)), len(rows), "names")
    ]


def _row(row: Mapping[str, Any], other: str, pieces: Pieces, judge: Judge) -> dict[str, Any]:
    told = {name: row[name] for name in ("coder", "explainer", "latent", "explanation", "refined")}
    told |= {"density": pieces.density(row["latent"]), "promoted": json.dumps(row["promoted"], ensure_ascii=False)}
    if explain_prompts.refused(row["refined"]):
        return told
    read = pieces.read(row["latent"], HELD_OUT)
    rated = rates(judge, read, row["refined"])
    of_other = rates(judge, read, other) if other else []
    told |= {"rubric": mean(rated), "rubric_shuffled": mean(of_other)}
    return told | {"rated": len(rated), "unclear": len(read.pieces) - len(rated)}


def rates(judge: Judge, read: Read, text: str) -> list[int]:
    """Ratings of all pieces, a few of which are read at a time; those without a clear answer are missing."""
    parts = [read.pieces[start : start + TOGETHER] for start in range(0, len(read.pieces), TOGETHER)]
    return [one for part in parts for one in judge.rate(replace(read, pieces=part), text)]


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return float(np.mean(values)) if len(values) else None


def summary(scored: pl.DataFrame, judge: str, draws: Draws) -> pl.DataFrame:
    """Table `RUBRIC`: means over latents with intervals of 95 %: the name, another's, and the difference."""
    found = []
    for about, some in scored.group_by("coder", "explainer", maintain_order=True):
        both = some.drop_nulls(["rubric", "rubric_shuffled"])
        own = {"rubric": some["rubric"].drop_nulls(), "shuffled": both["rubric_shuffled"]}
        own["more"] = both["rubric"] - both["rubric_shuffled"]
        refused = sum(map(explain_prompts.refused, some["refined"]))
        for what, values in own.items():
            value = [None if np.isnan(one) else one for one in draws.mean(values.to_numpy())]
            found.append((*about, judge, what, *value, len(values), refused))
    return pl.DataFrame(found, schema=RUBRIC, orient="row")
