"""Cards of steered latents."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from vlmscope.show import style
from vlmscope.show.figures import save_all
from vlmscope.show.visual_tokens import Target
from vlmscope.show.xl_pages import legible

# Category -> what stands on its mark, and its color.
MARKS = {
    "no_effect": ("no effect", "#777777"),
    "names": ("names it", "#00785A"),
    "reasons": ("reasons from it", "#0072B2"),
    "unrelated": ("unrelated", "#B34A00"),
    "unclear": ("unclear", "#777777"),
}
HEADS = ("before", "with the latent held", "with a random latent")
# Letters of a line, lines of an answer, inches of a line of the card.
WIDE, LINES, TALL = 27, 5, 1.35


def draw(card: Mapping[str, Any], title: str, *targets: Target) -> None:
    """A line per question: picture, answers before, with the latent, with a random one; beside it all values.

    card   see `multimodal_sae.figures.cards.card`
    """
    pyplot = style.use()
    examples = card["examples"]
    figure = pyplot.figure(figsize=(11.2, 0.9 + TALL * max(2, len(examples))), layout="constrained")
    figure.suptitle(_head(card, title), x=0.01, ha="left", fontsize=style.TEXT + 1, parse_math=False)
    left, right = figure.subfigures(1, 2, width_ratios=[3.1, 1])
    axes = left.subplots(max(1, len(examples)), 4, squeeze=False, width_ratios=[1, 1.6, 1.6, 1.6])
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, name in zip(axes[0, 1:], HEADS, strict=True):
        axis.set_title(name, color="#555555")
    for row, one in zip(axes, examples, strict=False):
        _line(row, one)
    _dose(right.subplots(), card)
    right.legend(fontsize=style.TEXT - 1, loc="outside lower center")
    save_all(figure, *targets)


def _head(card: Mapping[str, Any], title: str) -> str:
    how = f"held at {card['value']:g} ({card['mode']}, {card['positions']})"
    return "\n".join(legible([f"Latent {card['feature']}, \u201c{card['description']}\u201d, {how}", title]))


def _line(axes: Sequence[Any], one: Mapping[str, Any]) -> None:
    if one["picture"] is not None:
        axes[0].imshow(one["picture"])
    else:
        axes[0].text(0.5, 0.5, "no picture", ha="center", va="center", color="#777777", transform=axes[0].transAxes)
    axes[0].set_title(_cut(one["prompt"], 1), fontsize=style.TEXT - 2, parse_math=False)
    _told(axes[1], one["original"])
    _told(axes[2], one["steered"], one)
    if one["control"] is not None:
        _told(axes[3], one["control"]["steered"], one["control"], [f"latent {one['control']['feature']}"])


def _told(axis: Any, text: str, judged: Mapping[str, Any] | None = None, more: Sequence[str] = ()) -> None:
    """An answer, and below it what became of it."""
    axis.text(0, 0.92, _cut(text, LINES), va="top", transform=axis.transAxes, linespacing=1.35, parse_math=False)
    if judged:
        mark, color = MARKS[judged["category"]]
        look = {"boxstyle": "round,pad=0.25", "facecolor": color, "edgecolor": "none"}
        chip = axis.text(0.015, 0.04, mark, color="white", fontsize=style.TEXT - 2, transform=axis.transAxes, bbox=look)
        rated = [f"{judged['relevance']} of 10"] if judged["relevance"] is not None else []
        beside = {"xycoords": chip, "xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        axis.annotate(", ".join([*rated, *more]), (1, 0.5), fontsize=style.TEXT - 2, color="#555555", **beside)


def _cut(text: str, lines: int) -> str:
    """A text in lines of equal width, long ones cut."""
    return textwrap.fill(legible(text) or "(nothing)", WIDE, max_lines=lines, placeholder=" \u2026")


def _dose(axis: Any, card: Mapping[str, Any]) -> None:
    """Share of answers that name the thing, by value: the latent's modes, and random latents in the card's mode."""
    values = sorted({one["value"] for one in card["dose"]})
    modes = list(dict.fromkeys(one["mode"] for one in card["dose"]))
    looks = [(True, mode, mode, look) for mode, look in style.look(modes).items()]
    control = {"color": style.COLORS["random"], "marker": "x", "linestyle": "--"}
    looks.append((False, card["mode"], f"random latents, {card['mode']}", control))
    # Side by side, so that no interval hides another.
    step = 0.02 * ((values[-1] - values[0]) or 1)
    for place, (held, mode, label, look) in enumerate(looks):
        own = [one for one in card["dose"] if (one["held"], one["mode"]) == (held, mode)]
        _series(axis, own, step * (place - (len(looks) - 1) / 2), label, look)
    axis.set_xticks(values, [f"{one:g}" for one in values])
    axis.set(ylim=(-0.03, 1.03), xlabel="value of the latent")
    most = max((one["n"] for one in card["dose"] if one["held"]), default=0)
    axis.set_title(
        f"answers that name it, share\n({most} about pictures without it or\nno picture; 95 %; judge: {card['judge']})"
    )


def _series(axis: Any, own: Sequence[Mapping[str, Any]], shift: float, label: str, look: Mapping[str, Any]) -> None:
    if own:
        own = sorted(own, key=lambda one: one["value"])
        # Rounding may put a share of 0 or 1 outside of its interval by a last place.
        whiskers = [
            [max(0.0, sign * (one["share"] - one[end])) for one in own] for sign, end in ((1, "low"), (-1, "high"))
        ]
        places, middle = [one["value"] + shift for one in own], [one["share"] for one in own]
        axis.errorbar(places, middle, yerr=whiskers, label=label, markersize=4, elinewidth=0.7, **look)
