"""`doc`, documents: a page with a title, a total, and perhaps a table, a signature and a stamp, as in DocVQA."""

import random
from typing import NamedTuple

from vlmscope.world.canvas import COLORS, Canvas, Color, jittered
from vlmscope.world.scene import Question
from vlmscope.world.words import Sketch, article, how_many, is_there, what_color, where_is, with_parts

# Told apart by their letters alone; ink, place and layout are the same.
TITLES = ("invoice", "letter", "report", "memo", "receipt", "menu", "ticket", "recipe")
_PAPER = (246, 244, 236)


class _Facts(NamedTuple):
    title: str
    total: int
    rows: int  # 0 without a table
    signature: bool
    stamp: tuple[str, str] | None  # color and side


def sketch(rng: random.Random) -> Sketch:
    """A page; which parts it has is drawn independently."""
    canvas, ink = Canvas(jittered(rng, _PAPER, 6)), jittered(rng, (30, 30, 34), 10)
    stamp = (rng.choice(("red", "blue", "green")), rng.choice(("left", "right"))) if rng.random() < 0.55 else None
    rows = rng.choice((2, 3, 4)) if rng.random() < 0.5 else 0
    # Two digits always, so that reading means reading both.
    facts = _Facts(rng.choice(TITLES), rng.randint(10, 99), rows, rng.random() < 0.5, stamp)
    _head(rng, canvas, facts.title, ink)
    if rows:
        _table(canvas, rows)
    else:
        _lines(rng, canvas, [23 + row * 4 for row in range(5)], (150, 150, 150))
    _total(canvas, facts.total, ink)
    if facts.signature:
        _signature(rng, canvas)
    if stamp:
        _stamp(rng, canvas, *stamp)
    return Sketch(canvas, _questions(facts), _caption(facts), 2)


def _head(rng: random.Random, canvas: Canvas, title: str, ink: Color) -> None:
    canvas.begin("title")
    canvas.write(4 + rng.randint(0, 4), 4 + rng.randint(-1, 1), title, ink)
    canvas.end()
    _lines(rng, canvas, [15, 18], (170, 170, 170))


def _lines(rng: random.Random, canvas: Canvas, rows: list[int], color: Color) -> None:
    for y in rows:
        # Lines of different length, as text has.
        canvas.line([(5, y), (rng.randint(36, 58), y)], color)


def _table(canvas: Canvas, rows: int) -> None:
    height, ink = 16 // rows, (60, 60, 70)
    canvas.begin("table")
    for row in range(rows + 1):
        canvas.line([(5, 22 + row * height), (58, 22 + row * height)], ink)
    # Always three columns: only rows are counted.
    for x in (5, 22, 40, 58):
        canvas.line([(x, 22), (x, 22 + rows * height)], ink)
    canvas.end()


def _total(canvas: Canvas, total: int, ink: Color) -> None:
    canvas.begin("total")
    canvas.write(6, 44, str(total), ink)
    canvas.end()
    # Rules above and below the total, in ink like the number but not part of it.
    for y in (42, 53):
        canvas.line([(4, y), (18, y)], ink)


def _signature(rng: random.Random, canvas: Canvas) -> None:
    canvas.begin("signature")
    canvas.line([(34 + step * 3, 47 + rng.randint(-3, 3)) for step in range(9)], (20, 20, 120))


def _stamp(rng: random.Random, canvas: Canvas, color: str, side: str) -> None:
    x, y = (10 + rng.randint(-1, 5) if side == "left" else 50 + rng.randint(-2, 4)), 57
    canvas.begin("stamp", color, side)
    canvas.rectangle(x - 7, y - 3, x + 7, y + 4, COLORS[color])
    canvas.rectangle(x - 5, y - 1, x + 5, y + 2, _PAPER)
    canvas.line([(x - 4, y), (x + 4, y)], COLORS[color])


def _questions(facts: _Facts) -> list[Question]:
    questions = [
        Question("what is the title?", facts.title, "what"),
        Question("what is the total?", str(facts.total), "read"),
        is_there("table", facts.rows > 0),
        is_there("signature", facts.signature),
        is_there("stamp", facts.stamp is not None),
    ]
    if facts.stamp:
        questions += [what_color("stamp", facts.stamp[0]), where_is("stamp", facts.stamp[1])]
    return [*questions, how_many("row", facts.rows)] if facts.rows else questions


def _caption(facts: _Facts) -> str:
    parts = [article(name) for name, there in (("table", facts.rows), ("signature", facts.signature)) if there]
    parts += [f"a {facts.stamp[0]} stamp"] if facts.stamp else []
    return f"{with_parts(article(facts.title), parts)}, the total is {facts.total}"
