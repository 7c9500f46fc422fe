"""What steering does to captions: scores, style, changes, words, beside no steering and the controls.

xl_vlms.md 6.2, 6.3 and 7 (table 3 of paper B, whose cells are not known).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.metrics import captions, vqa_official
from vlmscope.samples import Sample, read
from vlmscope.stats import Draws
from vlmscope.store import tables
from vlmscope.xl_vlms.steer.schemas import STEERED
from vlmscope.xl_vlms.words import classes as word_classes
from vlmscope.xl_vlms.words.filter import word_filter

SHARES = ("changed", "with_style", "with_style_and_ref", "with_style_and_baseline")
# One row per vector, strength and kind; controls are means over their draws. Caption scores are multiplied by 100.
# Shares in per cent: captions other than without steering; captions with a word of the style, and of all captions those
# where a reference, or the caption without steering, has one too. style_words: such words per caption. `*_as_official`:
# parts of words count. p: exact McNemar test of with_style against no steering, of single draws alone. top_words: what
# became more frequent.
TABLE: dict[str, Any] = {
    "model": pl.String,
    "vector": pl.String,
    "kind": pl.String,
    "block": pl.Int64,
    "alpha": pl.Float64,
    "style": pl.String,
    "seed": pl.Int64,
    "draws": pl.Int64,
    "n": pl.Int64,
    **{
        f"{name}{end}": pl.Float64
        for name in (*captions.NAMES, *(f"{share}_pct" for share in SHARES), "style_words")
        for end in ("", "_low", "_high")
    },
    **{f"{share}_as_official_pct": pl.Float64 for share in SHARES[1:]},
    "p": pl.Float64,
    "top_words": pl.String,
    "published_cider": pl.Float64,
    "published_changed_pct": pl.Float64,
    "published_with_style": pl.Float64,
    "source": pl.String,
}
EXAMPLES = {
    "vector": pl.String,
    "style": pl.String,
    "kind": pl.String,
    "block": pl.Int64,
    "alpha": pl.Float64,
    "sample": pl.String,
    "image": pl.String,
    "reference": pl.String,
    "baseline": pl.String,
    "caption": pl.String,
}
# How often words of each class were written, and how often as the released code counts them; `other`: of no class.
WORDS = {
    "vector": pl.String,
    "kind": pl.String,
    "block": pl.Int64,
    "alpha": pl.Float64,
    "draw": pl.Int64,
    "class": pl.String,
    "words": pl.Int64,
    "words_as_official": pl.Int64,
}
KEYS = ("vector", "kind", "block", "alpha")


class Pictures(NamedTuple):
    """What captions are held against, one entry per picture.

    references   captions of the benchmark
    baseline     captions without steering
    """

    names: list[str]
    images: list[str]
    references: list[list[str]]
    baseline: list[str]


class Bench:
    """Scores of one set of captions after the other.

    settings   scores, styles, word_files, top_words, bootstrap, seed (xl_vlms.captions)
    """

    def __init__(self, pictures: Pictures, settings: Mapping[str, Any]) -> None:
        self.pictures, self.settings = pictures, settings
        self.weights = Draws(settings["bootstrap"], settings["seed"]).weights(len(pictures.names))
        self.frequent = word_classes.frequency(pictures.baseline, _is_word)

    def row(self, several: Sequence[Sequence[str]], style: Sequence[str]) -> dict[str, Any]:
        """Everything about captions of a style, means over draws.

        several   captions [draw][picture]
        """
        own = word_classes.words_in(style, self.settings["word_files"])
        parts = [self._parts(said, own) for said in several]
        found: dict[str, Any] = {"draws": len(several), "n": len(self.pictures.names)}
        for name in parts[0]:
            mean = np.mean([part[name] for part in parts], axis=0)
            low, high = stats.interval(mean[1:])
            ends = zip(("", "_low", "_high"), (mean[0], low, high), strict=True)
            found |= {f"{name}{end}": None if np.isnan(value) else float(value) for end, value in ends}
        return found | self._plain(several, own)

    def _parts(self, said: Sequence[str], words: Sequence[str]) -> dict[str, np.ndarray]:
        """Value -> of the set and of its resamples, float64 [1 + resample]."""
        scored = captions.scores(said, self.pictures.references, self.settings["scores"], self.weights)
        found = {name: 100 * one.values for name, one in scored.items()}
        flags = shares(said, self.pictures, word_classes.holding(words))
        total = self.weights.sum(axis=1)
        found |= {f"{name}_pct": 100 * (self.weights @ flags[name]) / total for name in SHARES}
        often = [word_classes.occurrences(words, text) for text in said]
        return found | {"style_words": self.weights @ np.array(often, dtype=np.float64) / total}

    def _plain(self, several: Sequence[Sequence[str]], words: Sequence[str]) -> dict[str, Any]:
        """What has no interval."""
        counts = np.mean(
            [
                vqa_official.counts(said, self.pictures.references, self.pictures.baseline, words, words)
                for said in several
            ],
            axis=0,
        )
        told = {
            f"{name}_as_official_pct": 100 * value / len(several[0])
            for name, value in zip(SHARES[1:], counts, strict=False)
        }
        now = sum((word_classes.frequency(said, _is_word) for said in several), Counter())
        more = {word: count / len(several) - self.frequent[word] for word, count in now.items()}
        best = sorted((word for word in more if more[word] > 0), key=lambda word: (-more[word], word))
        listed = ", ".join(f"{word} +{more[word]:.3g}" for word in best[: self.settings["top_words"]])
        return told | {"top_words": listed, "p": self._p(several[0], words) if len(several) == 1 else None}

    def _p(self, said: Sequence[str], words: Sequence[str]) -> float:
        has = word_classes.holding(words)
        before, after = ([has(text) for text in texts] for texts in (self.pictures.baseline, said))
        pairs = Counter(zip(before, after, strict=True))
        return stats.mcnemar(pairs[True, False], pairs[False, True])


def _is_word(token: str) -> bool:
    return token[0].isalnum()


def shares(said: Sequence[str], pictures: Pictures, has: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Which captions count for each share, float64 [picture]."""
    own = np.array([has(text) for text in said], dtype=bool)
    reference = np.array([any(map(has, given)) for given in pictures.references], dtype=bool)
    before = np.array([has(text) for text in pictures.baseline], dtype=bool)
    changed = np.array([text != other for text, other in zip(said, pictures.baseline, strict=True)], dtype=bool)
    found = dict(zip(SHARES, (changed, own, own & reference, own & before), strict=True))
    return {name: flags.astype(np.float64) for name, flags in found.items()}


