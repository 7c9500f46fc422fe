"""What each stage cost: time and memory as the engine measured them, pictures, and the size of what was written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons import grids

# jobs: of the stage, one per shard; seconds: of all of them; images: null where a stage looks at none;
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
CAPTURE = "capture_shard"


class Stage(NamedTuple):
    """A rule that works on a whole model.

    files    what it writes below results/mm_neurons/MODEL
    images   which of its files tells how many pictures it looked at; "" where it looks at none
    """

    files: tuple[str, ...]
    images: str = ""


# In the order of the work; each has a benchmark of its name.
STAGES = {
    "mm_neurons_words": Stage(("neuron_tokens.parquet",)),
    "mm_neurons_rank": Stage(("neurons.h5",), "captions.parquet"),
    "mm_neurons_attribute": Stage(("gradient.h5", "attribution.parquet"), "captions.parquet"),
    "mm_neurons_maps": Stage(("maps.h5",), "maps.h5"),
    "mm_neurons_shuffle": Stage(("shuffled.parquet", "shuffled_neurons.h5", "shuffled_maps.h5"), "shuffled.parquet"),
    "mm_neurons_similarities": Stage(("similarities.parquet",)),
    "mm_neurons_perturb": Stage(("effects.parquet",), "effects.parquet"),
}
FILES = sorted({"captions.parquet", *(file for stage in STAGES.values() for file in stage.files)})


def images(path: Path) -> int:
    """Different samples in a table, or in a file of maps."""
    if path.suffix == ".parquet":
        return pl.scan_parquet(path).select(pl.col("sample").n_unique()).collect().item()
    with grids.opened(path) as file:
        return len(file[grids.SAMPLES])


def row(stage: str, benchmarks: Sequence[str], written: Sequence[Path], count: int | None) -> dict[str, Any]:
    """A row of `RUNTIME`.

    benchmarks   the engine's measurements, one file per job
    """
    measured = pl.concat([_measured(path) for path in benchmarks])
    seconds = measured["s"].sum()
    return {
        "stage": stage,
        "seconds": seconds,
        "images": count,
        "peak_memory": measured["max_rss"].max(),
        "bytes": sum(path.stat().st_size for path in written),
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


def from_files(benchmarks: Sequence[str], shards: Sequence[str], folder: str) -> pl.DataFrame:
    """Table `RUNTIME` of a model: its capture, then all stages.

    benchmarks   files of all stages, and of the shards of the capture
    shards       files of the capture
    folder       results/mm_neurons/MODEL
    """
    of: dict[str, list[str]] = {}
    for path in benchmarks:
        of.setdefault(Path(path).parent.name, []).append(path)
    rows = [row(CAPTURE, of[CAPTURE], [Path(one) for one in shards], images(Path(folder, "captions.parquet")))]
    for name, stage in STAGES.items():
        count = images(Path(folder, stage.images)) if stage.images else None
        rows.append(row(name, of[name], [Path(folder, file) for file in stage.files], count))
    return pl.DataFrame(rows, schema=RUNTIME)
