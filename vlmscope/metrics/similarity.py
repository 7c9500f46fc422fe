"""Likeness of two short texts from the vectors of their tokens: BERTScore, MoverScore, cosine (mm_neurons.md 6).

Notation: c_i and r_j vectors of the tokens of a candidate and a reference, all of length one; p_i and q_j their
weights, each adding up to one.
    BERTScore    P = sum_i p_i max_j c_i r_j, R = sum_j q_j max_i c_i r_j, F1 their harmonic mean
    MoverScore   1 / (1 + D), D = min_F sum_ij F_ij |c_i - r_j|, rows of F adding up to p, columns to q
Vectors may come from a language model or be those of single tokens: the scores are then named after that.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

# Transport problems that are solved as one: much of a solver's time is spent before it begins.
TOGETHER = 40
# Candidates whose vectors are held at once.
BLOCK = 2048


class Encoded(NamedTuple):
    """A text as vectors.

    vectors   float32 [token, d]   of length one
    ids       int64 [token]        numbers of the tokens
    begins    bool [token]         words or first pieces of words; marks, later pieces and special tokens are none
    special   bool [token]         tokens that the model adds
    """

    vectors: np.ndarray
    ids: np.ndarray
    begins: np.ndarray
    special: np.ndarray


Pair = tuple[Encoded, Encoded]


class Encoder(Protocol):
    """What turns texts into vectors; texts are of the type that it reads."""

    def ids(self, texts: Sequence[Any]) -> list[list[int]]:
        """Numbers of the tokens of every text, as in `Encoded.ids`."""
        ...

    def encode(self, texts: Sequence[Any]) -> list[Encoded]:
        """Vectors of every text, order kept."""
        ...


def over_pairs(
    encoder: Encoder,
    candidates: Sequence[Any],
    references: Sequence[Any],
    pairs: np.ndarray,
    score: Callable[[Sequence[Pair]], Any],
) -> np.ndarray:
    """A score of many pairs of few texts, each encoded once: float32 [pair].

    candidates   texts, all different; encoded in blocks
    references   texts, all different; held all at once
    pairs        int64 [pair, 2]   places of candidate and reference
    """
    found = np.full(len(pairs), np.nan, np.float32)
    meant = encoder.encode(references)
    order = np.argsort(pairs[:, 0], kind="stable")
    for start in range(0, len(candidates), BLOCK):
        said = encoder.encode(candidates[start : start + BLOCK])
        low, high = np.searchsorted(pairs[order, 0], (start, start + BLOCK))
        rows = order[low:high]
        found[rows] = score([(said[one - start], meant[other]) for one, other in pairs[rows]])
    return found


def normed(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one, float32; those of length zero stay."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-30)).astype(np.float32)


def bert_f1s(pairs: Sequence[Pair]) -> list[float]:
    """`bert_f1` of every pair."""
    return [bert_f1(*pair) for pair in pairs]


def bert_f1(candidate: Encoded, reference: Encoded) -> float:
    """BERTScore F1, every token of one weight, no rescaling; 0 when a text is empty.

    Special tokens have no weight but may be matched, as in the bert-score package. What pads a batch is never matched
    [differs: mm_neurons.md 6]; the package matches it with a similarity of 0. Where precision or recall is not
    positive F1 is 0: a harmonic mean of such numbers lies anywhere [differs]. Language models have no such vectors.
    """
    if candidate.special.all() or reference.special.all():
        return 0.0
    alike = candidate.vectors @ reference.vectors.T
    precision = float(alike.max(axis=1)[~candidate.special].mean())
    recall = float(alike.max(axis=0)[~reference.special].mean())
    return 2 * precision * recall / (precision + recall) if min(precision, recall) > 0 else 0.0


def cosines(pairs: Sequence[Pair]) -> list[float]:
    """`cosine` of every pair."""
    return [cosine(*pair) for pair in pairs]


def cosine(candidate: Encoded, reference: Encoded) -> float:
    """Cosine of the mean vectors of both texts; NaN when a text is empty."""
    one, other = (text.vectors[~text.special] for text in (candidate, reference))
    if not len(one) or not len(other):
        return math.nan
    return float(normed(one.mean(axis=0)) @ normed(other.mean(axis=0)))


# ---- MoverScore --------------------------------------------------------------------------------------------------


def rarity(texts: Sequence[Iterable[int]]) -> dict[int, float]:
    """Weight of every token: log((N + 1) / (n + 1)), n of the N texts, given as numbers of tokens, have it."""
    having = Counter(token for text in texts for token in set(text))
    return {token: math.log((len(texts) + 1) / (count + 1)) for token, count in having.items()}


def shares(text: Encoded, weights: Mapping[int, float]) -> np.ndarray:
    """Weights of a text's tokens, adding up to one: float64 [token]; all 0 where no token counts.

    weights   by token, see `rarity`; later pieces of words, marks and what is in every text count nothing
    """
    raw = np.array([weights[token] for token in text.ids.tolist()], dtype=np.float64).reshape(-1) * text.begins
    return raw / raw.sum() if raw.sum() else raw


def mover(pairs: Sequence[Pair], weights: tuple[Mapping[int, float], Mapping[int, float]]) -> np.ndarray:
    """MoverScore of words (unigrams) per pair of candidate and reference: float64 [pair], NaN where nothing counts.

    weights   of the candidates' tokens and of the references'

    That is the second form of the authors' code; it scores 1 where nothing counts [differs: mm_neurons.md 6].
    """
    problems = {}
    for place, (candidate, reference) in enumerate(pairs):
        given, wanted = shares(candidate, weights[0]), shares(reference, weights[1])
        if given.any() and wanted.any():
            cost = _apart(candidate.vectors[given > 0], reference.vectors[wanted > 0])
            problems[place] = cost, given[given > 0], wanted[wanted > 0]
    found = np.full(len(pairs), np.nan)
    found[list(problems)] = 1 / (1 + transport(list(problems.values())))
    return found


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean distances of vectors, float64 [one, other]."""
    gaps = one.astype(np.float64)[:, None] - other.astype(np.float64)[None]
    return np.linalg.norm(gaps, axis=-1)


