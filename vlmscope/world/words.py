"""Phrases that all domains share, and what a domain hands over when its picture is drawn."""

from typing import NamedTuple

from vlmscope.world.canvas import Canvas
from vlmscope.world.scene import Question

SIDES = ("left", "middle", "right")
NUMBERS = ("zero", "one", "two", "three")


class Sketch(NamedTuple):
    """A drawn layout without noise.

    noise   standard deviation of the sensor noise in gray levels
    """

    canvas: Canvas
    questions: list[Question]
    caption: str
    noise: float


def article(noun: str) -> str:
    """The noun with `a` or `an`."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def listed(parts: list[str]) -> str:
    """`x`, `x and y` or `x, y and z`."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def with_parts(head: str, parts: list[str]) -> str:
    """The head of a caption followed by `with ...` when there is something to name."""
    return f"{head} with {listed(parts)}" if parts else head


def counted(number: int, noun: str) -> str:
    """`two red buildings`: the number as a word, the noun in its form."""
    return f"{NUMBERS[number]} {noun}{'s' if number > 1 else ''}"


def is_there(noun: str, there: bool) -> Question:
    """The question after the presence of something."""
    return Question(f"is there {article(noun)}?", "yes" if there else "no", "exist")


def how_many(noun: str, number: int) -> Question:
    """The question after a number of things, answered in digits."""
    return Question(f"how many {noun}s are there?", str(number), "count")


def where_is(noun: str, position: str) -> Question:
    """The question after the place of the only thing of its sort."""
    return Question(f"where is the {noun}?", position, "where")


def what_color(noun: str, color: str) -> Question:
    """The question after a color."""
    return Question(f"what color is the {noun}?", color, "color")
