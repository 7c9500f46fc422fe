"""Figure of answers without chosen tokens, without states of a layer, and of twins with states of their pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

RULES = {
    "object": "object",
    "lens": "the lens says the class",
    "attention": "attention of the last token",
    "rollout": "rollout of attention",
    "norm": "longest tokens",
    "norm_tower": "longest tokens of the tower",
    "random": "random",
}
PARTS = {"object": "object", "matched": "as many others", "question": "question", "last": "last token"}
Bounds = tuple[str, str, str]


def draw(choices: pl.DataFrame, layers: pl.DataFrame, pairs: pl.DataFrame, title: str, *targets: str | Path) -> None:
    """Three panels; bands are 95 % intervals."""
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    rules = {name: choices.filter(pl.col("size").is_not_null(), condition=name).sort("size") for name in RULES}
    _lines(axes[0], rules, RULES, "size", ("pct_lost", "ci_low", "ci_high"))
    axes[0].set(title="tokens that a rule chose, taken away", xlabel="tokens", ylabel="answers lost, %", xscale="log")
    sizes = sorted(set(choices["size"].drop_nulls().to_list()))
    axes[0].set_xticks(sizes, [str(one) for one in sizes])
    axes[0].minorticks_off()
    parts = {name: layers.filter(part=name).sort("layer") for name in ("object", "matched")}
    _lines(axes[1], parts, PARTS, "layer", ("pct_lost", "ci_low", "ci_high"))
    axes[1].set(title="states of one layer, taken away", xlabel="layer", ylabel="answers lost, %")
    put = {name: pairs.filter(part=name).sort("layer") for name in PARTS}
    _lines(axes[2], put, PARTS, "layer", ("recovered", "recovered_low", "recovered_high"))
    axes[2].set(title="states put into the twin", xlabel="layer", ylabel="share of the way back")
    for axis in axes:
        if axis.lines:
            axis.legend(loc="best", fontsize=style.TEXT - 2)
    for axis in axes[1:]:
        axis.xaxis.get_major_locator().set_params(integer=True)
    save_all(figure, *targets)


def _lines(axis: Any, groups: Mapping[str, pl.DataFrame], labels: Mapping[str, str], x: str, bounds: Bounds) -> None:
    """A line per group that has rows."""
    looks = style.look(list(labels))
    for name, rows in groups.items():
        if rows.is_empty():
            continue
        at, middle, low, high = (rows[key].to_numpy() for key in (x, *bounds))
        axis.plot(at, middle, label=labels[name], markersize=4, **looks[name])
        axis.fill_between(at, low, high, color=looks[name]["color"], alpha=0.15, linewidth=0)
