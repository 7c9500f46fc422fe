"""Weights of a checkpoint folder, one tensor at a time and without the model. Safetensors only."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from vlmscope.errors import VlmscopeError

ENDING = ".weight"


class Weights:
    """Weights of a folder by module path.

    Files name modules as the library did when they were written: `language_model.model.norm` is now
    `model.language_model.norm`. The weight with the longest common end is taken, and of several the one that shares
    most parts.

    dtype   precision in which the model reads them, float16 for example; "" for that of the files
    """

    def __init__(self, folder: str | Path, dtype: str = "") -> None:
        self.folder = Path(folder)
        self.dtype = getattr(torch, dtype) if dtype else None
        self.files: dict[str, Path] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                names = file.keys()
            self.files |= dict.fromkeys((name for name in names if name.endswith(ENDING)), path)

    def read(self, *paths: str) -> Tensor:
        """The weight of the first of these modules that the folder has: a tied head is that of the embeddings."""
        name = self.name(*paths)
        with safe_open(self.files[name], "pt") as file:
            return file.get_tensor(name).to(self.dtype)

    def name(self, *paths: str) -> str:
        """Its name in the file."""
        for path in paths:
            if found := self._best(path.split(".")):
                return found
        raise VlmscopeError(
            f"The checkpoint has no weight of {' or '.join(paths)}, or several that could be it.",
            where=str(self.folder),
            instead="the family that belongs to this checkpoint (models.*.family)",
        )

    def _best(self, path: list[str]) -> str:
        ranked = sorted((_alike(path, name.removesuffix(ENDING).split(".")), name) for name in self.files)
        if not ranked or not ranked[-1][0][0] or [rank for rank, _ in ranked[-2:]].count(ranked[-1][0]) > 1:
            return ""
        return ranked[-1][1]


def _alike(path: list[str], name: list[str]) -> tuple[int, int]:
    """Parts in common from the end, and anywhere."""
    tail = 0
    for one, other in zip(reversed(path), reversed(name), strict=False):
        if one != other:
            break
        tail += 1
    return tail, len(set(path) & set(name))
