"""How far states of different answers lie apart, layer by layer (xl_vlms.md 7, paper B figure 11 and appendix B.6).

Notation: Z [M, D] states of one block, y [M] their classes. Two measures, each beside the same with shuffled labels:
linear_accuracy   share of states told right by linear discriminants of others, mean over classes (chance 1 / classes)
silhouette        mean over states of (b - a) / max(a, b): a mean distance within the class, b to the nearest other one,
                  in the plane of the first two principal components, which is what the figure shows
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.stats import interval
from vlmscope.xl_vlms.steer import source as steering_source
from vlmscope.xl_vlms.steer.schemas import SEPARABILITY
from vlmscope.xl_vlms.steer.source import Source

# What is added to the spread within classes, as a share of its mean variance.
RIDGE = 0.1


class Plane(NamedTuple):
    """States in the plane of their first two principal components.

    points      float64 [M, 2]
    explained   share of the variance that the plane holds
    """

    points: np.ndarray
    explained: float


def plane(values: np.ndarray) -> Plane:
    """The first two principal components; the entry of largest size of each is positive."""
    centred = values.astype(np.float64) - values.mean(axis=0)
    _, sizes, rows = np.linalg.svd(centred, full_matrices=False)
    rows = rows[:2] * np.sign(rows[np.arange(2), np.abs(rows[:2]).argmax(axis=1)])[:, None]
    total = float((sizes**2).sum())
    return Plane(centred @ rows.T, float((sizes[:2] ** 2).sum()) / total if total else 0.0)


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette, -1 to 1; points alone in their class count as 0."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    member = (labels[:, None] == np.unique(labels)[None]).astype(np.float64)
    counts = member.sum(axis=0)
    sums = distances @ member
    within = (sums * member).sum(axis=1) / np.maximum(counts @ member.T - 1, 1)
    means = np.where(member > 0, np.inf, sums / counts)
    other = means.min(axis=1)
    widest = np.maximum(np.maximum(within, other), np.finfo(float).tiny)
    return float(np.where(counts @ member.T > 1, (other - within) / widest, 0.0).mean())


def told_right(values: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Whether linear discriminants of the other parts tell each state's class, bool [M]; parts hold classes alike."""
    classes, own = np.unique(labels, return_inverse=True)
    part = _parts(own, folds, seed)
    found = np.zeros(len(own), bool)
    for fold in range(folds):
        train, test = part != fold, part == fold
        if test.any():
            found[test] = _predicted(values[train], own[train], values[test], len(classes)) == own[test]
    return found


def _parts(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Part of each row: shuffled within its class, then dealt in turn."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    part = np.empty(len(labels), dtype=np.int64)
    part[order] = np.arange(len(labels)) % folds
    return part


def _predicted(train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int) -> np.ndarray:
    """The nearest mean, distances measured by the spread within classes; all classes count alike."""
    means = np.stack([train[labels == one].mean(axis=0, dtype=np.float64) for one in range(classes)])
    spread = np.cov((train - means[labels]).T)
    spread += RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    plan = np.linalg.solve(spread, means.T)
    return (test @ plan - (means.T * plan).sum(axis=0) / 2).argmax(axis=1)


def balanced(right: np.ndarray, labels: np.ndarray) -> float:
    """Mean over classes of the share that is right."""
    return float(np.mean([right[labels == one].mean() for one in np.unique(labels)]))


def measures(
    values: np.ndarray, labels: np.ndarray, *, folds: int, permutations: int, resamples: int, seed: int
) -> dict[str, float]:
    """Both measures, their interval over states where there is one, and those of shuffled labels."""
    flat, right = plane(values), told_right(values, labels, folds, seed)
    generator = np.random.default_rng(seed)
    drawn = [_resampled(right, labels, generator) for _ in range(resamples)]
    low, high = interval(np.array(drawn))
    shuffled = [generator.permutation(labels) for _ in range(permutations)]
    chance = np.array([balanced(told_right(values, one, folds, seed), one) for one in shuffled])
    return {
        "linear_accuracy": balanced(right, labels),
        "linear_low": low,
        "linear_high": high,
        "permuted_accuracy": float(chance.mean()),
        # One-sided: a class told worse than by chance says nothing.
        "permuted_high": float(np.quantile(chance, 0.95)),
        "silhouette": silhouette(flat.points, labels),
        "permuted_silhouette": float(np.mean([silhouette(flat.points, one) for one in shuffled])),
        "explained": flat.explained,
    }


def _resampled(right: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> float:
    """The balanced share of one bootstrap draw within every class."""
    return float(
        np.mean([generator.choice(right[labels == one], (labels == one).sum()).mean() for one in np.unique(labels)])
    )


class Classes(NamedTuple):
    """States of one block with the classes of one question; states of no class are left out."""

    question: str
    block: str
    values: np.ndarray
    labels: np.ndarray


def classes(source: Source, settings: Mapping[str, Any]) -> list[Classes]:
    """States and classes, question by question and block by block; questions with fewer than two classes left out.

    settings   xl_vlms.steer.separability; a class needs as many states as there are folds
    """
    found = []
    for question, groups in settings["classes"].items():
        for block in source.blocks(settings["set"]):
            parts = {
                name: source.group(_asked(settings["set"], name, answers), block) for name, answers in groups.items()
            }
            kept = {name: one for name, one in parts.items() if len(one) >= settings["folds"]}
            if len(kept) > 1:
                labels = np.repeat(np.array(list(kept)), [len(one) for one in kept.values()])
                found.append(Classes(question, block, np.concatenate(list(kept.values())), labels))
    return found


def _asked(name: str, kind: str, answers: Sequence[str]) -> dict[str, Any]:
    return {"set": name, "answers": answers, "types": [] if answers else [kind], "said": []}


def table(every: Sequence[Classes], model: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """`SEPARABILITY`.

    settings   separability (xl_vlms.steer.separability), bootstrap, seed
    """
    own, rows = settings["separability"], []
    for one in every:
        told = measures(
            one.values,
            one.labels,
            folds=own["folds"],
            permutations=own["permutations"],
            resamples=settings["bootstrap"],
            seed=settings["seed"],
        )
        about = {"model": model, "seed": settings["seed"], "question": one.question, "module": one.block}
        rows.append({**about, "classes": len(np.unique(one.labels)), "n": len(one.labels), **told})
    return pl.DataFrame(rows, schema=SEPARABILITY)


def from_files(sets: Sequence[str], tables: Sequence[str], settings: Mapping[str, Any]) -> list[Classes]:
    """States and classes from files of vectors and tables of questions.

    settings   xl_vlms.steer.separability
    """
    return classes(steering_source.from_files(sets, tables), settings)


def planes(every: Sequence[Classes]) -> list[tuple[Classes, Plane]]:
    """The same with their planes, for the figure."""
    return [(one, plane(one.values)) for one in every]
