"""Figures about the neurons of words: in which layers they are, what they write, how stable and how specific they are.

Every figure goes to as many files as are named, each in the format of its ending.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import legend, save_all

Target = str | Path
ACTIVATIONS = {"act_fn": "after SiLU", "down_proj_input": "input of down projection"}
METHODS = {
    "contribution": "contribution",
    "activation": "activation",
    "gradient": "gradient",
    "random": "random",
    "contribution_negative": "lowering the word",
    "multi_token": "all pieces of the word",
}
DASHES = {"-": "solid", "--": "dashed", ":": "dotted"}
# Layers that are told apart by name on an axis.
MOST_TICKS = 12


def layers(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Share of the neurons of all sets in each layer, a line per method; panels by activation and size of the sets.

    table   `layers.LAYERS`
    """
    known = table.filter(pl.col("count") > 0)
    kinds, sizes = _names(known, "activation"), _names(known, "k")
    figure, axes = _panels(len(kinds), len(sizes), title)
    last = table["layer"].max() or 0
    for row, kind in zip(axes, kinds, strict=False):
        for axis, size in zip(row, sizes, strict=False):
            for method, look in _looks(known).items():
                own = table.filter(activation=kind, k=size, method=method)
                if own["count"].sum():
                    axis.plot(own["layer"], 100 * own["count"] / own["count"].sum(), label=_method(method), **look)
            axis.set_title(f"{_activation(kind)}, k = {size}")
            axis.set_xticks(range(0, last + 1, -(-(last + 1) // MOST_TICKS)))
        row[0].set_ylabel("neurons, %")
    # Panels share their axes: the limit holds for all, and only now do they know how high they are.
    axes[0, 0].set_ylim(bottom=0)
    for axis in axes[-1]:
        axis.set_xlabel("layer")
    _finish(figure, axes, targets)


def measures(tables: Mapping[str, pl.DataFrame], title: str, *targets: Target) -> None:
    """What neurons write, how many stay and how many are a word's alone, over the size of the sets.

    tables   measure's title -> method, activation, k, line (text, "" for none), value, ci_low, ci_high; rows of one
             title and line are joined by a line per method
    """
    every = pl.concat([table.select("method", "activation", "k") for table in tables.values()])
    kinds, sizes, looks = _names(every, "activation"), sorted(_names(every, "k")), _looks(every)
    figure, axes = _panels(len(kinds), len(tables), title)
    for row, kind in zip(axes, kinds, strict=False):
        for axis, table in zip(row, tables.values(), strict=True):
            own = table.filter(activation=kind).drop_nulls("value")
            for line, dash in _dashes(table).items():
                for method, look in looks.items():
                    part = own.filter(method=method, line=line).sort("k")
                    if len(part):
                        _whiskered(axis, part, label=_method(method), linestyle=dash, **look)
            axis.set_xscale("log")
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.set_ylim(-0.03, 1.03)
        row[0].set_ylabel(f"share of neurons,\n{_activation(kind)}")
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        told = [f"{DASHES[dash]}: {line}" for line, dash in _dashes(table).items() if line]
        axis.set_title("\n".join([name, *told]))
    for axis in axes[-1]:
        axis.set_xlabel("neurons per noun, k")
    _finish(figure, axes, targets)


def _dashes(table: pl.DataFrame) -> dict[str, str]:
    """Line -> how it is drawn."""
    return dict(zip(_names(table, "line"), DASHES, strict=False))


def _whiskered(axis: Any, rows: pl.DataFrame, **look: Any) -> None:
    """A line with the intervals of its points."""
    middle = rows["value"].to_numpy()
    whiskers = abs(rows.select("ci_low", "ci_high").to_numpy().T - middle)
    axis.errorbar(rows["k"], middle, yerr=whiskers, elinewidth=0.8, **look)


def _panels(rows: int, columns: int, title: str) -> tuple[Any, Any]:
    pyplot = style.use()
    size = (1 + 2.4 * max(1, columns), 0.9 + 2.1 * max(1, rows))
    figure, axes = pyplot.subplots(
        max(1, rows), max(1, columns), figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    return figure, axes


def _finish(figure: Any, axes: Any, targets: Sequence[Target]) -> None:
    legend(figure, axes)
    save_all(figure, *targets)


def _names(table: pl.DataFrame, column: str) -> list[Any]:
    return table[column].unique(maintain_order=True).to_list()


def _looks(table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Method -> color and marker, the same in every figure; random ones in grey."""
    looks = style.look(list(METHODS))
    looks["random"] = {"color": style.COLORS["random"], "marker": "x"}
    more = style.look([*METHODS, *sorted(set(_names(table, "method")) - set(METHODS))])
    there = sorted(_names(table, "method"), key=list(more).index)
    return {method: {**more[method], **looks.get(method, {}), "markersize": 4} for method in there}


def _method(name: str) -> str:
    return METHODS.get(name, name)


def _activation(name: str) -> str:
    return ACTIVATIONS.get(name, name)
