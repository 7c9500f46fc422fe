"""One look for all figures."""

from typing import Any

# Okabe-Ito: told apart with every kind of color vision.
COLORS = {"own": "#D55E00", "other": "#0072B2", "random": "#999999"}
TEXT = 9


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
