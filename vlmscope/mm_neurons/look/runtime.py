"""What each stage cost: time and memory as the engine measured them, pictures, and the size of what was written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.image import grids
from vlmscope.mm_neurons.look.runtime_plan import Stage

# jobs: of the stage, one per shard or edit; seconds: of all of them; images: null where a stage looks at none;
# peak_memory: MB of resident memory of the largest job, null where it was too short to be measured.
RUNTIME = {
    "stage": pl.String,
    "seconds": pl.Float64,
    "images": pl.Int64,
    "peak_memory": pl.Float64,
    "bytes": pl.Int64,
    "jobs": pl.Int64,
    "seconds_per_image": pl.Float64,
}


def images(paths: Sequence[str]) -> int | None:
    """Different samples of all these tables and files of maps; None of no file."""
    return len(set().union(*map(_samples, paths))) if paths else None


def _samples(path: str) -> set[str]:
    if path.endswith(".parquet"):
        return set(pl.read_parquet(path, columns=["sample"])["sample"])
    with grids.opened(path) as file:
        return set(file[grids.SAMPLES])


def row(name: str, stage: Stage) -> dict[str, Any]:
    """A row of `RUNTIME`."""
    measured = pl.concat([_measured(path) for path in stage.benchmarks])
    seconds, count = measured["s"].sum(), images(stage.images)
    return {
        "stage": name,
        "seconds": seconds,
        "images": count,
        "peak_memory": measured["max_rss"].max(),
        "bytes": sum(Path(path).stat().st_size for path in stage.files),
        "jobs": len(measured),
        "seconds_per_image": seconds / count if count else None,
    }


def _measured(path: str) -> pl.DataFrame:
    """Seconds and memory of one job; the engine writes a dash or NA for what it could not measure."""
    frame = pl.read_csv(path, separator="\t", infer_schema=False)
    if not {"s", "max_rss"} <= set(frame.columns):
        raise VlmscopeError(
            "This is no benchmark of the engine.", where=path, instead="delete it and run snakemake again"
        )
    return frame.select(pl.col("s", "max_rss").cast(pl.Float64, strict=False))


def from_files(stages: Mapping[str, Mapping[str, Sequence[str]]]) -> pl.DataFrame:
    """Table `RUNTIME` of a model.

    stages   name -> parts of a `Stage`, in the order of the work
    """
    return pl.DataFrame([row(name, Stage(**stage)) for name, stage in stages.items()], schema=RUNTIME)
