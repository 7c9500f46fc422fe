"""Pictures of scenes as tensors of the family's own processor."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from vlmscope.world.draw import frames as shots
from vlmscope.world.scene import Scene

# LingoQA shows five pictures of a drive.
FRAMES = 5
Tensors = dict[str, torch.Tensor]
# What a processor makes of the text; all other tensors belong to the picture.
TEXT = ("input_ids", "attention_mask", "mm_token_type_ids", "qformer_input_ids", "qformer_attention_mask")


def joined(scene: Scene) -> np.ndarray:
    """Five shots of a scene side by side, as LingoQA's frames are shown to the model, uint8 [64, 320, 3]."""
    return np.concatenate(shots(scene, FRAMES), axis=1)


def picture(scene: Scene, frames: int = 1) -> Image.Image:
    """What the model is shown of a scene."""
    return Image.fromarray(joined(scene) if frames > 1 else scene.image)


def shown(processor: Any, scenes: Sequence[Scene], frames: int = 1) -> list[Tensors]:
    """One dictionary of tensors per scene; along the first axis they can be laid one after the other."""
    found = []
    for scene in scenes:
        tensors = processor(images=[picture(scene, frames)], text=["<image>"], padding=True, return_tensors="pt")
        found.append({name: value for name, value in tensors.items() if name not in TEXT})
    return found


def together(parts: Sequence[Tensors]) -> Tensors:
    """The tensors of several pictures as those of one batch."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def chunks(items: Sequence, size: int) -> Iterable[Sequence]:
    """Consecutive pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
