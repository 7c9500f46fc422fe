"""Our steering vectors as files of the released code (xl_vlms.md 5.1)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.store import torch_files
from vlmscope.xl_vlms.steer import files as steering_files
from vlmscope.xl_vlms.steer import released
from vlmscope.xl_vlms.steer.source import block_of


def write_all(paths: Sequence[str], folder: str | Path, *, vectors: Mapping[str, Any]) -> None:
    """Vectors of our files at the first of their modules, half precision as in the released feature files."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, made in steering_files.read_all(paths):
        block = block_of(list(made.vector), vectors[name]["modules"][0], made.about["layers"], name)
        target = Path(folder) / f"{made.about['method']}_{name}.pth"
        torch_files.write({released.KEY: made.vector[block].astype(np.float16)}, target)
