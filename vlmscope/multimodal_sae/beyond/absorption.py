"""Feature absorption: a word is there, its own latents are silent, and another latent speaks for them.

After Chanin et al. (arXiv 2409.14507) as SAEBench 0.6 measures it (full absorption), with words of patches in the place
of first letters of tokens. A probe per word comes from one half of the pictures; counted are held-out patches that show
the word and of which the probe says so. Notation: p the probe's direction at length 1, x state, b b_dec, a activations.

    silent     all latents of the word's own have a = 0
    absorbed   silent, and the latent of the largest a_j W_dec[j] . p has cos(W_dec[j], p) >= cosine and makes up
               at least `share` of (x - b) . p

A word's own latents are those that tell it best when they are beyond a threshold: the one of the best F1, then others
as long as each adds `jump`. SAEBench takes them from k-sparse probes; and a probe's value is that of the state less b,
so that 0 means nothing of it [differs: SAEBench 0.6].
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.beyond import cosines, probes
from vlmscope.multimodal_sae.beyond.patch_files import Patches
from vlmscope.multimodal_sae.beyond.probes import Probe
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.multimodal_sae.score.classes import ALL, THRESHOLDS
from vlmscope.stats import Draws, interval

# silent, absorbed: shares of the patches. chance: share of the same silent patches and of all in which a latent would
# absorb a random direction with the covariance of the states. `mean`: over the words that count.
ABSORPTION = {
    "coder": pl.String,
    "kind": pl.String,
    "word": pl.String,
    "own": pl.String,
    "own_f1": pl.Float64,
    "probe_f1": pl.Float64,
    "counts": pl.Boolean,
    "patches": pl.Int64,
    "silent": pl.Float64,
    "absorbed": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "chance": pl.Float64,
    "chance_low": pl.Float64,
    "chance_high": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
    "absorber": pl.Int64,
    "absorber_share": pl.Float64,
    "absorber_cosine": pl.Float64,
}


def own_latents(
    active: Active, there: np.ndarray, chosen: np.ndarray, jump: float, most: int
) -> tuple[list[int], float]:
    """Latents that together tell a word best, each beyond a threshold of its own, and their F1.

    there    bool [P B]   patches with the word
    chosen   bool [P B]   patches that are looked at
    jump     what another latent has to add to F1
    """
    told, total = there[chosen], np.count_nonzero(there[chosen])
    beyond = [_beyond(active, share)[:, chosen] for share in THRESHOLDS]
    found: list[int] = []
    covered, best = np.zeros(len(told), bool), 0.0
    while len(found) < most:
        hits, said = np.count_nonzero(covered & told), np.count_nonzero(covered)
        new = np.stack([~covered & told, ~covered], 1).astype(np.float32)
        scores = []
        for one in beyond:
            right, more = (one @ new).T
            scores.append(2 * (hits + right) / np.maximum(said + more + total, 1))
        number, latent = np.unravel_index(int(np.argmax(scores)), (len(beyond), active.latents))
        if scores[number][latent] < best + jump or not scores[number][latent]:
            break
        found.append(int(latent))
        best = float(scores[number][latent])
        covered |= beyond[number][[latent]].toarray()[0] > 0
    return list(dict.fromkeys(found)), best


def _beyond(active: Active, share: float) -> Any:
    """Where latents are above a share of their highest value, sparse float32 [F, P B]."""
    from scipy import sparse

    matrix = active.matrix.tocoo()
    row, column = matrix.coords
    kept = matrix.data > share * active.highest[column]
    where = (column[kept], row[kept])
    return sparse.csr_array((np.ones(kept.sum(), np.float32), where), shape=matrix.shape[::-1])


def absorbing(
    active: Active,
    patches: np.ndarray,
    rows: np.ndarray,
    value: np.ndarray,
    direction: np.ndarray,
    own: Mapping[str, Any],
) -> np.ndarray:
    """The latent that speaks for a direction in each of some patches, -1 where none does: int64 [n].

    patches     numbers of the patches [n]
    rows        decoder rows of length 1, [F, d]
    value       (x - b) . direction, float32 [n]
    direction   of length 1, [d]
    own         cosine, share (multimodal_sae.beyond.absorption)
    """
    idx, val = active.idx[patches], active.val[patches]
    cosine = rows @ direction
    parts = val * cosine[idx]
    best = parts.argmax(1)[:, None]
    latent, part = (np.take_along_axis(one, best, 1)[:, 0] for one in (idx, parts))
    speaks = (value > 0) & (part > 0) & (part >= own["share"] * value) & (cosine[latent] >= own["cosine"])
    return np.where(speaks, latent, -1)


def of_word(
    held: Patches,
    active: Active,
    rows: np.ndarray,
    center: np.ndarray,
    there: np.ndarray,
    probe: Probe,
    random: np.ndarray,
    own: Mapping[str, Any],
) -> tuple[dict[str, Any], np.ndarray]:
    """What the table says of a word, and counts per held-out picture int64 [P, 3 + draw].

    there    bool [P B]
    center   b_dec
    random   directions of length 1, [draw, d]
    Counts: patches, silent ones, absorbed ones, absorbed ones of every random direction.
    """
    latents, score = own_latents(active, there, ~held.held, own["jump"], own["most"])
    said = probe.values(held.flat) > 0
    patches = np.flatnonzero(held.held & there & said)
    silent = ~(np.isin(active.idx[patches], latents) & (active.val[patches] > 0)).any(1)
    some, direction = patches[silent], cosines.unit(probe.direction[None])[0]
    x = held.flat[some] - center
    taken = absorbing(active, some, rows, x @ direction, direction, own)
    drawn = [absorbing(active, some, rows, x @ one, one, own) >= 0 for one in random]
    picture = patches // held.base
    counts = [np.bincount(picture, minlength=len(held.states))]
    for one in (np.ones(len(some), bool), taken >= 0, *drawn):
        counts.append(np.bincount(some[one] // held.base, minlength=len(held.states)))
    names = Counter(taken[taken >= 0].tolist()).most_common(1)
    told: dict[str, Any] = {"own": " ".join(map(str, latents)), "own_f1": score, "patches": len(patches)}
    told["probe_f1"] = probes.f1(said[held.held], there[held.held])
    told["counts"] = told["probe_f1"] >= own["least_f1"] and len(patches) >= own["least"]
    if names:
        latent, often = names[0]
        told |= {"absorber": latent, "absorber_share": often / np.count_nonzero(taken >= 0)}
        told["absorber_cosine"] = float(rows[latent] @ direction)
    return told, np.stack(counts, 1)[held.half == 1]


def table(
    coders: Mapping[str, tuple[np.ndarray, np.ndarray]],
    held: Patches,
    fitted: Mapping[str, Probe],
    own: Mapping[str, Any],
    draws: Draws,
    directions: int,
) -> pl.DataFrame:
    """Table `ABSORPTION`.

    coders       name -> decoder rows of length 1 [F, d] and b_dec [d]
    fitted       word -> its probe, from the reference half
    own          multimodal_sae.beyond.absorption
    directions   random directions behind chance
    """
    random = cosines.alike(held.flat[~held.held], directions, np.random.default_rng(draws.seed))
    weights, found = draws.weights(int((held.half == 1).sum())), []
    for coder, (rows, center) in coders.items():
        counted = []
        for number, (word, kind) in enumerate(held.words.items()):
            if word not in fitted:
                continue
            given = (held, held.coders[coder], rows, center, held.told[:, number], fitted[word], random, own)
            told, counts = of_word(*given)
            shares = _shares(weights, counts)
            if told["counts"]:
                counted.append(shares)
            found.append({"coder": coder, "kind": kind, "word": word, **told, **_told(shares)})
        if counted:
            found.append({"coder": coder, "word": ALL, **_told(np.nanmean(counted, axis=0))})
    return pl.DataFrame(found, schema=ABSORPTION)


def _shares(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Shares of the patches: silent, absorbed, absorbed of every random direction, float64 [1 + resample, 2 + draw]."""
    drawn = weights @ counts
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(drawn[:, :1] > 0, drawn[:, 1:] / drawn[:, :1], np.nan)


def _told(shares: np.ndarray) -> dict[str, float]:
    """Shares with intervals over pictures; that of chance is over directions."""
    absorbed, chance = shares[:, 1], shares[:, 2:].mean(1)
    low, high = interval(absorbed[1:])
    more_low, more_high = interval((absorbed - chance)[1:])
    chance_low, chance_high = interval(shares[0, 2:])
    return {
        "silent": float(shares[0, 0]),
        "absorbed": float(absorbed[0]),
        "low": low,
        "high": high,
        "chance": float(chance[0]),
        "chance_low": chance_low,
        "chance_high": chance_high,
        "more": float((absorbed - chance)[0]),
        "more_low": more_low,
        "more_high": more_high,
    }


def probes_of(held: Patches, seed: int) -> dict[str, Probe]:
    """A probe per word, from the reference half; words that all of its patches show, or none, have none."""
    x, told = held.flat[~held.held], held.told[~held.held]
    kept = [number for number in range(told.shape[1]) if told[:, number].any() and not told[:, number].all()]
    names = list(held.words)
    return {names[number]: probes.fit(x, told[:, number], seed) for number in kept}
