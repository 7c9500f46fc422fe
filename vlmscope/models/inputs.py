"""Model inputs: prompts and pictures to padded tensors, in batches of similar length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Batch:
    """Tensors of several samples.

    rows     place of each batch row in the list of samples
    inputs   keyword arguments of the model's forward; attention_mask is 0 at padding
    starts   token at which each row's written answer begins; empty when nothing was written
    """

    rows: tuple[int, ...]
    inputs: dict[str, Any]
    starts: tuple[int, ...] = ()


def encode(
    loaded: Loaded, prompts: Sequence[str], pictures: Sequence[Image.Image], side: Literal["left", "right"]
) -> dict[str, Any]:
    """Tensors for prompts that each hold one `<image>`.

    side   right for plain forwards (positions count from 0 in every row), left for generation
    """
    tensors = loaded.processor(
        images=list(pictures), text=list(prompts), padding=True, padding_side=side, return_tensors="pt"
    )
    floats = {"pixel_values"}
    return {
        key: value.to(loaded.device, loaded.model.dtype if key in floats else None) for key, value in tensors.items()
    }


def by_length(lengths: Sequence[int], batch: int) -> Iterator[tuple[int, ...]]:
    """Rows in batches of similar length, longest first, so that the largest demand on memory comes at once."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    for start in range(0, len(order), batch):
        yield tuple(order[start : start + batch])
