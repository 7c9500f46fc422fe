"""Figures of captions under steering: what every strength does to style and to caption scores."""

from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

PANELS = {
    "with_style_pct": "captions with the style, %",
    "changed_pct": "captions that change, %",
    "cider": "CIDEr x 100",
}
CONTROLS = {"random": "random direction", "shuffled": "shuffled labels"}


def dose(table: pl.DataFrame, title: str, *targets: str | Path) -> None:
    """A row of panels per vector: a line per block over the strength, controls in gray, no steering dashed.

    table   `xl_vlms.captions.tables.TABLE`; whiskers are its 95 % intervals
    """
    pyplot = style.use()
    vectors = table["vector"].unique(maintain_order=True).to_list()
    strengths = table.filter(kind="vector")["alpha"].unique().sort().to_list()
    size = {"figsize": (3.2 * len(PANELS), 2.5 * len(vectors) + 0.5), "squeeze": False, "constrained_layout": True}
    figure, axes = pyplot.subplots(len(vectors), len(PANELS), **size)
    for row, vector in zip(axes, vectors, strict=True):
        for axis, (column, name) in zip(row, PANELS.items(), strict=True):
            _panel(axis, table.filter(vector=vector), column)
            # Strengths are chosen as multiples of each other.
            axis.set_xscale("log", base=2)
            axis.set_xticks(strengths, [f"{alpha:g}" for alpha in strengths])
            axis.minorticks_off()
            axis.set_title(f"{vector}: {name}")
    for axis in axes[-1]:
        axis.set_xlabel("strength")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, loc="outside lower center")
    figure.suptitle(title)
    save_all(figure, *targets)


def _panel(axis: Any, rows: pl.DataFrame, column: str) -> None:
    plain = rows.filter(kind="none")[column].item()
    axis.axhline(plain, color="black", linestyle="--", linewidth=0.8, label="no steering")
    blocks = rows.filter(kind="vector")["block"].unique().sort().to_list()
    looks = style.look([str(block) for block in blocks])
    for block in blocks:
        own = rows.filter(block=block)
        _line(axis, own.filter(kind="vector"), column, f"behind block {block}", **looks[str(block)])
        for kind, name in CONTROLS.items():
            look = {"color": style.COLORS["random"], "marker": looks[str(block)]["marker"]}
            dash = ":" if kind == "random" else "-."
            _line(axis, own.filter(kind=kind), column, f"{name}, block {block}", linestyle=dash, **look)


def _line(axis: Any, rows: pl.DataFrame, column: str, label: str, **look: Any) -> None:
    if len(rows):
        rows = rows.sort("alpha")
        middle = rows[column].to_numpy()
        whiskers = abs(rows.select(f"{column}_low", f"{column}_high").to_numpy().T - middle)
        axis.errorbar(rows["alpha"], middle, yerr=whiskers, label=label, markersize=4, elinewidth=0.7, **look)
