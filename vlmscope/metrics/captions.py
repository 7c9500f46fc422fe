"""Scores of captions against several references, as the COCO caption evaluation has them (xl_vlms.md 6.3).

Every score function takes tokens: candidates [image][token], references [image][reference][token], and gives values
between 0 and 1 (CIDEr 0 to 10). CIDEr-D, BLEU and ROUGE-L are computed here; METEOR and SPICE by the pycocoevalcap
package, where it and Java are installed.
"""

import importlib.util
import logging
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError

log = logging.getLogger(__name__)

Tokens = Sequence[str]
Texts = Sequence[Tokens]
References = Sequence[Sequence[Tokens]]

ORDERS = (1, 2, 3, 4)
# Width of the penalty on lengths, and the factor that CIDEr is known by.
SIGMA, SCALE = 6.0, 10.0
# Weight of recall in ROUGE-L.
BETA = 1.2
# What keeps BLEU defined without matches, as in the COCO evaluation.
TINY, SMALL = 1e-15, 1e-9


class Score(NamedTuple):
    """A score of a set of captions.

    values   float64 [draw]    of the set with its images drawn as often as was asked; NaN where it cannot be computed
    rows     float64 [image]   of each image alone; empty where it cannot be computed
    """

    values: np.ndarray
    rows: np.ndarray


# ---- tokens ------------------------------------------------------------------------------------------------------

_DROPPED = re.compile(r"[\"'`.?!,:;()\[\]{}–—-]")
_CLITIC = re.compile(r"(?<=[^\W\d_])(n't|'(?:s|m|d|ll|re|ve))(?!\w)")
_APART = re.compile(r"\b(can)(not)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b")
_TOKEN = re.compile(
    r"n't|'(?:s|m|d|ll|re|ve)(?!\w)"
    # Initials, titles, numbers with marks inside, words with hyphens or apostrophes inside.
    r"|(?:[^\W\d_]\.){2,}|\b(?:mr|mrs|ms|dr|st)\.|\d+(?:[.,:/-]\d+)*|\w+(?:[-'/&]\w+)*|[^\w\s]"
)


def tokens(text: str) -> list[str]:
    """Words in lower case, after the Penn Treebank's habits, without the marks that the COCO evaluation drops.

    Clitics stand apart (`isn't` -> `is n't`), hyphens stay inside words, brackets go. The Java tokeniser keeps
    brackets, which it spells in small letters that its own list of marks does not have, and knows more abbreviations
    [differs: xl_vlms.md 6.3].
    """
    apart = _CLITIC.sub(r" \1", text.lower().replace("’", "'"))
    apart = _APART.sub(lambda found: " ".join(filter(None, found.groups())), apart)
    return [one for one in _TOKEN.findall(apart) if not _DROPPED.fullmatch(one)]


def ngrams(text: Tokens, order: int) -> Counter[tuple[str, ...]]:
    """How often each sequence of `order` tokens occurs."""
    return Counter(tuple(text[start : start + order]) for start in range(len(text) - order + 1))


# ---- CIDEr-D -----------------------------------------------------------------------------------------------------


def cider(candidates: Texts, references: References) -> np.ndarray:
    """CIDEr-D of every image, float64 [image]; that of a set is the mean.

    Sequences count the less the more images have them among their references: with a single image all count nothing.
    """
    _check(candidates, references)
    grams = [[_all_ngrams(text) for text in given] for given in references]
    having = Counter(gram for given in grams for gram in set().union(*given))
    images = math.log(len(references)) if references else 0.0
    weights = {gram: images - math.log(count) for gram, count in having.items()}
    pairs = zip(candidates, grams, strict=True)
    return np.array([_cider_of(_all_ngrams(said), given, weights, images) for said, given in pairs])


def _all_ngrams(text: Tokens) -> Counter[tuple[str, ...]]:
    return sum((ngrams(text, order) for order in ORDERS), Counter())


def _cider_of(
    said: Counter[tuple[str, ...]],
    given: Sequence[Counter[tuple[str, ...]]],
    weights: dict[tuple[str, ...], float],
    unseen: float,
) -> float:
    one = _weighted(said, weights, unseen)
    return SCALE * float(np.mean([_likeness(one, _weighted(text, weights, unseen)).mean() for text in given]))


class _Weighted(NamedTuple):
    """Weights of a text's sequences, their length per order, and the number of bigrams."""

    grams: dict[tuple[str, ...], float]
    norms: np.ndarray
    bigrams: int


def _weighted(text: Counter[tuple[str, ...]], weights: dict[tuple[str, ...], float], unseen: float) -> _Weighted:
    grams = {gram: count * weights.get(gram, unseen) for gram, count in text.items()}
    squares = np.zeros(len(ORDERS))
    for gram, value in grams.items():
        squares[len(gram) - 1] += value**2
    return _Weighted(grams, np.sqrt(squares), sum(count for gram, count in text.items() if len(gram) == 2))


def _likeness(one: _Weighted, other: _Weighted) -> np.ndarray:
    """Clipped cosine per order, less for texts of other length, float64 [order]."""
    shared = np.zeros(len(ORDERS))
    for gram, value in one.grams.items():
        meant = other.grams.get(gram, 0.0)
        shared[len(gram) - 1] += min(value, meant) * meant
    norms = one.norms * other.norms
    shared = np.divide(shared, norms, out=shared, where=norms != 0)
    return shared * math.exp(-((one.bigrams - other.bigrams) ** 2) / (2 * SIGMA**2))


# ---- BLEU --------------------------------------------------------------------------------------------------------


