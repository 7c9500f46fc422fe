"""Pickled weights, read as data: the only place that opens them.

`weights_only` builds tensors and containers and nothing else; `mmap` leaves the numbers on disk until they are used.
"""

from pathlib import Path

import torch
from torch import Tensor

from vlmscope.errors import VlmscopeError


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file by name, mapped from disk; anything else in the file is refused."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # Whatever a damaged or hostile file makes the reader raise; nothing of it was run.
    except Exception as error:
        raise VlmscopeError(
            f"The file is refused: it holds more than tensors, or it is damaged or of before 2020. "
            f"({str(error).splitlines()[0][:120] if str(error) else type(error).__name__})",
            where=str(path),
            instead="fetch it again; if that does not help, take a release with safetensors",
        ) from error
    strange = [str(name) for name, value in found.items() if not _is_plain(name, value)] if _is_table(found) else ["?"]
    if strange:
        raise VlmscopeError(
            f"The file is refused: {', '.join(strange[:3])} is no plain tensor under a name.",
            where=str(path),
            instead="weights alone: name -> tensor",
        )
    return found


def _is_table(found: object) -> bool:
    return isinstance(found, dict)


def _is_plain(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided
