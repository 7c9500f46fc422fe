"""Are latents the concept vectors of words? Decoder rows beside differences of means of the same states.

The vector of a word is the mean state of the patches that show it less that of others, from one half of the pictures:
of all others, or of those that show another word of its kind and not this one. (xl_vlms makes such vectors of other
models, from states of written words; here they are of the same model, layer and positions as the latents.) Chance:
random directions with the covariance of the states, and vectors of words that were dealt to the pictures anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.beyond import cosines, probes
from vlmscope.multimodal_sae.beyond.patch_files import Patches
from vlmscope.multimodal_sae.beyond.probes import Probe
from vlmscope.multimodal_sae.score.classes import ALL, choose
from vlmscope.stats import Draws

AGAINST = ("rest", "kind")
# against: what the word's patches are held against; latent, cosine: nearest decoder row; chance, shuffled: largest
# cosines of the two kinds of chance, on average; p: share of random directions that come as near; own: the latent that
# agrees best with the word; same: 1 where it is the nearest one; area_*: how well the vector, that latent's activation
# and a probe tell held-out patches with the word from those that it is held against (ROC).
CONCEPTS = {
    "against": pl.String,
    "kind": pl.String,
    "word": pl.String,
    "latent": pl.Int64,
    "cosine": pl.Float64,
    "chance": pl.Float64,
    "chance_high": pl.Float64,
    "p": pl.Float64,
    "shuffled": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
    "own": pl.Int64,
    "own_cosine": pl.Float64,
    "own_rank": pl.Int64,
    "same": pl.Float64,
    "area_vector": pl.Float64,
    "area_latent": pl.Float64,
    "area_probe": pl.Float64,
    "behind": pl.Float64,
    "behind_low": pl.Float64,
    "behind_high": pl.Float64,
}
NOTES = (
    "Vectors, probes and best latents come from one half of the pictures, areas under the curve from the other.",
    "more: cosine less that of random directions; behind: area of the vector less that of the latent.",
    "Intervals of 95 % draw words, those of neurons draw neurons.",
)


def others(told: np.ndarray, kinds: Sequence[str], against: str) -> np.ndarray:
    """Patches that every word is held against, bool [n, word].

    told    bool [n, word]
    kinds   of the words
    """
    if against == "rest":
        return ~told
    same = np.array([[one == other for other in kinds] for one in kinds], np.float32)
    return ~told & (told.astype(np.float32) @ same > 0)


def shuffled(held: Patches, against: str, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Vectors of words that were dealt to the pictures anew, of length 1: float32 [draw, word, d]."""
    reference, kinds = np.flatnonzero(held.half == 0), list(held.words.values())
    x = held.states[reference].reshape(-1, held.states.shape[2])
    found = []
    for _ in range(draws):
        shows = held.shows[generator.permutation(reference)]
        told = np.moveaxis(shows, 1, 2).reshape(len(x), -1)
        found.append(cosines.unit(probes.differences(x, told, others(told, kinds, against))))
    return np.stack(found)


def table(rows: np.ndarray, held: Patches, fitted: Mapping[str, Probe], draws: Draws, directions: int) -> pl.DataFrame:
    """Table `CONCEPTS`, for words that some patches of the reference half show and some do not.

    rows         decoder rows of length 1, [F, d]
    fitted       word -> its probe, from the reference half
    directions   random directions behind chance
    """
    if not fitted:
        return pl.DataFrame(schema=CONCEPTS)
    generator = np.random.default_rng(draws.seed)
    random = cosines.nearest(cosines.alike(held.flat[~held.held], directions, generator), rows)[0]
    own, found = choose(held.coders["trained"], held.shows).latent, []
    for against in AGAINST:
        part = _against(rows, held, fitted, own, random, against, max(2, directions // 4), generator)
        found += [{"against": against, **row} for row in (*part, _mean(part, draws))]
    return pl.DataFrame(found, schema=CONCEPTS)


def _against(
    rows: np.ndarray,
    held: Patches,
    fitted: Mapping[str, Probe],
    own: np.ndarray,
    random: np.ndarray,
    against: str,
    draws: int,
    generator: np.random.Generator,
) -> list[dict[str, Any]]:
    """Rows of all words that have something to be held against."""
    rest, told = others(held.told, list(held.words.values()), against), held.told
    vectors = cosines.unit(probes.differences(held.flat[~held.held], told[~held.held], rest[~held.held]))
    dealt = shuffled(held, against, draws, generator)
    chance = cosines.nearest(dealt.reshape(-1, dealt.shape[2]), rows)[0].reshape(dealt.shape[:2]).mean(0)
    found = []
    for number, (word, kind) in enumerate(held.words.items()):
        if word in fitted and rest[~held.held, number].any():
            near = _near(rows, vectors[number], int(own[number]), random)
            kept = held.held & (told[:, number] | rest[:, number])
            areas = _areas(held, kept, told[kept, number], vectors[number], fitted[word], near["own"])
            found.append({"kind": kind, "word": word, **near, "shuffled": float(chance[number]), **areas})
    return found


def _near(rows: np.ndarray, vector: np.ndarray, own: int, random: np.ndarray) -> dict[str, Any]:
    """The row nearest to a vector, and where the word's own latent stands among all."""
    every = rows @ vector
    latent = int(every.argmax())
    chance = float(random.mean())
    return {
        "latent": latent,
        "cosine": float(every[latent]),
        "chance": chance,
        "chance_high": float(np.quantile(random, 0.975)),
        "p": float((1 + np.count_nonzero(random >= every[latent])) / (1 + len(random))),
        "more": float(every[latent]) - chance,
        "own": own,
        "own_cosine": float(every[own]),
        "own_rank": 1 + int(np.count_nonzero(every > every[own])),
        "same": float(own == latent),
    }


def _areas(
    held: Patches, kept: np.ndarray, there: np.ndarray, vector: np.ndarray, probe: Probe, own: int
) -> dict[str, float]:
    """How well three ways tell patches with a word from the others among those kept, bool [P B]."""
    x, active = held.flat[kept], held.coders["trained"]
    value = np.where(active.idx[kept] == own, active.val[kept], 0).sum(1)
    found = {
        "area_vector": probes.area(x @ vector, there),
        "area_latent": probes.area(value, there),
        "area_probe": probes.area(probe.values(x), there),
    }
    return {**found, "behind": found["area_vector"] - found["area_latent"]}


def _mean(found: Sequence[Mapping[str, Any]], draws: Draws) -> dict[str, Any]:
    """Means over words with intervals."""
    names = ("cosine", "chance", "shuffled", "own_cosine", "same", "area_vector", "area_latent", "area_probe")
    if not found:
        return {"word": ALL}
    row: dict[str, Any] = {"word": ALL, **{name: float(np.nanmean([one[name] for one in found])) for name in names}}
    for name in ("more", "behind"):
        values = np.array([one[name] for one in found])
        parts = draws.mean(values[~np.isnan(values)])
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), parts, strict=True))
    return row