def bleu_parts(candidates: Texts, references: References) -> np.ndarray:
    """What BLEU is made of, int64 [image, 10]: length, length of the closest reference, matches and tries per order."""
    _check(candidates, references)
    return np.array([_bleu_part(*pair) for pair in zip(candidates, references, strict=True)], dtype=np.int64).reshape(
        -1, 2 + 2 * len(ORDERS)
    )


def _bleu_part(said: Tokens, given: Sequence[Tokens]) -> list[int]:
    closest = min((abs(len(text) - len(said)), len(text)) for text in given)[1]
    matches, tries = [], []
    for order in ORDERS:
        most: Counter[tuple[str, ...]] = Counter()
        for text in given:
            most |= ngrams(text, order)
        matches.append((ngrams(said, order) & most).total())
        tries.append(max(0, len(said) - order + 1))
    return [len(said), closest, *matches, *tries]


def bleu(parts: np.ndarray, order: int) -> np.ndarray:
    """BLEU of sums of parts, float64 [...], for parts [..., 10]; with the closest reference length."""
    said, closest = parts[..., 0], parts[..., 1]
    matches, tries = parts[..., 2 : 2 + order], parts[..., 6 : 6 + order]
    mean = np.prod((matches + TINY) / (tries + SMALL), axis=-1) ** (1 / order)
    ratio = (said + TINY) / (closest + SMALL)
    return mean * np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)


# ---- ROUGE-L -----------------------------------------------------------------------------------------------------


def rouge_l(candidates: Texts, references: References) -> np.ndarray:
    """ROUGE-L of every image, float64 [image]: best precision and best recall, each over the references."""
    _check(candidates, references)
    return np.array([_rouge_of(*pair) for pair in zip(candidates, references, strict=True)], dtype=np.float64)


def _rouge_of(said: Tokens, given: Sequence[Tokens]) -> float:
    common = [longest_common(said, text) for text in given]
    precision = max(common) / len(said) if said else 0.0
    recall = max(n / len(text) if text else 0.0 for n, text in zip(common, given, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common(one: Tokens, other: Tokens) -> int:
    """Length of the longest sequence that both texts hold in this order, gaps allowed."""
    above = [0] * (len(other) + 1)
    for a in one:
        row = [0]
        for place, b in enumerate(other):
            row.append(above[place] + 1 if a == b else max(row[-1], above[place + 1]))
        above = row
    return above[-1]


# ---- all of them -------------------------------------------------------------------------------------------------


def scores(
    texts: Sequence[str], references: Sequence[Sequence[str]], names: Iterable[str], weights: np.ndarray
) -> dict[str, Score]:
    """The scores that are asked for, of captions and references as written.

    names     of `NAMES`; METEOR and SPICE are NaN, with the reason in the log, where they cannot be computed
    weights   float [draw, image]   how often each image counts; a row of ones for the set itself
    """
    said, given = [tokens(text) for text in texts], [[tokens(text) for text in every] for every in references]
    return {name: _named(name)(said, given, weights) for name in names}


Scorer = Callable[[Texts, References, np.ndarray], Score]


def _named(name: str) -> Scorer:
    if name not in _SCORES:
        raise VlmscopeError(f"There is no caption score '{name}'.", instead=f"one of: {', '.join(NAMES)}")
    return _SCORES[name]


def _mean(rows: np.ndarray, weights: np.ndarray) -> Score:
    return Score(weights @ rows / weights.sum(axis=1), rows)


def _bleu_score(order: int) -> Scorer:
    def score(said: Texts, given: References, weights: np.ndarray) -> Score:
        parts = bleu_parts(said, given)
        return Score(bleu(weights @ parts, order), bleu(parts, order))

    return score


def _package(name: str, module: str) -> Scorer:
    def score(said: Texts, given: References, weights: np.ndarray) -> Score:
        if lacking := _lacking():
            log.warning("%s is left empty: %s is not installed", name, lacking)
            return Score(np.full(len(weights), np.nan), np.zeros(0))
        scorer = getattr(importlib.import_module(f"pycocoevalcap.{module}.{module}"), module.capitalize())()
        keys = range(len(said))
        meant = {key: [" ".join(text) for text in given[key]] for key in keys}
        whole, rows = scorer.compute_score(meant, {key: [" ".join(said[key])] for key in keys})
        plain = [row["All"]["f"] if isinstance(row, dict) else row for row in rows]
        found = _mean(np.array(plain, dtype=np.float64), weights)
        # METEOR of a set is made of counts and not of its images' scores, which its resamples are means of.
        found.values[(weights == 1).all(axis=1)] = whole
        return found

    return score


def _lacking() -> str:
    """What METEOR and SPICE need and is not there; empty when all is."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        return "the Python package pycocoevalcap"
    return "" if shutil.which("java") else "Java"


_SCORES: dict[str, Scorer] = {
    "cider": lambda said, given, weights: _mean(cider(said, given), weights),
    **{f"bleu{order}": _bleu_score(order) for order in ORDERS},
    "rouge_l": lambda said, given, weights: _mean(rouge_l(said, given), weights),
    "meteor": _package("METEOR", "meteor"),
    "spice": _package("SPICE", "spice"),
}
NAMES = tuple(_SCORES)


def _check(candidates: Texts, references: References) -> None:
    if len(candidates) != len(references) or not all(references):
        raise VlmscopeError(
            f"{len(candidates)} captions, {len(references)} images, {sum(map(bool, references))} with references.",
            where="scores of captions",
            instead="one caption and at least one reference for every image",
        )
