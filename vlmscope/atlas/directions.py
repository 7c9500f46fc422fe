"""Do two ways to find directions find the same ones? Latents of the autoencoder against words and concepts.

Notation: F latents with directions W [F, d] and activations A; a concept has a direction c and activations v.
    cosine         the latent of greatest cos(c, W_f)
    coactivation   the latent whose activation correlates most with v over the training states, by its correlation over
                   held-out states
Both stand beside random directions with the covariance of the same states, which go the same way, and beside shuffled
ones: states dealt to the words at random (cosine of words), activations of the concept in another order.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.atlas import latents, states
from vlmscope.atlas.schemas import DIRECTIONS
from vlmscope.atlas.states import States
from vlmscope.errors import VlmscopeError
from vlmscope.metrics.concepts import correlations, cosines
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.sets import modules

NOTES = (
    "The autoencoder learnt states of prompts; the states here are those that wrote words, of other pictures.",
    "What all concepts of a word have in common is taken away before they are matched.",
    "`random` are directions with the covariance of the same states: they, too, lie close to some latents.",
)
DIGITS = 6


class Concept(NamedTuple):
    """A direction and how active it is.

    direction     float [d]
    train, test   activation of the states, float [M], [T]
    """

    direction: np.ndarray
    train: np.ndarray
    test: np.ndarray


class Bench(NamedTuple):
    """The states that concepts are matched on.

    train, test      float [M, d], [T, d]
    acts, test_acts  their latents, float32 [M, F], [T, F]
    decoder          float32 [F, d]
    """

    train: np.ndarray
    test: np.ndarray
    acts: np.ndarray
    test_acts: np.ndarray
    decoder: np.ndarray


class Draws(NamedTuple):
    """draws: random directions and orders; bootstrap: resamples; seed."""

    draws: int
    bootstrap: int
    seed: int

    def generator(self, *names: int) -> np.random.Generator:
        """A generator of its own for each purpose."""
        return np.random.default_rng([self.seed, *names])


def bench(coder: Any, train: np.ndarray, test: np.ndarray) -> Bench:
    """States with their latents."""
    return Bench(train, test, latents.active(coder, train), latents.active(coder, test), latents.decoder(coder))


# ---- matches ------------------------------------------------------------------------------------------------------


def nearest(rows: np.ndarray, decoder: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latent of greatest cosine, int64 [row], and that cosine, float64 [row]."""
    found = cosines(rows, decoder)
    best = found.argmax(axis=1)
    return best, found[np.arange(len(rows)), best]


