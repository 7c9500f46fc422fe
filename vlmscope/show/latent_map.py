"""A map of latents: near directions lie near, and every kind of word has a panel of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all
from vlmscope.world.canvas import COLORS

QUIET, EDGE = "#D9D9D9", "#4D4D4D"
KINDS = {"object": "things", "color": "colors", "place": "places in the picture"}
# Sizes of points in square points: latents that fire seldom, and often.
SMALL, LARGE = 6.0, 70.0
Point = tuple[float, float]
# Where a word may stand beside its latent, best first.
OFFSETS: tuple[Point, ...] = ((6, 4), (6, -5), (-6, 4), (-6, -5), (5, 12), (5, -13), (-5, 12), (-5, -13))


def draw(table: pl.DataFrame, title: str, *targets: str | Path) -> None:
    """Latents at their places, larger where they fire more, in the color of the word that they agree with best.

    table   latent, x, y, fired, kind, word, iou_reference; one panel per kind of word, or one alone without words
    """
    pyplot = style.use()
    kinds = [kind for kind in KINDS if kind in set(table["kind"])] or [""]
    size = (1 + 3.9 * len(kinds), 5.0)
    figure, axes = pyplot.subplots(1, len(kinds), figsize=size, squeeze=False, layout="constrained")
    # Above the panels whatever room their shape leaves: the layout knows nothing of squares.
    figure.suptitle(title, x=0.01, y=1.0, ha="left", va="bottom", fontsize=style.TEXT + 2)
    area = _areas(table["fired"].to_numpy())
    for axis, kind in zip(axes[0], kinds, strict=True):
        # Many thousands of points: a picture inside the drawing.
        axis.scatter(table["x"], table["y"], s=area, color=QUIET, linewidths=0, rasterized=True)
        if kind:
            _words(axis, table, area, kind)
        axis.set_title(KINDS.get(kind, "latents"))
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_aspect("equal", adjustable="box")
        for side in axis.spines.values():
            side.set_visible(False)
    save_all(figure, *targets)


def _areas(fired: np.ndarray) -> np.ndarray:
    """Sizes of points by the logarithm of how often latents fire."""
    amount = np.log1p(fired.astype(np.float64))
    return SMALL + (LARGE - SMALL) * (amount / max(float(amount.max(initial=0.0)), 1e-9)) ** 3


def _words(axis: Any, table: pl.DataFrame, area: np.ndarray, kind: str) -> None:
    """Latents with a word of one kind; the best one of each word has the word beside it."""
    from matplotlib import patheffects

    rows = table.with_row_index("place").filter(kind=kind).sort("word", "iou_reference")
    names = rows["word"].unique(maintain_order=True).to_list()
    best = []
    for name, look in _looks(names).items():
        own = rows.filter(word=name)
        sizes = area[own["place"].to_numpy()]
        axis.scatter(own["x"], own["y"], s=sizes, linewidths=0.6, edgecolors=EDGE, label=name, **look)
        best.append((name, float(own["x"][-1]), float(own["y"][-1])))
    shown = list(zip(rows["x"], rows["y"], strict=True))
    for name, at, offset in _beside(best, shown, float(table["x"].max() - table["x"].min())):
        where = {"textcoords": "offset points", "ha": "left" if offset[0] > 0 else "right", "va": "center"}
        halo = [patheffects.withStroke(linewidth=2, foreground="white")]
        axis.annotate(name, at, offset, fontsize=style.TEXT - 1, path_effects=halo, **where)
    count = max(1, -(-len(names) // 2))
    axis.legend(
        ncols=min(5, count), loc="upper center", bbox_to_anchor=(0.5, 0), fontsize=style.TEXT - 1, markerscale=0.8
    )


def _beside(
    best: list[tuple[str, float, float]], shown: list[Point], width: float
) -> Iterator[tuple[str, Point, Point]]:
    """Word, place of its latent and offset of its text in points: where it meets the fewest texts and latents.

    width   of the map; a panel has about 270 points
    """
    scale, taken = 270 / max(width, 1e-9), list(shown)
    for name, x, y in best:
        long = 2.5 * len(name)

        def crowd(offset: Point, x: float = x, y: float = y, long: float = long) -> int:
            others = [one for one in taken if one != (x, y)]
            middle = x + (offset[0] + np.sign(offset[0]) * long) / scale, y + offset[1] / scale
            near = [abs(u - middle[0]) * scale < long + 5 and abs(v - middle[1]) * scale < 8 for u, v in others]
            return sum(near)

        offset = min(OFFSETS, key=crowd)
        taken.append((x + (offset[0] + np.sign(offset[0]) * long) / scale, y + offset[1] / scale))
        yield name, (x, y), offset


def _looks(names: list[str]) -> dict[str, dict[str, str]]:
    """Name -> color and marker: a color's own where the word is one."""
    told = style.look(names)
    for place, name in enumerate(names):
        # Behind the last color they begin anew, with other markers.
        turn = place + 3 * (place // len(style.SERIES))
        told[name]["marker"] = style.MARKERS[turn % len(style.MARKERS)]
        if name in COLORS:
            told[name] = {"color": "#{:02x}{:02x}{:02x}".format(*COLORS[name]), "marker": "o"}
    return told


def title(label: str, scale: str) -> str:
    """What stands above the map."""
    return f"{label} ({scale} scale): latents by the direction they write (t-SNE); size: how often they fire"
