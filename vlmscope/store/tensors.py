"""Safetensors files that are the same bytes for the same content."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from vlmscope.store import files

LENGTH = 8


def write(tensors: Mapping[str, Tensor], target: str | Path, about: Mapping[str, str]) -> None:
    """Write tensors and a few words about them.

    The library writes the words in an order that differs from run to run, and a digest would differ with it.
    """
    with files.publish(target) as part:
        save_file(dict(tensors), part, metadata={"format": "pt", **about})
        sort_words(part)
        # The library makes files that their owner alone may read.
        os.chmod(part, 0o666 & ~_umask())


def sort_words(path: str | Path) -> None:
    """Put the words in a header into the order of the alphabet, in place."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(LENGTH)
        file.write(text.ljust(length))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
