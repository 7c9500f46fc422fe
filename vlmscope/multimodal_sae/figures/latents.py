"""What figures of latents show: held-out pictures, the latent's region, what its name stands for, and their IoU."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import iou, oracle
from vlmscope.multimodal_sae.explain import naming as explain_naming
from vlmscope.multimodal_sae.explain.shown import HELD_OUT, Chooser, Shown
from vlmscope.multimodal_sae.figures import choice
from vlmscope.multimodal_sae.schemas import SCORED
from vlmscope.multimodal_sae.score import files as score_files
from vlmscope.multimodal_sae.score.classes import CLASSES
from vlmscope.multimodal_sae.score.segment import Segmenter
from vlmscope.store import files, tables

CONCEPTS_NOTE = (
    "Pictures in which the latent is highest, held out from its choice. Bright: where it fires; dashed: the true "
    "region of the word.\nBeside: IoU in patches, all held-out pictures together (95 %). Above: IoU in pixels, which "
    "patches cannot bring to 1."
)
EXAMPLE_NOTE = (
    "Held-out pictures. IoU is that of masks as released, which interpolation widens: perfect ones reach the ceiling.\n"
    "Random pictures, with the latent's region and that of the name, are the control."
)


@dataclass(frozen=True)
class Album:
    """Pictures of an open cache with the regions of latents and of names."""

    chooser: Chooser
    segmenter: Segmenter

    def target(self, image: int, name: str) -> np.ndarray | None:
        """Where a picture shows what a name stands for."""
        return self.segmenter.find(image, self.chooser.picture(image), name)

    def panels(self, shown: Shown, name: str, threshold: float = 0.0, dilated: bool = False) -> list[dict[str, Any]]:
        """A panel per picture: the latent above a threshold, the true region, and their IoU as title."""
        above = [np.where(values > threshold, values, 0) for values in shown.maps]
        cut = Shown(shown.latent, shown.images, above, shown.picture, shown.size)
        targets = [self.target(image, name) for image in shown.images]
        scores = iou.scored(cut.regions(dilated), targets)
        parts = zip(shown.images, above, targets, scores, strict=True)
        return [
            {"picture": shown.picture(image), "values": values, "target": target, "title": titled(value)}
            for image, values, target, value in parts
        ]

    def random(self, latent: int, count: int, seed: int) -> Shown:
        """A latent on random held-out pictures."""
        held_out = np.flatnonzero(self.chooser.half == 1)
        drawn = np.random.default_rng([seed, latent]).choice(held_out, min(count, len(held_out)), replace=False)
        return self.chooser.of(latent, drawn.tolist())


def titled(value: float) -> str:
    """An IoU above a picture; nothing found counts 0."""
    return "silent, not there" if np.isnan(value) else "IoU 0, not there" if value == iou.BAD else f"IoU {value:.2f}"


@contextmanager
def album(read: Any, settings: Mapping[str, Any]) -> Iterator[Album]:
    """The pictures of a cache.

    read       a rule's input: cache, raws, samples, segmenters
    settings   shown, size, segmenter, box_threshold
    """
    with cache_files.opened(read.cache) as opened:
        own, picture = explain_naming.pictures(read.raws, read.samples, opened.samples)
        chooser = Chooser(opened, picture, most=settings["shown"], size=settings["size"])
        truth = oracle.Truth(own, picture)
        yield Album(chooser, score_files.segmenter(truth, read.segmenters, settings, "cpu"))


def concepts(pages: Album, chosen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the figure of concepts: a latent each."""
    rows = []
    for one in chosen:
        shown = pages.chooser.shown(one["latent"], HELD_OUT)
        rows.append({"label": _about(one), "panels": pages.panels(shown, one["name"], one["threshold"])})
    return rows


def _about(one: Mapping[str, Any]) -> list[str]:
    lines = [one["name"], f"latent {one['latent']}, {one['concept']}", f"IoU {one['iou']:.2f}"]
    if one["low"] is not None:
        lines[-1] += f" ({one['low']:.2f}, {one['high']:.2f})"
    if one["untrained"] is not None:
        lines.append(f"untrained: {one['untrained']:.2f}")
    return lines


def named(latent: int, classes: pl.DataFrame, explanations: pl.DataFrame) -> dict[str, Any]:
    """What a latent stands for, with its scores where it was scored: an explainer's name, else a word of the masks."""
    trained = pl.col("coder") == choice.TRAINED
    scored = explanations.filter(trained, pl.col("latent") == latent, pl.col("iou").is_not_null())
    words = classes.filter(trained, pl.col("latent") == latent).sort("iou", descending=True)
    if len(scored):
        row = scored.sort("iou", descending=True).row(0, named=True)
        return {**row, "name": row["refined"], "by": row["explainer"]}
    if len(words):
        return {"name": words["word"][0], "by": "masks"}
    known = sorted(explanations.filter(trained, ~pl.col("iou").is_null())["latent"].unique().to_list())[:12]
    raise VlmscopeError(
        f"Latent {latent} has no name.", where="explanations.csv, iou_classes.csv", instead=f"such as {known}"
    )


def example(pages: Album, latent: int, about: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """Rows of the figure of one latent's IoU: pictures, its region, the true region, random pictures."""
    shown, name = pages.chooser.shown(latent, HELD_OUT), about["name"]
    if not shown.images:
        raise VlmscopeError(
            f"Latent {latent} fires in no held-out picture.", where="cache.h5", instead="another latent"
        )
    regions = pages.panels(shown, name, dilated=True)
    alone = [{**one, "values": None, "target": None, "title": ""} for one in regions]
    true = [{**one, "values": None, "title": "" if one["target"] is not None else "not there"} for one in regions]
    random = pages.panels(pages.random(latent, len(regions), seed), name, dilated=True)
    targets = [one["target"] for one in regions]
    mean = iou.average(iou.scored(shown.regions(True), targets))
    exact = iou.average(iou.scored(shown.regions(False), targets))
    scores = [f"mean IoU {mean:.2f}", f"patches themselves {exact:.2f}"]
    limits = {"ceiling": "ceiling", "iou_random": "random pictures", "iou_shuffled": "another's name"}
    scores += [f"{label} {about[key]:.2f}" for key, label in limits.items() if about.get(key) is not None]
    return [
        {"label": [name, f"latent {latent}", f"named by: {about['by']}"], "panels": alone},
        {"label": ["where it fires", *scores], "panels": regions},
        {"label": ["what is named"], "panels": true},
        {"label": ["random pictures"], "panels": random},
    ]


def concepts_from_files(read: Any, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the figure of concepts; `read` has chosen as well."""
    with album(read, settings) as pages:
        return concepts(pages, files.read_json(read.chosen)["concepts"])


def example_from_files(latent: int, read: Any, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the figure of one latent's IoU; `read` has classes and explanations as well."""
    about = named(latent, tables.read(read.classes, CLASSES), tables.read(read.explanations, SCORED))
    with album(read, settings) as pages:
        return example(pages, latent, about, settings["seed"])
