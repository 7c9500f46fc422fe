"""How concepts move when a model is fine-tuned (xl_vlms.md 2.9).

Notation: a_m, b_m states of sample m in the original and in the fine-tuned model; U^a, U^b [K, D] their concepts;
A_k samples of concept k; Delta_k what moves concept k; U^s = U^a + alpha Delta shifted concepts.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.sets.vectors import VectorSet

Mean = Literal["mean", "median", "trimmed"]
Association = Literal["activation", "cosine", "l2"]
# Share of the values that the trimmed mean leaves out at either end.
TRIMMED = 0.1
# What the released code adds to the product of two lengths.
TINY = 1e-8


class Common(NamedTuple):
    """Samples in which both models have a state.

    samples        [n]
    before, after  float64 [n, D]   a_m and b_m
    rows           int64 [n]        rows of a_m among the vectors of the original
    """

    samples: list[str]
    before: np.ndarray
    after: np.ndarray
    rows: np.ndarray

    def part(self, places: np.ndarray) -> "Common":
        """Some of the samples, by their places; one may come several times."""
        return Common([self.samples[place] for place in places], *(one[places] for one in self[1:]))


class Shifts(NamedTuple):
    """What moves each concept.

    deltas   float64 [K, D]   NaN where no sample belongs to the concept
    labels   int64 [n]        concept of every common sample
    counts   int64 [K]        how many samples belong to each
    """

    deltas: np.ndarray
    labels: np.ndarray
    counts: np.ndarray


class Statistics(NamedTuple):
    """How alike the shifts of the samples of a concept are, float64 [K] each; NaN where there are too few.

    cosine, dot            mean over pairs of samples whose product is not zero
    cosine_mean, dot_mean  mean over samples, against their mean shift
    magnitude              length of the mean shift
    """

    cosine: np.ndarray
    dot: np.ndarray
    cosine_mean: np.ndarray
    dot_mean: np.ndarray
    magnitude: np.ndarray


def common(before: VectorSet, after: VectorSet) -> Common:
    """Samples that have a vector in both sets, matched by name, in the order of the first."""
    place = {name: row for row, name in enumerate(after.samples)}
    rows = np.array([row for row, name in enumerate(before.samples) if name in place], dtype=np.int64)
    names = [before.samples[row] for row in rows]
    if not names:
        raise VlmscopeError(
            "The two models have no sample in common.",
            where="xl_vlms.shift.pairs",
            instead="one set of one capture for both, with a word that both write",
        )
    others = np.array([place[name] for name in names], dtype=np.int64)
    return Common(names, before.values[rows].astype(np.float64), after.values[others].astype(np.float64), rows)


def associate(activations: np.ndarray, values: np.ndarray, concepts: np.ndarray, how: Association) -> np.ndarray:
    """The concept that each sample belongs to, int64 [n].

    activations   [n, K]   on the dictionary of the original
    values        [n, D]   states of the original
    """
    if how == "activation":
        return activations.argmax(axis=1)
    if how == "cosine":
        return cosines(values, concepts).argmax(axis=1)
    # By squares: all distances at once would be [n, K, D]. The released code refuses this choice [differs: 8 #18].
    squares = (concepts**2).sum(axis=1) - 2 * values @ concepts.T
    return squares.argmin(axis=1)


def shifts(pair: Common, labels: np.ndarray, k: int, mean: Mean = "mean") -> Shifts:
    """Middle of the fine-tuned states less middle of the original ones, for the samples of each concept."""
    counts = np.bincount(labels, minlength=k)
    deltas = np.full((k, pair.before.shape[1]), np.nan)
    for one in np.flatnonzero(counts):
        own = labels == one
        deltas[one] = middle(pair.after[own], mean) - middle(pair.before[own], mean)
    return Shifts(deltas, labels, counts)


def middle(values: np.ndarray, how: Mean) -> np.ndarray:
    """Middle of rows by coordinate: mean, lower median, or the mean without a tenth at either end."""
    if how == "mean":
        return values.mean(axis=0)
    ranked = np.sort(values, axis=0)
    if how == "median":
        return ranked[(len(ranked) - 1) // 2]
    cut = int(TRIMMED * len(ranked))
    return ranked[cut : len(ranked) - cut].mean(axis=0)


def normalised(deltas: np.ndarray) -> np.ndarray:
    """All shifts over the length of them all together."""
    return deltas / np.sqrt(np.nansum(deltas**2))


def moved(concepts: np.ndarray, deltas: np.ndarray, alpha: float = 1.0, unit: bool = False) -> np.ndarray:
    """Shifted concepts, float64 [K, D]; one without a shift stays where it is.

    unit   make every row of length 1
    """
    found = concepts + alpha * np.nan_to_num(deltas)
    return found / np.linalg.norm(found, axis=1, keepdims=True) if unit else found


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine of every row with every other row, float64 [rows, others]."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return one @ other.T / (np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1) + TINY)


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine of each row with the row of the same number, float64 [rows]."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / (lengths + TINY)


def match(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The fine-tuned concept of each original one, int64 [K]: one each, greatest sum of cosines."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(-cosines(before, after))[1]


def closer(before: np.ndarray, moved: np.ndarray, goal: np.ndarray) -> dict[str, np.ndarray]:
    """How much closer to the matched fine-tuned concept the shift brings each, float64 [K] each.

    The cosine over that of the original is the published "concept recovery".
    """
    far, near = np.linalg.norm(goal - before, axis=1), np.linalg.norm(goal - moved, axis=1)
    unlike, like = cosine(goal, before), cosine(goal, moved)
    return {
        "improved_distance": far - near,
        "normalised_improved_distance": _over(far - near, far),
        "improved_cosine": like - unlike,
        "normalised_improved_cosine": _over(like - unlike, unlike),
    }


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """A ratio; nothing gained of nothing is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(part == 0, 0.0, part / whole)


def shared(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> np.ndarray:
    """How many different entries the lists of the same number have in common, int64 [K]."""
    return np.array([len(set(mine) & set(theirs)) for mine, theirs in zip(one, other, strict=True)], dtype=np.int64)


def overlap(goal: Sequence[Sequence[str]], words: Sequence[Sequence[str]]) -> np.ndarray:
    """T-Overlap: per cent of the different words of each goal that are among the other words; NaN for no words."""
    sizes = np.array([len(set(one)) for one in goal], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return 100 * shared(goal, words) / sizes


def statistics(pair: Common, found: Shifts) -> Statistics:
    """How alike the shifts of the samples of each concept are."""
    each = pair.after - pair.before
    return Statistics(*np.array([_alike(each[found.labels == k]) for k in range(len(found.counts))]).T)


def _alike(deltas: np.ndarray) -> tuple[float, float, float, float, float]:
    """`Statistics` of one concept. deltas: [n, D]."""
    if not len(deltas):
        return (np.nan,) * 5
    mean = deltas.mean(axis=0)
    dots, lengths = deltas @ deltas.T, np.linalg.norm(deltas, axis=1)
    pairs = np.tril(dots, -1)
    kept = np.nonzero(pairs)
    products = pairs[kept]
    with_mean = deltas @ mean
    told = [products / (lengths[kept[0]] * lengths[kept[1]]), products]
    told += [with_mean / (lengths * np.linalg.norm(mean) + TINY), with_mean]
    means = [float(one.mean()) if len(one) else np.nan for one in told]
    return (*means, float(np.linalg.norm(mean)))
