"""A dictionary as a picture: a row per concept with its words and the pictures that activate it most."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.samples import open_one
from vlmscope.show import style
from vlmscope.show.figures import save_all
from vlmscope.show.xl_pages import legible

# Letters of a line of words.
WIDE = 44


def cards(data: Mapping[str, Any], pictures: Sequence[str], *targets: str | Path, label: str, scale: str) -> None:
    """Draw the cards of a dictionary, concepts of most samples first. See `xl_vlms.pages.gallery`.

    pictures   references, by number
    """
    shown = sorted(data["concepts"], key=lambda one: -one["size"])
    count = max(len(one["images"]) for one in shown)
    if not count:
        raise VlmscopeError(
            "No concept has a picture.", where=str(targets[0]), instead="xl_vlms.dictionaries.images: 5"
        )
    pyplot = style.use()
    size = {"figsize": (3.4 + 1.1 * count, 1.25 * len(shown)), "squeeze": False, "layout": "constrained"}
    figure, axes = pyplot.subplots(len(shown), count + 1, **size, width_ratios=[3, *[1] * count])
    note = f"{data['method']}, {data['k']} concepts at {data['module']}" + (", embedded" if scale == "tiny" else "")
    figure.suptitle(legible(f"Concepts of \u201c{data['set']}\u201d in {label}: {note}"), parse_math=False)
    for row, one in zip(axes, shown, strict=True):
        _told(row[0], one)
        for axis, (place, activation, *_) in zip(row[1:], one["images"], strict=False):
            axis.imshow(open_one(pictures[place], Path()))
            axis.set_title(f"{activation:.3g}", fontsize=style.TEXT - 2)
        for axis in row:
            axis.set_axis_off()
    save_all(figure, *targets)


def _told(axis: Any, one: Mapping[str, Any]) -> None:
    """Number, samples, score and words of a concept."""
    parts = [f"{one['size']} samples"]
    for name, value in zip(("CLIPScore", "random words"), one["scores"].get("CS", []), strict=False):
        parts += [] if value is None else [f"{name} {value:.2f}"]
    head = f"Concept {one['number']}: {', '.join(parts)}"
    words = textwrap.fill(legible(", ".join(one["words"])) or "no words", WIDE)
    axis.text(0, 1, head, va="top", weight="bold", fontsize=style.TEXT - 1, transform=axis.transAxes)
    axis.text(0, 0.78, words, va="top", fontsize=style.TEXT - 1, transform=axis.transAxes, parse_math=False)
