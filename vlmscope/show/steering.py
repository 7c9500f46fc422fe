"""Figures of steering: over the strength, over what is varied, from concept to concept, states in a plane.

Every figure goes to as many files as are named, each in the format of its ending.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.metrics.vqa_official import TYPES, UNRECOGNIZED
from vlmscope.show import style
from vlmscope.show.figures import save_all

Target = str | Path
# What is varied: column and what the axis says.
VARIED = {
    "n": ("n_samples", "samples of base and of target"),
    "layer": ("block", "decoder block"),
    "alpha": ("alpha", "strength"),
    "tokens": ("positions", "steered positions of the prompt"),
}
PANELS = ("accuracy, %", "answers by type", "answers", "changed answers, %", "wanted among the changed, %")
MOST_BARS = 5
LONGEST = 12


def strengths(tables: Mapping[str, pl.DataFrame], title: str, *targets: Target) -> None:
    """Per targeted vector and block: wanted answers above, accuracy on other types of questions below.

    tables   `targeted` of `STEER`: column, value at every strength; whiskers are 95 % intervals
    """
    rows = tables["targeted"].filter(kind="vector")
    names, blocks = (rows[key].unique(maintain_order=True).to_list() for key in ("vector", "block"))
    pyplot = style.use()
    figure, axes = pyplot.subplots(
        2,
        max(len(names), 1),
        figsize=(1 + 2.8 * max(len(names), 1), 5),
        sharex=True,
        squeeze=False,
        constrained_layout=True,
    )
    for column, name in zip(axes.T, names, strict=False):
        for block, look in style.look(blocks).items():
            own = rows.filter(vector=name, block=block).sort("alpha")
            if len(own):
                _line(column[0], own, "d_wanted", look, f"behind block {block}")
                _line(column[1], own, "d_acc_off", look, "")
                _controls(column, own, look)
        column[0].set_title(name)
        column[1].set_xlabel("strength")
        for axis in column:
            axis.axhline(0, color="black", linewidth=0.6)
    axes[0, 0].set_ylabel("more of the wanted answer")
    axes[1, 0].set_ylabel("accuracy on other types, points")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.suptitle(title)
    figure.legend(handles, labels, ncols=4, loc="outside lower center")
    save_all(figure, *targets)


def _line(axis: Any, own: pl.DataFrame, name: str, look: Mapping[str, str], label: str) -> None:
    middle = own[name].cast(pl.Float64).to_numpy()
    whiskers = abs(own.select(f"{name}_low", f"{name}_high").to_numpy().T - middle)
    axis.errorbar(own["alpha"], middle, yerr=whiskers, elinewidth=0.8, label=label, **look)


def _controls(column: Sequence[Any], own: pl.DataFrame, look: Mapping[str, str]) -> None:
    """Random directions of the same length as open marks."""
    known = own.filter(pl.col("random_draws").is_not_null())
    for axis, name in zip(column, ("random_d_wanted", "random_d_acc_off"), strict=True):
        options = {**look, "linestyle": "none", "markerfacecolor": "white"}
        axis.plot(known["alpha"], known[name], label="random directions (mean)", **options)


def ablations(varied: Mapping[str, pl.DataFrame], title: str, targets: Sequence[Target]) -> None:
    """One figure of five panels for everything that is varied, to targets in the same order.

    varied   what -> `EFFECTS`, no steering first
    """
    for (what, frame), target in zip(varied.items(), targets, strict=True):
        _ablation(what, frame, title, target)


def _ablation(what: str, frame: pl.DataFrame, title: str, target: Target) -> None:
    column, said = VARIED[what]
    none, rows = frame.filter(kind="none"), frame.filter(pl.col("kind") != "none")
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, 5, figsize=(16, 3.2), constrained_layout=True)
    for axis, lines in zip(axes, _panels(), strict=True):
        for name, look in style.look(list(lines)).items():
            if rows[name].null_count() < len(rows):
                places, values = _means(rows, column, name)
                # Between names there is nothing.
                axis.plot(places, values, label=lines[name], linestyle="none" if column == "positions" else "-", **look)
                if none[name][0] is not None:
                    axis.axhline(none[name][0], color=look["color"], linewidth=0.7, linestyle=":")
        axis.set_xlabel(said)
        if column == "block":
            axis.xaxis.get_major_locator().set_params(integer=True)
        if len(lines) > 1:
            axis.legend(fontsize=style.TEXT - 2)
        if column == "positions":
            axis.tick_params(axis="x", rotation=30)
    for axis, name in zip(axes, PANELS, strict=True):
        axis.set_title(name)
        axis.set_ylim(0, 105 if name.endswith("%") else None)
    figure.suptitle(f"{title}: {', '.join(rows['vector'].unique(maintain_order=True))}; dotted: no steering")
    save_all(figure, target)


def _panels() -> list[dict[str, str]]:
    """Columns of a panel and their names."""
    return [
        {f"acc_{kind}": name for kind, name in TYPES.items()},
        {f"n_{kind}": name for kind, name in (TYPES | {UNRECOGNIZED: UNRECOGNIZED}).items()},
        {"n_original": "original", "n_wanted": "wanted"},
        {"changed_pct": "changed"},
        {"wanted_pct": "wanted among changed"},
    ]


def _means(rows: pl.DataFrame, column: str, name: str) -> tuple[list[Any], list[float]]:
    """Means over draws, places in their order; a single vector's rows are meant."""
    means = rows.group_by(column, maintain_order=True).agg(pl.col(name).cast(pl.Float64).mean())
    return means[column].to_list(), means[name].to_list()


