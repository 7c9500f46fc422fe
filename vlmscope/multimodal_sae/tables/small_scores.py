"""Names and scores of small autoencoders, layer by layer, as those of the large one (Tables 3, 4 and 10)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.multimodal_sae.coder import hooks
from vlmscope.multimodal_sae.explain import naming as explain_naming
from vlmscope.multimodal_sae.explain.naming import Talker
from vlmscope.multimodal_sae.schemas import LABELS
from vlmscope.multimodal_sae.score import classes as score_classes
from vlmscope.multimodal_sae.score import files as score_files
from vlmscope.multimodal_sae.score import tables as score_tables
from vlmscope.multimodal_sae.tables import small
from vlmscope.multimodal_sae.tables.small_tables import CLASSES, SCORES
from vlmscope.store import tables as stored

METRICS = ("iou", "iou_undilated", "clip")


def from_files(
    folder: str,
    *,
    raws: Sequence[str],
    tables: Sequence[str],
    models: Mapping[str, Any],
    settings: Mapping[str, Any],
    talkers: Callable[[str], Talker | None],
    state: str,
    code: str,
    batch: int,
    device: str,
) -> tuple[pl.DataFrame, pl.DataFrame, list[explain_naming.Kept]]:
    """Scores by layer (`SCORES`), the names (`LABELS` with a layer), and what to clear once both stand.

    folder     of `small.from_files`
    models     as for `score.files.from_files`
    settings   multimodal_sae.explain, with `by`, `scorers` and `latents` of multimodal_sae.small
    state      folder of the answers so far
    """
    log = stored.read(Path(folder) / "train_log.csv", small.LOG)
    scores, names, kept = [], [], []
    for hookpoint, caches in small.caches(folder).items():
        layer = int(hooks.SITE.fullmatch(hooks.site_of(hookpoint))[2])
        read = {"raws": raws, "tables": tables, "settings": settings, "talkers": talkers}
        labels, answers = explain_naming.from_files(caches, **read, state=f"{state}/{hookpoint}.jsonl", code=code)
        found = score_files.of_labels(caches, labels, **read, models=models, batch=batch, device=device)
        fvu = log.filter(layer=layer)["fvu"][-1]
        scores += [{"layer": layer, "fvu": fvu, **row} for row in _rows(found)]
        names.append(labels.insert_column(0, pl.lit(layer, pl.Int64).alias("layer")))
        kept.append(answers)
    return pl.DataFrame(scores, schema=SCORES), pl.concat(names), kept


def write(folder: str, *, targets: Mapping[str, str], **given: Any) -> None:
    """Write what `from_files` gives to the targets `scores` and `labels`; then no run has to go on any more."""
    scores, labels, kept = from_files(folder, **given)
    stored.write(labels, targets["labels"], {"layer": pl.Int64, **LABELS})
    stored.write(scores, targets["scores"], SCORES)
    for answers in kept:
        answers.clear()


def _rows(found: score_files.Found) -> Iterator[dict[str, Any]]:
    table, classes = found["table1"][0], found["classes"][0]
    total = table.filter(pl.col("concept") == score_tables.TOTAL, pl.col("metric").is_in(METRICS))
    yield from total.select(name for name in SCORES if name in total.columns).to_dicts()
    for row in classes.filter(pl.col("word") == score_classes.ALL).to_dicts():
        yield {"metric": CLASSES, "value": row["iou"], **{name: row[name] for name in ("coder", "low", "high")}}
