"""One comparison of two models over one set of vectors: dictionaries, shifts, matches, words, pictures, measures."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from vlmscope.stats import Draws
from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.dictionaries.dictionary import Dictionary
from vlmscope.xl_vlms.sets.vectors import VectorSet
from vlmscope.xl_vlms.shift import moves
from vlmscope.xl_vlms.shift.moves import Common, Shifts
from vlmscope.xl_vlms.words import grounding

Settings = Mapping[str, Any]
# (directions, tokens looked at, words kept) -> words of each direction
Reader = Callable[[np.ndarray, int, int], list[list[str]]]
# What a comparison sees a concept as: of the original, shifted, of the fine-tuned model; the shift by itself.
SIDES = ("original", "shifted", "tuned")


class Study(NamedTuple):
    """A comparison.

    pair      samples with a state in both models
    original  dictionary of all vectors of the original
    tuned     the same of the fine-tuned model, its concepts in the order of those that they are matched with
    matched   int64 [K]   numbers of those concepts in their own dictionary
    shifts    what moves each concept
    concepts  float64 [K, D]   shifted concepts
    words     side -> words of each concept, best first; also of `vector`, the shift by itself
    images    side -> names of the samples that activate each concept most
    """

    pair: Common
    original: Dictionary
    tuned: Dictionary
    matched: np.ndarray
    shifts: Shifts
    concepts: np.ndarray
    words: dict[str, list[list[str]]]
    images: dict[str, list[list[str]]]

    @property
    def known(self) -> np.ndarray:
        """Which concepts have a shift, bool [K]."""
        return self.shifts.counts > 0


def study(before: VectorSet, after: VectorSet, settings: Settings, read: Reader) -> Study:
    """Compare the vectors of two models.

    settings   method, k, seed, sparsity, association, mean, alpha, normalise_shifts, normalise_concepts, words, tokens,
               vector_words, vector_tokens, images
    """
    pair = moves.common(before, after)
    original, tuned = (fitted(one.values, settings) for one in (before, after))
    labels = moves.associate(
        original.activations[pair.rows], pair.before, original.concepts.astype(np.float64), settings["association"]
    )
    found = moves.shifts(pair, labels, settings["k"], settings["mean"])
    if settings["normalise_shifts"]:
        found = found._replace(deltas=moves.normalised(found.deltas))
    concepts = moves.moved(original.concepts, found.deltas, settings["alpha"], settings["normalise_concepts"])
    matched = moves.match(original.concepts, tuned.concepts)
    tuned = tuned._replace(concepts=tuned.concepts[matched], activations=tuned.activations[:, matched])
    given = dictionary.given(concepts, settings["method"], after.values, alpha=settings["sparsity"])
    seen = {"original": (original, before), "shifted": (given, after), "tuned": (tuned, after)}
    words = {side: read(one.concepts, settings["tokens"], settings["words"]) for side, (one, _) in seen.items()}
    words["vector"] = read(np.nan_to_num(found.deltas), settings["vector_tokens"], settings["vector_words"])
    images = {side: pictures(one, own, settings["images"]) for side, (one, own) in seen.items()}
    return Study(pair, original, tuned, matched, found, concepts, words, images)


def fitted(values: np.ndarray, settings: Settings) -> Dictionary:
    """A dictionary by the settings."""
    return dictionary.fit(values, settings["method"], settings["k"], seed=settings["seed"], alpha=settings["sparsity"])


def pictures(one: Dictionary, own: VectorSet, count: int) -> list[list[str]]:
    """Names of the samples that activate each concept most."""
    return [[own.samples[row] for row in rows] for rows in grounding.images(one.activations, count)]


def measures(one: Study) -> dict[str, np.ndarray]:
    """All measures of recovery and of the shifts themselves, [K] each (xl_vlms.md 2.9, steps 8 and 9)."""
    original, goal = (part.concepts.astype(np.float64) for part in (one.original, one.tuned))
    told = moves.statistics(one.pair, one.shifts)
    found: dict[str, np.ndarray] = {"n": one.shifts.counts, "matched": one.matched}
    for name, side in (("orig", "original"), ("shifted", "shifted")):
        found[f"{name}_count"] = moves.shared(one.words["tuned"], one.words[side])
        found[f"{name}_pct"] = moves.overlap(one.words["tuned"], one.words[side])
        found[f"{name}_images"] = moves.shared(one.images["tuned"], one.images[side])
    found["denom"] = np.array([len(set(words)) for words in one.words["tuned"]])
    found["orig_cosine"] = moves.cosine(goal, original)
    found["shifted_cosine"] = moves.cosine(goal, one.concepts)
    found |= moves.closer(original, one.concepts, goal)
    names = ("consistency", "consistency_dot", "consistency_mean", "consistency_mean_dot", "magnitude")
    return found | dict(zip(names, told, strict=True))


# ---- against other directions ------------------------------------------------------------------------------------


def random_like(deltas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian directions of the same lengths."""
    drawn = rng.standard_normal(deltas.shape)
    return drawn * (np.linalg.norm(deltas, axis=1) / np.linalg.norm(drawn, axis=1))[:, None]


def others_like(deltas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """To each concept the shift of another one, at the length of its own; NaN where there is no other one."""
    found, known = np.full_like(deltas, np.nan), np.flatnonzero(~np.isnan(deltas).any(axis=1))
    if len(known) > 1:
        # A ring in random order: nobody keeps its own.
        ring = rng.permutation(known)
        found[ring] = np.roll(deltas[ring], 1, axis=0)
    with np.errstate(invalid="ignore"):
        return found * (np.linalg.norm(deltas, axis=1) / np.linalg.norm(found, axis=1))[:, None]


def arms(one: Study, settings: Settings, alpha: float, draws: Draws, read: Reader) -> list[dict[str, Any]]:
    """Words and cosines after a shift of this strength, and after a random direction of its length: rows of a table.

    Means over concepts that have a shift, with intervals over them.
    """
    rng, goal = np.random.default_rng(settings["seed"]), one.tuned.concepts.astype(np.float64)
    deltas = {"shift": one.shifts.deltas, "random": random_like(one.shifts.deltas, rng)}
    rows = []
    for arm, own in deltas.items():
        concepts = moves.moved(one.original.concepts, own, alpha, settings["normalise_concepts"])
        words = read(concepts, settings["tokens"], settings["words"])
        values = {"t_overlap": moves.overlap(one.words["tuned"], words), "cosine": moves.cosine(goal, concepts)}
        row = {"alpha": alpha, "arm": arm, "n": int(one.known.sum()), "words": words}
        rows.append(row | summary(values, one.known, draws))
    return rows


def summary(values: Mapping[str, np.ndarray], known: np.ndarray, draws: Draws) -> dict[str, float]:
    """Means over known concepts with 95 % intervals: NAME, NAME_low, NAME_high; a concept without a value is left out.

    known   bool [K]
    """
    found = {}
    for name, own in values.items():
        kept = own[known & ~np.isnan(own)]
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), draws.mean(kept), strict=True))
    return found
