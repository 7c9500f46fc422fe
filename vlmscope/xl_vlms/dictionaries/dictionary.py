"""Concept dictionaries: the vectors of one word over many samples as few directions (xl_vlms.md 2.5, 2.6).

Notation: Z [M, D] vectors, U [K, D] concepts, V [M, K] activations.
    snmf      sparse codes that are never negative, as released
    semi_nmf  codes that are never negative (Ding et al.)
    kmeans    U centres, V = 1 / (1 + |z - u_k|)
    pca       U components, V = (z - mean) U'
    simple    U the samples of greatest length, shortest first; V as for kmeans
"""

from typing import Literal, NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.dictionaries import semi_nmf, snmf

Method = Literal["snmf", "semi_nmf", "kmeans", "pca", "simple"]
METHODS: tuple[Method, ...] = ("snmf", "semi_nmf", "kmeans", "pca", "simple")


class Dictionary(NamedTuple):
    """Concepts, and all that it takes to find them in other samples.

    concepts      float32 [K, D]
    activations   float32 [M, K]   of the samples it was made from, as the fit left them
    method        see the module
    alpha         weight of sparsity; counts for snmf alone
    mean          float32 [D]      of the samples (pca), else zeros
    costs         float64 [step]   what was made small, after every step; empty where there are none
    """

    concepts: np.ndarray
    activations: np.ndarray
    method: Method
    alpha: float
    mean: np.ndarray
    costs: np.ndarray


def fit(
    values: np.ndarray, method: Method, k: int, *, seed: int = 0, alpha: float = 1.0, max_iter: int = 5000
) -> Dictionary:
    """A dictionary of K concepts; the same for the same seed [differs: xl_vlms.md 8 #8].

    values   float [M, D]; half precision is made single first [differs: xl_vlms.md 8 #9]
    """
    values = np.ascontiguousarray(values, dtype=np.float32)
    _check(values, k)
    mean, costs = np.zeros(values.shape[1], np.float32), []
    if method == "snmf":
        concepts, activations, costs = snmf.learn(values, k, seed=seed, alpha=alpha, max_iter=max_iter)
    elif method == "semi_nmf":
        labels = _clusters(values, k, seed, max_iter)[1]
        concepts, activations, costs = semi_nmf.learn(values, labels, k, max_iter=max_iter)
    elif method == "pca":
        concepts, mean = _components(values, k, seed)
        activations = (values - mean) @ concepts.T
    elif method in ("kmeans", "simple"):
        concepts = longest(values, k) if method == "simple" else _clusters(values, k, seed, max_iter)[0]
        activations = nearness(values, concepts)
    else:
        raise VlmscopeError(f"There is no method '{method}'.", where="method", instead=f"one of: {', '.join(METHODS)}")
    concepts, activations = (part.astype(np.float32) for part in (concepts, activations))
    return Dictionary(concepts, activations, method, alpha, mean, np.array(costs, dtype=np.float64))


def project(dictionary: Dictionary, values: np.ndarray) -> np.ndarray:
    """Activations of any samples, float32 [M, K]; of those of the fit they may differ a little (snmf, semi_nmf)."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    concepts = dictionary.concepts
    if values.shape[1:] != concepts.shape[1:]:
        raise VlmscopeError(
            f"The vectors have {values.shape[1]} units, the concepts {concepts.shape[1]}.",
            where="projection on a dictionary",
            instead="vectors of the model and module that the dictionary is of",
        )
    if dictionary.method == "snmf":
        found = snmf.codes(values.astype(np.float64), concepts.astype(np.float64), dictionary.alpha)
    elif dictionary.method == "semi_nmf":
        found = semi_nmf.codes(values, concepts)
    elif dictionary.method == "pca":
        found = (values - dictionary.mean) @ concepts.T
    else:
        found = nearness(values, concepts)
    return found.astype(np.float32)


def given(concepts: np.ndarray, method: Method, values: np.ndarray, *, alpha: float = 1.0) -> Dictionary:
    """A dictionary of ready concepts, with the activations of these samples.

    PCA takes the samples' own mean; the released code refuses it [differs: xl_vlms.md 2.5].
    """
    concepts, values = (np.ascontiguousarray(part, dtype=np.float32) for part in (concepts, values))
    mean = values.mean(axis=0) if method == "pca" else np.zeros(values.shape[1], np.float32)
    bare = Dictionary(concepts, np.zeros((0, len(concepts)), np.float32), method, alpha, mean, np.zeros(0))
    return bare._replace(activations=project(bare, values))


def rebuilt(dictionary: Dictionary, activations: np.ndarray) -> np.ndarray:
    """What a dictionary makes of activations, float32 [M, D]: V U, with kmeans and simple the concept that is nearest.

    Their activations are no coefficients, so V U would mean nothing [differs: xl_vlms.md 6.4].
    """
    if dictionary.method in ("kmeans", "simple"):
        return dictionary.concepts[activations.argmax(axis=1)]
    return activations @ dictionary.concepts + dictionary.mean


def longest(values: np.ndarray, k: int) -> np.ndarray:
    """The k rows of greatest length, shortest first."""
    return values[np.argsort(np.linalg.norm(values, axis=1), kind="stable")[-k:]]


def nearness(values: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    """1 / (1 + distance), float64 [M, K]: above 0, and 1 at the concept."""
    values, concepts = values.astype(np.float64), concepts.astype(np.float64)
    squares = (values**2).sum(axis=1)[:, None] - 2 * values @ concepts.T + (concepts**2).sum(axis=1)
    return 1 / (1 + np.sqrt(np.maximum(squares, 0)))


def _clusters(values: np.ndarray, k: int, seed: int, max_iter: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres [K, D] and labels [M]."""
    from sklearn.cluster import KMeans

    found = KMeans(k, n_init=1, max_iter=max_iter, random_state=seed).fit(values)
    return found.cluster_centers_, found.labels_


def _components(values: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components [K, D] and mean [D]; the entry of largest size of each is positive."""
    from sklearn.decomposition import PCA

    found = PCA(k, random_state=seed).fit(values)
    return found.components_, found.mean_.astype(np.float32)


def _check(values: np.ndarray, k: int) -> None:
    if values.ndim != 2 or not np.isfinite(values).all():
        raise VlmscopeError("Vectors must be a matrix of finite numbers.", where="values", instead="[samples, units]")
    if not 1 <= k <= len(values):
        raise VlmscopeError(
            f"{len(values)} vectors do not make {k} concepts.",
            where="xl_vlms.dictionaries.k",
            instead="a smaller k, or more samples with this word (xl_vlms.sets, datasets.*.scenes)",
        )
