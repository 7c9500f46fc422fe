"""Do the same neurons write a word when the picture changes? Other order of its patches, another picture altogether.

All definitions are ours, with the words of the paper (mm_neurons.md 6.3, 6.4). Notation as in `sets`.
    region       RI(k) = mean |S(x, w, k) & S(shuffled x, w, k)| / k over the nouns that both captions hold
    cross-image  mean |S(x, w, k) & S(y, w, k)| / k over pairs of images x, y with the noun w, then over nouns
                 control: the same over pairs of images with different nouns
Intervals resample images. The random control draws anew for every noun and picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.mm_neurons.measures import sets
from vlmscope.mm_neurons.measures.sets import Sets
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Kind
from vlmscope.mm_neurons.schemas import SHUFFLED
from vlmscope.stats import Draws
from vlmscope.store import tables

# One row per method, activation, k and mode. n: images behind the mean; nouns: pairs of lists that were compared;
# lost_nouns: share of the nouns that the new caption does not hold; chance: what random sets of k neurons share.
REGION = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    "mode": pl.String,
    "overlap": pl.Float64,
    "lost_nouns": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "n": pl.Int64,
    "paper": pl.Float64,
    "nouns": pl.Int64,
    "permutations": pl.Int64,
    "chance": pl.Float64,
}
# m_images: fewest images of a noun; gap: same - different, with its interval; stable: share of a noun's neurons that
# are found in at least half of its images; n: images.
CROSS = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    "m_images": pl.Int64,
    "overlap_same": pl.Float64,
    "overlap_diff": pl.Float64,
    "n_nouns": pl.Int64,
    "paper": pl.Float64,
    "same_low": pl.Float64,
    "same_high": pl.Float64,
    "diff_low": pl.Float64,
    "diff_high": pl.Float64,
    "gap": pl.Float64,
    "gap_low": pl.Float64,
    "gap_high": pl.Float64,
    "stable": pl.Float64,
    "n": pl.Int64,
    "pairs_same": pl.Int64,
    "pairs_diff": pl.Int64,
}
RANDOM = "random"


# ---- region ------------------------------------------------------------------------------------------------------


class Shuffled(NamedTuple):
    """Captions of pictures whose patches changed their order, by one mode; lists of one activation and method.

    wanted   (sample, permutation) of every caption that was read or written anew
    found    (sample, noun without case, permutation) -> numbers of neurons, best first, int64 [keep]
    """

    wanted: Sequence[tuple[str, int]]
    found: Mapping[tuple[str, str, int], np.ndarray]


def overlaps(original: Sets, shuffled: Shuffled, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of a noun's neurons that stay, NaN where the noun is lost, and the image it belongs to; noun by noun.

    returns   float64 [noun x permutation], sample [noun x permutation]
    """
    values, images = [], []
    best = original.best(k)
    rows = {image: np.flatnonzero(original.images == image) for image in set(original.images)}
    for image, permutation in shuffled.wanted:
        for row in rows.get(image, ()):
            again = shuffled.found.get((image, original.nouns[row], permutation))
            same = np.nan if again is None else len(np.intersect1d(best[row], again[:k])) / k
            values.append(same)
            images.append(image)
    return np.array(values, dtype=np.float64), np.array(images, dtype=str)


def drawn(values: np.ndarray, k: int, neurons: int, seed: int) -> np.ndarray:
    """What two sets of k of the model's neurons, drawn anew for every known value, share; float64, same shape."""
    chosen = np.random.default_rng(seed).hypergeometric(k, neurons - k, k, len(values)) / k
    return np.where(np.isnan(values), np.nan, chosen)


