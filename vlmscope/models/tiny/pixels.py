"""Pictures as CLIP's processor hands them to the vision tower."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from PIL import Image

from vlmscope.world.draw import frames
from vlmscope.world.scene import Scene

MEAN = (0.48145466, 0.4578275, 0.40821073)
SPREAD = (0.26862954, 0.26130258, 0.27577711)
FRAMES = 5


def normalized(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """float32 [picture, 3, height, width] from uint8 [height, width, 3] each, equal to the processor's to the bit."""
    stack = np.stack(pictures).astype(np.float32) / np.float32(255)
    stack = (stack - np.array(MEAN, np.float32)) / np.array(SPREAD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2)))


def joined(scene: Scene) -> np.ndarray:
    """Five shots of a scene side by side, as LingoQA's frames are shown to the model, uint8 [64, 320, 3]."""
    return np.concatenate(frames(scene, FRAMES), axis=1)


def tiles(picture: np.ndarray) -> list[np.ndarray]:
    """What the tower sees of a joined picture: all of it squeezed into one tile, then tile by tile."""
    height, width = picture.shape[:2]
    # Bicubic as in the processor.
    squeezed = np.asarray(Image.fromarray(picture).resize((height, height), Image.Resampling.BICUBIC))
    return [squeezed, *(picture[:, left : left + height] for left in range(0, width, height))]


def chunks(items: Sequence, size: int) -> Iterable[Sequence]:
    """Consecutive pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
