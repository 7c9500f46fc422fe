"""Maps of what single patches give back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.show import style
from vlmscope.show.figures import save_all
from vlmscope.show.lenses import outline
from vlmscope.show.visual_tokens import Target


def maps(gains: pl.DataFrame, pictures: Mapping[str, Image.Image], title: str, *targets: Target) -> None:
    """Pictures with their object, and the gain of every patch at every layer, one colour scale per picture.

    gains      `llava_interp.tracing.tables.gains` of single patches
    pictures   sample -> the square that the model sees
    """
    pyplot = style.use()
    layers = sorted(gains["layer"].unique().to_list())
    rows, columns = max(1, len(pictures)), 1 + max(1, len(layers))
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(1.5 * columns, 0.6 + 1.5 * rows), squeeze=False, layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (sample, picture) in zip(axes, pictures.items(), strict=False):
        _row(row, gains.filter(sample=sample).sort("layer", "patch"), picture, layers)
    save_all(figure, *targets)


def _row(axes: Sequence[Any], own: pl.DataFrame, picture: Image.Image, layers: Sequence[int]) -> None:
    grid = int(own["grid"][0])
    inside = own.filter(layer=layers[0])["part"].eq("object").to_numpy().reshape(grid, grid)
    most = max(float(np.abs(own["gain"].to_numpy()).max()), 1e-9)
    axes[0].imshow(picture, extent=(-0.5, grid - 0.5, grid - 0.5, -0.5))
    outline(axes[0], inside, style.COLORS["own"])
    axes[0].set_title(own["class"][0], fontsize=style.TEXT - 1)
    for axis, layer in zip(axes[1:], layers, strict=True):
        values = own.filter(layer=layer)["gain"].to_numpy().reshape(grid, grid)
        axis.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most)
        outline(axis, inside, "black")
        axis.set_title(f"layer {layer}, to {values.max():.2f}", fontsize=style.TEXT - 2)
