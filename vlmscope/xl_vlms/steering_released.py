"""Steering vectors as files of the released code: `{method}_{name}.pth`, vectors by name (xl_vlms.md 5.1)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import torch_files
from vlmscope.xl_vlms import steering_files
from vlmscope.xl_vlms.steering_source import block_of

KEY = "steering_vector"


def read(path: str | Path, key: str = KEY) -> np.ndarray:
    """A vector of a file, float32 [D], whatever axes of length one it has.

    Pairs of concepts are handed out as their names say: the released `concept_i_to_j` holds c_i - c_j, so it is turned
    round [differs: xl_vlms.md 8 #12].
    """
    held = torch_files.read(path)
    if not isinstance(held, dict) or not isinstance(held.get(key), np.ndarray):
        names = [name for name, one in held.items() if isinstance(one, np.ndarray)] if isinstance(held, dict) else []
        raise VlmscopeError(
            f"The file has no vector '{key}'.",
            where=str(path),
            instead="one of: " + (", ".join(names[:8]) or "none; a file of steering vectors"),
        )
    found = held[key].astype(np.float32).squeeze()
    if found.ndim != 1 or not np.isfinite(found).all():
        raise VlmscopeError(f"'{key}' is no vector of numbers: its shape is {held[key].shape}.", where=str(path))
    return -found if "_to_" in key else found


def write_all(paths: Sequence[str], folder: str | Path, *, vectors: Mapping[str, Any]) -> None:
    """Vectors of our files at the first of their modules, half precision as in the released feature files."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, made in steering_files.read_all(paths):
        block = block_of(list(made.vector), vectors[name]["modules"][0], made.about["layers"], name)
        target = Path(folder) / f"{made.about['method']}_{name}.pth"
        torch_files.write({KEY: made.vector[block].astype(np.float16)}, target)
