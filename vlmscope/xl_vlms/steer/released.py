"""Steering vectors as files of the released code: `{method}_{name}.pth`, vectors by name (xl_vlms.md 5.1)."""

from pathlib import Path

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import torch_files

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
