"""Figures about concept dictionaries: words against pictures, by layer, and error by size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import legend, save_all

Target = str | Path
METRICS = {"CS": "CLIPScore", "BS": "BERTScore F1"}


def title(settings: Mapping[str, Any]) -> str:
    """What a figure is called after: the model, and the scale where it is the embedded one."""
    return settings["label"] + (" (embedded)" if settings["scale"] == "tiny" else "")


def grounded(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """A bar pair per token: mean over its concepts of the score of their words, and of random words.

    table   `xl_vlms.dictionaries.schemas.FIG3` of one method; dots are concepts
    """
    pyplot = style.use()
    metrics = [one for one in METRICS if one in table["metric"].to_list()]
    figure, axes = pyplot.subplots(1, max(1, len(metrics)), figsize=(7, 2.8), squeeze=False, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    for axis, metric in zip(axes[0], metrics, strict=False):
        own = table.filter(metric=metric)
        tokens = own["token"].unique(maintain_order=True).to_list()
        for side, (column, label) in enumerate((("grounded", "words of concepts"), ("random", "random words"))):
            color = style.COLORS["other" if side == 0 else "random"]
            for place, token in enumerate(tokens):
                values, left = own.filter(token=token)[column], place + 0.36 * (side - 0.5)
                axis.bar(left, values.mean(), 0.32, color=color, label=label if place == 0 else None, alpha=0.75)
                axis.plot([left] * len(values), values, "k.", markersize=3)
        axis.set_xticks(range(len(tokens)), tokens)
        axis.set_title(METRICS[metric])
    legend(figure, axes)
    save_all(figure, *targets)


def layers(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """CLIPScore of concepts' words over the layer that the states are from, with 95 % intervals.

    table   `xl_vlms.dictionaries.schemas.LAYERS`; random words dashed
    """
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, 1, figsize=(4.8, 3), squeeze=False, layout="constrained")
    axis = axes[0, 0]
    looks = style.look(table["token"].unique(maintain_order=True).to_list())
    for token, look in looks.items():
        own = table.filter(token=token).sort("layer")
        middle = own["clipscore"].to_numpy()
        whiskers = abs(own.select("low", "high").to_numpy().T - middle)
        axis.errorbar(own["layer"], middle, yerr=whiskers, label=token, markersize=4, elinewidth=0.8, **look)
        axis.plot(own["layer"], own["random"], color=look["color"], linestyle=":", linewidth=1)
    ticks = table.select("layer", "module").unique().sort("layer")
    names = ["norm" if one == "final_norm" else one.partition(".")[2] for one in ticks["module"]]
    step = -(-len(names) // 9)
    axis.set_xticks(ticks["layer"].to_list()[::step], names[::step])
    axis.set_xlabel("behind block; dotted: random words")
    axis.set_ylabel("CLIPScore of words")
    axis.set_ylim(bottom=0)
    axis.set_title(title)
    legend(figure, axes)
    save_all(figure, *targets)


def recon(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Held-out error over the number of concepts, a panel per token and a line per method.

    table   `xl_vlms.dictionaries.schemas.RECON`; least squares on random samples dashed
    """
    pyplot = style.use()
    tokens = table["token"].unique(maintain_order=True).to_list()
    size = (1 + 2.4 * max(1, len(tokens)), 2.8)
    figure, axes = pyplot.subplots(
        1, max(1, len(tokens)), figsize=size, squeeze=False, sharey=True, layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    for axis, token in zip(axes[0], tokens, strict=False):
        own = table.filter(token=token).drop_nulls("error_test").sort("k")
        for method, look in style.look(own["method"].unique(maintain_order=True).sort().to_list()).items():
            part = own.filter(method=method)
            axis.plot(part["k"], part["error_test"], label=method, markersize=4, **look)
        random = own.unique("k").sort("k")
        axis.plot(random["k"], random["error_random"], "--", color=style.COLORS["random"], label="random samples")
        axis.set_title(token)
        axis.set_xlabel("concepts, K")
        axis.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("held-out error")
    legend(figure, axes)
    save_all(figure, *targets)
