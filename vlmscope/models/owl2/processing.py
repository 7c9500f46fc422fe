"""Prompts and pictures of mPLUG-Owl2 as tensors (mm_neurons.md 2.2, 4.4)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vlmscope.errors import VlmscopeError

MARKER = "<image>"
# The trainer hands the raw picture to the CLIP pipeline; the model's own evaluation squeezes it to a square first.
Preprocess = Literal["trainer", "owl"]


def expanded(ids: Sequence[int], image_token: int, count: int) -> list[int]:
    """Ids in which every image token is repeated, once per image position."""
    return [one for token in ids for one in [token] * (count if token == image_token else 1)]


def squeezed(picture: Image.Image) -> Image.Image:
    """The picture stretched to a square of its longer side."""
    side = max(picture.size)
    return picture.resize((side, side), Image.Resampling.BICUBIC)


class OwlProcessor:
    """Tokenizer and CLIP image processor together.

    image_token     the id that stands for one image position; not a token of the tokenizer
    image_tokens    positions per picture
    preprocess      what happens to a picture before the CLIP pipeline
    """

    def __init__(
        self,
        tokenizer: Any,
        image_processor: Any,
        *,
        image_token: int,
        image_tokens: int,
        preprocess: Preprocess = "trainer",
    ) -> None:
        self.tokenizer, self.image_processor = tokenizer, image_processor
        self.image_token, self.image_tokens = image_token, image_tokens
        self.preprocess = preprocess

    def encode(self, prompt: str) -> list[int]:
        """Ids of one prompt, the text before and after each marker tokenised on its own.

        Each chunk is tokenised with its beginning token, which only the first keeps; so the text behind a picture
        starts with the tokenizer's dummy space, as in training. No line end stands between picture and words.
        """
        chunks = prompt.replace(MARKER + "\n", MARKER).split(MARKER)
        first, *others = (self.tokenizer(chunk)["input_ids"] for chunk in chunks)
        begin = self.tokenizer.bos_token_id
        ids = list(first)
        for chunk in others:
            ids += [self.image_token] * self.image_tokens
            ids += chunk[1:] if chunk[:1] == [begin] else chunk
        return ids

    def pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """float32 [picture, channel, row, column]."""
        seen = [picture.convert("RGB") for picture in pictures]
        seen = [squeezed(picture) for picture in seen] if self.preprocess == "owl" else seen
        return self.image_processor(seen, return_tensors="pt")["pixel_values"]

    def __call__(
        self,
        *,
        images: Sequence[Image.Image],
        text: Sequence[str],
        padding: bool = True,
        padding_side: Literal["left", "right"] = "right",
        return_tensors: Literal["pt"] = "pt",
    ) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` [sample, token], `pixel_values` [picture, channel, row, column]."""
        if sum(prompt.count(MARKER) for prompt in text) != len(images):
            raise VlmscopeError(
                f"{len(images)} pictures for {sum(prompt.count(MARKER) for prompt in text)} markers.",
                where="the prompts",
                instead=f"one {MARKER} per picture",
            )
        rows = [torch.tensor(self.encode(prompt)) for prompt in text]
        fill = self.tokenizer.pad_token_id or 0
        tensors = {
            "input_ids": pad_sequence(rows, True, fill, padding_side),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], True, 0, padding_side),
        }
        return tensors | ({"pixel_values": self.pixels(images)} if images else {})
