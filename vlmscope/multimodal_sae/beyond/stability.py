"""Does another seed find the same latents? Decoder rows of two autoencoders, matched by their cosines.

Every latent of the left one has a nearest latent on the right (one latent may be nearest to many), and a partner in the
one-to-one matching of largest total cosine. Beside stand directions that were not learnt from the same states.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.beyond import cosines
from vlmscope.multimodal_sae.score.classes import ALL, Chosen
from vlmscope.stats import Draws, wilson

ABOVE = (0.7, 0.9)
# kind, what stands on the right: seed, another seed; untrained, weights that were not trained; random, directions with
# the covariance of another seed's rows; pca, principal axes of the states and their opposites.
# scope: all latents, or those that fire in the pictures (of the left, and of the right where it fires at all).
STABILITY = {
    "left": pl.String,
    "right": pl.String,
    "kind": pl.String,
    "scope": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "latents": pl.Int64,
}
WORDS = {
    "right": pl.String,
    "kind": pl.String,
    "word": pl.String,
    "latent": pl.Int64,
    "partner": pl.Int64,
    "cosine": pl.Float64,
    "cosine_others": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
    "own": pl.Int64,
    "same": pl.Float64,
    "iou": pl.Float64,
    "iou_partner": pl.Float64,
    "iou_own": pl.Float64,
}
# Latents that fire about as often as a word's, which its cosine is compared with.
OTHERS = 50
NOTES = (
    "A seed decides the first weights and the order of the states; the states are the same.",
    "Intervals of 95 % are over latents: Wilson for shares, normal for means. Pairs show the spread over seeds.",
    "Best cosines grow with the number of directions and fall with their width: compare with the controls beside.",
)


def assigned(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Partner of every left direction in the matching of largest total cosine, int64 [A]; -1 for those left over."""
    from scipy.optimize import linear_sum_assignment

    row, column = linear_sum_assignment(left @ right.T, maximize=True)
    found = np.full(len(left), -1, np.int64)
    found[row] = column
    return found


def measured(left: np.ndarray, right: np.ndarray, matched: int) -> dict[str, np.ndarray]:
    """Metric -> a value per left direction, which are rows of length 1.

    matched   most directions that are matched one to one
    """
    best = cosines.nearest(left, right)[0]
    found = {"max_cosine": best, **{f"above_{least}": best > least for least in ABOVE}}
    if max(len(left), len(right)) <= matched:
        partner = assigned(left, right)
        cosine = (left * right[partner]).sum(1)[partner >= 0]
        found |= {"matched_cosine": cosine, **{f"matched_above_{least}": cosine > least for least in ABOVE}}
    return found


def over(values: np.ndarray) -> tuple[float, float, float]:
    """Mean with an interval of 95 % in linear memory: Wilson for truth values, normal for numbers."""
    n = len(values)
    if values.dtype == bool:
        return (float(values.mean()) if n else math.nan, *wilson(int(values.sum()), n))
    if n < 2:
        return (float(values[0]) if n else math.nan, math.nan, math.nan)
    mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


def rows(
    left: tuple[str, np.ndarray], right: tuple[str, np.ndarray], kind: str, scope: str, matched: int
) -> list[dict[str, Any]]:
    """Rows of `STABILITY` of one pair; names with directions of length 1."""
    about = {"left": left[0], "right": right[0], "kind": kind, "scope": scope}
    found = []
    for metric, values in measured(left[1], right[1], matched).items():
        value, low, high = over(values)
        found.append({**about, "metric": metric, "value": value, "low": low, "high": high, "latents": len(left[1])})
    return found


def table(
    trained: Mapping[str, np.ndarray],
    fired: Mapping[str, np.ndarray],
    untrained: Mapping[str, np.ndarray],
    states: np.ndarray,
    matched: int,
    seed: int,
) -> pl.DataFrame:
    """Table `STABILITY`: every pair of seeds, the first seed beside every control, two untrained ones.

    trained     seed -> decoder rows of length 1, [F, d]
    fired       seed -> patches in which each latent fires, int64 [F]
    untrained   seed -> the same before training
    states      float32 [n, d]
    """
    names, found = list(trained), []
    seen = {name: own[fired[name] > 0] for name, own in trained.items()}
    scopes = {"all": trained, "seen": seen}
    for place, left in enumerate(names):
        for right in names[place + 1 :]:
            for scope, every in scopes.items():
                found += rows((left, every[left]), (right, every[right]), "seed", scope, matched)
    first, other = names[0], names[-1]
    drawn = cosines.alike(trained[other], len(trained[other]), np.random.default_rng(seed))
    controls = {"untrained": untrained[other], "random": drawn, "pca": cosines.axes(states)}
    for kind, directions in controls.items():
        for scope, every in scopes.items():
            found += rows((first, every[first]), (kind, directions), kind, scope, matched)
    pair = ("untrained", untrained[first]), ("untrained", untrained[other])
    found += rows(*pair, "untrained", "all", matched)
    return pl.DataFrame(found, schema=STABILITY)


def of_words(
    words: Mapping[str, str],
    right: str,
    first: Chosen,
    match: tuple[np.ndarray, np.ndarray],
    fired: np.ndarray,
    partners: Chosen,
    own: Chosen,
    draws: Draws,
) -> pl.DataFrame:
    """Rows of `WORDS` for one other seed: the best latent of every word, and its nearest latent there.

    first      best latents of the first autoencoder
    match      cosine and number of every latent's nearest one on the right
    fired      patches in which latents of the first one fire
    partners   what these nearest latents reach for the words
    own        best latents of the right one
    """
    cosine, place = match
    scores = [_iou(one) for one in (first, partners, own)]
    found = []
    for number, (word, kind) in enumerate(words.items()):
        latent = int(first.latent[number])
        others = float(cosine[_alike(fired, latent)].mean())
        about = {"right": right, "kind": kind, "word": word, "latent": latent, "partner": int(place[latent])}
        told = {"cosine": float(cosine[latent]), "cosine_others": others, "more": float(cosine[latent]) - others}
        told |= {"own": int(own.latent[number]), "same": float(own.latent[number] == place[latent])}
        told |= dict(zip(("iou", "iou_partner", "iou_own"), (float(one[number]) for one in scores), strict=True))
        found.append({**about, **told})
    if found:
        found.append(_mean(right, found, draws))
    return pl.DataFrame(found, schema=WORDS)


def _mean(right: str, found: Sequence[Mapping[str, Any]], draws: Draws) -> dict[str, Any]:
    """Means over words; the interval draws words."""
    names = ("cosine", "cosine_others", "same", "iou", "iou_partner", "iou_own")
    told = {name: float(np.nanmean([row[name] for row in found])) for name in names}
    more, low, high = draws.mean(np.array([row["more"] for row in found]))
    return {"right": right, "word": ALL, **told, "more": more, "more_low": low, "more_high": high}


def _alike(fired: np.ndarray, latent: int) -> np.ndarray:
    """Other latents that fire about as often."""
    order = np.argsort(np.abs(np.log1p(fired) - np.log1p(fired[latent])), kind="stable")
    return order[order != latent][:OTHERS]


def _iou(best: Chosen) -> np.ndarray:
    """IoU of every word's latent over the held-out pictures, float64 [word]."""
    both, either = best.both.sum(0), best.either.sum(0)
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)
