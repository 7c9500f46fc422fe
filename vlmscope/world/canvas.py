"""A 64 px canvas that draws every stroke twice: in color, and as a number on the instance mask."""

import random

import numpy as np
from PIL import Image, ImageDraw

from vlmscope.world.scene import SIZE, Thing

Color = tuple[int, int, int]
Point = tuple[float, float]

COLORS: dict[str, Color] = {
    "red": (214, 40, 40),
    "blue": (44, 84, 214),
    "green": (40, 160, 60),
    "yellow": (236, 206, 40),
    "white": (242, 242, 242),
    "black": (28, 28, 28),
    "purple": (150, 50, 180),
}
# The colors of painted things; green is left to lights and stamps, where it cannot hide in grass.
PAINTS = ("red", "blue", "yellow", "white", "black", "purple")

# 5 x 7 dot matrix, one row per hexadecimal pair, the leftmost dot in the highest of five bits.
_GLYPHS = {
    "A": "0e11111f111111", "B": "1e111e1111111e", "C": "0e11101010110e", "D": "1e11111111111e",
    "E": "1f101e1010101f", "F": "1f101e10101010", "I": "1f04040404041f", "K": "11121c14121111",
    "L": "1010101010101f", "M": "111b1515111111", "N": "11191513111111", "O": "0e11111111110e",
    "P": "1e11111e101010", "R": "1e11111e141211", "T": "1f040404040404", "U": "1111111111110e",
    "V": "11111111110a04", "0": "0e13151519110e", "1": "040c040404040e", "2": "0e11010608101f",
    "3": "1e01060101110e", "4": "02060a121f0202", "5": "1f101e0101110e", "6": "0e101e1111110e",
    "7": "1f010204080808", "8": "0e110e1111110e", "9": "0e110f0101020c",
}  # fmt: skip


class Canvas:
    """A picture under way. Strokes after `begin` belong to that thing, strokes after `end` to the background."""

    def __init__(self, background: Color) -> None:
        self.picture = Image.new("RGB", (SIZE, SIZE), background)
        self.numbers = Image.new("L", (SIZE, SIZE), 0)
        self.things: list[Thing] = []
        # One pen for what is seen, one for whose it is.
        self._pens = (ImageDraw.Draw(self.picture), ImageDraw.Draw(self.numbers))
        self._number = 0

    def begin(self, name: str, color: str | None = None, position: str | None = None) -> None:
        """Open a new thing; what it covers of older things is theirs no more."""
        self.things.append(Thing(name, color, position))
        self._number = len(self.things)

    def end(self) -> None:
        """Back to the background, whose strokes leave the mask alone."""
        self._number = 0

    # Pillow draws these without anti-aliasing, so color and mask end at the very same pixel.
    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        """A filled rectangle, both corners included."""
        self._stroke("rectangle", [x0, y0, x1, y1], fill)

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        """A filled ellipse in the given box."""
        self._stroke("ellipse", [x0, y0, x1, y1], fill)

    def disc(self, x: float, y: float, radius: float, fill: Color) -> None:
        """A filled circle."""
        self.ellipse(x - radius, y - radius, x + radius, y + radius, fill)

    def polygon(self, points: list[Point], fill: Color) -> None:
        """A filled polygon."""
        self._stroke("polygon", points, fill)

    def line(self, points: list[Point], fill: Color, width: int = 1) -> None:
        """An open line through the points, `width` in pixels."""
        self._stroke("line", points, fill, width=width)

    def arc(self, box: tuple[int, int, int, int], start: int, stop: int, fill: Color) -> None:
        """A thin piece of an ellipse's rim, angles in degrees; always background."""
        self._pens[0].arc(box, start, stop, fill=fill)

    def write(self, x: int, y: int, text: str, ink: Color) -> None:
        """Text in 5 x 7 dot glyphs, 6 px per letter; on the mask a letter is its whole 5 x 7 cell."""
        for letter in text.upper():
            for row in range(7):
                bits = int(_GLYPHS[letter][2 * row : 2 * row + 2], 16)
                self._pens[0].point([(x + c, y + row) for c in range(5) if bits >> (4 - c) & 1], fill=ink)
            if self._number:
                # The whole cell, not the dots: a letter is where it stands.
                self._pens[1].rectangle([x, y, x + 4, y + 6], fill=self._number)
            x += 6

    def _stroke(self, shape: str, where: list, fill: Color, **style: int) -> None:
        getattr(self._pens[0], shape)(where, fill=fill, **style)
        if self._number:
            getattr(self._pens[1], shape)(where, fill=self._number, **style)


def jittered(rng: random.Random, color: Color, by: int = 12) -> Color:
    """A color whose three parts are moved independently by up to `by`."""
    red, green, blue = (min(255, max(0, part + rng.randint(-by, by))) for part in color)
    return red, green, blue


def shaded(color: Color, factor: float) -> Color:
    """A darker (or, above 1, brighter) color."""
    red, green, blue = (min(255, int(part * factor)) for part in color)
    return red, green, blue


def noisy(clean: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise on top of a clean picture, uint8 [height, width, 3].

    strength   standard deviation of the luminance noise in gray levels; chroma noise has half of it
    """
    # Drawn in float64 and rounded once, so that the stream does not depend on the float type.
    luminance = rng.normal(0, strength, (*clean.shape[:2], 1)).astype(np.float32)
    chroma = rng.normal(0, strength / 2, clean.shape).astype(np.float32)
    return np.clip(clean.astype(np.float32) + luminance + chroma, 0, 255).astype(np.uint8)
