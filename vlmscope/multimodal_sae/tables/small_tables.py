"""Tables 3, 4 and 10 of the paper: small autoencoders by layer and by model (multimodal_sae.md 7).

Published numbers stand in columns `paper_...`: in the row of the same layer or family where there is one, else in a row
of their own, whose coder is `published`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.multimodal_sae import schemas
from vlmscope.store import tables

# Scores of small autoencoders: as in Table 1, over all classes; metric iou_classes is that of iou_classes.csv.
SCORES = {
    "layer": pl.Int64,
    "fvu": pl.Float64,
    "coder": pl.String,
    "explainer": pl.String,
    **schemas.MEASURED,
}
CLASSES = "iou_classes"
PUBLISHED = "published"
SUBJECT = "LLaVA-NeXT-LLaMA3-8B"
SOURCES = {number: f"arXiv 2411.14982v2, Table {number}" for number in (3, 4, 10)}
# Layer counted from 0 -> IoU, CLIP score; the controls of all of them.
LAYERS = {7: (0.30, 22.82), 24: (0.31, 24.92), 31: (0.40, 26.55)}
LAYERS_RANDOM = (0.005, 18.2)
# Family -> name and CLIP score with its control.
ARCHITECTURES = {"instructblip": ("InstructBLIP-7B", 28.01, 17.71)}
# Family -> name, IoU and its control as printed, which look like per cent, CLIP score and its control.
MODELS = {
    "qwen2_5_vl": ("Qwen-2.5-VL", 26.67, 0.06, 27.99, 18.22),
    "instructblip": ("InstructBLIP-7B", None, None, 28.01, 17.71),
}
# Why there is no IoU.
QUERIES = "image tokens are no patches in rows and columns"

ROW = {"model": pl.String, "layer": pl.Int64, "coder": pl.String, "explainer": pl.String, "fvu": pl.Float64}
COUNTS = {"n_features": pl.Int64, "n_refused": pl.Int64}


def _measured(*names: str) -> dict[str, Any]:
    kinds = ("", "_low", "_high", "_random", "_random_ci99", "_shuffled")
    return dict.fromkeys((f"{name}{kind}" for name in names for kind in kinds), pl.Float64)


def _paper(*names: str) -> dict[str, Any]:
    return {**dict.fromkeys((f"paper_{name}" for name in names), pl.Float64), "source": pl.String}


TABLE3 = {
    **ROW,
    **COUNTS,
    **_measured("iou", "clip"),
    **dict.fromkeys((CLASSES, f"{CLASSES}_low", f"{CLASSES}_high"), pl.Float64),
    **_paper("iou", "iou_random", "clip", "clip_random"),
}
TABLE4 = {**ROW, **COUNTS, **_measured("clip"), **_paper("clip", "clip_random")}
TABLE10 = {
    **ROW,
    **COUNTS,
    **_measured("iou", "clip"),
    "without_iou": pl.String,
    **_paper("iou_printed", "iou_random_printed", "clip", "clip_random"),
}
NOTES = (
    "Names come from one half of the pictures, scores from the other; intervals of 95 % are over latents.",
    "random_ci99: half-width over runs with random pictures; shuffled: the name of another latent.",
    "Published numbers are of other autoencoders (4,096 latents; how many are active is not known) and explainers.",
    "Untrained autoencoders may do as well in iou and clip; iou_classes, the best latent of a word, tells them apart.",
    "Table 10 prints an IoU of 26.67 and 0.06 for Qwen-2.5-VL: it stands here as printed.",
)
Scored = Mapping[str, pl.DataFrame]


def wide(scores: pl.DataFrame, model: str) -> list[dict[str, Any]]:
    """A row per layer, autoencoder and explainer, with the columns of all measures."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    classes = {(row["layer"], row["coder"]): row for row in scores.filter(metric=CLASSES).to_dicts()}
    for one in scores.filter(pl.col("metric") != CLASSES).to_dicts():
        key = one["layer"], one["coder"], one["explainer"]
        row = found.setdefault(key, {"model": model, **{name: one[name] for name in (*ROW, *COUNTS) if name in one}})
        row |= _columns(one["metric"], one)
        if known := classes.get(key[:2]):
            row |= _columns(CLASSES, known)
    # What is left of the variance is that of the trained one.
    return [row | ({} if row["coder"] == "trained" else {"fvu": None}) for row in found.values()]


