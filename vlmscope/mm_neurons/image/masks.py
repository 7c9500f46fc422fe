"""Masks: the part of a picture where a map is highest, the rest darkened (mm_neurons.md 2.7)."""

import numpy as np
from PIL import Image

# How strongly black covers what lies outside, of 255.
COVER = 200


def above(shown: np.ndarray, percentile: float) -> np.ndarray:
    """Pixels strictly above a percentile of their map (linear between values): bool, same shape.

    None where the map is constant.
    """
    return shown > np.percentile(shown, percentile)


def masked(picture: Image.Image, kept: np.ndarray) -> Image.Image:
    """A picture with all pixels but those kept darkened; `kept` bool [height, width]."""
    dark = Image.composite(Image.new("RGB", picture.size), picture.convert("RGB"), Image.new("L", picture.size, COVER))
    return Image.composite(picture.convert("RGB"), dark, Image.fromarray(kept))
