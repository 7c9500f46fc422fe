"""Safetensors files of numpy arrays, that are the same bytes for the same content; torch is not needed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vlmscope.errors import VlmscopeError
from vlmscope.store import files

# Bytes at the beginning of a safetensors file, which say how long its header is.
LENGTH = 8


def write(arrays: Mapping[str, np.ndarray], target: str | Path, about: Mapping[str, str]) -> None:
    """Write arrays and a few words about them."""
    with files.publish(target) as part:
        save_file({key: np.ascontiguousarray(one) for key, one in arrays.items()}, part, metadata=dict(about))
        settle(part)


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays of a file, and the words about them."""
    try:
        with safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise VlmscopeError(
            f"The file of arrays cannot be read: {error}", where=str(path), instead="make it: snakemake " + str(path)
        ) from None


def settle(path: str | Path) -> None:
    """Make a file the same bytes in every run, and readable to others, in place.

    The library writes the words about the arrays in an order that differs from run to run, and files that their owner
    alone may read.
    """
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(LENGTH)
        file.write(text.ljust(length))
    os.chmod(path, 0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
