"""Figures about domains: neurons by layer, sharing, overlap, lens entropy, stages, map of the pictures.

Every figure goes to as many files as are named, each in the format of its ending.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

Target = str | Path
KINDS = {"image": "image positions", "text": "text positions", "last": "last position"}
DASHES = {"image": "-", "text": "--", "last": ":"}


def _names(table: pl.DataFrame, column: str) -> list[str]:
    return table[column].unique(maintain_order=True).to_list()


def _whole_numbers(axis: Any, layers: int) -> None:
    """Ticks at layers only, at most a dozen."""
    step = max(1, -(-layers // 12))
    axis.set_xticks(range(0, layers, step))
    axis.set_xlim(-0.6, layers - 0.4)
    axis.set_xlabel("layer")


# ---- neurons -----------------------------------------------------------------------------------------------------


def layers(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Stacked bars per layer and module: neurons of each domain.

    table   `distribution.LAYERS`
    """
    pyplot = style.use()
    modules, domains = _names(table, "module"), _names(table, "domain")
    counts = {module: table.filter(pl.col("module") == module)["layer"].max() + 1 for module in modules}
    # Panels as wide as they have layers, within reason: one-layer modules stay narrow.
    widths = [min(12, max(2, count)) for count in counts.values()]
    size = (min(14, 3 + 0.55 * sum(widths)), 3.2)
    figure, axes = pyplot.subplots(
        1, len(modules), figsize=size, width_ratios=widths, squeeze=False, layout="constrained"
    )
    for axis, module in zip(axes[0], modules, strict=True):
        below = np.zeros(counts[module])
        for domain, look in style.look(domains).items():
            own = table.filter((pl.col("module") == module) & (pl.col("domain") == domain))
            axis.bar(own["layer"], own["count"], 0.8, bottom=below, color=look["color"], label=domain)
            below += own["count"].to_numpy()
        axis.set_title(module)
        axis.yaxis.get_major_locator().set_params(integer=True)
        _whole_numbers(axis, counts[module])
    axes[0, 0].set_ylabel("domain-specific neurons")
    _legend(figure, axes[0, 0], title)
    save_all(figure, *targets)


def _legend(figure: Any, axis: Any, title: str, most: int = 6) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, ncols=min(most, len(labels)), loc="outside lower center", title=title)


