"""Figures of visual tokens that are taken away, shut off or read as words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

Target = str | Path
SETTINGS = {"generative": "description", "polling": "is it there?", "vqa": "question"}
FAMILIES = {
    "object": "object and neighbours",
    "matched": "as many others",
    "random": "random",
    "gradient": "highest gradient",
    "register": "long tokens",
    "register_tower": "long tokens of the tower",
    "whole": "whole picture",
}
GROUPS = {
    "object": "object",
    "object_1": "object + 1",
    "object_2": "object + 2",
    "random": "random, as many",
    "random_1": "random, as many (+ 1)",
    "random_2": "random, as many (+ 2)",
    "all_but_object_1": "all but object + 1",
    "all_but_last_row": "all but last row",
    "last": "last token",
    "last_row": "last row",
    "question": "question",
    "question_and_last": "question, last token",
    "beside": "other patches",
    "beside_and_question": "other patches, question",
    "beside_and_last": "other patches, last token",
}


def ablation(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Share of lost objects over the number of replaced tokens, a line per rule; bands are 95 % intervals."""
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, len(SETTINGS), figsize=(10, 3.4), sharey=True, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    looks = style.look(list(FAMILIES)) | {"matched": {"color": style.COLORS["random"], "marker": "x"}}
    for axis, (setting, name) in zip(axes, SETTINGS.items(), strict=True):
        own = table.filter((pl.col("setting") == setting) & (pl.col("mean_tokens") > 0))
        for family, label in FAMILIES.items():
            rows = own.filter(condition=family).sort("mean_tokens")
            x, y, low, high = (rows[key].to_numpy() for key in ("mean_tokens", "pct_decrease", "ci_low", "ci_high"))
            axis.plot(x, y, label=label, markersize=4, **looks[family])
            axis.fill_between(x, low, high, color=looks[family]["color"], alpha=0.15, linewidth=0)
        axis.set_xscale("log")
        axis.set_title(name)
        axis.set_xlabel("tokens replaced")
    axes[0].set_ylabel("objects lost, %")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center")
    save_all(figure, *targets)


def knockout(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Relative accuracy of every group in every window, as a map with numbers."""
    pyplot = style.use()
    windows = _names(table, "window")
    groups = list(dict.fromkeys(table.select("source", "target").iter_rows()))
    found = {
        (a, b, w): value for a, b, w, value in table.select("source", "target", "window", "relative_accuracy").rows()
    }
    values = np.array([[_number(found[(*group, window)]) for window in windows] for group in groups], dtype=float)
    size = 3.2 + 0.85 * len(windows), 1.2 + 0.3 * len(groups)
    figure, axis = pyplot.subplots(figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    axis.imshow(values, cmap="magma", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        color = "white" if not value > 0.6 else "black"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=style.TEXT - 1)
    first = table.group_by("window", maintain_order=True).agg(
        pl.col("layer_first").first(), pl.col("layer_last").first()
    )
    bounds = {window: f"{window}\n{a}-{b}" for window, a, b in first.rows()}
    axis.set_xticks(range(len(windows)), [bounds[window] for window in windows])
    axis.set_yticks(range(len(groups)), [f"{GROUPS[a]} to {GROUPS[b]}" for a, b in groups])
    axis.set_title("share still right")
    save_all(figure, *targets)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def sweep(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """What the class's probability loses, layer by layer and in sliding windows; bands are 95 % intervals."""
    pyplot = style.use()
    widths = table.with_columns(width=pl.col("layer_last") - pl.col("layer_first") + 1)
    panels = sorted(set(widths["width"].to_list())) or [1]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(1.5 + 3.2 * len(panels), 3.4), squeeze=False, sharey=True, layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    groups = list(dict.fromkeys(table.select("source", "target").iter_rows()))
    looks = style.look(groups)
    for axis, width in zip(axes.flat, panels, strict=True):
        for group in groups:
            rows = widths.filter(source=group[0], target=group[1], width=width).sort("layer_first")
            x = rows["layer_first"].to_numpy() + (width - 1) / 2
            y, low, high = (rows[key].to_numpy() for key in ("correct_prob_drop", "drop_low", "drop_high"))
            label = f"{GROUPS[group[0]]} to {GROUPS[group[1]]}"
            axis.plot(x, y, label=label, markersize=4, **looks[group])
            axis.fill_between(x, low, high, color=looks[group]["color"], alpha=0.15, linewidth=0)
        axis.set_title("one layer" if width == 1 else f"{width} layers")
        axis.xaxis.get_major_locator().set_params(integer=width % 2 == 1)
        axis.set_xlabel("layer (middle)")
    axes[0, 0].set_ylabel("probability lost")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
    save_all(figure, *targets)


def _names(table: pl.DataFrame, column: str) -> Sequence[Any]:
    return table[column].unique(maintain_order=True).to_list()
