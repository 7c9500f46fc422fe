"""Figures of what the systems together tell of one model."""

from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

Target = str | Path
LABELS = {
    "lens": "patches whose token\nis the object's word",
    "concept": "word's direction tells\nits states (area)",
    "word neurons": "share of the\nwords' neurons",
    "domain neurons": "share of the\ndomains' neurons",
    "blocked attention": "probability lost, last position\nblind for the object",
}
MOST_TICKS = 9


def title(what: str, *, label: str, scale: str) -> str:
    """Heading of a figure."""
    return f"{label} ({scale} scale): {what}"


def depth(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """A panel per quantity over depth: value with its interval, and its control.

    table   `atlas.depth.DEPTH`
    """
    pyplot = style.use()
    names = table["what"].unique(maintain_order=True).to_list()
    figure, axes = pyplot.subplots(
        1, len(names), figsize=(2.3 * len(names), 2.9), sharex=True, squeeze=False, layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.TEXT + 2)
    last = int(table["depth"].max() or 0)
    for axis, (name, look) in zip(axes[0], style.look(names).items(), strict=True):
        _panel(axis, table.filter(what=name).sort("depth"), look)
        axis.set_title(LABELS.get(name, name))
        axis.set_xticks(range(0, last + 1, -(-(last + 1) // MOST_TICKS)))
        axis.set_xlabel("depth (blocks)")
        low, high = axis.get_ylim()
        axis.set_ylim(min(0.0, low), max(high, 0.05))
    handles = [pyplot.Line2D([], [], color=style.COLORS["random"], linestyle="dashed"), _dot(pyplot)]
    figure.legend(handles, ["control", "half of its effect reached"], ncols=2, loc="outside lower center")
    save_all(figure, *targets)


def _dot(pyplot: Any) -> Any:
    ring = {"markeredgecolor": "black", "marker": "o", "markersize": 9, "markerfacecolor": "none"}
    return pyplot.Line2D([], [], color="none", **ring)


def _panel(axis: Any, own: pl.DataFrame, look: dict[str, str]) -> None:
    axis.plot(own["depth"], own["control"], color=style.COLORS["random"], linestyle="dashed")
    known = own.drop_nulls(["value", "low", "high"])
    axis.fill_between(known["depth"], known["low"], known["high"], color=look["color"], alpha=0.2, linewidth=0)
    axis.plot(own["depth"], own["value"], **look)
    reached = own.filter("half")
    axis.plot(reached["depth"], reached["value"], "o", markersize=11, markerfacecolor="none", markeredgecolor="black")


# ---- steering -----------------------------------------------------------------------------------------------------

# One colour per way; what is random in grey.
WAYS = ("concept", "latent", "neurons", "logit", "edit")
DASHES = {"random": "dashed", "random neurons": "dotted", "random edit": "dashdot"}


def _looks(names: list[str]) -> dict[str, dict[str, Any]]:
    looks: dict[str, dict[str, Any]] = dict(style.look([*WAYS, *(name for name in names if name not in WAYS)]))
    for name in DASHES.keys() & looks.keys():
        looks[name] |= {"color": style.COLORS["random"], "linestyle": DASHES[name]}
    if "edit elsewhere" in looks:
        looks["edit elsewhere"] |= {"color": looks["edit"]["color"], "linestyle": "dotted"}
    return looks


def steering(table: pl.DataFrame, dose: pl.DataFrame, heading: str, *targets: Target) -> None:
    """Gain and loss at equal effect, with intervals over pictures, and gain against loss over strength.

    table, dose   `atlas.compared.STEERING`, `DOSE`
    """
    pyplot = style.use()
    own = table.filter(word="all")
    names = own["method"].to_list()
    looks = _looks(names)
    figure, axes = pyplot.subplots(1, 3, figsize=(12.5, 3.8), layout="constrained")
    figure.suptitle(heading, x=0.01, ha="left", fontsize=style.TEXT + 2)
    _bars(axes[0], own, "gain", looks, "gain of the word, nats")
    _bars(axes[1], own, "loss", looks, "loss of answers about\nother objects, nats")
    for name in names:
        part = dose.filter(method=name).sort("strength")
        axes[2].plot(part["loss"].clip(0), part["gain"], label=name, **looks[name])
    axes[2].set_xscale("symlog", linthresh=0.01)
    axes[2].set_title("over strength (other pictures)")
    axes[2].set_xlabel("loss, nats")
    axes[2].set_ylabel("gain, nats")
    axes[2].legend(fontsize=style.TEXT - 2, loc="center left", bbox_to_anchor=(1.02, 0.5))
    save_all(figure, *targets)


def _bars(axis: Any, own: pl.DataFrame, name: str, looks: dict[str, dict[str, Any]], heading: str) -> None:
    places = range(len(own))
    middle = own[name].to_numpy()
    whiskers = abs(own.select(f"{name}_low", f"{name}_high").to_numpy().T - middle)
    colors = [looks[one]["color"] for one in own["method"]]
    axis.barh(places, middle, 0.7, xerr=whiskers, color=colors, error_kw={"elinewidth": 0.8})
    axis.set_yticks(places, own["method"].to_list())
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_title("at equal effect:\n" + heading)
