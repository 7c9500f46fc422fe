"""Figures of concept shift: what fine-tuning does to the words of concepts, and what adding the shift brings back."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

ARMS = {
    "none": ("as it was", "#56B4E9"),
    "shift": ("with its shift", "#D55E00"),
    "overall": ("mean shift of all", "#E69F00"),
    "other": ("another's shift", "#0072B2"),
    "random": ("random direction", "#999999"),
    "tuned": ("fine-tuned", "#009E73"),
}
OVERLAP, COSINE = "T-Overlap with the\nfine-tuned concept, %", "cosine to the\nfine-tuned concept"
GOALS = {"cosine": "cosine to the goal", "t_overlap": "T-Overlap with the goal, %"}


def draw(found: Mapping[str, tuple[pl.DataFrame, Any]], targets: Sequence[str]) -> None:
    """The figure of every table that a target is named like; of a table without a row one that says so.

    found   tables with their schemas, `xl_vlms.shift.tables`
    """
    tables = {name: table for name, (table, _) in found.items()}
    drawers = {
        "shift": held_out,
        "shift_t_overlap": overlaps,
        "shift_iterations": iterations,
        "shift_alpha": alphas,
        "shift_keywords": keywords,
        "shift_k": numbers,
        "shift_layers": layers,
        "shift_correlation": functools.partial(correlation, tables["shift_correlation_r"]),
    }
    # What was read from a released file has counts of words and no share of them.
    tables["shift_t_overlap"] = tables["shift_t_overlap"].drop_nulls("orig_pct")
    for target in targets:
        name = Path(target).stem
        (drawers[name] if len(tables[name]) else empty)(tables[name], target)


def empty(table: pl.DataFrame, target: str | Path) -> None:
    """A figure that says that there is nothing to show."""
    pyplot = style.use()
    figure, axis = pyplot.subplots(figsize=(4, 1))
    axis.set_axis_off()
    axis.text(0.5, 0.5, "nothing to compare: too few samples", ha="center")
    save_all(figure, target)


def overlaps(table: pl.DataFrame, target: str | Path) -> None:
    """T-Overlap of every concept before and after its shift; thick lines are means. `SCHEMAS["shift_t_overlap"]`."""
    pyplot = style.use()
    groups = _groups(table)
    figure, axis = pyplot.subplots(figsize=(1.6 + 1.1 * len(groups), 3), constrained_layout=True)
    for place, (_, own) in enumerate(groups):
        pairs = own.select("orig_pct", "shifted_pct").to_numpy()
        for pair in pairs:
            axis.plot([place - 0.2, place + 0.2], pair, color="#BBBBBB", linewidth=0.8, zorder=1)
        for side, arm in ((0, "none"), (1, "shift")):
            label, color = ARMS[arm]
            left = place + (-0.2, 0.2)[side]
            axis.plot([left] * len(pairs), pairs[:, side], "o", ms=3, color=color, label=_once(label, place), zorder=2)
            axis.plot([left - 0.12, left + 0.12], [pairs[:, side].mean()] * 2, color=color, linewidth=3, zorder=3)
    axis.set_xticks(range(len(groups)), ["\n".join(name) for name, _ in groups])
    axis.set_ylabel(OVERLAP)
    axis.set_ylim(-3, 103)
    figure.legend(loc="outside lower center", ncols=2)
    save_all(figure, target)


def held_out(table: pl.DataFrame, target: str | Path) -> None:
    """Bars with intervals: shifts of one half of the samples tried on the other half. `SCHEMAS["shift"]`."""
    pyplot = style.use()
    goals = table["goal"].unique(maintain_order=True).to_list()
    wide = 1.6 + 1.3 * len(_groups(table))
    figure, axes = pyplot.subplots(len(goals), 2, figsize=(2 * wide, 5), constrained_layout=True, squeeze=False)
    told = {"matched": "goal: matched concept of the other half", "centroid": "goal: where the other half went"}
    for row, goal in enumerate(goals):
        groups = _groups(table.filter(pl.col("goal") == goal))
        for axis, (value, label) in zip(axes[row], GOALS.items(), strict=True):
            _bars(axis, groups, value)
            axis.set_title(told[goal])
            axis.set_ylabel(label)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    save_all(figure, target)


def _bars(axis: Any, groups: list[tuple[tuple[str, str], pl.DataFrame]], value: str) -> None:
    lows = []
    for place, (_, own) in enumerate(groups):
        for turn, row in enumerate(own.iter_rows(named=True)):
            label, color = ARMS[row["arm"]]
            whiskers = [[row[value] - row[f"{value}_low"]], [row[f"{value}_high"] - row[value]]]
            left = place + 0.16 * (turn - 2)
            axis.bar(
                left, row[value], 0.15, yerr=whiskers, color=color, label=_once(label, place), error_kw={"lw": 0.8}
            )
            lows.append(row[f"{value}_low"])
    axis.set_xticks(range(len(groups)), ["\n".join(name) for name, _ in groups])
    if value == "cosine":
        # Cosines of states lie close together; the axis says where it begins.
        axis.set_ylim(bottom=max(0.0, min(lows) - 0.1))


def alphas(table: pl.DataFrame, target: str | Path) -> None:
    """Overlap and cosine against the strength of the shift. `SCHEMAS["shift_alpha"]`."""
    _curves(table, target, "alpha", {"t_overlap": OVERLAP, "cosine": COSINE}, "strength of the shift")


def numbers(table: pl.DataFrame, target: str | Path) -> None:
    """Overlap and cosine against the number of concepts. `SCHEMAS["shift_k"]`."""
    _curves(table, target, "k", {"t_overlap": OVERLAP, "cosine": COSINE}, "concepts")


def layers(table: pl.DataFrame, target: str | Path) -> None:
    """Overlap and cosine against the place in the model. `SCHEMAS["shift_layers"]`."""
    _curves(table, target, "module", {"t_overlap": OVERLAP, "cosine": COSINE}, "place")


def keywords(table: pl.DataFrame, target: str | Path) -> None:
    """Share of the task's words against the strength; the line across is the fine-tuned model's share."""
    label = "words of the task among\nthe concept's, %"
    _curves(table, target, "alpha", {"keywords": label}, "strength of the shift")


def _curves(table: pl.DataFrame, target: str | Path, across: str, values: Mapping[str, str], title: str) -> None:
    """A row of panels per value, a panel per fine-tune and set, a line per arm."""
    pyplot, groups = style.use(), _groups(table)
    size = (2.3 * len(groups) + 0.6, 2.4 * len(values) + 0.5)
    figure, axes = pyplot.subplots(
        len(values), len(groups), figsize=size, sharey="row", constrained_layout=True, squeeze=False
    )
    for row, (value, label) in zip(axes, values.items(), strict=True):
        row[0].set_ylabel(label)
        for axis, (name, own) in zip(row, groups, strict=True):
            axis.set_title(", ".join(name))
            axis.set_xlabel(title)
            _lines(axis, own, across, value)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    save_all(figure, target)


def _lines(axis: Any, own: pl.DataFrame, across: str, value: str) -> None:
    for arm in own["arm"].unique(maintain_order=True):
        label, color = ARMS[arm]
        rows = own.filter(pl.col("arm") == arm)
        low, middle, high = (rows[f"{value}{end}"].to_numpy() for end in ("_low", "", "_high"))
        if rows[across].null_count():
            axis.axhline(middle[0], color=color, linestyle="--", label=label)
            continue
        places = rows[across].to_list()
        axis.plot(places, middle, "o-", ms=3, color=color, label=label)
        axis.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)
    if own[across].dtype == pl.String:
        axis.tick_params(axis="x", rotation=45)


def iterations(table: pl.DataFrame, target: str | Path) -> None:
    """T-Overlap and cosine of matched concepts against the step; thin lines are concepts, the thick one their mean."""
    pyplot, groups = style.use(), _groups(table)
    size = (2.3 * len(groups) + 0.6, 5)
    figure, axes = pyplot.subplots(2, len(groups), figsize=size, sharey="row", constrained_layout=True, squeeze=False)
    for row, value, label in zip(axes, ("t_overlap", "cosine"), (OVERLAP, COSINE), strict=True):
        row[0].set_ylabel(label)
        for axis, (name, own) in zip(row, groups, strict=True):
            axis.set_title(", ".join(name))
            axis.set_xlabel("step")
            for one in own.partition_by("concept", maintain_order=True):
                axis.plot(one["step"], one[value], color="#BBBBBB", linewidth=0.8)
            means = own.group_by("step", maintain_order=True).agg(pl.col(value, f"{value}_shifted").mean())
            for column, arm in ((value, "none"), (f"{value}_shifted", "shift")):
                axis.plot(means["step"], means[column], "o-", ms=3, color=ARMS[arm][1], label=ARMS[arm][0])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    save_all(figure, target)


def correlation(told: pl.DataFrame, points: pl.DataFrame, target: str | Path) -> None:
    """Recovery of the cosine against consistency and size of the shift, a point per concept; r of all in the title."""
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.2), sharey=True, constrained_layout=True)
    tunes = points["finetune"].unique(maintain_order=True).to_list()
    looks = style.look(tunes)
    axes[0].set_ylabel("recovery of the cosine")
    for axis, x in zip(axes, ("consistency", "magnitude"), strict=True):
        for name in tunes:
            own = points.filter(pl.col("finetune") == name)
            axis.scatter(own[x], own["recovery_cos"], s=14, label=name, **looks[name])
        last = told.filter(pl.col("x") == x).row(-1, named=True)
        axis.set_xlabel(x + " of the shift")
        if last["r"] is not None:
            axis.set_title(f"r = {last['r']:.2f} [{last['low']:.2f}, {last['high']:.2f}], p = {last['p']:.2g}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    save_all(figure, target)


def _groups(table: pl.DataFrame) -> list[tuple[tuple[str, str], pl.DataFrame]]:
    parts = table.partition_by("finetune", "token", maintain_order=True, as_dict=True)
    return [((str(tune), str(token)), own) for (tune, token), own in parts.items()]


def _once(label: str, place: int) -> str:
    return label if place == 0 else "_nolegend_"
