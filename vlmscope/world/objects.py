"""The objects of the street and of everyday scenes, each drawn around (x, y) with half size r in pixels."""

import math
from collections.abc import Callable

from vlmscope.world.canvas import Canvas, Color, shaded

_TIRE = (15, 15, 15)
_SKIN = (224, 172, 120)
_BEAK = (240, 150, 20)

Drawer = Callable[[Canvas, int, int, int, Color], None]


def car(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A car from the side: body, darker cabin, two wheels."""
    third, two = r // 3, r * 2 // 3
    canvas.rectangle(x - r, y - third, x + r, y + r // 2, color)
    cabin = [(x - two, y - third), (x - third, y - r), (x + third, y - r), (x + two, y - third)]
    canvas.polygon(cabin, shaded(color, 0.75))
    for wheel in (-r * 3 // 5, r * 3 // 5):
        canvas.disc(x + wheel, y + r // 2, 2, _TIRE)


def truck(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A truck from the side: tall box, darker cab, three wheels."""
    canvas.rectangle(x - r, y - r, x + r // 3, y + r // 2, color)
    canvas.rectangle(x + r // 3 + 1, y - r // 3, x + r, y + r // 2, shaded(color, 0.7))
    for wheel in (-r * 2 // 3, 0, r * 2 // 3):
        canvas.disc(x + wheel, y + r // 2, 2, _TIRE)


def person(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A standing person in a coat of the given color."""
    canvas.ellipse(x - 3, y - r, x + 3, y - r + 6, _SKIN)
    canvas.rectangle(x - 4, y - r + 6, x + 4, y + 2, color)
    for side in (-1, 1):
        canvas.line([(x + 2 * side, y + 2), (x + 3 * side, y + r)], (40, 40, 60), 2)


def dog(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A dog looking right: long body, round head, hanging ear, tail."""
    quarter, third = r // 4, r // 3
    canvas.ellipse(x - r, y - third, x + r // 2, y + r // 2, color)
    canvas.ellipse(x + quarter, y - r, x + r, y - r // 5, color)
    canvas.polygon([(x + quarter, y - r), (x + quarter + 1, y - third), (x, y - r // 2)], shaded(color, 0.6))
    for leg in (-r * 3 // 4, -r // 4, quarter):
        canvas.rectangle(x + leg - 1, y + third, x + leg + 1, y + r, color)
    canvas.line([(x - r, y), (x - r - 2, y - r * 2 // 3)], color, 2)


def cat(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A sitting cat: pointed ears, green eyes, tail to the right."""
    half, third = r // 2, r // 3
    canvas.ellipse(x - half, y - r // 4, x + half, y + r, color)
    canvas.ellipse(x - half, y - r * 3 // 4, x + half, y + r // 8, color)
    for side in (-1, 1):
        canvas.polygon([(x + side * half, y - third), (x + side * half, y - r), (x + side, y - half)], color)
    canvas.line([(x + half, y + r * 3 // 4), (x + r, y)], color, 2)
    for side in (-2, 2):
        canvas.rectangle(x + side, y - third, x + side, y - third + 1, (90, 220, 90))


def bird(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A bird looking right with a raised, darker wing and an orange beak."""
    half, third, quarter = r // 2, r // 3, r // 4
    canvas.ellipse(x - half, y - third, x + half, y + third, color)
    canvas.ellipse(x + quarter, y - r * 2 // 3, x + r * 3 // 4, y - r // 8, color)
    canvas.polygon([(x + r * 3 // 4, y - half), (x + r, y - third), (x + r * 3 // 4, y - quarter)], _BEAK)
    canvas.polygon([(x - quarter, y), (x - r, y - r), (x + quarter, y - 2)], shaded(color, 0.7))
    canvas.line([(x, y + third), (x, y + r * 2 // 3)], _BEAK)


def ball(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A ball with a darker cross of seams."""
    r = r * 3 // 4
    canvas.disc(x, y, r, color)
    canvas.line([(x - r + 2, y), (x + r - 2, y)], shaded(color, 0.6))
    canvas.line([(x, y - r + 2), (x, y + r - 2)], shaded(color, 0.6))


def cup(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A cup with a handle on the right and a dark inside."""
    third, two = r // 3, r * 2 // 3
    canvas.ellipse(x + r // 4, y - third, x + r, y + r // 2, color)
    canvas.ellipse(x + r // 2, y - r // 8, x + r * 3 // 4, y + r // 4, shaded(color, 0.35))
    canvas.polygon([(x - two, y - two), (x + r // 2, y - two), (x + third, y + two), (x - r // 2, y + two)], color)
    canvas.ellipse(x - two, y - r * 3 // 4, x + r // 2, y - r // 2, shaded(color, 0.6))


def chair(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A chair from the side: tall back, seat, front leg."""
    third, two = r // 3, r * 2 // 3
    canvas.rectangle(x - two, y - r, x - third, y + r, color)
    canvas.rectangle(x - two, y, x + two, y + r // 4, color)
    canvas.rectangle(x + third, y, x + two, y + r, color)


def umbrella(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """An open umbrella on a wooden stick."""
    two = r * 2 // 3
    canvas.line([(x, y - r // 2), (x, y + r)], (90, 60, 30), 2)
    canvas.polygon([(x - r, y), (x - two, y - two), (x, y - r), (x + two, y - two), (x + r, y)], color)


def flower(canvas: Canvas, x: int, y: int, r: int, color: Color) -> None:
    """A flower of five petals with a yellow heart."""
    top = y - r // 3
    canvas.line([(x, y), (x, y + r)], (20, 110, 30), 2)
    for petal in range(5):
        angle = petal * 2 * math.pi / 5
        canvas.disc(x + int(r * 0.45 * math.cos(angle)), top + int(r * 0.45 * math.sin(angle)), 3, color)
    canvas.disc(x, top, 2, (250, 220, 60))


STREET: dict[str, Drawer] = {"car": car, "truck": truck, "person": person}
EVERYDAY: dict[str, Drawer] = {
    "dog": dog,
    "cat": cat,
    "bird": bird,
    "ball": ball,
    "cup": cup,
    "chair": chair,
    "umbrella": umbrella,
    "flower": flower,
    "car": car,
    "person": person,
}