def region_rows(
    kind: Kind, mode: str, original: Sets, shuffled: Shuffled, *, sizes: Sequence[int], neurons: int, draws: Draws
) -> list[dict[str, Any]]:
    """Rows of `REGION` of one activation, method and mode; with those of random sets after the contribution's.

    neurons   of the model
    """
    activation, method = kind
    rows = []
    for k in sizes:
        there = k <= original.keep
        values, images = overlaps(original, shuffled, k) if there else (np.zeros(0), np.zeros(0, str))
        named = {method: values}
        if method == "contribution":
            named[RANDOM] = drawn(values, min(k, neurons), neurons, draws.seed)
        for name, one in named.items():
            means = sets.by_image(one, images)
            middle, low, high = draws.mean(means)
            rows.append(
                {
                    "method": name,
                    "activation": activation,
                    "k": k,
                    "mode": mode,
                    "overlap": middle,
                    "lost_nouns": np.isnan(one).mean() if len(one) else np.nan,
                    "ci_low": low,
                    "ci_high": high,
                    "n": len(means),
                    "nouns": int((~np.isnan(one)).sum()),
                    "permutations": len({permutation for _, permutation in shuffled.wanted}),
                    "chance": min(1.0, k / neurons),
                }
            )
    return rows


# ---- other images ------------------------------------------------------------------------------------------------


def cross_rows(
    kind: Kind, chosen: Sets, *, sizes: Sequence[int], m_images: Sequence[int], draws: Draws
) -> list[dict[str, Any]]:
    """Rows of `CROSS` of one activation and method.

    Both means are ratios of sums over pairs of images; an interval draws the images anew, and an image is never
    compared with itself.
    """
    images, where = np.unique(chosen.images, return_inverse=True)
    _, noun, often = np.unique(chosen.nouns, return_inverse=True, return_counts=True)
    weights, found = draws.weights(len(images)).astype(np.float32), []
    for k in sizes:
        alike = sets.shared(chosen.best(k), chosen.best(k)).astype(np.float32) / k if k <= chosen.keep else None
        same = {} if alike is None else {one: _same(alike, noun == one, where, weights) for one in range(len(often))}
        last: tuple[np.ndarray, np.ndarray] | None = None
        for least in m_images:
            kept = often[noun] >= max(2, least)
            row = {"n_nouns": len(set(noun[kept])), "n": len(set(where[kept])), "pairs_same": 0, "pairs_diff": 0}
            if alike is not None and kept.any():
                # Often the same nouns are left.
                if last is None or not np.array_equal(last[0], kept):
                    last = kept, _different(alike, kept, noun, where, weights)
                means = {"overlap_same": _mean(np.stack([same[one] for one in np.unique(noun[kept])]))}
                row |= _cross(means | {"overlap_diff": last[1]})
                row |= _pairs(noun[kept], where[kept]) | {"stable": _stable(chosen.best(k)[kept], noun[kept])}
            found.append({"method": kind[1], "activation": kind[0], "k": k, "m_images": least, **row})
    return found


