"""A model while it learns: the real class, the family's processor, and packed rows as inputs of the real forward."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vlmscope.models.base import Family
from vlmscope.models.tiny import packing, pixels
from vlmscope.models.tiny.bodies.base import Body, Tensors
from vlmscope.models.tiny.packing import Packed, Row
from vlmscope.models.tiny.prompts import Prompt
from vlmscope.world.scene import SIZE, Scene


class Album(NamedTuple):
    """Scenes and their pictures, one dictionary of tensors each.

    frames    1, or 5 side by side
    """

    scenes: Sequence[Scene]
    frames: int
    shown: list[Tensors]


class Asked(NamedTuple):
    """A row, the place of its picture in the album, and what else the connector reads of the text."""

    scene: int
    row: Row
    text: Tensors


@dataclass(frozen=True, eq=False)
class Pupil:
    """Model, processor and all that belongs to them."""

    body: Body
    family: Family
    model: Any
    processor: Any

    def album(self, scenes: Sequence[Scene], frames: int = 1) -> Album:
        """The pictures of the scenes as tensors."""
        return Album(scenes, frames, pixels.shown(self.processor, scenes, frames))

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the language model."""
        return self.processor.tokenizer

    @functools.cache  # noqa: B019  lives as long as the training
    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens around it."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @functools.cache  # noqa: B019
    def begun(self, text: str, frames: int) -> Tensors:
        """What the processor makes of a text that holds one picture, whichever: their number of image tokens is one."""
        shown = Image.new("RGB", (frames * SIZE, SIZE))
        tensors = self.processor(images=[shown], text=[text], padding=True, return_tensors="pt")
        return {name: tensors[name][0] for name in pixels.TEXT if name in tensors}

    def asked(self, album: Album, scene: int, told: Sequence[tuple[Prompt, str]]) -> list[Asked]:
        """Rows for prompts about one picture: one for all, or where the connector reads the question one for each."""
        return [self._asked(album, scene, part) for part in ([[one] for one in told] if self.body.alone else [told])]

    def _asked(self, album: Album, scene: int, told: Sequence[tuple[Prompt, str]]) -> Asked:
        prompt = told[0][0]
        text = self.begun(prompt.text() if self.body.alone else prompt.head, album.frames)
        if self.body.alone:
            told = [(Prompt("", "", "", ""), told[0][1])]
        row = packing.row(text["input_ids"].tolist(), list(told), self.body.special.end, self.encode)
        return Asked(scene, row, {name: value for name, value in text.items() if name.startswith("qformer")})

    def pack(self, album: Album, rows: Sequence[Asked]) -> tuple[Packed, Tensors]:
        """The batch, and keyword arguments for the forward of the real class."""
        packed = packing.pack([one.row for one in rows], self.tokenizer.pad_token_id)
        shown = pixels.together([album.shown[one.scene] for one in rows])
        inputs = {"input_ids": packed.ids, **shown}
        if self.body.alone:
            inputs["attention_mask"] = (packed.segments != packing.PADDING).long()
        else:
            inputs["attention_mask"] = packed.mask
            own = self.body.positions
            inputs["position_ids"] = own(self.model, packed, shown) if own else packed.positions
        for name in rows[0].text:
            fill = 0 if name.endswith("mask") else self.tokenizer.pad_token_id
            inputs[name] = pad_sequence([one.text[name] for one in rows], batch_first=True, padding_value=fill)
        return packed, inputs

    def states(self, inputs: Tensors) -> Tensor:
        """Last hidden states after the final norm, [row, token, width]."""
        with self._watched({self.family.norm: "output"}) as seen:
            self._forward(inputs)
        return seen[self.family.norm]

    def depths(self, inputs: Tensors) -> list[Tensor]:
        """What the head reads at the embedding and after each layer: states after the final norm."""
        blocks = self.family.sites["resid_post"]
        paths = [blocks.path.format(l=layer) for layer in range(blocks.layers(self.model.config))]
        first = paths[0]
        with self._watched({first: "input"}) as seen:
            self._forward(inputs)
        early = seen[first]
        with self._watched(dict.fromkeys(paths, "output")) as seen:
            self._forward(inputs)
        norm = self.model.get_submodule(self.family.norm)
        return [norm(state) for state in (early, *(seen[path] for path in paths))]

    def head(self, states: Tensor) -> Tensor:
        """Logits of normed states."""
        return self.model.get_submodule(self.family.head)(states)

    def _forward(self, inputs: Tensors) -> None:
        # Without the head, which is wanted at few positions only; InstructBLIP has no part without it.
        getattr(self.model, "model", self.model)(**inputs, use_cache=False)

    @contextmanager
    def _watched(self, paths: dict[str, str]) -> Iterator[dict[str, Tensor]]:
        """Tensors that enter or leave modules during the forward passes inside the block."""
        seen: dict[str, Tensor] = {}

        def keep(path: str, side: str) -> Any:
            def hook(module: nn.Module, entered: Any, left: Any) -> None:
                value = entered[0] if side == "input" else left
                seen[path] = value[0] if isinstance(value, tuple) else value

            return hook

        hooks = [self.model.get_submodule(path).register_forward_hook(keep(path, side)) for path, side in paths.items()]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()
