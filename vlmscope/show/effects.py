"""Figures about what zeroing neurons does: own domain beside its controls, crossed domains, dose, stability.

Every figure goes to as many files as are named, each in the format of its ending.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

Target = str | Path


def _names(table: pl.DataFrame, column: str) -> list[str]:
    return table[column].unique(maintain_order=True).to_list()


def cross(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Two heat maps, neurons of a domain by tested domain: deviation of states, and change of the score.

    table   `effects.CROSS`; a change whose interval holds zero is printed in brackets
    """
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    # Score changes in both directions: the color map is centred at no change.
    most = max(1.0, float(table["delta"].abs().max()))
    maps = (("deviation", "viridis", None, "deviation of hidden states, %"),)
    maps += (("delta", "RdBu", (-most, most), "change of the score, points"),)
    for axis, (value, colors, limits, name) in zip(axes, maps, strict=True):
        _map(figure, axis, table, value, colors, limits)
        axis.set_title(name)
        axis.set_xlabel("tested on")
    axes[1].set_xlabel("tested on (in brackets: the interval holds 0)")
    axes[0].set_ylabel("neurons of")
    figure.suptitle(title, fontsize=style.TEXT + 1, x=0.01, ha="left")
    save_all(figure, *targets)


def _map(
    figure: Any, axis: Any, table: pl.DataFrame, value: str, colors: str, limits: tuple[float, float] | None
) -> None:
    domains = _names(table, "neurons_of")
    grid = table[value].to_numpy().reshape(len(domains), -1)
    low, high = limits or (0.0, float(grid.max()))
    shown = axis.imshow(grid, cmap=colors, vmin=low, vmax=high)
    for place, row in enumerate(table.iter_rows(named=True)):
        unsure = value == "delta" and row["delta_low"] <= 0 <= row["delta_high"]
        text = f"({row[value]:.1f})" if unsure else f"{row[value]:.1f}"
        red, green, blue, _ = shown.cmap(shown.norm(row[value]))
        # Luminance of the cell decides whether black or white can be read on it.
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        down, right = divmod(place, len(domains))
        axis.text(right, down, text, ha="center", va="center", color="white" if dark else "black", fontsize=7)
    for ticks in (axis.set_xticks, axis.set_yticks):
        ticks(range(len(domains)), domains)
    figure.colorbar(shown, ax=axis, shrink=0.8)


def dose(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Change of the score and deviation over the share of neurons, own beside random; domains thin, their mean thick.

    table   `variations.DOSE`; bands are 95 % intervals of the mean over domains
    """
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
    names = {"deviation": "deviation of hidden states, %", "delta": "change of the score, points"}
    for axis, (value, name) in zip(axes, names.items(), strict=True):
        for kind, label in (("own", "own domain's neurons"), ("random", "as many random ones")):
            for domain in _names(table, "domain"):
                rows = table.filter((pl.col("domain") == domain) & (pl.col("kind") == kind)).sort("rate")
                _line(axis, rows, value, style.COLORS[kind], label if domain == "mean" else "")
        rates = sorted(set(table["rate"]))
        axis.set_xscale("log")
        axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axis.set_xticks([], minor=True)
        axis.set_xlabel("share of neurons selected (top_rate)")
        axis.set_title(name)
    axes[1].axhline(0, color="black", linewidth=0.8)
    style.widen(axes[1], 1.0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=2, loc="outside lower center", title=title)
    save_all(figure, *targets)


def _line(axis: Any, rows: pl.DataFrame, value: str, color: str, label: str) -> None:
    if not label:
        axis.plot(rows["rate"], rows[value], color=color, linewidth=0.6, alpha=0.6)
        return
    axis.plot(rows["rate"], rows[value], color=color, linewidth=2, marker="o", markersize=3, label=label)
    axis.fill_between(rows["rate"], rows[f"{value}_low"], rows[f"{value}_high"], color=color, alpha=0.2, linewidth=0)


def stability(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Jaccard's index of neuron sets per module: disjoint shards beside budgets against the whole; a dot per domain.

    table   `stability.STABILITY`; a capture of one shard has nothing to compare, which the figure then says
    """
    pyplot = style.use()
    modules = _names(table, "module")
    figure, axes = pyplot.subplots(
        1, max(1, len(modules)), figsize=(2 + 2.2 * max(1, len(modules)), 3.2), squeeze=False, layout="constrained"
    )
    if not modules:
        axes[0, 0].text(0.5, 0.5, "one shard: nothing to compare", ha="center", va="center")
        axes[0, 0].set_axis_off()
    for axis, module in zip(axes[0], modules, strict=False):
        rows = table.filter(pl.col("module") == module)
        groups = [
            (one["comparison"][0], one["a"][0] if one["comparison"][0] == "budget" else "") for one in _groups(rows)
        ]
        for domain, look in style.look(_names(rows, "domain")).items():
            values = [_mean_of(one, domain) for one in _groups(rows)]
            axis.plot(range(len(values)), values, linestyle="", markersize=5, label=domain, **look)
        names = ["disjoint" if kind == "disjoint" else f"{share} of all" for kind, share in groups]
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axis.set_ylim(-0.03, 1.03)
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.set_title(module)
    if modules:
        axes[0, 0].set_ylabel("Jaccard's index")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=len(labels), loc="outside lower center", title=title)
    save_all(figure, *targets)


def _groups(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """All pairs of shards together, then budget by budget."""
    budgets = rows.filter(pl.col("comparison") == "budget").partition_by("a", maintain_order=True)
    return [rows.filter(pl.col("comparison") == "disjoint"), *budgets]


def _mean_of(rows: pl.DataFrame, domain: str) -> float:
    values = rows.filter(pl.col("domain") == domain)["jaccard"].drop_nulls()
    return float(values.mean()) if len(values) else np.nan
