"""HDF5 files with a format mark, whole or not there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import files

REMEDY = "delete it and run snakemake again"
# Beyond it half precision knows only infinity.
FP16_LARGEST = 65504.0


@contextmanager
def published(target: str | Path, mark: str, recipe: dict[str, Any]) -> Iterator[h5py.File]:
    """A new file to fill; it takes its name when the block ends well.

    mark     name and version of the format
    recipe   everything that decides the content
    """
    with files.publish(target) as part, h5py.File(part, "w") as file:
        file.attrs["format"] = mark
        file.attrs["recipe"] = json.dumps(recipe, sort_keys=True)
        yield file
        file.attrs["complete"] = 1


def opened(path: str | Path, mark: str, what: str, remedy: str = REMEDY) -> h5py.File:
    """An open file, refused unless it is whole and of this format.

    what     what the file is, for messages: shard
    remedy   what to do about a damaged one
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise VlmscopeError(
            f"The {what} is not there.", where=str(path), instead="make it: snakemake " + str(path)
        ) from None
    except OSError as error:
        raise VlmscopeError(f"The {what} is damaged: {error}", where=str(path), instead=remedy) from None
    if file.attrs.get("format") != mark or file.attrs.get("complete") != 1:
        found = file.attrs.get("format", "no format mark")
        file.close()
        raise VlmscopeError(f"The {what} is not complete ({found}).", where=str(path), instead=remedy)
    return file


def half(values: np.ndarray) -> np.ndarray:
    """Floats in half precision where all of them fit, else in single."""
    fits = not values.size or np.abs(values).max() <= FP16_LARGEST
    return values.astype(np.float16 if fits else np.float32)


def recipe(file: h5py.File) -> dict[str, Any]:
    """Everything that decided the content of an open file."""
    return json.loads(file.attrs["recipe"])
