"""All dictionaries of a vector set, with their words and pictures, and what they are worth (xl_vlms.md 2.5 to 2.8)."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.metrics import concepts as measures
from vlmscope.metrics.text import forms
from vlmscope.stats import Draws
from vlmscope.store.tables import Schema
from vlmscope.xl_vlms.dictionaries import dictionary, overlap, schemas
from vlmscope.xl_vlms.dictionaries.dictionary import Dictionary
from vlmscope.xl_vlms.dictionaries.files import Key, Side, Stored, write
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.sets.modules import numbered
from vlmscope.xl_vlms.words import grounding, vocabulary
from vlmscope.xl_vlms.words.filter import word_filter

log = logging.getLogger(__name__)

Row = dict[str, Any]
# Directions -> words of each.
Read = Callable[[np.ndarray], list[list[str]]]
# Their concepts are samples, or do not depend on more than the data: no size to choose, nothing to be stable.
UNFITTED = ("simple",)
# Columns of `RECON` and how `tested` ends their names.
ENDS = {"error_test": "", "low": "_low", "high": "_high"}


class Study(NamedTuple):
    """Vectors of one set at one module, and how they are looked at.

    token      name of the set
    train, test  samples to decompose, and those that are held out
    read       words of directions
    settings   as `xl_vlms.dictionaries` has them
    """

    model: str
    token: str
    module: str
    train: np.ndarray
    test: np.ndarray
    read: Read
    settings: Mapping[str, Any]

    def fit(self, method: str, k: int, seed: int, values: np.ndarray | None = None) -> Dictionary:
        """A dictionary of these samples, or of others."""
        own = self.train if values is None else values
        return dictionary.fit(
            own, method, k, seed=seed, alpha=self.settings["alpha"], max_iter=self.settings["max_iter"]
        )

    def named(self, method: str, k: int, seed: int) -> Row:
        """The columns that say which dictionary a row is about."""
        run = {"model": self.model, "token": self.token, "module": self.module, "method": method, "k": k}
        return {**run, "seed": seed, "n": len(self.train)}

    @property
    def draws(self) -> Draws:
        """The bootstrap over samples."""
        return Draws(self.settings["bootstrap"], self.settings["seed"])


def reader(words: vocabulary.Vocabulary, settings: Mapping[str, Any], module: str) -> Read:
    """What gives directions at a module their words; the released code has no norm [differs: xl_vlms.md 8 #32]."""
    accept = word_filter(settings["words"], settings["stops"])
    sizes = {"tokens": settings["tokens"], "keep": settings["keep"]}
    # The norm divides a direction by its length, which leaves the order of tokens: what matters are the factors.
    gain = words.gain if settings["apply_norm"] and module != "final_norm" else np.float32(1)
    return lambda rows: grounding.words(rows * gain, words.unembedding, words.pieces, accept, **sizes)


# ---- one dictionary ----------------------------------------------------------------------------------------------


def stored(study: Study, method: str, k: int, seed: int) -> Stored:
    """A dictionary with activations of all samples, words and pictures."""
    found = study.fit(method, k, seed)
    projected, held_out = (dictionary.project(found, part) for part in (study.train, study.test))
    size = np.abs if study.settings["activations"] == "absolute" else np.asarray
    pictures = grounding.images(size(projected), study.settings["images"])
    key = Key(study.module, method, k, seed)
    return Stored(key, found, projected, held_out, study.read(found.concepts), pictures)


def diagnosed(study: Study, one: Stored) -> Row:
    """Its row of `DICTIONARIES`."""
    found, nearest = one.dictionary, one.key.method in ("kmeans", "simple")
    rebuilt, beyond = (dictionary.rebuilt(found, part) for part in (one.projected, one.held_out))
    middle, known = study.train.mean(axis=0), measures.active(one.projected)
    row = {"n_test": len(study.test), **tested(study, beyond)}
    row |= {"error": measures.error(study.train, rebuilt), "error_centred": centred(study.train, rebuilt, middle)}
    row["error_centred_test"] = centred(study.test, beyond, middle)
    row |= {"sparsity": float(1 - known.mean()), "active": float(known.sum(axis=1).mean())}
    row |= {"dead": measures.dead(one.projected, nearest), "cosine": measures.alike(found.concepts)}
    row |= {f"overlap_{kind}": overlap.overlap(one.words, as_sets=kind == "set") for kind in ("list", "set")}
    own = forms(study.token)
    row["own_word"] = float(np.mean([any(forms(word) & own for word in words) for words in one.words]))
    row |= {"words": float(np.mean([len(words) for words in one.words])), "steps": len(found.costs)}
    return study.named(one.key.method, one.key.k, one.key.seed) | row


def centred(values: np.ndarray, rebuilt: np.ndarray, middle: np.ndarray) -> float | None:
    """`measures.error` about a middle; None without samples."""
    return measures.error(values, rebuilt, middle) if len(values) else None


def tested(study: Study, rebuilt: np.ndarray) -> Row:
    """Error of the samples that are held out, with its interval; nothing where there are none."""
    if not len(study.test):
        return {}
    middle, low, high = study.draws.mean(measures.errors(study.test, rebuilt))
    return {"error_test": middle, "error_test_low": low, "error_test_high": high}


# ---- how many concepts -------------------------------------------------------------------------------------------


def recon(study: Study) -> tuple[list[Row], list[Row]]:
    """Rows of `RECON` over methods and sizes, and of `CHOSEN` per method."""
    sizes = [k for k in study.settings["sweep"] if k <= len(study.train)]
    if left := [k for k in study.settings["sweep"] if k not in sizes]:
        log.info("%s: %d samples are too few for %s concepts", study.token, len(study.train), left)
    rows, chosen, seed = [], [], study.settings["seed"]
    random = {k: spanned(study, k) for k in sizes}
    for method in fitted_methods(study):
        curve = {}
        for k in sizes:
            found = study.fit(method, k, seed)
            parts = [dictionary.rebuilt(found, dictionary.project(found, part)) for part in (study.train, study.test)]
            row = {"n_test": len(study.test), "error": measures.error(study.train, parts[0])}
            told = tested(study, parts[1])
            row |= {name: told.get(f"error_test{end}") for name, end in ENDS.items()}
            rows.append(study.named(method, k, seed) | row | {"error_random": random[k]})
            curve[k] = measures.errors(study.test, parts[1]) if len(study.test) else None
        if len(study.test) and curve:
            chosen.append(study.named(method, 0, seed) | choice(curve))
    return rows, chosen


def choice(curve: Mapping[int, np.ndarray]) -> Row:
    """Size whose held-out error is within a standard error of the least, the smallest of them.

    curve   size -> error of every sample
    """
    means = {k: float(one.mean()) for k, one in curve.items()}
    least = min(means, key=lambda k: (means[k], k))
    spread = float(curve[least].std(ddof=1) / np.sqrt(len(curve[least]))) if len(curve[least]) > 1 else 0.0
    k = min(k for k, mean in means.items() if mean <= means[least] + spread)
    told = {"n_test": len(curve[least]), "k": k, "error_test": means[k], "k_least": least, "error_least": means[least]}
    return {**told, "standard_error": spread}


def spanned(study: Study, k: int) -> float | None:
    """Held-out error of least squares on k random samples, mean over the draws; None without held-out samples."""
    if not len(study.test):
        return None
    found = []
    for generator in generators(study, "spanned", k):
        basis = np.linalg.qr(drawn_samples(study, k, generator).T.astype(np.float64))[0]
        found.append(measures.error(study.test, study.test @ basis @ basis.T))
    return float(np.mean(found))


# ---- stability ---------------------------------------------------------------------------------------------------


def stability(study: Study) -> list[Row]:
    """Rows of `STABILITY`: the main size of every method against other seeds, and against parts of the samples."""
    k, seed, rows = study.settings["k"], study.settings["seed"], []
    for method in fitted_methods(study):
        main = study.fit(method, k, seed).concepts
        part = max(k, round(study.settings["part"] * len(study.train)))
        parts = [
            np.sort(generator.permutation(len(study.train))[:part])
            for generator in generators(study, "parts", k)[: study.settings["subsamples"]]
        ]
        others = {
            "seeds": [study.fit(method, k, one).concepts for one in study.settings["seeds"]],
            "subsamples": [study.fit(method, k, seed, study.train[rows]).concepts for rows in parts],
        }
        control = controls(study, method, main)
        rows += [
            study.named(method, k, seed)
            | {"kind": kind, "runs": len(runs)}
            | steady(study, method, main, runs)
            | control
            for kind, runs in others.items()
            if runs
        ]
    return rows


def steady(study: Study, method: str, main: np.ndarray, runs: Sequence[np.ndarray]) -> Row:
    """Mean matched cosine with other dictionaries; interval over concepts."""
    pairs = [likeness(method, main, one) for one in runs]
    per_concept = np.mean([one[measures.matched(one)] for one in pairs], axis=0)
    middle, low, high = study.draws.mean(per_concept)
    return {"cosine": middle, "low": low, "high": high}


def controls(study: Study, method: str, main: np.ndarray) -> Row:
    """The same with what knows nothing of the structure: random samples, and random directions."""
    k, found = len(main), {"random_samples": [], "random_directions": []}
    for generator in generators(study, "controls", k):
        drawn = drawn_samples(study, k, generator)
        directions = measures.random_directions(study.settings["directions"], k, main.shape[1], generator)
        found["random_samples"].append(measures.matched_mean(likeness(method, main, drawn)))
        found["random_directions"].append(measures.matched_mean(likeness(method, main, directions)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def likeness(method: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosines between concepts; components have no sign of their own, so theirs are sizes."""
    found = measures.cosines(one, other)
    return np.abs(found) if method == "pca" else found


# ---- overlap -----------------------------------------------------------------------------------------------------


def overlaps(study: Study, one: Stored, random: Mapping[str, float]) -> Row:
    """Its row of `OVERLAP` without the published columns; interval over concepts.

    random   see `random_overlap`
    """
    rows = overlap.matrix(one.words)
    apart = np.array([np.delete(row, place).mean() for place, row in enumerate(rows)])
    middle, low, high = study.draws.mean(apart)
    told = {"overlap_list": middle, "low": low, "high": high}
    told["overlap_set"] = overlap.overlap(one.words, as_sets=True)
    return study.named(one.key.method, one.key.k, one.key.seed) | told | random


def random_overlap(study: Study) -> dict[str, float]:
    """Overlap of the words of random directions, mean over the draws."""
    k, found = study.settings["k"], {"random_list": [], "random_set": []}
    for generator in generators(study, "overlap", k):
        drawn = measures.random_directions(study.settings["directions"], k, study.train.shape[1], generator)
        words = study.read(drawn)
        for kind, values in found.items():
            values.append(overlap.overlap(words, as_sets=kind == "random_set"))
    return {kind: float(np.mean(values)) for kind, values in found.items()}


# ---- everything --------------------------------------------------------------------------------------------------


def fitted_methods(study: Study) -> list[str]:
    """Methods with something to fit."""
    return [one for one in study.settings["methods"] if one not in UNFITTED]


def generators(study: Study, what: str, k: int) -> list[np.random.Generator]:
    """As many generators as there are draws, the same for the same purpose and size."""
    seed = [study.settings["seed"], k, *what.encode()]
    return [np.random.default_rng([*seed, draw]) for draw in range(study.settings["draws"])]


def drawn_samples(study: Study, k: int, generator: np.random.Generator) -> np.ndarray:
    """Different random samples, or all of them where they are too few."""
    return study.train[generator.permutation(len(study.train))[:k]]


def studies(
    model: str, token: str, paths: Sequence[str], words: vocabulary.Vocabulary, settings: Mapping[str, Any]
) -> Iterator[Study]:
    """The set at the main module, then at the others from the first block on.

    paths   vectors to decompose, and those that are held out
    """
    with vectors.opened(paths[0]) as file:
        main = numbered(settings["module"], int(file.attrs["layers"]))
    others = [one for one in vectors.modules(paths[0]) if one not in (main, "lm_head")]
    for module in (main, *others):
        parts = [vectors.read(path, module).values for path in paths]
        yield Study(model, token, module, *parts, reader(words, settings["words"], module), settings)


def from_files(
    targets: Sequence[str | Path],
    *,
    train: Sequence[str],
    test: Sequence[str],
    words: str,
    model: str,
    settings: Mapping[str, Any],
) -> dict[str, tuple[pl.DataFrame, Schema]]:
    """Write the dictionaries of every set, and return the tables of `TABLES` with their schemas.

    targets, train, test   one file per set of the settings: dictionaries to write, vectors to read
    words                  the model's vocabulary
    """
    known_words = vocabulary.read(words)
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    for target, token, *paths in zip(targets, settings["sets"], train, test, strict=True):
        known = [vectors.read(path, settings["module"]) for path in paths]
        sides = [Side(one.samples, one.images, one.texts) for one in known]
        kept: list[Stored] = []
        for place, study in enumerate(studies(model, token, paths, known_words, settings)):
            log.info("%s at %s: %d and %d vectors", token, study.module, len(study.train), len(study.test))
            methods = settings["methods"] if place == 0 else [settings["main"]]
            own = [stored(study, method, settings["k"], settings["seed"]) for method in methods]
            kept += own
            tables["table"] += [diagnosed(study, one) for one in own]
            if place == 0:
                random = random_overlap(study)
                tables["overlap"] += [overlaps(study, one, random) for one in own]
                for name, rows in zip(("recon", "chosen"), recon(study), strict=True):
                    tables[name] += rows
                tables["stability"] += stability(study)
        about = {"model": model, "set": token, "main": kept[0].key.module, "settings": dict(settings)}
        write(target, kept, sides, about)
    return {name: (pl.DataFrame(rows, schema=TABLES[name]), TABLES[name]) for name, rows in tables.items()}


TABLES = {
    "table": schemas.DICTIONARIES,
    "recon": schemas.RECON,
    "chosen": schemas.CHOSEN,
    "stability": schemas.STABILITY,
    "overlap": schemas.OVERLAP,
}
