"""Do concepts carry the token? Parts of the last state are taken away or kept alone (xl_vlms.md 9; ours).

Notation: h [D] a state behind the final norm, S the span of n concepts, P its projection.
    delete   h - P h          keep   P h
and the probability of the token that h predicts, through the unembedding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.stats import Draws
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries.files import Stored, main_module
from vlmscope.xl_vlms.dictionaries.schemas import FAITHFUL
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.words import vocabulary
from vlmscope.xl_vlms.words.vocabulary import Vocabulary

Row = dict[str, Any]
EDITS = ("delete", "keep")
# Draws of what is random.
DRAWS = 5


def basis(rows: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span the same space, float64 [rank, D]."""
    _, sizes, right = np.linalg.svd(np.asarray(rows, dtype=np.float64), full_matrices=False)
    # Of concepts that depend on each other rounding leaves directions that are none.
    return right[sizes > 1e-9 * max(sizes.max(initial=0.0), 1e-30)]


def edited(state: np.ndarray, rows: np.ndarray, edit: str) -> np.ndarray:
    """A state without its part in the span of rows (delete), or that part alone (keep)."""
    own = basis(rows)
    part = own.T @ (own @ state)
    return state - part if edit == "delete" else part


def told(states: np.ndarray, tokens: np.ndarray, words: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each state's token, float64 [M], and whether it is still the likeliest, bool [M]."""
    logits = words.logits(states).astype(np.float64)
    own = logits[np.arange(len(states)), tokens]
    top = logits.max(axis=1)
    return np.exp(own - top) / np.exp(logits - top[:, None]).sum(axis=1), own >= top


def choices(one: Stored, train: np.ndarray, seed: int) -> dict[str, Callable[[int, int, int], np.ndarray]]:
    """Name -> function of sample, number and draw that gives the concepts, [n, D].

    train   the samples that the dictionary was made from
    """
    concepts, width = one.dictionary.concepts, one.dictionary.concepts.shape[1]
    order = np.argsort(-np.abs(one.held_out), axis=1, kind="stable")

    def generator(sample: int, draw: int) -> np.random.Generator:
        return np.random.default_rng([seed, sample, draw])

    return {
        "most_active": lambda sample, n, draw: concepts[order[sample, :n]],
        "random_concepts": lambda sample, n, draw: concepts[generator(sample, draw).permutation(len(concepts))[:n]],
        "random_samples": lambda sample, n, draw: train[generator(sample, draw).permutation(len(train))[:n]],
        "random_directions": lambda sample, n, draw: generator(sample, draw).normal(size=(n, width)),
    }


def curves(one: Stored, train: np.ndarray, test: np.ndarray, words: Vocabulary, draws: Draws) -> Iterator[Row]:
    """Values of `FAITHFUL` of one dictionary, over edits, choices and numbers of concepts."""
    tokens = words.logits(test).argmax(axis=1)
    plain = float(told(test, tokens, words)[0].mean())
    numbers = sorted({1, 2, 3, 5, one.key.k} & set(range(1, one.key.k + 1)))
    for which, choose in choices(one, train, draws.seed).items():
        for n in numbers:
            repeats = 1 if which == "most_active" else DRAWS
            for edit in EDITS:
                found = [
                    told(
                        np.stack([edited(row, choose(place, n, draw), edit) for place, row in enumerate(test)]),
                        tokens,
                        words,
                    )
                    for draw in range(repeats)
                ]
                chances, same = (np.mean([part[side] for part in found], axis=0) for side in (0, 1))
                middle, low, high = draws.mean(chances)
                row = {"edit": edit, "which": which, "concepts": n, "n": len(test), "unedited": plain}
                yield row | {"probability": middle, "low": low, "high": high, "unchanged": float(same.mean())}


def from_files(
    paths: Sequence[str],
    *,
    train: Sequence[str],
    test: Sequence[str],
    words: str,
    model: str,
    settings: Mapping[str, Any],
) -> pl.DataFrame:
    """`FAITHFUL` of the main dictionaries of all sets, at the final norm.

    paths         files of dictionaries
    train, test   vectors they were made from, and held-out ones
    words         the model's vocabulary
    settings      bootstrap, seed
    """
    known, rows = vocabulary.read(words), []
    draws = Draws(settings["bootstrap"], settings["seed"])
    for path, *sides in zip(paths, train, test, strict=True):
        if (main := main_module(path)) != "final_norm":
            raise VlmscopeError(
                f"States at {main} do not go through the unembedding as they are.",
                where="xl_vlms.dictionaries.module",
                instead="final_norm",
            )
        own, held_out = (vectors.read(side, main).values for side in sides)
        for key in dictionary_files.keys(path):
            if key.module == main and len(held_out):
                named = {"model": model, "token": dictionary_files.recipe(path)["set"], **key._asdict()}
                one = dictionary_files.read(path, key)
                rows += [named | row for row in curves(one, own, held_out, known, draws)]
    return pl.DataFrame(rows, schema=FAITHFUL)
