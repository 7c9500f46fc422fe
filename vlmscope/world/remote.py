"""`rs`, remote sensing: land from above with rivers, roads, buildings and a plane or ship, as in RS-VQA."""

import random
from typing import NamedTuple

from vlmscope.world.canvas import COLORS, Canvas, Color, jittered, shaded
from vlmscope.world.scene import Question
from vlmscope.world.words import Sketch, article, counted, how_many, is_there, what_color, where_is, with_parts

_LAND = {
    "forest": (34, 92, 40),
    "farm": (150, 160, 70),
    "city": (130, 128, 126),
    "desert": (214, 184, 130),
    "water": (30, 80, 140),
}
# Middles of the places for buildings and vehicles; the middle row stays free for roads.
_CELLS = ((12, 12), (32, 12), (52, 12), (12, 50), (32, 50), (52, 50))
_HULL = (250, 250, 250)


class _Facts(NamedTuple):
    land: str
    river: bool
    road: bool
    buildings: tuple[str, ...]  # top or bottom, one per building
    roof: str
    vehicle: str | None
    position: str | None


def sketch(rng: random.Random) -> Sketch:
    """One land cover from above; on water only ships, elsewhere river, road, buildings and a plane."""
    land = rng.choice(tuple(_LAND))
    dry = land != "water"
    # The cover is jittered apart from the ground, so stripes and trees vary in contrast.
    canvas = Canvas(jittered(rng, _LAND[land], 10))
    _COVERS[land](rng, canvas, jittered(rng, _LAND[land], 10))
    river, road = dry and rng.random() < 0.35, dry and rng.random() < 0.4
    if river:
        _river(rng, canvas)
    if road:
        _road(rng, canvas)
    # Buildings take the first places, the vehicle the next: nothing stands on anything.
    cells = rng.sample(_CELLS, len(_CELLS))
    roof, number = rng.choice(("red", "white", "blue")), rng.choice((0, 1, 1, 2, 3)) if dry else 0
    buildings = tuple(_building(rng, canvas, cell, roof) for cell in cells[:number])
    vehicle = ("plane" if dry else "ship") if rng.random() < 0.5 else None
    if vehicle:
        _VEHICLES[vehicle](canvas, *cells[number])
    position = canvas.things[-1].position if vehicle else None
    facts = _Facts(land, river, road, buildings, roof, vehicle, position)
    return Sketch(canvas, _questions(facts), _caption(facts), 4)


def _forest(rng: random.Random, canvas: Canvas, base: Color) -> None:
    for _ in range(40):
        canvas.disc(rng.randint(0, 63), rng.randint(0, 63), 2, shaded(base, rng.uniform(0.65, 1.25)))


def _farm(rng: random.Random, canvas: Canvas, base: Color) -> None:
    pitch, upright = rng.choice((6, 8)), rng.random() < 0.5
    for start in range(0, 64, pitch):
        stop = start + pitch // 2 - 1
        canvas.rectangle(*((start, 0, stop, 63) if upright else (0, start, 63, stop)), shaded(base, 0.8))


def _city(rng: random.Random, canvas: Canvas, base: Color) -> None:
    for start in range(0, 64, 16):
        canvas.rectangle(start, 0, start + 2, 63, shaded(base, 0.6))
        canvas.rectangle(0, start, 63, start + 2, shaded(base, 0.6))


def _desert(rng: random.Random, canvas: Canvas, base: Color) -> None:
    for _ in range(6):
        y = rng.randint(0, 63)
        canvas.arc((-10, y, 74, y + 14), 180, 360, shaded(base, 0.88))


def _water(rng: random.Random, canvas: Canvas, base: Color) -> None:
    for _ in range(14):
        x, y = rng.randint(0, 60), rng.randint(0, 63)
        canvas.line([(x, y), (x + 4, y)], shaded(base, 1.25))


_COVERS = {"forest": _forest, "farm": _farm, "city": _city, "desert": _desert, "water": _water}


def _river(rng: random.Random, canvas: Canvas) -> None:
    start, stop = rng.randint(6, 58), rng.randint(6, 58)
    canvas.begin("river", "blue")
    bend = ((start + stop) // 2 + rng.randint(-6, 6), 32)
    canvas.line([(start, -2), bend, (stop, 66)], (50, 110, 190), 6)


def _road(rng: random.Random, canvas: Canvas) -> None:
    ends = [(-2, rng.randint(6, 58)), (66, rng.randint(6, 58))]
    canvas.begin("road")
    canvas.line(ends, (70, 70, 74), 5)
    # The bright middle line tells a road from a river at any color of ground.
    canvas.line(ends, (230, 230, 220))


def _building(rng: random.Random, canvas: Canvas, cell: tuple[int, int], roof: str) -> str:
    x, y = cell[0] + rng.randint(-2, 2), cell[1] + rng.randint(-2, 2)
    w, h = rng.randint(5, 6), rng.randint(4, 6)
    position = "top" if y < 32 else "bottom"
    canvas.begin("building", roof, position)
    # The shadow is part of the building.
    canvas.rectangle(x - w + 2, y - h + 2, x + w + 2, y + h + 2, (30, 30, 30))
    canvas.rectangle(x - w, y - h, x + w, y + h, COLORS[roof])
    canvas.line([(x - w, y), (x + w, y)], shaded(COLORS[roof], 0.7))
    return position


def _plane(canvas: Canvas, x: int, y: int) -> None:
    canvas.begin("plane", "white", "top" if y < 32 else "bottom")
    canvas.rectangle(x - 1, y - 8, x + 1, y + 8, _HULL)
    canvas.polygon([(x, y - 3), (x - 9, y + 3), (x - 9, y + 5), (x + 9, y + 5), (x + 9, y + 3)], _HULL)
    canvas.rectangle(x - 4, y + 7, x + 4, y + 8, _HULL)


def _ship(canvas: Canvas, x: int, y: int) -> None:
    canvas.begin("ship", "white", "top" if y < 32 else "bottom")
    canvas.polygon([(x - 9, y - 3), (x + 6, y - 3), (x + 10, y), (x + 6, y + 3), (x - 9, y + 3)], _HULL)
    canvas.rectangle(x - 5, y - 1, x + 1, y + 1, (200, 60, 40))


_VEHICLES = {"plane": _plane, "ship": _ship}


def _questions(facts: _Facts) -> list[Question]:
    number = len(facts.buildings)
    questions = [
        Question("what is the land cover?", facts.land, "what"),
        how_many("building", number),
        is_there("river", facts.river),
        is_there("road", facts.road),
        # On water nobody asks after planes: the answer would always be no.
        is_there("ship" if facts.land == "water" else "plane", facts.vehicle is not None),
        is_there("building", number > 0),
    ]
    if facts.vehicle:
        questions.append(where_is(facts.vehicle, facts.position))
    # Of several buildings none is "the building".
    if number == 1:
        questions.append(where_is("building", facts.buildings[0]))
    return [*questions, what_color("roof", facts.roof)] if number else questions


def _caption(facts: _Facts) -> str:
    parts = [counted(len(facts.buildings), f"{facts.roof} building")] if facts.buildings else []
    parts += [article(name) for name, there in (("river", facts.river), ("road", facts.road)) if there]
    parts += [article(facts.vehicle)] if facts.vehicle else []
    return with_parts(f"an aerial view of {'the water' if facts.land == 'water' else article(facts.land)}", parts)
