"""How near the vectors of every method are to the samples' own, on samples that nothing was made from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope.stats import Draws
from vlmscope.xl_vlms.learned import vectors as learned_vectors
from vlmscope.xl_vlms.learned.net import Net
from vlmscope.xl_vlms.learned.vectors import Forced
from vlmscope.xl_vlms.steer import vectors as directions

# cosine: of a method's vector and the sample's own, mean over samples with 95 % interval; length: of the method's
# vectors over that of the samples' own, mean over samples.
FIT = {
    "method": pl.String,
    "n": pl.Int64,
    "cosine": pl.Float64,
    "cosine_low": pl.Float64,
    "cosine_high": pl.Float64,
    "length": pl.Float64,
}
RESAMPLES = 2000


def vectors(trained: Forced, tested: Forced, net: Net, task: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Vectors of every method for the samples that are tested, float32 [sample, D]; `learned` for the stored states.

    trained   with the shifts that the means are made of
    """
    shifts, n = learned_vectors.task_shifts(trained, task), len(tested.samples)
    mean = shifts.mean(axis=0)
    return {
        "random": np.tile(directions.random_like(mean, 1, task["seed"])[0], (n, 1)),
        "mean": np.tile(mean, (n, 1)),
        "mean_ba": learned_vectors.mean_of_groups(shifts, trained.groups, tested.groups),
        "learned": net.vectors(tested.context),
        "p2s": learned_vectors.task_shifts(tested, task),
    }


def table(found: Mapping[str, np.ndarray], seed: int) -> pl.DataFrame:
    """`FIT`, a row per method.

    found   as `vectors` gives them
    """
    own, rows, draws = found["p2s"], [], Draws(RESAMPLES, seed)
    size = np.linalg.norm(own, axis=1)
    for method, made in found.items():
        lengths = np.linalg.norm(made, axis=1)
        mean, low, high = draws.mean((made * own).sum(axis=1) / np.maximum(lengths * size, 1e-12))
        row = {"method": method, "n": len(own), "cosine": mean, "cosine_low": low, "cosine_high": high}
        rows.append(row | {"length": float((lengths / size).mean())})
    return pl.DataFrame(rows, schema=FIT)


def from_files(net: Net, trained: str, tested: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """The table of a net.

    settings   task (xl_vlms.learned.tasks.*)
    """
    task = settings["task"]
    found = vectors(learned_vectors.read(trained), learned_vectors.read(tested), net, task)
    return table(found, task["seed"])
