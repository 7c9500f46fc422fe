"""What pages show of every latent: how often and how strongly it fires, with which others, and which have a page."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vlmscope.multimodal_sae.cache.files import Cache

# Latents whose pictures are read at a time, and pictures whose entries are.
BLOCK, PICTURES = 4096, 64


class Firing(NamedTuple):
    """How every latent fires in the pictures of a cache.

    density    float64 [latent]   share of the kept tokens
    pictures   float64 [latent]   share of pictures in which it fires in the first view
    highest    float32 [latent]   highest value in the first view, 0 where it never fires
    """

    density: np.ndarray
    pictures: np.ndarray
    highest: np.ndarray


class Partners(NamedTuple):
    """Latents that fire at the same positions as one, the likeliest first.

    other   int64 [n]
    both    float64 [n]   positions of both, as a share of the positions of either
    """

    other: np.ndarray
    both: np.ndarray


def firing(cache: Cache) -> Firing:
    """Of an open cache."""
    tokens, pictures = max(1, int(cache.ends[-1])), max(1, len(cache.samples))
    highest = np.zeros(cache.latents, np.float32)
    for start in range(0, cache.latents, BLOCK):
        ptr = cache.ptr[start : start + BLOCK + 1]
        values = cache.group["pooled/max"][ptr[0] : ptr[-1]]
        alive = np.flatnonzero(np.diff(ptr))
        if len(alive):
            highest[start + alive] = np.maximum.reduceat(values, ptr[alive] - ptr[0])
    return Firing(cache.firing / tokens, np.diff(cache.ptr) / pictures, highest)


def chosen(pictures: np.ndarray, first: Iterable[int], most: int) -> list[int]:
    """Latents with a page, ascending: some in any case, then those that fire in most pictures.

    pictures   share of pictures in which every latent fires [latent]
    first      named, steered and others
    most       latents with a page; 0 for all that fire
    """
    known = set(first)
    wanted = sorted(known)
    order = [int(one) for one in np.argsort(-pictures, kind="stable") if pictures[one] > 0]
    rest = [one for one in order if one not in known]
    return sorted([*wanted, *rest] if not most else [*wanted, *rest][:most])


def together(cache: Cache, latents: Sequence[int], k: int, pictures: int) -> dict[int, Partners]:
    """For some latents those that fire at the same positions, by the share of positions of either that is of both.

    pictures   most pictures that are counted, the first of the cache
    """
    # Here, since it costs a fifth of a second.
    from scipy import sparse

    rows = np.asarray(latents, np.int64)
    both: Any = sparse.csr_array((len(rows), cache.latents), dtype=np.int64)
    fired, count = np.zeros(cache.latents, np.int64), min(pictures, len(cache.samples))
    for start in range(0, count, PICTURES):
        last = min(start + PICTURES, count)
        where = cache.entries(start, last).where
        place = cache.ends[where[:, 0]] - cache.ends[start] + where[:, 1]
        shape = (int(cache.ends[last] - cache.ends[start]), cache.latents)
        active = sparse.csr_array((np.ones(len(where), np.int64), (place, where[:, 2])), shape)
        both = both + active[:, rows].T @ active
        fired += np.bincount(where[:, 2], minlength=cache.latents)
    both = both.tocsr()
    return {latent: _partners(latent, both[[row]].tocoo(), fired, k) for row, latent in enumerate(rows.tolist())}


def _partners(latent: int, row: Any, fired: np.ndarray, k: int) -> Partners:
    other, count = row.coords[-1].astype(np.int64), row.data
    other, count = other[other != latent], count[other != latent]
    share = count / (fired[latent] + fired[other] - count)
    order = np.lexsort((other, -share))[:k]
    return Partners(other[order], share[order])
