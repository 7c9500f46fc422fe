"""What pages show beside the lens: one HDF5 file, a group per picture of the file of lenses (docs/formats.md)."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py

from vlmscope.store import hdf5

FORMAT = "vlmscope.views/1"


def published(target: str | Path, recipe: dict[str, Any]) -> AbstractContextManager[h5py.File]:
    """A new file to fill; it takes its name when the block ends well."""
    return hdf5.published(target, FORMAT, recipe)


def opened(path: str | Path) -> h5py.File:
    """The file of views, refused unless it is whole and of this format."""
    return hdf5.opened(path, FORMAT, "file of views")
