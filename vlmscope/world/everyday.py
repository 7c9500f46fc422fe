"""`com`, common scenes: up to three objects in a park, a room or on a beach, as in VQAv2."""

import random

from vlmscope.world.canvas import COLORS, PAINTS, Canvas, jittered
from vlmscope.world.objects import EVERYDAY
from vlmscope.world.scene import Question, Thing
from vlmscope.world.words import SIDES, Sketch, article, how_many, is_there, listed, what_color, where_is

# Middle columns of the places left, middle and right; objects are 20 px wide.
_SLOTS = (11, 32, 53)
_AT = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
# Bands from the top: first row, color, jitter. The first is the background.
_PLACES = {
    "park": ((0, (150, 205, 245), 8), (30, (96, 176, 84), 10)),
    "room": ((0, (222, 206, 180), 8), (43, (90, 60, 40), 0), (44, (150, 104, 66), 10)),
    "beach": ((0, (170, 220, 250), 8), (24, (40, 130, 200), 8), (37, (232, 212, 150), 8)),
}


def sketch(rng: random.Random) -> Sketch:
    """A place with one to three objects; in three of ten scenes all of them are of one kind."""
    place = rng.choice(tuple(_PLACES))
    canvas = _place(rng, place)
    slots = rng.sample(range(3), rng.choice((1, 2, 2, 3)))
    # Without repeated kinds the answer to "how many" would almost always be one.
    alike = rng.choice(tuple(EVERYDAY)) if rng.random() < 0.3 else None
    for slot in sorted(slots):
        _object(rng, canvas, alike or rng.choice(tuple(EVERYDAY)), slot)
    questions = [Question("what place is this?", place, "what"), *_questions(rng, canvas.things)]
    names = [article(_described(thing)) for thing in canvas.things]
    return Sketch(canvas, questions, f"{listed(names)} {'on' if place == 'beach' else 'in'} the {place}", 5)


def _place(rng: random.Random, place: str) -> Canvas:
    (_, color, by), *bands = _PLACES[place]
    canvas = Canvas(jittered(rng, color, by))
    for top, color, by in bands:
        canvas.rectangle(0, top, 63, 63, jittered(rng, color, by))
    return canvas


def _object(rng: random.Random, canvas: Canvas, name: str, slot: int) -> None:
    color = rng.choice(PAINTS)
    x, y = _SLOTS[slot] + rng.randint(-1, 1), rng.randint(30, 50)
    canvas.begin(name, color, SIDES[slot])
    EVERYDAY[name](canvas, x, y, 12 if name == "person" else 10, jittered(rng, COLORS[color]))


def _described(thing: Thing) -> str:
    return thing.name if thing.name == "person" else f"{thing.color} {thing.name}"


def _questions(rng: random.Random, things: list[Thing]) -> list[Question]:
    present = sorted({thing.name for thing in things})
    questions = []
    for name in present:
        questions += _about(name, [thing for thing in things if thing.name == name])
    # About as many things that are not there as things that are, so "yes" is no safe guess.
    absent = [name for name in EVERYDAY if name not in present]
    questions += [is_there(name, False) for name in rng.sample(absent, min(len(present), 2))]
    return questions + [Question(f"what is {_AT[thing.position]}?", thing.name, "what") for thing in things]


def _about(name: str, found: list[Thing]) -> list[Question]:
    questions = [is_there(name, True)]
    if name != "person":
        questions.append(how_many(name, len(found)))
    if len(found) == 1:
        questions.append(where_is(name, found[0].position))
        if name != "person":
            # A coat is too small to be asked for.
            questions.append(what_color(name, found[0].color))
    return questions
