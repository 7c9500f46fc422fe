"""`med`, medicine: a lung x-ray, a brain MRI or a liver CT with tumors and cysts, as in PMC-VQA."""

import random
from collections.abc import Callable

from vlmscope.world.canvas import Canvas, Color
from vlmscope.world.scene import Question
from vlmscope.world.words import Sketch, counted, how_many, is_there, listed, where_is

SCANS = {"lung": "xray", "brain": "mri", "liver": "ct"}
# Offsets from the middle of the picture, far enough apart that findings never touch.
_SPOTS = {
    "lung": ((-14, -8), (-14, 8), (14, -8), (14, 8)),
    "brain": ((-14, -13), (-14, 13), (14, -13), (14, 13)),
    "liver": ((-19, -6), (-8, 3), (14, -6), (19, 3)),
}
# Every question has four options, as PMC-VQA has; the last one or two of a row are never true.
_OPTIONS = {
    "what organ is shown?": ("lung", "brain", "liver", "kidney"),
    "what type of scan is this?": ("xray", "mri", "ct", "ultrasound"),
    "count": ("0", "1", "2", "3"),
    "where": ("left", "right", "top", "bottom"),
    "exist": ("yes", "no", "unclear", "unknown"),
    "reason": ("yes", "no", "unclear", "unknown"),
}

Gray = Callable[[int], Color]


def sketch(rng: random.Random) -> Sketch:
    """An organ with up to three findings, gray levels only."""
    organ = rng.choice(tuple(SCANS))
    x, y, offset = 32 + rng.randint(-2, 2), 32 + rng.randint(-2, 2), rng.randint(-14, 14)
    canvas = Canvas((8, 8, 10))
    _ORGANS[organ](canvas, x, y, lambda level: (min(255, max(0, level + offset)),) * 3)
    # A third of the scans is normal.
    number = rng.choice((0, 0, 1, 1, 2, 3))
    for dx, dy in rng.sample(_SPOTS[organ], number):
        _finding(rng, canvas, x + dx + rng.randint(-1, 1), y + dy + rng.randint(-1, 1), "left" if dx < 0 else "right")
    tumors, cysts = ([thing.position for thing in canvas.things if thing.name == name] for name in ("tumor", "cyst"))
    questions = [_with_choices(rng, one) for one in _questions(organ, tumors, cysts)]
    return Sketch(canvas, questions, _caption(organ, tumors, cysts), 7)


def _lung(canvas: Canvas, x: int, y: int, gray: Gray) -> None:
    canvas.ellipse(x - 30, y - 28, x + 30, y + 34, gray(120))
    canvas.ellipse(x - 24, y - 20, x - 4, y + 22, gray(44))
    canvas.ellipse(x + 4, y - 20, x + 24, y + 22, gray(44))
    # Ribs.
    for rib in range(5):
        canvas.arc((x - 26, y - 24 + rib * 9, x + 26, y - 4 + rib * 9), 200, 340, gray(86))
    # The spine lies over the ribs.
    canvas.rectangle(x - 2, y - 26, x + 2, y + 28, gray(160))


def _brain(canvas: Canvas, x: int, y: int, gray: Gray) -> None:
    canvas.ellipse(x - 26, y - 30, x + 26, y + 30, gray(190))
    canvas.ellipse(x - 23, y - 27, x + 23, y + 27, gray(96))
    canvas.line([(x, y - 26), (x, y + 26)], gray(50))
    # The two ventricles.
    canvas.ellipse(x - 7, y - 8, x - 2, y + 8, gray(30))
    canvas.ellipse(x + 2, y - 8, x + 7, y + 8, gray(30))


def _liver(canvas: Canvas, x: int, y: int, gray: Gray) -> None:
    canvas.ellipse(x - 31, y - 22, x + 31, y + 22, gray(84))
    canvas.ellipse(x - 27, y - 16, x + 6, y + 12, gray(132))
    canvas.ellipse(x + 8, y - 14, x + 27, y + 10, gray(112))
    # The backbone.
    canvas.ellipse(x - 4, y + 10, x + 4, y + 19, gray(216))


_ORGANS = {"lung": _lung, "brain": _brain, "liver": _liver}


def _finding(rng: random.Random, canvas: Canvas, x: int, y: int, side: str) -> None:
    radius = rng.randint(4, 5)
    # More tumors than cysts, since more questions are about tumors.
    solid = rng.random() < 0.62
    canvas.begin("tumor" if solid else "cyst", None, side)
    # Both are equally bright outside; only the core tells them apart.
    canvas.disc(x, y, radius, (238, 238, 238))
    if not solid:
        canvas.disc(x, y, radius - 2, (4, 4, 6))


def _questions(organ: str, tumors: list[str], cysts: list[str]) -> list[Question]:
    questions = [
        Question("what organ is shown?", organ, "what"),
        Question("what type of scan is this?", SCANS[organ], "what"),
        is_there("tumor", bool(tumors)),
        is_there("cyst", bool(cysts)),
        how_many("tumor", len(tumors)),
        Question("is the scan normal?", "no" if tumors or cysts else "yes", "reason"),
    ]
    # Several findings on one side still have one true answer.
    for name, sides in (("tumor", tumors), ("cyst", cysts)):
        if len(set(sides)) == 1:
            questions.append(where_is(name, sides[0]))
    return questions


def _with_choices(rng: random.Random, question: Question) -> Question:
    options = list(_OPTIONS.get(question.text) or _OPTIONS[question.kind])
    rng.shuffle(options)
    return Question(question.text, question.answer, question.kind, tuple(options))


def _caption(organ: str, tumors: list[str], cysts: list[str]) -> str:
    found = [counted(len(sides), name) for name, sides in (("tumor", tumors), ("cyst", cysts)) if sides]
    scan = SCANS[organ]
    return f"{'an' if scan in ('xray', 'mri') else 'a'} {scan} scan of the {organ} with {listed(found or ['no tumor'])}"
