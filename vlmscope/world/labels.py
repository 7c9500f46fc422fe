"""What each patch of a scene shows, read off the exact mask."""

from typing import NamedTuple

import numpy as np

from vlmscope.world.canvas import COLORS
from vlmscope.world.document import TITLES
from vlmscope.world.scene import SIZE, Scene, Thing

OBJECTS = (
    *("car", "truck", "person", "light", "sign"),
    *("tumor", "cyst"),
    *("river", "road", "building", "plane", "ship"),
    *("title", "table", "total", "signature", "stamp"),
    *("dog", "cat", "bird", "ball", "cup", "chair", "umbrella", "flower"),
)
COLOR_NAMES = tuple(COLORS)
POSITIONS = ("left", "middle", "right", "top", "bottom")
NONE = -1


class Patches(NamedTuple):
    """One label per patch, row by row; -1 where there is nothing of the kind.

    things     int64 [patch]   place in `Scene.things`, 0-based
    objects    int64 [patch]   place in `OBJECTS`
    colors     int64 [patch]   place in `COLOR_NAMES`
    positions  int64 [patch]   place in `POSITIONS`
    """

    things: np.ndarray
    objects: np.ndarray
    colors: np.ndarray
    positions: np.ndarray


class Letters(NamedTuple):
    """What is written in each patch of a document; -1 elsewhere.

    titles  int64 [patch]   place in `TITLES`, over the title
    tens    int64 [patch]   first digit, over the total
    ones    int64 [patch]   second digit, over the total
    """

    titles: np.ndarray
    tens: np.ndarray
    ones: np.ndarray


def coverage(scene: Scene, patch: int = 8) -> np.ndarray:
    """Share of every patch that each thing covers, float64 [thing, patch]."""
    grid = SIZE // patch
    tiles = scene.mask.reshape(grid, patch, grid, patch).transpose(0, 2, 1, 3).reshape(grid * grid, -1)
    # Overlaps are settled on the mask already: the shares of a patch add up to at most one.
    shares = [(tiles == number).mean(axis=1) for number in range(1, len(scene.things) + 1)]
    return np.stack(shares) if shares else np.zeros((0, grid * grid))


def patches(scene: Scene, patch: int = 8, share: float = 0.25) -> Patches:
    """Labels of patches of which one thing covers at least `share`; of several the one that covers most."""
    covered = coverage(scene, patch)
    things = np.full(covered.shape[1], NONE)
    if len(covered):
        things = np.where(covered.max(axis=0) >= share, covered.argmax(axis=0), NONE)
    told = [(OBJECTS.index(thing.name), _color(thing), _position(thing)) for thing in scene.things]
    # The last row is what index -1 picks.
    objects, colors, positions = np.array([*told, (NONE, NONE, NONE)])[things].T
    return Patches(things, objects, colors, positions)


def _color(thing: Thing) -> int:
    return COLOR_NAMES.index(thing.color) if thing.color else NONE


def _position(thing: Thing) -> int:
    return POSITIONS.index(thing.position) if thing.position else NONE


def letters(scene: Scene, patch: int = 8, share: float = 0.1) -> Letters:
    """The written words of a document at the patches that show them; a low `share`, since letters are thin."""
    objects = patches(scene, patch, share).objects
    blank = np.full(len(objects), NONE)
    if scene.domain != "doc":
        return Letters(blank, blank, blank)
    told = {question.text: question.answer for question in scene.questions}
    tens, ones = divmod(int(told["what is the total?"]), 10)
    title, total = objects == OBJECTS.index("title"), objects == OBJECTS.index("total")
    word = TITLES.index(told["what is the title?"])
    return Letters(np.where(title, word, NONE), np.where(total, tens, NONE), np.where(total, ones, NONE))
