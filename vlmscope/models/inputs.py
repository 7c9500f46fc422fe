"""Model inputs: prompts and pictures to padded tensors, in batches of similar length."""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded

NO_PICTURE = "no picture"

# Families whose first image tokens are the patches of the whole picture, row by row.
SQUARES = ("llava", "llava_llama2", "llava_next", "llava_next_llama3", "llava_onevision", "llava_phi")


@dataclass(frozen=True)
class Batch:
    """Tensors of several samples.

    rows     place of each batch row in the list of samples
    inputs   keyword arguments of the model's forward; attention_mask is 0 at padding
    starts   token at which each row's written answer begins; empty when nothing was written
    ended    id of the token that ended each answer, which is not among `inputs`; -1 where the limit did
    """

    rows: tuple[int, ...]
    inputs: dict[str, Any]
    starts: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()


def encode(
    loaded: Loaded, prompts: Sequence[str], pictures: Sequence[Image.Image], side: Literal["left", "right"]
) -> dict[str, Any]:
    """Tensors for prompts that each hold one `<image>`, or none of which does.

    side   right for plain forwards (positions count from 0 in every row), left for generation
    """
    if len(set(_kinds(loaded, [picture.size for picture in pictures]))) > 1:
        raise VlmscopeError(
            f"Pictures of different size share a batch: {loaded.family.name} would see each differently than alone.",
            where="inputs.encode",
            instead="rows of one batch as inputs.batches gives them",
        )
    if not pictures:
        return words(loaded, prompts, side)
    tensors = loaded.processor(
        images=list(pictures), text=list(prompts), padding=True, padding_side=side, return_tensors="pt"
    )
    floats = {"pixel_values"}
    return {
        key: value.to(loaded.device, loaded.model.dtype if key in floats else None) for key, value in tensors.items()
    }


def words(loaded: Loaded, prompts: Sequence[str], side: Literal["left", "right"]) -> dict[str, Any]:
    """Tensors for prompts without a picture."""
    tensors = loaded.processor.tokenizer(list(prompts), padding=True, padding_side=side, return_tensors="pt")
    return {key: tensors[key].to(loaded.device) for key in ("input_ids", "attention_mask")}


def grids(loaded: Loaded, tensors: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Rows and columns of every picture's tokens, where the model gives each its own grid; else none."""
    if "image_grid_thw" not in tensors:
        return []
    merge = loaded.config.vision_config.spatial_merge_size
    return [(high // merge, wide // merge) for _, high, wide in tensors["image_grid_thw"].tolist()]


def batches(loaded: Loaded, texts: Sequence[str], samples: Sequence[Any], batch: int) -> Iterator[tuple[int, ...]]:
    """Rows that go through the model together: of similar length, with pictures that may share a batch.

    samples   what is asked, with `width` and `height` of the picture; 0 where there is none
    """
    sizes = [(one.width, one.height) for one in samples]
    return by_length([len(text) for text in texts], batch, _kinds(loaded, sizes))


def rounds(loaded: Loaded, samples: Sequence[Any], batch: int) -> int:
    """How many such batches there are."""
    kinds = Counter(_kinds(loaded, [(one.width, one.height) for one in samples]))
    return sum(math.ceil(count / batch) for count in kinds.values())


def _kinds(loaded: Loaded, sizes: Sequence[tuple[int, int]]) -> list[Hashable]:
    """What pictures of (width, height) must have in common to share a batch; those without share none with others."""
    family = loaded.family
    return [family.alike(loaded.config, loaded.processor, *size) if all(size) else NO_PICTURE for size in sizes]


def by_length(lengths: Sequence[int], batch: int, kinds: Sequence[Hashable] = ()) -> Iterator[tuple[int, ...]]:
    """Rows in batches of similar length, longest first, so that the largest demand on memory comes at once.

    kinds   of each row; rows of different kind never share a batch
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    groups: dict[Hashable, list[int]] = {}
    for row in order:
        groups.setdefault(kinds[row] if kinds else None, []).append(row)
    parts = [tuple(rows[start : start + batch]) for rows in groups.values() for start in range(0, len(rows), batch)]
    yield from sorted(parts, key=lambda rows: (-lengths[rows[0]], rows[0]))