def _cross(means: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Both overlaps and their difference with their intervals, from the data and all draws: float64 [1 + draw]."""
    found = {}
    for name, values in {**means, "gap": means["overlap_same"] - means["overlap_diff"]}.items():
        low, high = stats.interval(values[1:])
        short = name.removeprefix("overlap_")
        found |= {name: float(values[0]), f"{short}_low": low, f"{short}_high": high}
    return found


def _pairs(noun: np.ndarray, where: np.ndarray) -> dict[str, int]:
    """Number of pairs of different images with the same noun, and with different ones."""
    apart = where[:, None] != where[None]
    alike = noun[:, None] == noun[None]
    return {"pairs_same": int((apart & alike).sum()) // 2, "pairs_diff": int((apart & ~alike).sum()) // 2}


def _same(alike: np.ndarray, rows: np.ndarray, where: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over pairs of a noun's images, from the data and all draws: float64 [1 + draw].

    alike     float32 [row, row]         share of neurons in common
    rows      bool [row]                 those of the noun
    where     int64 [row]                number of the image
    weights   float32 [1 + draw, image]  how often an image was drawn; first the data themselves
    """
    pairs = 1 - np.eye(rows.sum(), dtype=np.float32)
    return _ratio(weights[:, where[rows]], alike[np.ix_(rows, rows)] * pairs, pairs)


def _different(
    alike: np.ndarray, rows: np.ndarray, noun: np.ndarray, where: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Mean over all pairs of different nouns in different images, from the data and all draws: float64 [1 + draw].

    noun   int64 [row]   number of the noun; the others as in `_same`
    """
    noun, where = noun[rows], where[rows]
    apart = ((noun[:, None] != noun[None]) & (where[:, None] != where[None])).astype(np.float32)
    # Rows added up to images: what is drawn are images.
    onto = np.zeros((weights.shape[1], len(where)), np.float32)
    onto[where, np.arange(len(where))] = 1
    sums, counts = (onto @ part @ onto.T for part in (alike[np.ix_(rows, rows)] * apart, apart))
    return _ratio(weights, sums, counts)


def _ratio(weights: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weighted mean over pairs for every draw, NaN where a draw has no pair; float64 [draw]."""
    over, under = (((weights @ part) * weights).sum(axis=1, dtype=np.float64) for part in (sums, counts))
    return np.divide(over, under, out=np.full(len(weights), np.nan), where=under > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is known, NaN where nothing is."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(values.shape[1:], np.nan), where=count > 0)


def _stable(best: np.ndarray, places: np.ndarray) -> float:
    """Share of a noun's neurons that are found in at least half of its images, mean over images, then over nouns."""
    shares = []
    for noun in np.unique(places):
        rows = best[places == noun]
        _, which, counts = np.unique(rows, return_inverse=True, return_counts=True)
        shares.append(float((counts[which] >= len(rows) / 2).mean()))
    return float(np.mean(shares))


def cross_from_files(
    paths: Sequence[str], *, k: Sequence[int], m_images: Sequence[int], bootstrap: int, seed: int
) -> pl.DataFrame:
    """Table `CROSS` of all activations and methods.

    paths   files of lists
    """
    draws, found = Draws(bootstrap, seed), []
    for kind, chosen in sets.read(paths, max(k)).items():
        found += cross_rows(kind, chosen, sizes=k, m_images=m_images, draws=draws)
    return sets.frame(found, CROSS)


def region_from_files(
    original: str, shuffled: str, nouns: str, tokens: str, *, k: Sequence[int], bootstrap: int, seed: int
) -> pl.DataFrame:
    """Table `REGION` of all activations, methods and modes of shuffled pictures.

    original   file of lists
    shuffled   the same of shuffled pictures; methods are named METHOD.MODE.PERMUTATION
    nouns      table of their nouns, `schemas.SHUFFLED`
    tokens     table of decoded neurons, which tells how many neurons there are
    """
    told, found, layers_units = tables.read(nouns, SHUFFLED), [], sets.shape(tokens)
    options = {"sizes": k, "neurons": layers_units[0] * layers_units[1], "draws": Draws(bootstrap, seed)}
    for kind, before in sets.read([original], max(k)).items():
        for mode in told["mode"].unique(maintain_order=True):
            wanted = told.filter(mode=mode).select("sample", "permutation").unique(maintain_order=True).rows()
            again = _again(shuffled, kind, mode, max(k))
            if again is not None:
                found += region_rows(kind, mode, before, Shuffled(wanted, again), **options)
    return sets.frame(found, REGION)


def _again(path: str, kind: Kind, mode: str, k: int) -> dict[tuple[str, str, int], np.ndarray] | None:
    """Lists of a kind and mode over all permutations, see `Shuffled.found`; None where the file has none of them."""
    runs = [name.split(".") for name in lists.about(path)["lists"].get(kind[0], {})]
    numbers = [int(number) for method, of, number in runs if (method, of) == (kind[1], mode)]
    found = {}
    for number in numbers:
        own = sets.of(lists.read(path, kind[0], f"{kind[1]}.{mode}.{number}", k))
        found |= {
            (image, noun, number): one for image, noun, one in zip(own.images, own.nouns, own.neurons, strict=True)
        }
    return found if numbers else None