# ---- tables ------------------------------------------------------------------------------------------------------


def pictures_of(rows: pl.DataFrame, samples: Sequence[Sample]) -> Pictures:
    """References and captions without steering, in the order of the table."""
    known = {one.sample: one for one in samples}
    plain = rows.filter(kind="none")
    asked = [known[name] for name in plain["sample"]]
    references = [json.loads(one.answer)["captions"] for one in asked]
    return Pictures(
        plain["sample"].to_list(), [one.images[0] for one in asked], references, plain["prediction"].to_list()
    )


def table(rows: pl.DataFrame, samples: Sequence[Sample], settings: Mapping[str, Any], model: str) -> pl.DataFrame:
    """`TABLE`: no steering for every style, then every vector and strength with its controls.

    rows       `STEERED`
    settings   xl_vlms.captions
    """
    pictures = pictures_of(rows, samples)
    bench, found = Bench(pictures, settings), []
    about = {"model": model, "seed": settings["seed"]}
    for vector, style in settings["styles"].items():
        first = {"vector": vector, "kind": "none", "block": None, "alpha": 0.0, "style": ", ".join(style)}
        found.append(about | first | bench.row([pictures.baseline], style))
        for key, part in rows.filter(vector=vector).partition_by(*KEYS, as_dict=True, maintain_order=True).items():
            several = [one["prediction"].to_list() for one in part.partition_by("draw", maintain_order=True)]
            found.append(
                about | dict(zip(KEYS, key, strict=True)) | {"style": ", ".join(style)} | bench.row(several, style)
            )
    return pl.DataFrame([dict.fromkeys(TABLE) | row for row in found], schema=TABLE)


def examples(rows: pl.DataFrame, samples: Sequence[Sample], settings: Mapping[str, Any]) -> pl.DataFrame:
    """`EXAMPLES`: the first pictures whose caption changes, with what was written at every strength.

    rows   `STEERED`
    """
    pictures, own = pictures_of(rows, samples), rows.filter(kind="vector")
    about = pl.DataFrame(
        {
            "sample": pictures.names,
            "image": pictures.images,
            "reference": [given[0] for given in pictures.references],
            "baseline": pictures.baseline,
            "place": range(len(pictures.names)),
        }
    )
    joined = own.rename({"prediction": "caption"}).join(about, on="sample", maintain_order="left")
    named = {vector: ", ".join(style) for vector, style in settings["styles"].items()}
    styles = pl.col("vector").replace_strict(named, return_dtype=pl.String)
    joined = joined.with_columns(
        style=styles, moved=(pl.col("caption") != pl.col("baseline")).any().over("vector", "sample")
    )
    kept = joined.filter("moved").with_columns(rank=pl.col("place").rank("dense").over("vector"))
    return kept.filter(pl.col("rank") <= settings["examples"]).select(*EXAMPLES)


def words(rows: pl.DataFrame, settings: Mapping[str, Any]) -> pl.DataFrame:
    """`WORDS`, for every set of captions.

    rows   `STEERED`
    """
    files = settings["word_files"]
    groups = {", ".join(style): word_classes.words_in(style, files) for style in settings["styles"].values()}
    accept, found = word_filter(), []
    for key, part in rows.partition_by(*KEYS, "draw", as_dict=True, maintain_order=True).items():
        texts = part["prediction"].to_list()
        own = word_classes.type_counts(word_classes.frequency(texts, accept), groups)
        official = word_classes.type_counts(word_classes.frequency_as_official(texts, accept), groups)
        found += [(*key, name, own[name], official[name]) for name in own]
    return pl.DataFrame(found, schema=WORDS, orient="row")


def from_files(
    *, rows: str, samples: str, settings: Mapping[str, Any], model: str
) -> dict[str, tuple[pl.DataFrame, tables.Schema]]:
    """Every table of a model's captions, with its schema.

    settings   xl_vlms.captions
    """
    found, known = tables.read(rows, STEERED), read(samples)
    return {
        "table": (table(found, known, settings, model), TABLE),
        "words": (words(found, settings), WORDS),
        "examples": (examples(found, known, settings), EXAMPLES),
    }
