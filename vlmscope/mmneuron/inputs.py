"""Table steps of this system, from files to values: what the scripts of CPU rules call; no model, no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope import samples as table
from vlmscope.metrics.judge import LingoJudge
from vlmscope.mmneuron import evaluate, identify, meta, table2
from vlmscope.mmneuron.schemas import PERTURBED, SCORES
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.store import files, tables


def read_samples(path: str) -> list[Sample]:
    """A sample table as values."""
    return table.rows(tables.read(path, table.SCHEMA))


def read_neurons(paths: Sequence[str], domains: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Module -> neuron table; the module's name is the file's."""
    schema = identify.schema(tuple(domains))
    return {path.rsplit("/", 1)[-1].removesuffix(".parquet"): tables.read(path, schema) for path in paths}


def judge(inputs: Sequence[str]) -> LingoJudge | None:
    """The real judge where its checkpoint is among the inputs; else the stand-in scores."""
    if not inputs:
        return None
    folder = Path(inputs[0]).parent
    return LingoJudge(folder / "hub" if inputs[0].endswith("hub.json") else folder)


def table_inputs(
    *,
    model: str,
    settings: dict[str, Any],
    conditions: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    scores: Sequence[str],
    summaries: Sequence[str],
    manifest: str,
    raws: Sequence[str],
) -> tuple[table2.Setup, dict[str, pl.DataFrame], dict[str, Any]]:
    """Setup, scores by domain and companion metadata of table 2."""
    found = {one["module"]: one for one in map(files.read_json, summaries)}
    setup = table2.Setup(
        model=model,
        label=settings["label"],
        columns=settings["columns"],
        conditions=conditions,
        kinds=data["kinds"],
        splits=data["splits"],
        summaries=found,
        evaluate=settings["evaluate"],
        generate=settings["generate"],
    )
    by_domain: dict[str, list[pl.DataFrame]] = {}
    for path in scores:
        by_domain.setdefault(Path(path).parent.name, []).append(tables.read(path, SCORES))
    described = meta.describe(
        table="table2",
        scale=settings["scale"],
        model=files.read_json(manifest),
        raws=dict(zip(data["kinds"], map(read_manifest, raws), strict=True)),
        data=data,
        settings={key: settings[key] for key in ("identify", "generate", "evaluate")},
        summaries=found,
        notes=table2.NOTES,
    )
    return setup, {domain: pl.concat(parts) for domain, parts in by_domain.items()}, described


def effect_inputs(
    settings: Mapping[str, Any],
    kinds: Mapping[str, str],
    rows: Sequence[str],
    samples: Sequence[str],
    judge_files: Sequence[str],
) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """Rows and scores of the effect measurement by domain."""
    frames = {domain: tables.read(path, PERTURBED) for domain, path in zip(settings["domains"], rows, strict=True)}
    asked = {domain: read_samples(path) for domain, path in zip(settings["domains"], samples, strict=True)}
    return frames, effect_scores(frames, asked, kinds, settings["evaluate"], judge(judge_files))


def effect_scores(
    rows: Mapping[str, pl.DataFrame],
    samples: Mapping[str, Sequence[Sample]],
    kinds: Mapping[str, str],
    settings: Mapping[str, Any],
    lingo: LingoJudge | None,
) -> dict[str, pl.DataFrame]:
    """Domain -> score of every answer of the effect measurement, by the metric of the tables."""
    found = {}
    for domain, frame in rows.items():
        answers = frame.rename({"mask": "condition"})
        scored = evaluate.scores(
            kinds[domain], samples[domain], answers, anls_threshold=settings["anls_threshold"], lingo=lingo
        )
        metric = evaluate.metric_of(kinds[domain], dict(settings))
        found[domain] = scored.filter(pl.col("metric") == metric).select(mask="condition", group="group", score="score")
    return found