def sharing(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Bars: in how many domains a neuron is specific, by module.

    table   `distribution.SHARING`
    """
    pyplot = style.use()
    modules = _names(table, "module")
    # Room for a number of four digits over every bar.
    figure, axis = pyplot.subplots(figsize=(2 + 1.8 * len(modules), 3.2), layout="constrained")
    width = 0.8 / len(modules)
    for place, (module, look) in enumerate(style.look(modules).items()):
        own = table.filter(pl.col("module") == module)
        left = own["n_domains"].to_numpy() + width * (place - (len(modules) - 1) / 2)
        bars = axis.bar(left, own["count"], 0.92 * width, color=look["color"], label=module)
        axis.bar_label(bars, fontsize=style.TEXT - 3, padding=1)
    axis.set_xticks(_names(table, "n_domains"))
    axis.set_xlabel("domains that a neuron belongs to")
    axis.set_ylabel("neurons")
    _legend(figure, axis, title)
    save_all(figure, *targets)


def overlap(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Heat maps per module: share of the column's neurons that the row's domain has too.

    table   `distribution.OVERLAP`
    """
    pyplot = style.use()
    modules, domains = _names(table, "module"), _names(table, "domain_a")
    figure, axes = pyplot.subplots(
        1, len(modules), figsize=(0.9 + 2.9 * len(modules), 3.1), squeeze=False, layout="constrained"
    )
    for axis, module in zip(axes[0], modules, strict=True):
        own = table.filter(pl.col("module") == module)
        cells = own["frac_of_b"].cast(pl.Float64).to_numpy().reshape(len(domains), len(domains))
        shades = axis.imshow(cells, vmin=0, vmax=1, cmap="Blues")
        for (row, column), value in np.ndenumerate(cells):
            text, color = ("-", "black") if np.isnan(value) else (f"{value:.2f}", "white" if value > 0.6 else "black")
            axis.text(column, row, text, ha="center", va="center", fontsize=style.TEXT - 2, color=color)
        axis.set_xticks(range(len(domains)), domains)
        axis.set_yticks(range(len(domains)), domains)
        axis.set_xlabel("B")
        axis.set_title(module)
        axis.spines[:].set_visible(False)
    axes[0, 0].set_ylabel("A")
    figure.colorbar(shades, ax=axes[0, -1], label="|A and B| / |B|", shrink=0.8)
    figure.suptitle(title, fontsize=style.TEXT)
    save_all(figure, *targets)


# ---- lens --------------------------------------------------------------------------------------------------------


def entropy(table: pl.DataFrame, title: str, *targets: Target) -> None:
    """Mean lens entropy by layer, a panel per kind of position, a line per domain.

    table   `curves.ENTROPY`
    """
    pyplot = style.use()
    kinds, domains = _names(table, "token_type"), _names(table, "domain")
    figure, axes = pyplot.subplots(
        1, len(kinds), figsize=(1 + 2.7 * len(kinds), 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        for domain, look in style.look(domains).items():
            own = table.filter((pl.col("token_type") == kind) & (pl.col("domain") == domain))
            axis.plot(own["layer"], own["mean_entropy"], **look, markersize=4, linewidth=1.3, label=domain)
        axis.set_title(KINDS[kind])
        _whole_numbers(axis, table["layer"].max() + 1)
    axes[0, 0].set_ylabel("mean entropy of the lens, nats")
    axes[0, 0].set_ylim(bottom=0)
    _legend(figure, axes[0, 0], title)
    save_all(figure, *targets)


def stages(curves: pl.DataFrame, found: pl.DataFrame, verdict: str, title: str, *targets: Target) -> None:
    """Neurons by layer, entropy curves and share of whole words, with the change points and their intervals.

    curves   `stages.CURVE`, found   `stages.STAGES`; both of the scope "all"
    verdict  whether the stages can mean anything, printed in the figure
    """
    pyplot = style.use()
    curves, found = (one.filter(pl.col("scope") == "all") for one in (curves, found))
    figure, axes = pyplot.subplots(3, 1, figsize=(7, 6), sharex=True, height_ratios=(1.3, 1.3, 1), layout="constrained")
    values = {name: curves.filter(pl.col("curve") == name)["value"].to_numpy() for name in _names(curves, "curve")}
    count = len(next(iter(values.values())))
    _stacked(axes[0], {name: each for name, each in values.items() if name.startswith("neurons_")})
    for kind, words in KINDS.items():
        if f"entropy_{kind}" in values:
            own = values[f"entropy_{kind}"]
            axes[1].plot(own, DASHES[kind], marker=".", color="black", linewidth=1.3, label=words)
    axes[1].set_ylim(bottom=0)
    axes[1].set_ylabel("mean entropy, nats")
    if "words_image" in values:
        axes[2].plot(values["words_image"], marker=".", color="black", linewidth=1.3, label="image positions")
    axes[2].set_ylim(0, 1.05)
    axes[2].set_ylabel("first token is\na whole word")
    for axis in axes:
        _change_points(axis, found)
        axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    _whole_numbers(axes[2], count)
    figure.suptitle(f"{title}\n{verdict}", fontsize=style.TEXT)
    save_all(figure, *targets)


def _stacked(axis: Any, counts: Mapping[str, np.ndarray]) -> None:
    below = 0
    for name, look in style.look(list(counts)).items():
        own = counts[name]
        axis.bar(range(len(own)), own, 0.8, bottom=below, color=look["color"], label=name.removeprefix("neurons_"))
        below = below + own
    axis.set_ylabel("neurons (lang)")


def _change_points(axis: Any, found: pl.DataFrame) -> None:
    """A line before the first layer of a stage, shaded over its interval; faint and dotted where it means nothing."""
    for row in found.drop_nulls("layer").iter_rows(named=True):
        color, line = ("#555555", "-") if row["meaningful"] else ("#999999", ":")
        axis.axvline(row["layer"] - 0.5, color=color, linewidth=1.2, linestyle=line)
        if row["ci_low"] is not None:
            axis.axvspan(row["ci_low"] - 0.5, row["ci_high"] - 0.5, color="#999999", alpha=0.25, linewidth=0)


# ---- map of the pictures -----------------------------------------------------------------------------------------


def pca(table: pl.DataFrame, explained: Sequence[float], title: str, *targets: Target) -> None:
    """Pictures in the plane of two principal components, domains as colors and markers.

    table      `pca.PCA`
    explained  shares of variance of the two components
    """
    pyplot = style.use()
    figure, axis = pyplot.subplots(figsize=(5.4, 4.2), layout="constrained")
    for domain, look in style.look(_names(table, "domain")).items():
        own = table.filter(pl.col("domain") == domain)
        axis.scatter(own["pc1"], own["pc2"], s=13, alpha=0.7, linewidths=0, **look, label=domain)
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xlabel(f"component 1 ({100 * explained[0]:.1f} % of variance)")
    axis.set_ylabel(f"component 2 ({100 * explained[1]:.1f} % of variance)")
    _legend(figure, axis, title)
    save_all(figure, *targets)
