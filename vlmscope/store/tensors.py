"""Safetensors files of torch tensors, that are the same bytes for the same content."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from vlmscope.store import arrays, files


def write(tensors: Mapping[str, Tensor], target: str | Path, about: Mapping[str, str]) -> None:
    """Write tensors and a few words about them."""
    with files.publish(target) as part:
        save_file(dict(tensors), part, metadata={"format": "pt", **about})
        arrays.settle(part)
