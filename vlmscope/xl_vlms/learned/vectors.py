"""Vectors that would steer each sample, and what they are held against (xl_vlms.md 2.11).

Notation: h+ and h- [N, D] states under the wanted and the opposite answer, z = h+ - h- [N, D].
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.store import hdf5
from vlmscope.xl_vlms.learned import safety

FORMAT = "vlmscope.forced/1"
SIDES = ("wanted", "opposite")
# Answers of every method; alpha is 0 where nothing is steered.
ANSWERS = {"method": pl.String, "alpha": pl.Float64, "sample": pl.String, "prediction": pl.String}
# Without steering; the prompt tells what is wanted; one vector for all, random or the mean; one per behaviour, which
# has to be known; one from the prompt's state; one from the sample's own forced answers, which have to be known.
METHODS = ("none", "prompt", "random", "mean", "mean_ba", "learned", "p2s")


class Forced(NamedTuple):
    """States of prompts that go on with an answer they were given.

    samples    [N]
    groups     [N]             what is averaged together for vectors per behaviour
    context    float32 [N, D]  state of the prompt that the net reads
    wanted     float32 [N, D]  state under the wanted answer
    opposite   float32 [N, D]  state under the opposite one
    """

    samples: list[str]
    groups: list[str]
    context: np.ndarray
    wanted: np.ndarray
    opposite: np.ndarray

    @property
    def shifts(self) -> np.ndarray:
        """z = wanted - opposite, float32 [N, D]: steers a sample that is known already (P2S)."""
        return self.wanted - self.opposite

    def some(self, rows: np.ndarray) -> "Forced":
        """These samples alone."""
        names = [[part[row] for row in rows] for part in (self.samples, self.groups)]
        return Forced(*names, *(part[rows] for part in (self.context, self.wanted, self.opposite)))


def split(n: int, validation: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are trained on, and the last ones of the list, which are not (POPE: 1100 and 100)."""
    if not 0 <= validation < n:
        raise VlmscopeError(
            f"Of {n} samples {validation} cannot be kept from training.",
            where="xl_vlms.learned.tasks.*.validation",
            instead="fewer, or more samples",
        )
    rows = np.arange(n)
    return rows[: n - validation], rows[n - validation :]


def rescaled(shifts: np.ndarray, groups: Sequence[str], reference: str, others: Sequence[str]) -> np.ndarray:
    """Shifts whose mean length within each other group is that of the reference group, float32 [N, D].

    Groups that are not named keep their lengths, as in the released code; its groups are ranges of rows.
    """
    lengths, own = np.linalg.norm(shifts, axis=1), np.array(groups)
    factors = np.ones(len(shifts))
    for group in others:
        there = own == group
        if there.any() and (own == reference).any():
            factors[there] = lengths[own == reference].mean() / lengths[there].mean()
    return (shifts * factors[:, None]).astype(np.float32)


def task_shifts(forced: Forced, task: Mapping[str, Any]) -> np.ndarray:
    """Shifts as a task uses them, float32 [N, D]; those of safety rescaled by behaviour.

    task   xl_vlms.learned.tasks.*
    """
    if task["kind"] != "safety":
        return forced.shifts
    return rescaled(forced.shifts, forced.groups, safety.REFERENCE, safety.RESCALED)


def mean_of_groups(shifts: np.ndarray, groups: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """For every sample the mean of its group's shifts, float32 [N, D]: a mean per behaviour.

    groups   of the shifts; wanted   of the samples
    """
    own = np.array(groups)
    means = {group: shifts[own == group].mean(axis=0) for group in set(groups)}
    if lacking := sorted(set(wanted) - set(means)):
        raise VlmscopeError(f"No sample that is trained on has the behaviour {', '.join(lacking)}.")
    return np.array([means[group] for group in wanted], dtype=np.float32).reshape(len(wanted), -1)


# ---- files -------------------------------------------------------------------------------------------------------


def write(forced: Forced, target: str | Path, recipe: dict[str, object]) -> None:
    """States as HDF5 (docs/formats.md), single precision."""
    with hdf5.published(target, FORMAT, recipe) as file:
        for key in ("samples", "groups"):
            file.create_dataset(key, data=np.array(getattr(forced, key), dtype=h5py.string_dtype()))
        for key in ("context", *SIDES):
            file.create_dataset(key, data=getattr(forced, key).astype(np.float32))


def read(path: str | Path) -> Forced:
    """States of a file."""
    with hdf5.opened(path, FORMAT, "file of forced answers") as file:
        names = [file[key].asstr()[()].tolist() for key in ("samples", "groups")]
        return Forced(*names, *(file[key][()] for key in ("context", *SIDES)))


def write_all(parts: Sequence[Forced], targets: Sequence[str], recipe: dict[str, object]) -> None:
    """Write states of several splits."""
    for forced, target in zip(parts, targets, strict=True):
        write(forced, target, recipe)
