"""One look for all figures."""

from collections.abc import Sequence
from typing import Any

# Okabe-Ito: told apart with every kind of color vision.
COLORS = {"own": "#D55E00", "other": "#0072B2", "random": "#999999"}
# For lists of any names, such as domains, in their order; markers tell them apart without color.
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TEXT = 9


def look(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Name -> color and marker, by its place in the list."""
    return {
        name: {"color": SERIES[place % len(SERIES)], "marker": MARKERS[place % len(MARKERS)]}
        for place, name in enumerate(names)
    }


def use() -> Any:
    """Matplotlib without a screen and with the house's settings; SVG output is the same in every run."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {
            "font.size": TEXT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": TEXT + 1,
            "axes.titlelocation": "left",
            "figure.dpi": 150,
            "legend.frameon": False,
            "savefig.bbox": "tight",
            "svg.hashsalt": "vlmscope",
            "svg.fonttype": "none",
        }
    )
    from matplotlib import pyplot

    return pyplot


def widen(axis: Any, least: float) -> None:
    """Let a vertical axis reach as far as `least` on both sides of zero, so that nothing does not look like much."""
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, -least), max(high, least))
