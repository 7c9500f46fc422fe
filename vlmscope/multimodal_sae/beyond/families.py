"""Families of latents: groups by the directions that they write, and a map on which near directions lie near.

Groups: agglomerative clustering of rows of length 1 (Ward, whose distance is then a cosine's), in which only near
neighbours may join, so that memory grows with the number of latents and not with its square. Chance: random directions
with the covariance of the rows, grouped in the same way; words dealt to latents at random.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.beyond import cosines
from vlmscope.multimodal_sae.beyond.patch_files import Patches
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.multimodal_sae.score.classes import agreement
from vlmscope.stats import interval

# silhouette: how much nearer latents are to their own group than to the next; purity_word, purity_kind: share of the
# latents with a word that have the commonest one of their group; mutual_word: information adjusted for chance;
# map_neighbours: share of the ten nearest latents that are among the ten nearest on the map.
FAMILIES = {
    "measure": pl.String,
    "value": pl.Float64,
    "chance": pl.Float64,
    "chance_low": pl.Float64,
    "chance_high": pl.Float64,
    "p": pl.Float64,
    "latents": pl.Int64,
    "families": pl.Int64,
}
MAP = {
    "latent": pl.Int64,
    "family": pl.Int64,
    "x": pl.Float64,
    "y": pl.Float64,
    "fired": pl.Int64,
    "kind": pl.String,
    "word": pl.String,
    "iou_reference": pl.Float64,
}
# Directions that are grouped for chance, latents that a silhouette looks at, neighbours that a map should keep.
RANDOM, SAMPLED, NEAR = 10, 4000, 10
NOTES = (
    "A latent's word is the one that its firing agrees with best on the reference half of the pictures.",
    "Chance of the silhouette: random directions with the covariance of the decoder rows, grouped in the same way.",
    "Chance of purity: the same words dealt to the latents at random.",
    "Distances on a t-SNE map mean little beyond near neighbours.",
)


def groups(rows: np.ndarray, count: int, neighbours: int) -> np.ndarray:
    """Group of every row, numbered by size, largest first: int64 [F].

    rows   of length 1, [F, d]
    """
    from scipy import sparse
    from sklearn.cluster import AgglomerativeClustering

    near = cosines.neighbours(rows, neighbours)[1]
    left = np.repeat(np.arange(len(rows)), near.shape[1])
    # A chain through all latents makes the graph whole; where it joins strangers, they are the last to be merged.
    chain = np.arange(len(rows) - 1)
    where = (np.concatenate([left, chain]), np.concatenate([near.ravel(), chain + 1]))
    graph = sparse.csr_matrix((np.ones(len(where[0]), np.int64), where), shape=(len(rows), len(rows)))
    fit = AgglomerativeClustering(min(count, len(rows) - 1), linkage="ward", connectivity=graph + graph.T)
    found = fit.fit_predict(rows)
    order = np.argsort(-np.bincount(found), kind="stable")
    return np.argsort(order)[found]


def silhouette(rows: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Mean silhouette by cosine distance, of at most `SAMPLED` latents."""
    from sklearn.metrics import silhouette_score

    size = min(SAMPLED, len(rows))
    return float(silhouette_score(rows, labels, metric="cosine", sample_size=size, random_state=seed))


def words_of(active: Active, held: Patches, least: float) -> tuple[list[str], np.ndarray]:
    """Word of every latent, empty where none agrees as well as `least`, and the IoU, float64 [F]."""
    if not held.words:
        return [""] * active.latents, np.zeros(active.latents)
    scores = agreement(active, held.shows).max(1)
    best, names = scores.argmax(0), list(held.words)
    value = scores.max(0)
    return [names[word] if iou >= least else "" for word, iou in zip(best, value, strict=True)], value


def purity(labels: np.ndarray, words: np.ndarray) -> float:
    """Share of latents that have the commonest word of their group.

    labels, words   int64 [latent], numbers from 0
    """
    table = np.zeros((labels.max() + 1, words.max() + 1), np.int64)
    np.add.at(table, (labels, words), 1)
    return float(table.max(1).sum() / len(labels))