def _columns(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    told = {"": "value", "_low": "low", "_high": "high", "_random": "random_mean"}
    told |= {"_random_ci99": "random_ci99", "_shuffled": "shuffled"}
    return {f"{name}{end}": one[key] for end, key in told.items()}


def table3(scores: pl.DataFrame, model: str) -> pl.DataFrame:
    """Layers of one model."""
    rows = wide(scores, model)
    for layer, known in LAYERS.items():
        pairs = zip(("iou", "clip"), known, LAYERS_RANDOM, strict=True)
        told = {key: value for name, own, chance in pairs for key, value in _told(name, own, chance).items()}
        _put(rows, {"layer": layer}, told | {"source": SOURCES[3]}, {"model": SUBJECT, "layer": layer})
    return _framed(rows, TABLE3)


def table4(scores: Scored, about: Mapping[str, Mapping[str, str]]) -> pl.DataFrame:
    """Models by CLIP scores, which do not need patches.

    about   model -> family, label
    """
    rows = list(_every(scores, about))
    for family, (name, clip, chance) in ARCHITECTURES.items():
        _put(rows, {"family": family}, _told("clip", clip, chance) | {"source": SOURCES[4]}, {"model": name})
    return _framed(rows, TABLE4)


def table10(scores: Scored, about: Mapping[str, Mapping[str, str]]) -> pl.DataFrame:
    """Models by both measures, IoU where image tokens are patches."""
    rows = [row | ({} if row["iou"] is not None else {"without_iou": QUERIES}) for row in _every(scores, about)]
    for family, (name, iou, iou_chance, clip, chance) in MODELS.items():
        printed = {"paper_iou_printed": iou, "paper_iou_random_printed": iou_chance}
        told = printed | _told("clip", clip, chance) | {"source": SOURCES[10]}
        _put(rows, {"family": family}, told, {"model": name})
    return _framed(rows, TABLE10)


def _every(scores: Scored, about: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """Rows of all models; of a model with several layers the middle one."""
    for model, table in scores.items():
        layers = table["layer"].unique().sort()
        own = table.filter(pl.col("layer") == layers[len(layers) // 2])
        yield from (row | {"family": about[model]["family"]} for row in wide(own, model))


def _told(name: str, own: float | None, chance: float | None) -> dict[str, float | None]:
    return {f"paper_{name}": own, f"paper_{name}_random": chance}


def _put(rows: list[dict[str, Any]], where: Mapping[str, Any], told: dict[str, Any], alone: dict[str, Any]) -> None:
    """Published numbers beside every trained row that fits; in a row of their own where none does."""
    fits = [row for row in rows if row["coder"] == "trained" and all(row.get(key) == one for key, one in where.items())]
    for row in fits:
        row |= told
    if not fits:
        rows.append({**alone, "coder": PUBLISHED, **told})


def _framed(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def of_files(
    paths: Sequence[str], order: Sequence[str], models: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[pl.DataFrame, Mapping[str, Any]]]:
    """All three tables by the names of their outputs.

    paths   scores of every model, in the order of their names; the first is that of the tables
    models  model -> family, label
    """
    scores = {name: tables.read(path, SCORES) for name, path in zip(order, paths, strict=True)}
    return {
        "layers": (table3(scores[order[0]], order[0]), TABLE3),
        "architecture": (table4(scores, models), TABLE4),
        "models": (table10(scores, models), TABLE10),
    }
