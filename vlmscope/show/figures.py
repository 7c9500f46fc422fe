"""Figures: tables in, SVG or PNG out."""

from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.show import style
from vlmscope.store.files import publish

KINDS = {"own": "own domain's neurons", "other": "another domain's", "random": "as many random ones"}


def effects(table: pl.DataFrame, title: str, *targets: str | Path) -> None:
    """Bars per domain: deviation of hidden states and change of the score, own neurons beside the controls.

    table   `effects.SCHEMA`; whiskers are its 95 % intervals
    """
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3), constrained_layout=True)
    _bars(axes[0], table, "deviation", "deviation of hidden states, %")
    _bars(axes[1], table, "delta", "change of the score, points")
    style.widen(axes[1], 1.0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=3, loc="outside lower center", title=title)
    save_all(figure, *targets)


def _bars(axis: Any, table: pl.DataFrame, value: str, title: str) -> None:
    domains = table["domain"].unique(maintain_order=True).to_list()
    for place, (kind, label) in enumerate(KINDS.items()):
        rows = table.filter(pl.col("kind") == kind)
        middle = rows[value].to_numpy()
        whiskers = abs(rows.select(f"{value}_low", f"{value}_high").to_numpy().T - middle)
        left = [number + 0.27 * (place - 1) for number in range(len(domains))]
        axis.bar(left, middle, 0.25, yerr=whiskers, color=style.COLORS[kind], label=label, error_kw={"elinewidth": 0.8})
    axis.set_xticks(range(len(domains)), domains)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_title(title)


def legend(figure: Any, axes: Any) -> None:
    """One legend below all axes, each label once, in the order of their first."""
    labels: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    if labels:
        figure.legend(list(labels.values()), list(labels), ncols=min(6, len(labels)), loc="outside lower center")


def save_all(figure: Any, *targets: str | Path) -> None:
    """Write a figure in several formats."""
    for target in targets:
        save(figure, target)
    style.use().close(figure)


def save(figure: Any, target: str | Path) -> None:
    """Write a figure in the format of the file's ending, without a date inside."""
    kind = Path(target).suffix.removeprefix(".")
    with publish(target) as part:
        figure.savefig(part, format=kind, metadata={"Date": None} if kind == "svg" else None)