def directions(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """The answers that become more frequent from concept to concept, kept pairs first; main answers in colour.

    table   `DIRECTIONS`
    """
    shown = table.sort(["kept", "rank"], descending=[True, False]).head(10)
    pyplot = style.use()
    figure, axes = pyplot.subplots(2, 5, figsize=(14, 5), constrained_layout=True)
    for axis, row in zip(axes.ravel(), shown.iter_rows(named=True), strict=False):
        changes, main = json.loads(row["increases"]), json.loads(row["main_answers"])
        answers = list(changes)[:MOST_BARS]
        colors = [style.COLORS["own" if one in main else "random"] for one in answers]
        axis.bar(range(len(answers)), [changes[one] for one in answers], color=colors)
        axis.set_xticks(range(len(answers)), [_short(one) for one in answers], rotation=30)
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_title(f"{row['i']} to {row['j']}{', kept' if row['kept'] else ''}: gap {row['gap']:.0f}")
    for axis in axes.ravel()[len(shown) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("more answers")
    figure.suptitle(title)
    save_all(figure, *targets)


def _short(answer: str) -> str:
    return answer[:LONGEST] + "..." if len(answer) > LONGEST else answer or "(nothing)"


def planes(every: Iterable[tuple[Any, Any]], table: pl.DataFrame, title: str, *targets: Target) -> None:
    """States in the plane of their first two components: a row per question, a column per block.

    every   classes (question, block, labels) and plane (points [M, 2], explained)
    table   `SEPARABILITY`, in the same order
    """
    pairs = list(every)
    questions, blocks = ([*dict.fromkeys(getattr(one, key) for one, _ in pairs)] for key in ("question", "block"))
    pyplot = style.use()
    size = max(len(questions), 1), max(len(blocks), 1)
    figure, axes = pyplot.subplots(
        *size, figsize=(3.2 * size[1], 2.9 * size[0]), squeeze=False, constrained_layout=True
    )
    for (one, flat), row in zip(pairs, table.iter_rows(named=True), strict=True):
        axis = axes[questions.index(one.question), blocks.index(one.block)]
        for label, look in style.look(sorted(set(one.labels))).items():
            points = flat.points[one.labels == label]
            axis.scatter(*points.T, s=6, alpha=0.6, label=label, **look)
        axis.set_title(
            f"{one.block}: {100 * row['linear_accuracy']:.0f} % (shuffled {100 * row['permuted_accuracy']:.0f} %)"
        )
        axis.set_xticks([])
        axis.set_yticks([])
        if one.block == blocks[0]:
            axis.set_ylabel(one.question)
            axis.legend(fontsize=style.TEXT - 2)
    figure.suptitle(f"{title}; told right by a linear map")
    save_all(figure, *targets)