def shuffled(
    labels: np.ndarray, words: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float], draws: int, seed: int
) -> dict[str, float]:
    """Measure of groups and words, beside that of shuffled words; p counts draws that are as large, one-sided."""
    generator, value = np.random.default_rng(seed), float(measure(labels, words))
    drawn = np.array([measure(labels, generator.permutation(words)) for _ in range(draws)])
    return _beside(value, drawn)


def _beside(value: float, drawn: np.ndarray) -> dict[str, float]:
    low, high = interval(drawn)
    p = (1 + np.count_nonzero(drawn >= value)) / (1 + len(drawn))
    return {"value": value, "chance": float(drawn.mean()), "chance_low": low, "chance_high": high, "p": float(p)}


def placed(rows: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Places of latents on a map, float64 [F, 2]: t-SNE by cosine distance, from the first two principal axes."""
    from sklearn.manifold import TSNE

    fit = TSNE(
        metric="cosine", init="pca", perplexity=min(perplexity, (len(rows) - 1) / 3), random_state=seed, n_jobs=1
    )
    return fit.fit_transform(rows).astype(np.float64)


def neighbours_kept(rows: np.ndarray, places: np.ndarray) -> float:
    """Share of the nearest latents that are among the nearest on the map."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEAR, len(rows) - 1)
    wanted = cosines.neighbours(rows, count)[1]
    there = NearestNeighbors(n_neighbors=count).fit(places).kneighbors(return_distance=False)
    return float(np.mean([len(set(one) & set(other)) / count for one, other in zip(wanted, there, strict=True)]))


def tables(
    rows: np.ndarray, held: Patches, own: Mapping[str, Any], draws: int, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables `FAMILIES` and `MAP`, of the latents that fire most.

    rows   decoder rows of length 1, [F, d]
    own    multimodal_sae.beyond.families
    """
    active = held.coders["trained"]
    shown = np.sort(np.argsort(-active.fired, kind="stable")[: own["mapped"]])
    every, iou = words_of(active, held, own["least_iou"])
    rows, words = rows[shown], [every[latent] for latent in shown]
    labels, places = groups(rows, own["families"], own["neighbours"]), placed(rows, own["perplexity"], seed)
    found = [{"measure": "silhouette", "latents": len(rows), **_silhouettes(rows, labels, own, seed)}]
    found += _words(labels, words, held.words, draws, seed)
    near = {"value": neighbours_kept(rows, places), "chance": min(1.0, NEAR / max(1, len(rows) - 1))}
    found.append({"measure": "map_neighbours", "latents": len(rows), **near})
    columns = {
        "latent": shown,
        "family": labels,
        "x": places[:, 0],
        "y": places[:, 1],
        "fired": active.fired[shown],
        "kind": [held.words.get(word, "") for word in words],
        "word": words,
        "iou_reference": iou[shown],
    }
    count = int(labels.max()) + 1
    summary = pl.DataFrame([{**row, "families": count} for row in found], schema=FAMILIES)
    return summary, pl.DataFrame(columns, schema=MAP)


def _silhouettes(rows: np.ndarray, labels: np.ndarray, own: Mapping[str, Any], seed: int) -> dict[str, float]:
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(RANDOM):
        other = cosines.alike(rows, len(rows), generator)
        drawn.append(silhouette(other, groups(other, own["families"], own["neighbours"]), seed))
    return _beside(silhouette(rows, labels, seed), np.array(drawn))


def _words(
    labels: np.ndarray, words: list[str], kinds: Mapping[str, str], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Purity of groups in words and in kinds, and mutual information; nothing where no two latents have a word."""
    from sklearn.metrics import adjusted_mutual_info_score

    named = np.array([place for place, word in enumerate(words) if word], np.int64)
    if len(named) < 2:
        return []
    numbers = [np.unique(some, return_inverse=True)[1] for some in _texts(words, kinds, named)]
    own = labels[named]
    found = [
        {"measure": "purity_word", **shuffled(own, numbers[0], purity, draws, seed)},
        {"measure": "purity_kind", **shuffled(own, numbers[1], purity, draws, seed)},
        {"measure": "mutual_word", **shuffled(own, numbers[0], adjusted_mutual_info_score, draws, seed)},
    ]
    return [{**row, "latents": len(named)} for row in found]


def _texts(words: list[str], kinds: Mapping[str, str], named: np.ndarray) -> tuple[list[str], list[str]]:
    own = [words[place] for place in named]
    return own, [kinds[word] for word in own]
