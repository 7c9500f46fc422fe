"""Figures about sparse autoencoders: how they learnt, how often their latents fire."""

from pathlib import Path

import polars as pl

from vlmscope.show import style
from vlmscope.show.figures import save_all

PANELS = {"fvu": "share of variance left", "l0": "active latents per token", "dead": "dead latents, %"}


def curve(table: pl.DataFrame, title: str, *targets: str | Path) -> None:
    """What is left of the variance, active and dead latents over the tokens seen.

    table   step, tokens, fvu, l0, dead
    """
    pyplot = style.use()
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(9, 2.6), constrained_layout=True)
    for axis, (name, label), color in zip(axes, PANELS.items(), style.SERIES, strict=False):
        values = 100 * table[name] if name == "dead" else table[name]
        axis.plot(table["tokens"], values, color=color)
        axis.set_title(label)
        axis.set_xlabel("tokens")
        if name == "fvu":
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
    figure.suptitle(title, x=0.01, ha="left")
    save_all(figure, *targets)


def density(table: pl.DataFrame, title: str, *targets: str | Path) -> None:
    """How many latents fire how often.

    table   coder, low, high (log10 of the share of tokens), latents
    """
    pyplot = style.use()
    figure, axis = pyplot.subplots(figsize=(5, 2.8), constrained_layout=True)
    coders = table["coder"].unique(maintain_order=True).to_list()
    for name, look in style.look(coders).items():
        own = table.filter(coder=name)
        axis.stairs(own["latents"], [*own["low"], own["high"][-1]], label=name, color=look["color"])
    axis.set_xlabel("log10 of the share of tokens")
    axis.set_ylabel("latents")
    axis.set_title(title)
    axis.legend()
    save_all(figure, *targets)


def title(label: str, scale: str) -> str:
    """What stands above a figure."""
    return f"{label} ({scale} scale): sparse autoencoder"
