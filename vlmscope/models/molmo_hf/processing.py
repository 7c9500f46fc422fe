"""Prompts and pictures of Molmo as tensors (xl_vlms.md 4.4).

Axis order: [sample, crop, patch, value]; the values of a patch run over row, column, channel.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from vlmscope.errors import VlmscopeError
from vlmscope.models.molmo_hf.geometry import NOWHERE, Geometry

MARKER = "<image>"
# CLIP's channel means and deviations.
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
# What missing crops hold in `pixel_values` and in `image_masks`.
MISSING = -1.0


class Seen(NamedTuple):
    """One picture.

    pixels   float32 [crop, patch, value]
    masks    float32 [crop, patch]   share of a patch that shows the picture
    tokens   int64 [token]           rows of the second embedding table
    places   int64 [crop, cell]      the image token of each pooled cell, NOWHERE for none
    """

    pixels: np.ndarray
    masks: np.ndarray
    tokens: np.ndarray
    places: np.ndarray


def fitted(picture: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture scaled into a canvas, centred on black, then normalised; so the border is not zero.

    picture   uint8 [row, column, channel]
    returns   float32 [row, column, channel], and bool [row, column] where the picture is
    """
    # Single precision decides whether a size such as 251.99... becomes 251 or 252.
    size = np.array(picture.shape[:2], dtype=np.float32)
    scale = (np.array([height, width], dtype=np.float32) / size).min()
    high, wide = (max(1, int(side)) for side in size * scale)
    values = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
    values = functional.interpolate(values, (high, wide), mode="bilinear", antialias=True).clamp(0, 1)
    top, left = (height - high) // 2, (width - wide) // 2
    canvas, shown = np.zeros((height, width, 3), np.float32), np.zeros((height, width), bool)
    canvas[top : top + high, left : left + wide] = values[0].permute(1, 2, 0).numpy()
    shown[top : top + high, left : left + wide] = True
    return (canvas - MEAN) / DEVIATION, shown


def patches(crop: np.ndarray, side: int) -> np.ndarray:
    """A crop cut into patches of `side` pixels: [row, column, ...] to [patch, value]."""
    rows, columns = crop.shape[0] // side, crop.shape[1] // side
    parts = crop.reshape(rows, side, columns, side, -1).swapaxes(1, 2)
    return parts.reshape(rows * columns, -1)


def look(picture: Image.Image, geometry: Geometry) -> Seen:
    """Global view and tiles of a picture.

    The masks are those of the tiles, then a row of -1, although the global view stands first among the crops: each
    mask belongs to the crop before. The released model was trained so (xl_vlms.md 8, row 30).
    """
    pixels = np.asarray(picture.convert("RGB"))
    rows, columns = geometry.tiling(picture.width, picture.height)
    whole, _ = fitted(pixels, geometry.size, geometry.size)
    canvas, shown = fitted(pixels, *geometry.canvas(rows, columns))
    step, size, side = geometry.window * geometry.patch, geometry.size, geometry.patch
    crops, masks = [patches(whole, side)], []
    for row in range(rows):
        for column in range(columns):
            cut = np.s_[row * step : row * step + size, column * step : column * step + size]
            crops.append(patches(canvas[cut], side))
            masks.append(patches(shown[cut].astype(np.float32), side).mean(1))
    masks.append(np.full_like(masks[0], MISSING))
    return Seen(np.stack(crops), np.stack(masks), geometry.tokens(rows, columns), geometry.places(rows, columns))


class MolmoProcessor:
    """Tokenizer and the cutting of pictures together.

    first   number of the first row of the second embedding table
    """

    def __init__(self, tokenizer: Any, geometry: Geometry, first: int) -> None:
        self.tokenizer, self.geometry, self.first = tokenizer, geometry, first

    def encode(self, prompt: str, seen: Seen | None) -> list[int]:
        """Ids of one prompt: the beginning token, the image tokens wherever the marker stood, the text."""
        begin = self.tokenizer.bos_token_id
        ids = [self.tokenizer.eos_token_id if begin is None else begin]
        if seen is not None:
            ids += (seen.tokens + self.first).tolist()
        return ids + self.tokenizer(prompt.replace(MARKER, ""), add_special_tokens=False)["input_ids"]

    def __call__(
        self,
        *,
        images: Sequence[Image.Image],
        text: Sequence[str],
        padding: bool = True,
        padding_side: Literal["left", "right"] = "right",
        return_tensors: Literal["pt"] = "pt",
    ) -> dict[str, Tensor]:
        """Tensors of several prompts.

        input_ids, attention_mask   int64 [sample, token]
        pixel_values                float32 [sample, crop, patch, value]   -1 in missing crops
        image_masks                 float32 [sample, crop, patch]          -1 in missing crops
        image_input_idx             int64 [sample, crop, cell]             token of each cell, negative for none
        """
        seen = self._look(images, text)
        rows = [torch.tensor(self.encode(prompt, one)) for prompt, one in zip(text, seen, strict=True)]
        fill = self.tokenizer.pad_token_id or 0
        ids = pad_sequence(rows, True, fill, padding_side)
        tensors = {
            "input_ids": ids,
            "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], True, 0, padding_side),
        }
        starts = [ids.shape[1] - len(row) if padding_side == "left" else 0 for row in rows]
        return tensors | (self._stacked(seen, starts) if images else {})

    def _look(self, images: Sequence[Image.Image], text: Sequence[str]) -> list[Seen | None]:
        """The picture of each prompt; one at most, since image tokens stand at the beginning."""
        marked = [prompt.count(MARKER) for prompt in text]
        if sum(marked) != len(images) or max(marked) > 1:
            raise VlmscopeError(
                f"{len(images)} pictures for prompts with {marked} markers.",
                where="the prompts",
                instead=f"one {MARKER} per picture, one picture per prompt at most",
            )
        pictures = iter(images)
        return [look(next(pictures), self.geometry) if count else None for count in marked]

    def _stacked(self, seen: Sequence[Seen | None], starts: Sequence[int]) -> dict[str, Tensor]:
        """Crops of all samples, missing ones filled up; the beginning token and left padding move the places."""
        crops = max(len(one.pixels) for one in seen if one)
        patch, cells = self.geometry.grid**2, self.geometry.pooled**2
        pixels = np.full((len(seen), crops, patch, 3 * self.geometry.patch**2), MISSING, np.float32)
        masks = np.full(pixels.shape[:3], MISSING, np.float32)
        places = np.full((len(seen), crops, cells), NOWHERE, np.int64)
        for row, (one, start) in enumerate(zip(seen, starts, strict=True)):
            if one is not None:
                count = len(one.pixels)
                pixels[row, :count], masks[row, :count] = one.pixels, one.masks
                places[row, :count] = np.where(one.places < 0, NOWHERE, one.places + 1 + start)
        arrays = {"pixel_values": pixels, "image_masks": masks, "image_input_idx": places}
        return {name: torch.from_numpy(value) for name, value in arrays.items()}
