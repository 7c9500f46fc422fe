"""`ad`, autonomous driving: a road seen from the car, as in LingoQA."""

import random

from vlmscope.world.canvas import COLORS, PAINTS, Canvas, Color, jittered
from vlmscope.world.objects import STREET
from vlmscope.world.scene import Question, Thing
from vlmscope.world.words import SIDES, Sketch, article, how_many, is_there, listed, what_color, where_is

# Middle columns of the places left, middle and right; two pixels of play never let neighbors meet.
_SLOTS = (12, 32, 52)
# From the top, as on the street.
_LAMPS = ("red", "yellow", "green")


def sketch(rng: random.Random) -> Sketch:
    """A road by day or night with one to three road users, and a traffic light, a stop sign or neither."""
    night, horizon = rng.random() < 0.4, rng.randint(20, 25)
    canvas = _road(rng, night, horizon)
    users = _users(rng, canvas)
    # Sign and light exclude each other, so one rule decides whether to stop.
    lamp = rng.choice(_LAMPS) if rng.random() < 0.5 else None
    sign = lamp is None and rng.random() < 0.4
    if lamp:
        _light(canvas, rng.choice((5, 58)), horizon, lamp)
    if sign:
        _sign(canvas, rng.choice((6, 57)), horizon)
    questions = _about_users(users) + _about_rules(users, lamp, sign, night)
    return Sketch(canvas, questions, _caption(users, lamp, sign, night), 4 if night else 5)


def _road(rng: random.Random, night: bool, horizon: int) -> Canvas:
    sky, grass, road = _palette(rng, night)
    canvas = Canvas(sky)
    canvas.rectangle(0, horizon, 63, 63, grass)
    # The road leaves the picture on both sides, hence corners outside of it.
    canvas.polygon([(24, horizon), (40, horizon), (70, 64), (-6, 64)], road)
    for mark in range(4):
        canvas.line([(32, horizon + 3 + mark * 11), (32, horizon + 7 + mark * 12)], (220, 220, 200))
    return canvas


def _palette(rng: random.Random, night: bool) -> tuple[Color, Color, Color]:
    sky, grass, road = (
        ((20, 24, 56), (24, 50, 30), (48, 48, 54)) if night else ((150, 200, 240), (90, 150, 70), (112, 112, 116))
    )
    return jittered(rng, sky, 8), jittered(rng, grass), jittered(rng, road, 8)


def _users(rng: random.Random, canvas: Canvas) -> list[Thing]:
    slots = rng.sample(range(3), rng.choice((1, 1, 2, 2, 3)))
    for slot in sorted(slots):
        # Cars twice as often: "how many cars" would else be mostly one.
        name, color = rng.choice(("car", "car", "truck", "person")), rng.choice(PAINTS)
        x, y, r = _SLOTS[slot] + rng.randint(-2, 2), rng.randint(40, 50), rng.randint(8, 9)
        canvas.begin(name, color, SIDES[slot])
        # People are thin; two pixels more of height make up for it.
        STREET[name](canvas, x, y, r + 2 * (name == "person"), jittered(rng, COLORS[color]))
    return list(canvas.things)


def _light(canvas: Canvas, x: int, horizon: int, lamp: str) -> None:
    canvas.begin("light", lamp)
    canvas.line([(x, 16), (x, horizon + 6)], (60, 60, 60))
    canvas.rectangle(x - 4, 2, x + 4, 22, (30, 30, 34))
    for row, name in enumerate(_LAMPS):
        canvas.disc(x, 6 + row * 6, 3, COLORS[name] if name == lamp else (62, 62, 66))


def _sign(canvas: Canvas, x: int, horizon: int) -> None:
    canvas.begin("sign", "red")
    canvas.line([(x, 16), (x, horizon + 8)], (150, 150, 150))
    corners = ((-3, 4), (3, 4), (6, 8), (6, 12), (3, 16), (-3, 16), (-6, 12), (-6, 8))
    canvas.polygon([(x + dx, y) for dx, y in corners], COLORS["red"])
    canvas.rectangle(x - 3, 9, x + 3, 11, (240, 240, 240))


def _about_users(users: list[Thing]) -> list[Question]:
    questions = []
    for name in STREET:
        found = [user for user in users if user.name == name]
        questions.append(is_there(name, bool(found)))
        # Of two cars none is "the car".
        if len(found) == 1:
            questions.append(where_is(name, found[0].position))
            if name != "person":
                questions.append(what_color(name, found[0].color))
    return [*questions, how_many("car", sum(user.name == "car" for user in users))]


def _about_rules(users: list[Thing], lamp: str | None, sign: bool, night: bool) -> list[Question]:
    # Only who stands on the middle of the road is in the way.
    in_the_way = any(user.name == "person" and user.position == "middle" for user in users)
    questions = [
        is_there("traffic light", lamp is not None),
        is_there("stop sign", sign),
        Question("should the driver stop?", "yes" if lamp == "red" or sign or in_the_way else "no", "reason"),
        Question("is it day or night?", "night" if night else "day", "what"),
    ]
    return [*questions, what_color("traffic light", lamp)] if lamp else questions


def _caption(users: list[Thing], lamp: str | None, sign: bool, night: bool) -> str:
    # Coats of people are not told: at this size they are a few pixels.
    parts = ["a person" if user.name == "person" else article(f"{user.color} {user.name}") for user in users]
    if lamp:
        parts.append(f"a {lamp} traffic light")
    if sign:
        parts.append("a stop sign")
    return f"{listed(parts)} on the road at {'night' if night else 'day'}"
