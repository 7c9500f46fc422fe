"""Do concepts follow what the pictures show? (xl_vlms.md 11, check 13; ours). For drawn pictures, whose truth is known.

Every sample belongs to its most active concept; that is held against the colour and the position of the first thing of
the token's name, the place, and the number of things.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.metrics import concepts as measures
from vlmscope.metrics.text import forms
from vlmscope.raw import read_manifest
from vlmscope.samples import open_one
from vlmscope.stats import interval
from vlmscope.world.draw import draw
from vlmscope.world.scene import Scene
from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries.files import Stored, main_module
from vlmscope.xl_vlms.dictionaries.schemas import CLASSES
from vlmscope.xl_vlms.sets import vectors

log = logging.getLogger(__name__)

Row = dict[str, Any]
# Mean difference in grey levels between a drawn picture and its JPEG is at most 2.7; between two pictures at least 11.
MOST_APART = 5.0


class Control(NamedTuple):
    """Draws of what knows nothing, and resamples of the samples.

    draws      random dictionaries and orders
    bootstrap  resamples
    seed       of both
    directions gaussian or uniform
    """

    draws: int
    bootstrap: int
    seed: int
    directions: str


def scenes(images: Sequence[str], kind: str, root: Path) -> list[Scene]:
    """What drawn pictures show; refused where a picture is not the one that is drawn now."""
    found = []
    for image in images:
        digits = Path(image).stem.rpartition("_")[2]
        scene = draw(base.load(kind).DOMAIN, int(digits)) if digits.isdigit() else None
        stored = np.asarray(open_one(image, root), dtype=np.float64)
        if scene is None or stored.shape != scene.image.shape or np.abs(stored - scene.image).mean() > MOST_APART:
            raise VlmscopeError(
                f"{image} is not the picture that is drawn now.",
                where=str(root / image),
                instead="delete results/data of this data set and run snakemake again",
            )
        found.append(scene)
    return found


def names(shown: Sequence[Scene], token: str) -> dict[str, list[str]]:
    """Kind of class -> name of the class of every picture."""
    told: dict[str, list[str]] = {"colour": [], "position": [], "place": [], "things": []}
    for scene in shown:
        thing = next((one for one in scene.things if forms(one.name) & forms(token)), None)
        told["colour"].append((thing and thing.color) or "")
        told["position"].append((thing and thing.position) or "")
        told["place"].append(next((one.answer for one in scene.questions if one.text == "what place is this?"), ""))
        told["things"].append(str(len(scene.things)))
    return told


def classes(shown: Sequence[Scene], token: str) -> dict[str, np.ndarray]:
    """Kind of class -> number of the class of every picture, int64 [M]; kinds without a difference are left out."""
    numbered = {kind: np.unique(values, return_inverse=True)[1] for kind, values in names(shown, token).items()}
    return {kind: values.astype(np.int64) for kind, values in numbered.items() if values.max(initial=0) > 0}


def agreement(one: Stored, values: np.ndarray, known: np.ndarray, control: Control) -> Row:
    """Values of `CLASSES` of one dictionary and kind of class.

    values   float32 [M, D]   the samples
    known    int64 [M]        their classes
    """
    labels = one.projected.argmax(axis=1)
    row: Row = {"n": len(known), "classes": int(known.max()) + 1}
    for name, score in (("nmi", measures.nmi), ("purity", measures.purity)):
        low, high = resampled(score, labels, known, control)
        row |= {name: score(labels, known), f"{name}_low": low, f"{name}_high": high}
    row["top_purity"] = measures.top_purity(one.images, known)
    shares = np.array([measures.top_purity(images[None], known) for images in one.images])
    draws = np.random.default_rng(control.seed).integers(0, len(shares), (control.bootstrap, len(shares)))
    row["top_purity_low"], row["top_purity_high"] = interval(shares[draws].mean(axis=1))
    return row | controls(one, values, known, control)


def resampled(
    score: Callable[[np.ndarray, np.ndarray], float], labels: np.ndarray, known: np.ndarray, control: Control
) -> tuple[float, float]:
    """95 % interval of a score over resamples of the samples, within 0 and 1.

    Doubled samples raise agreement, so the resamples are moved by what their mean lies off the score.
    """
    drawn = np.random.default_rng(control.seed).integers(0, len(known), (control.bootstrap, len(known)))
    scores = np.array([score(labels[rows], known[rows]) for rows in drawn])
    low, high = np.clip(np.array(interval(scores)) + score(labels, known) - scores.mean(), 0.0, 1.0)
    return float(low), float(high)


def controls(one: Stored, values: np.ndarray, known: np.ndarray, control: Control) -> Row:
    """The same of shuffled classes, of random samples and of random directions; means over the draws."""
    count, k = one.images.shape[1], one.key.k
    found: dict[str, list[float]] = {}
    for draw_number in range(control.draws):
        generator = np.random.default_rng([control.seed, k, draw_number])
        near = dictionary.nearness(values, values[generator.permutation(len(values))[:k]])
        directions = measures.random_directions(control.directions, k, values.shape[1], generator)
        others = {"random_samples": near, "random_directions": (values - values.mean(axis=0)) @ directions.T}
        cases = {
            name: (other.argmax(axis=1), np.argsort(-other, axis=0)[:count].T, known) for name, other in others.items()
        }
        cases["shuffled"] = (one.projected.argmax(axis=1), one.images, generator.permutation(known))
        for name, (labels, images, truth) in cases.items():
            scores = measures.nmi(labels, truth), measures.purity(labels, truth), measures.top_purity(images, truth)
            for score, value in zip(("nmi", "purity", "top_purity"), scores, strict=True):
                found.setdefault(f"{score}_{name}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def from_files(
    paths: Sequence[str], *, train: Sequence[str], raw: str, model: str, settings: Mapping[str, Any]
) -> pl.DataFrame:
    """`CLASSES` of the main dictionaries of all sets; empty where pictures are photographs, whose truth is not known.

    paths, train   files of dictionaries, and the vectors they were made from
    raw            manifest of the pictures
    settings       draws, bootstrap, seed, directions
    """
    about, rows = read_manifest(raw), []
    if about["source"] != "drawn":
        log.info("The pictures were not drawn here: nothing is known of what they show.")
        return pl.DataFrame(schema=CLASSES)
    control = Control(**{name: settings[name] for name in Control._fields})
    for path, source in zip(paths, train, strict=True):
        token, main = dictionary_files.recipe(path)["set"], main_module(path)
        own = vectors.read(source, main)
        kinds = classes(scenes(own.images, about["kind"], Path(about["root"])), token)
        for key in dictionary_files.keys(path):
            if key.module == main:
                one = dictionary_files.read(path, key)
                named = {"model": model, "token": token, **key._asdict()}
                rows += [
                    named | {"kind": kind} | agreement(one, own.values, known, control) for kind, known in kinds.items()
                ]
    return pl.DataFrame(rows, schema=CLASSES)
