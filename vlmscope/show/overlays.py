"""Pictures with the regions in which latents fire: rows of panels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlmscope.show import style
from vlmscope.show.figures import save_all
from vlmscope.show.lenses import outline
from vlmscope.show.visual_tokens import Target
from vlmscope.show.xl_pages import legible

# Brightness of a picture where a latent is silent, and of the faintest patch where it is not.
DARK, FAINT = 0.22, 0.55
ACTIVE, TRUE = "#FF8C1A", "#FFFFFF"
# Inches of a panel, and of the text beside a row.
PANEL, LABEL = 1.5, 1.9


def draw(rows: Sequence[Mapping[str, Any]], title: str, note: str, *targets: Target) -> None:
    """A row per latent: what it is, then pictures with its region.

    rows   label: lines of text, the first in bold; panels: each with
               picture   as it is
               values    float [rows, columns], the latent at every patch; None for the picture alone
               target    bool [size, size], what the name stands for; None where nothing is known
               title     above it
    """
    pyplot = style.use()
    count = max([1, *(len(one["panels"]) for one in rows)])
    size = (LABEL + PANEL * count, 0.75 + (PANEL + 0.2) * max(1, len(rows)))
    figure, axes = pyplot.subplots(
        max(1, len(rows)), count + 1, figsize=size, squeeze=False, layout="constrained",
        width_ratios=[LABEL, *[PANEL] * count],
    )  # fmt: skip
    figure.suptitle(legible(title), x=0.01, ha="left", fontsize=style.TEXT + 2, parse_math=False)
    figure.supxlabel(note, x=0.01, ha="left", fontsize=style.TEXT - 1, color="#555555")
    for axis in axes.flat:
        axis.set_axis_off()
    for row, one in zip(axes, rows, strict=False):
        _label(row[0], one["label"])
        for axis, panel in zip(row[1:], one["panels"], strict=False):
            _panel(axis, panel)
    save_all(figure, *targets)


def _label(axis: Any, lines: Sequence[str]) -> None:
    shown = legible(list(lines))
    look = {"va": "top", "transform": axis.transAxes, "parse_math": False}
    axis.text(0, 0.95, shown[0], weight="bold", fontsize=style.TEXT + 1, **look)
    axis.text(0, 0.78, "\n".join(shown[1:]), fontsize=style.TEXT - 1, color="#444444", linespacing=1.5, **look)


def _panel(axis: Any, panel: Mapping[str, Any]) -> None:
    picture = panel["picture"].convert("RGB")
    # Every panel is a square, as the model sees the first view.
    side = max(picture.size)
    square = picture.resize((side, side), Image.Resampling.BICUBIC)
    values, target = panel["values"], panel["target"]
    bright = target if values is None else values
    rows, columns = (1, 1) if bright is None else bright.shape
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    axis.imshow(square if bright is None else shaded(square, bright.astype(float)), extent=extent)
    if values is not None and (values > 0).any():
        outline(axis, values > 0, ACTIVE)
    if target is not None and target.any():
        _border(axis, target, rows, columns)
    title = "\n".join(legible(panel["title"].split("\n")))
    axis.set_title(title, fontsize=style.TEXT - 1, parse_math=False)


def _border(axis: Any, target: np.ndarray, rows: int, columns: int) -> None:
    """The edge of what a name stands for, dashed."""
    pairs = zip(target.shape, (rows, columns), strict=True)
    down, across = ((np.arange(pixels) + 0.5) / pixels * cells - 0.5 for pixels, cells in pairs)
    axis.contour(across, down, target.astype(float), levels=[0.5], colors=TRUE, linewidths=1.1, linestyles="--")


def shaded(square: Image.Image, values: np.ndarray) -> np.ndarray:
    """A square picture, dark where a latent is silent, brighter the stronger it fires: uint8 [size, size, 3].

    values   [rows, columns]; what is not above 0 is silent
    """
    most = max(float(values.max()), 1e-9)
    light = np.where(values > 0, FAINT + (1 - FAINT) * values / most, DARK).astype(np.float32)
    wide = Image.fromarray(light).resize(square.size, Image.Resampling.NEAREST)
    return (np.asarray(square, np.float32) * np.asarray(wide)[..., None]).astype(np.uint8)


def sheets(found: Mapping[str, Sequence[Mapping[str, Any]]], title: str, note: str, folder: str) -> None:
    """A PNG per name, each with its rows."""
    for name, rows in found.items():
        draw(rows, f"{title}: {name}", note, Path(folder) / f"{name}.png")