def transport(problems: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Least cost of moving one distribution onto another, per problem: float64 [problem]; exact.

    problems   cost [i, j], what is there [i], what is wanted [j]; both add up to one
    """
    least = np.zeros(len(problems))
    hard = []
    for place, (cost, given, wanted) in enumerate(problems):
        if 1 in cost.shape:
            # Where one side is a single place there is but one way.
            least[place] = float(given @ cost @ wanted)
        else:
            hard.append(place)
    for start in range(0, len(hard), TOGETHER):
        part = hard[start : start + TOGETHER]
        least[part] = _solved([problems[place] for place in part])
    return least


def _solved(problems: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """The same by one linear program over all problems; an unknown per path from place to place."""
    from scipy import optimize, sparse

    costs, amounts, leave, arrive, equations = [], [], [], [], 0
    for cost, given, wanted in problems:
        # Two equations hold each path: what leaves its first place, what arrives at its second.
        row, column = np.divmod(np.arange(cost.size), cost.shape[1])
        leave.append(equations + row)
        arrive.append(equations + len(given) + column)
        costs.append(cost.ravel())
        amounts += [given, wanted]
        equations += len(given) + len(wanted)
    flat, paths = np.concatenate(costs), np.arange(sum(map(len, costs)))
    places = np.concatenate(leave + arrive), np.concatenate([paths, paths])
    matrix = sparse.csr_array((np.ones(2 * len(flat)), places), shape=(equations, len(flat)))
    found = optimize.linprog(flat, A_eq=matrix, b_eq=np.concatenate(amounts), method="highs")
    if found.x is None:
        raise ArithmeticError(f"optimal transport: {found.message}")
    starts = np.cumsum([0, *map(len, costs)])[:-1]
    return np.add.reduceat(found.x * flat, starts)
