"""Scores of names, from files to tables."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.metrics.clip_towers import Towers
from vlmscope.multimodal_sae import schemas
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import naming as explain_naming
from vlmscope.multimodal_sae.explain import oracle
from vlmscope.multimodal_sae.explain.naming import Talker
from vlmscope.multimodal_sae.explain.shown import Chooser
from vlmscope.multimodal_sae.score import classes as score_classes
from vlmscope.multimodal_sae.score import fit, segment
from vlmscope.multimodal_sae.score import tables as score_tables
from vlmscope.multimodal_sae.score.consistency import MATCH, Asked, Match
from vlmscope.multimodal_sae.score.judged import Judge
from vlmscope.raw import read_manifest
from vlmscope.samples import read as read_samples
from vlmscope.stats import Draws
from vlmscope.store import tables as stored

NOTES = (
    "Names come from one half of the pictures, scores from the other; iou_reference is that of the released way.",
    "Random pictures are a weak control, since most latents are silent on most pictures; see shuffled and untrained.",
    "Published numbers are of another model, autoencoder, explainer, segmenter and pictures.",
)
Found = dict[str, tuple[pl.DataFrame, Mapping[str, Any]]]


def from_files(
    caches: Mapping[str, str],
    *,
    labels: str,
    raws: Sequence[str],
    tables: Sequence[str],
    models: Mapping[str, Any],
    settings: Mapping[str, Any],
    talkers: Callable[[str], Talker | None],
    batch: int,
    device: str,
) -> Found:
    """Tables by the name of their output: explanations, table1, table2, classes.

    caches     name of the autoencoder -> cache
    models     clip: manifest; segmenters: manifests or configurations of detector and SAM, none where masks are known
    settings   multimodal_sae.explain
    """
    named, given = stored.read(labels, schemas.LABELS), {"raws": raws, "tables": tables, "settings": settings}
    return of_labels(caches, named, **given, models=models, talkers=talkers, batch=batch, device=device)


def of_labels(
    caches: Mapping[str, str],
    named: pl.DataFrame,
    *,
    raws: Sequence[str],
    tables: Sequence[str],
    models: Mapping[str, Any],
    settings: Mapping[str, Any],
    talkers: Callable[[str], Talker | None],
    batch: int,
    device: str,
) -> Found:
    """The same of names in memory, `schemas.LABELS`."""
    draws = Draws(settings["resamples"], settings["seed"])
    towers = Towers(models["clip"], batch=batch, device=device)
    with ExitStack() as stack:
        opened = {coder: stack.enter_context(cache_files.opened(path)) for coder, path in caches.items()}
        names = next(iter(opened.values())).samples
        own, picture = explain_naming.pictures(raws, tables, names)
        truth = oracle.Truth(own, picture)
        view = fit.Pictures(towers, own, roots(raws, tables, names), settings["prefix"])
        finder, judge = segmenter(truth, models["segmenters"], settings, device), _judge(truth, talkers)
        scored: list[fit.Scored] = []
        for coder, cache in opened.items():
            chooser = Chooser(cache, picture, most=settings["examples"], size=settings["size"])
            scorer = fit.Scorer(chooser, finder, judge, view, settings)
            for name in settings["by"]:
                scored += fit.of_labels(scorer, named.filter(coder=coder, explainer=name))
        square = all(one.grids is None and one.about["base"] for one in opened.values())
        known = settings["segmenter"] == "truth" and square
        classes = score_classes.table(opened, truth, draws) if known else pl.DataFrame(schema=score_classes.CLASSES)
    by = settings["judge"]["model"] if isinstance(judge, Asked) else MATCH
    return {
        "explanations": (pl.DataFrame([one.row for one in scored], schema=schemas.SCORED), schemas.SCORED),
        "table1": (score_tables.table1(scored, draws), score_tables.TABLE1),
        "table2": (score_tables.table2(scored, by), score_tables.TABLE2),
        "classes": (classes, score_classes.CLASSES),
    }


def roots(raws: Sequence[str], tables: Sequence[str], names: Sequence[str]) -> list[str]:
    """Folder of the pictures of every sample."""
    pairs = zip(raws, tables, strict=True)
    found = {one.sample: read_manifest(raw)["root"] for raw, table in pairs for one in read_samples(table)}
    return [str(Path(found[name])) for name in names]


def segmenter(
    truth: oracle.Truth, segmenters: Sequence[str], settings: Mapping[str, Any], device: str
) -> segment.Segmenter:
    """What finds the region of a name: the masks of the dataset, or two models."""
    if settings["segmenter"] == "truth":
        return segment.TrueMasks(truth, settings["size"])
    given = {"size": settings["size"], "threshold": settings["box_threshold"], "device": device}
    return segment.Grounded(*map(_folder, segmenters), **given, work=str(Path(segmenters[0]).parent))


def _folder(named: str) -> str:
    """The folder of a checkpoint by its manifest, or by its configuration."""
    path = Path(named)
    return str(path.parent / "hub" if path.name == "hub.json" else path.parent)


def _judge(truth: oracle.Truth, talkers: Callable[[str], Talker | None]) -> Judge:
    talker = talkers("judge")
    return Match(truth) if talker is None else Asked(talker)
