"""Shifts found on one half of the samples, tried on the other half, beside directions of the same length.

Two goals. `matched`, as published: the concepts of a dictionary of the other half's fine-tuned states, matched with
those of the original. `centroid`: where the other half's samples of each concept really went. The dictionary of the
original, the concepts of the samples and the shifts come from the first half alone.
"""

from typing import Any

import numpy as np

from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.shift import moves
from vlmscope.xl_vlms.shift.moves import Common
from vlmscope.xl_vlms.shift.study import Reader, Settings, fitted, others_like, random_like

GOALS = ("matched", "centroid")
# Nothing; the concept's own shift; the mean shift of all samples; another concept's; a Gaussian direction.
ARMS = ("none", "shift", "overall", "other", "random")
# Measures with their bounds.
MEASURES = {"cosine": (-1.0, 1.0), "distance": (0.0, np.inf), "t_overlap": (0.0, 100.0)}
UNBOUNDED = (-np.inf, np.inf)
# Bounds of a 95 % interval.
LEVELS = (0.025, 0.975)


def rows(pair: Common, settings: Settings, read: Reader) -> list[dict[str, Any]]:
    """A row per goal and arm: each measure, its gain over no shift, and by how much the shift leads the arm.

    settings   as for `study.study`, and halves (random divisions behind the values), resamples, seed

    Intervals come from resamples that divide the samples anew and draw each half with replacement; since that alone
    makes halves poorer, what is taken from them is their spread about their own mean.
    """
    rng, k = np.random.default_rng(settings["seed"]), settings["k"]
    if len(pair.samples) < 4 * k:
        return []
    plain = np.array([_once(pair, settings, read, rng, again=False) for _ in range(settings["halves"])])
    drawn = np.array([_once(pair, settings, read, rng, again=True) for _ in range(settings["resamples"])])
    found = []
    for g, goal in enumerate(GOALS):
        for a, arm in enumerate(ARMS):
            row: dict[str, Any] = {"goal": goal, "arm": arm, "k": k, "n": len(pair.samples)}
            for m, (name, bounds) in enumerate(MEASURES.items()):
                own, some = plain[:, g, :, m], drawn[:, g, :, m]
                row |= _told(name, own[:, a], some[:, a], bounds)
                row |= _told(f"{name}_gain", own[:, a] - own[:, 0], some[:, a] - some[:, 0])
                row |= _told(f"{name}_lead", own[:, 1] - own[:, a], some[:, 1] - some[:, a])
            found.append(row)
    return found


def _told(name: str, plain: np.ndarray, drawn: np.ndarray, bounds: tuple[float, float] = UNBOUNDED) -> dict[str, float]:
    """Mean with the spread of the resamples about it, within the bounds of the measure."""
    middle = float(np.nanmean(plain))
    low, high = np.clip(middle + np.nanquantile(drawn, LEVELS) - np.nanmean(drawn), *bounds)
    return {name: middle, f"{name}_low": float(low), f"{name}_high": float(high)}


def _once(pair: Common, settings: Settings, read: Reader, rng: np.random.Generator, again: bool) -> np.ndarray:
    """Means over concepts for one division, float64 [goal, arm, measure].

    again   draw each half with replacement
    """
    order = rng.permutation(len(pair.samples))
    halves = np.array_split(order, 2)
    if again:
        halves = [rng.choice(half, len(half)) for half in halves]
    learn, test = (pair.part(half) for half in halves)
    original, tuned = fitted(learn.before, settings), fitted(test.after, settings)
    own, concepts = _shifts(learn, original, settings), original.concepts.astype(np.float64)
    matched = tuned.concepts[moves.match(concepts, tuned.concepts)].astype(np.float64)
    labels = moves.associate(dictionary.project(original, test.before), test.before, concepts, settings["association"])
    starts, ends = (_middles(one, labels, settings) for one in (test.before, test.after))
    deltas = _arms(learn, own, rng)
    return np.array(
        [_compared(start, goal, deltas, own, settings, read) for start, goal in ((concepts, matched), (starts, ends))]
    )


def _shifts(learn: Common, original: dictionary.Dictionary, settings: Settings) -> np.ndarray:
    concepts = original.concepts.astype(np.float64)
    labels = moves.associate(original.activations, learn.before, concepts, settings["association"])
    return moves.shifts(learn, labels, settings["k"], settings["mean"]).deltas


def _middles(values: np.ndarray, labels: np.ndarray, settings: Settings) -> np.ndarray:
    """Middle of the samples of each concept, float64 [K, D]; NaN for none."""
    found = np.full((settings["k"], values.shape[1]), np.nan)
    for one in np.unique(labels):
        found[one] = moves.middle(values[labels == one], settings["mean"])
    return found


def _arms(learn: Common, own: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    overall = np.broadcast_to((learn.after - learn.before).mean(axis=0), own.shape)
    found = {"none": np.zeros_like(own), "shift": own, "overall": overall}
    return found | {"other": others_like(own, rng), "random": random_like(own, rng)}


def _compared(
    start: np.ndarray,
    goal: np.ndarray,
    deltas: dict[str, np.ndarray],
    own: np.ndarray,
    settings: Settings,
    read: Reader,
) -> np.ndarray:
    """Means over concepts that have a shift, a start and a goal, float64 [arm, measure]."""
    known = ~np.isnan(np.concatenate([own, deltas["other"], start, goal], axis=1)).any(axis=1)
    start, goal = start[known], goal[known]
    if not len(goal):
        return np.full((len(ARMS), len(MEASURES)), np.nan)
    wanted, found = read(goal, settings["tokens"], settings["words"]), []
    for arm in ARMS:
        moved = moves.moved(start, deltas[arm][known], settings["alpha"])
        words = read(moved, settings["tokens"], settings["words"])
        overlap = moves.overlap(wanted, words)
        overlap = float(np.nanmean(overlap)) if not np.isnan(overlap).all() else np.nan
        far = np.linalg.norm(goal - moved, axis=1)
        found.append((moves.cosine(goal, moved).mean(), far.mean(), overlap))
    return np.array(found)