def together(train: np.ndarray, test: np.ndarray, own: Bench) -> tuple[np.ndarray, np.ndarray]:
    """Latent chosen on the training states, int64 [row], and its correlation on those held out, float64 [row].

    train, test   activations [M, row], [T, row]
    """
    best = correlations(train, own.acts).argmax(axis=1)
    return best, np.array([_correlation(test[:, row], own.test_acts[:, one]) for row, one in enumerate(best)])


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; 0 where either does not vary."""
    return float(correlations(one[:, None], other[:, None])[0, 0])


def _beside(name: str, value: float, control: np.ndarray) -> dict[str, float]:
    """A control: how high it is, and how often it is as high."""
    return {
        f"{name}_mean": float(control.mean()),
        f"{name}_high": float(np.quantile(control, 0.975)),
        f"{name}_p": float((1 + (control >= value).sum()) / (1 + len(control))),
    }


def by_coactivation(one: Concept, own: Bench, told: Draws) -> dict[str, Any]:
    """The latent that is active together with a concept."""
    best, values = together(one.train[:, None], one.test[:, None], own)
    latent, value = int(best[0]), float(values[0])
    drawn = states.random(own.train, told.draws, told.generator(1))
    beside = together(own.train @ drawn.T, own.test @ drawn.T, own)[1]
    mixed = told.generator(2)
    orders = [np.stack([mixed.permutation(part) for _ in range(told.draws)], 1) for part in (one.train, one.test)]
    shuffled = together(*orders, own)[1]
    again = told.generator(3).integers(0, len(one.test), (told.bootstrap, len(one.test)))
    low, high = stats.interval(_resampled(one.test, own.test_acts[:, latent], again))
    return {
        **{"match": "coactivation", "latent": latent, "value": value, "low": low, "high": high},
        **_beside("random", value, beside),
        **_beside("shuffled", value, shuffled),
        "n": len(one.test),
    }


def _resampled(one: np.ndarray, other: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Correlation of every draw of rows, float64 [draw]; NaN where either does not vary in it."""
    x, y = (part[rows] - part[rows].mean(axis=1, keepdims=True) for part in (one.astype(float), other.astype(float)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


def by_cosine(one: Concept, own: Bench, told: Draws) -> dict[str, Any]:
    """The latent whose direction is nearest to a concept's."""
    best, values = nearest(one.direction[None], own.decoder)
    beside = nearest(states.random(own.train, told.draws, told.generator(1)), own.decoder)[1]
    found = {"match": "cosine", "latent": int(best[0]), "value": float(values[0]), "n": len(own.train)}
    return found | _beside("random", float(values[0]), beside)


# ---- words and concepts -------------------------------------------------------------------------------------------


def of_words(found: States, own: Bench, told: Draws) -> Iterator[dict[str, Any]]:
    """Rows of the words' directions.

    own   all words' states, one after the other
    """
    known = states.directions(found.train)
    again = states.resampled(found.train, told.bootstrap, told.generator(4))
    dealt = states.shuffled(found.train, told.draws, told.generator(5))
    for place, (word, direction) in enumerate(known.items()):
        one = Concept(direction, own.train @ direction, own.test @ direction)
        near = by_cosine(one, own, told)
        low, high = stats.interval(cosines(again[:, place], own.decoder[[near["latent"]]])[:, 0])
        control = nearest(dealt[:, place], own.decoder)[1]
        near |= {"low": low, "high": high} | _beside("shuffled", near["value"], control)
        for row in (near, by_coactivation(one, own, told)):
            yield {"word": word, "kind": "word", **row}


def of_concepts(word: str, path: str, own: Bench, block: str, told: Draws) -> Iterator[dict[str, Any]]:
    """Rows of the concepts of one word's dictionary at the block.

    own   the word's states alone
    What all concepts of a word have in common is the word: it is taken away.
    """
    keys = [key for key in dictionary_files.keys(path) if key.module == block]
    if not keys:
        raise VlmscopeError(
            f"There is no dictionary of '{word}' at {block}, where the autoencoder is.",
            where=path,
            instead="a capture of xl_vlms that keeps resid_post, or multimodal_sae.site at a block that it keeps",
        )
    stored = dictionary_files.read(path, keys[0])
    if (len(stored.projected), len(stored.held_out)) != (len(own.train), len(own.test)):
        raise VlmscopeError(
            f"The dictionary of '{word}' is of {len(stored.projected)} states, the vector set has {len(own.train)}.",
            where=path,
            instead="delete it and run snakemake again",
        )
    rows = stored.dictionary.concepts
    for number, direction in enumerate(rows - rows.mean(axis=0)):
        one = Concept(direction, stored.projected[:, number], stored.held_out[:, number])
        for row in (by_cosine(one, own, told), by_coactivation(one, own, told)):
            yield {"word": word, "kind": "concept", "concept": number, **row}


def from_files(
    *,
    weights: str,
    train: Sequence[str],
    test: Sequence[str],
    dictionaries: Mapping[str, str],
    words: Mapping[str, str],
    settings: Mapping[str, Any],
) -> pl.DataFrame:
    """The table, `DIRECTIONS`.

    weights        of the autoencoder, with its cfg.json beside
    dictionaries   vector set -> file
    words          vector set -> word
    settings       site, draws, bootstrap, seed
    """
    name, coder = modules.of_site("resid_post", states.block(settings["site"])), checkpoint.read(Path(weights).parent)
    told = Draws(settings["draws"], settings["bootstrap"], settings["seed"])
    found = states.read(train, test, words, name)
    whole = bench(coder, *(np.concatenate(list(side.values())) for side in found))
    rows = list(of_words(found, whole, told))
    for key, path in dictionaries.items():
        word = words[key]
        own = bench(coder, found.train[word], found.test[word])
        rows += of_concepts(word, path, own, name, told)
    columns = {key: [row.get(key) for row in rows] for key in DIRECTIONS}
    numbers = [key for key, kind in DIRECTIONS.items() if kind == pl.Float64]
    frame = pl.DataFrame(columns, schema=DIRECTIONS)
    # A latent that is silent on the held-out states has no interval.
    return frame.with_columns(pl.col(numbers).fill_nan(None).round(DIGITS))
