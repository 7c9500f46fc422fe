"""Figures of what the vocabulary says of patches."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.show import style
from vlmscope.show.figures import save_all
from vlmscope.show.visual_tokens import Target

# Layers of a picture's maps.
MOST_MAPS = 5


def rates(rate: pl.DataFrame, means: pl.DataFrame, title: str, *targets: Target) -> None:
    """Share of the object's patches that are named, by layer; beside it how the class's maps meet the object."""
    pyplot = style.use()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    ways = list(dict.fromkeys(rate.select("criterion", "topk").iter_rows()))
    for way, look in style.look(ways).items():
        rows = rate.filter(criterion=way[0], topk=way[1]).sort("layer")
        x, y, low, high, beside = (
            rows[key].to_numpy() for key in ("layer", "rate_mean", "ci_low", "ci_high", "background_mean")
        )
        left.plot(x, y, label=f"{way[0]}, first {way[1]}" if way[1] > 1 else f"{way[0]}, first", markersize=4, **look)
        left.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
        left.plot(x, beside, color=look["color"], linestyle=":", linewidth=1)
    left.set(title="patches that are named (dotted: beside the object)", xlabel="layer", ylim=(-0.02, 1.02))
    left.legend()
    rows = means.filter(~pl.col("layer").is_in(["max", "mean"])).with_columns(pl.col("layer").cast(pl.Int32))
    for name, look in style.look(["ap", "iou", "pointing"]).items():
        x, y, low, high = (rows[key].to_numpy() for key in ("layer", name, f"{name}_low", f"{name}_high"))
        right.plot(x, y, label=name, markersize=4, **look)
        right.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    right.plot(rows["layer"], rows["share"], color=style.COLORS["random"], linestyle=":", label="chance (ap, pointing)")
    right.set(title="maps of the class against the object", xlabel="layer", ylim=(-0.02, 1.02))
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    right.legend()
    save_all(figure, *targets)


def maps(file: Mapping[str, Any], title: str, *targets: Target) -> None:
    """Pictures with their object, and the share of its class at every patch in some layers."""
    pyplot = style.use()
    names = list(file)
    layers = _layers(len(file[names[0]]["share"])) if names else []
    figure, axes = pyplot.subplots(
        max(1, len(names)),
        1 + max(1, len(layers)),
        figsize=(1.5 * (1 + len(layers)), 0.5 + 1.5 * max(1, len(names))),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, name in zip(axes, names, strict=False):
        _row(row, file[name], layers)
    save_all(figure, *targets)


def _layers(count: int) -> list[int]:
    """Layers spread from the first to the last."""
    return sorted(set(np.linspace(0, count - 1, min(count, MOST_MAPS)).round().astype(int).tolist()))


def _row(axes: Sequence[Any], group: Any, layers: Sequence[int]) -> None:
    grid, first = int(group.attrs["grid"]), int(group.attrs["first"])
    inside = np.zeros(grid * grid, dtype=bool)
    inside[group["patches"][()]] = True
    picture = Image.open(io.BytesIO(group["picture"][()].tobytes()))
    axes[0].imshow(picture, extent=(-0.5, grid - 0.5, grid - 0.5, -0.5))
    outline(axes[0], inside.reshape(grid, grid), style.COLORS["own"])
    axes[0].set_title(group.attrs["class"], fontsize=style.TEXT - 1)
    for axis, layer in zip(axes[1:], layers, strict=True):
        share = group["share"][layer, first : first + grid * grid] / 65535
        axis.imshow(share.reshape(grid, grid), cmap="magma", vmin=0, vmax=max(share.max(), 1e-9))
        outline(axis, inside.reshape(grid, grid), "white")
        axis.set_title(f"layer {layer}, to {share.max():.2f}", fontsize=style.TEXT - 2)


def outline(axis: Any, inside: np.ndarray, color: str) -> None:
    """A line around patches, bool [row, column], along their edges."""
    # Lines run between points: many per patch bring them close to the edges, and a margin closes them at the border.
    fine = np.pad(np.kron(inside, np.ones((16, 16))), 1)
    down, across = ((np.arange(count) - 0.5) / 16 - 0.5 for count in fine.shape)
    axis.contour(across, down, fine, levels=[0.5], colors=color, linewidths=0.8)
