"""Headline results of llava_interp: what becomes of visual tokens."""

from typing import Any

import polars as pl

from vlmscope.report.finding import NOTHING, Finding, Measure, Tables, highest, measured, pick, spelled
from vlmscope.report.result import Page, Result, System

RANDOM = "as many other tokens"
DIFFERENCE = ("difference_low", "difference_high")


def ablated(tables: Tables) -> Finding | None:
    """Objects lost without their tokens, beside as many others."""
    frame = tables("ablation.csv").filter(setting="generative")
    own = pick(frame, condition="object", buffer=0) or highest(frame.filter(condition="object"), "pct_decrease")
    if own is None:
        return None
    matched = pick(frame, condition="matched", buffer=own["buffer"])
    return Finding(
        "Objects that the description no longer names when their visual tokens (on average "
        f"{own['mean_tokens']:.0f}) are "
        "replaced by the mean token.",
        measured(own, "tokens of the object", "pct_decrease", ("ci_low", "ci_high")),
        (measured(matched, "as many others", "pct_decrease", ("ci_low", "ci_high")),) if matched else (),
        unit="%",
        n=f"{own['n']} pictures whose untouched answer is right",
    )


def blocked(tables: Tables) -> Finding | None:
    """What blocking the last token's look at the object costs."""
    frame = tables("knockout.csv")
    rows = frame.filter(pl.col("source").str.starts_with("object"), pl.col("control").is_not_null())
    own = highest(rows, "difference") or highest(
        frame.filter(pl.col("source").str.starts_with("object")), "correct_prob_drop"
    )
    if own is None:
        return None
    tested = own["difference"] is not None
    where = f"{own['target']} may not look at {own['source']} in layers {own['layer_first']} to {own['layer_last']}"
    value, ends = ("difference", DIFFERENCE) if tested else ("correct_prob_drop", ("drop_low", "drop_high"))
    return Finding(
        f"Drop of the right answer's probability when {where}"
        + (f", beyond that with {RANDOM}. " if tested else ". ")
        + f"{100 * own['relative_accuracy']:.0f} % of the answers stay right.",
        measured(own, "drop beyond the control" if tested else "drop", value, ends, 100),
        (NOTHING,) if tested else (),
        unit="points",
        n=f"{own['n']} pictures",
        caveat=f"The largest of {len(rows) or len(frame)} groups and windows.",
    )


def read_off(tables: Tables) -> Finding | None:
    """Patches of an object whose first word is the object."""
    frame = tables("lens_hit_rate.csv").filter(criterion="lenient", topk=1)
    own = highest(frame, "rate_mean")
    if own is None:
        return None
    return Finding(
        f"Patches of an object at which the unembedding's first word is the object, in layer {own['layer']}, "
        "the best of "
        f"{len(frame)}.",
        measured(own, "patches of the object", "rate_mean", ("ci_low", "ci_high"), 100),
        (Measure("patches beside it", 100 * own["background_mean"]),),
        unit="%",
        n=f"{own['n_images']} pictures",
    )


def segmented(tables: Tables) -> Finding | None:
    """How well the lens marks an object."""
    own = highest(tables("lens_segmentation_mean.csv"), "iou")
    if own is None:
        return None
    return Finding(
        f"Overlap of the object with the patches that the lens marks, layer {own['layer']}, the best.",
        measured(own, "lens", "iou", "iou", 100),
        (Measure("area of the object", 100 * own["share"]),),
        unit="%",
        n=f"{own['n_images']} pictures",
    )


def traced(tables: Tables) -> Finding | None:
    """How much of the answer one patch brings back."""
    frame = tables("tracing.csv").sort("layer")
    own = pick(frame, part="object")
    if own is None:
        return None
    other = pick(frame, part="other", layer=own["layer"])
    return Finding(
        "Probability of the right answer that a patch of the object brings back, all visual tokens being "
        "replaced, when "
        f"it alone gets its state back in layer {own['layer']}.",
        measured(own, "a patch of the object", "gain", "gain", 100),
        (measured(other, "a patch elsewhere", "gain", "gain", 100),) if other else (),
        unit="points",
        n=f"{own['n_images']} pictures",
    )


def one_of_two(tables: Tables) -> Finding | None:
    """Whether taking one object away leaves the other."""
    frame = tables("several_objects.csv")
    own, other = (pick(frame, condition="object", buffer=0, asked=asked) for asked in ("ablated", "other"))
    if own is None:
        return None
    return Finding(
        "Of two objects in a picture one is taken away: how often the model then denies it, and the other one.",
        measured(own, "the one taken away", "pct_lost", ("ci_low", "ci_high")),
        (measured(other, "the other one", "pct_lost", ("ci_low", "ci_high")),) if other else (),
        unit="%",
        n=f"{own['n']} questions",
    )


def attended(tables: Tables) -> Finding | None:
    """Attention on the object beyond as many other tokens."""
    own = highest(tables("attention.csv").filter(method="direct", sort="window"), "mass")
    if own is None:
        return None
    return Finding(
        f"Attention of the last token to the object and its neighbours in window {own['window']}, beyond that "
        "to as many "
        "other visual tokens.",
        measured(own, "beyond the control", "difference", DIFFERENCE, 100),
        (NOTHING,),
        unit="% of all attention",
        n=f"{own['n_images']} pictures",
    )


def tuned(tables: Tables) -> Finding | None:
    """What the affine lens reads in the first layer."""
    frame = tables("lens_tuned.csv").filter(criterion="lenient", topk=1).sort("layer")
    own, plain = (pick(frame, lens=lens) for lens in ("affine", "plain"))
    if own is None:
        return None
    return Finding(
        f"Patches of an object read as the object in layer {own['layer']}, states going through an affine map first.",
        measured(own, "affine lens", "rate_mean", ("ci_low", "ci_high"), 100),
        (measured(plain, "plain lens", "rate_mean", ("ci_low", "ci_high"), 100),) if plain else (),
        unit="%",
        n=f"{own['n_images']} pictures",
    )


def chosen(tables: Tables) -> Finding | None:
    """Answers lost without the tokens that attention chooses, beside as many random ones: the largest number."""
    own = highest(tables("choices.csv").filter(condition="attention"), "size")
    return _lost(f"Answers lost without the {own['size']} tokens of highest attention.", own) if own else None


def replaced(tables: Tables) -> Finding | None:
    """Answers lost when states of the object are replaced in the middle layer."""
    frame = tables("layers.csv").filter(part="object").sort("layer")
    own = frame.row(len(frame) // 2, named=True) if len(frame) else None
    return _lost(f"Answers lost with the object's states replaced at layer {own['layer']}.", own) if own else None


def spoken(tables: Tables) -> Finding | None:
    """Descriptions that no longer name the object under blocked attention: the largest loss."""
    frame = tables("spoken.csv").filter(pl.col("difference").is_not_null())
    own = highest(frame, "pct_lost")
    if own is None:
        return None
    says = (
        f"Descriptions that lose the object, {own['target']} not looking at {own['source']} in window {own['window']}."
    )
    return _lost(says, own)._replace(caveat=f"The largest of {len(frame)} groups and windows.")


def twins(tables: Tables) -> Finding | None:
    """How much of a picture's answer states of the object bring into its twin, in the first layer."""
    own = pick(tables("pairs.csv").sort("layer"), part="object")
    if own is None or own["difference"] is None:
        return None
    return Finding(
        f"Share of the way from one answer to its twin's, states of the object being put in at layer {own['layer']}.",
        measured(own, f"beyond {RANDOM}", "difference", DIFFERENCE, 100),
        (NOTHING,),
        unit="%",
        n=f"{own['n']} pairs of pictures",
    )


def told_apart(tables: Tables) -> Finding | None:
    """How well the lens tells objects that are there from invented ones."""
    own = pick(tables("detector.csv"), among="all", score="lens")
    if own is None:
        return None
    return Finding(
        "How well the lens tells objects that are there from invented ones (area under the curve; 0.5 is chance).",
        measured(own, "lens", "auc", "auc"),
        (Measure("chance", 0.5),),
        n=f"{own['n_present']} objects that are there, {own['n_absent']} that are not",
    )


def _lost(says: str, own: dict[str, Any]) -> Finding:
    """Share of answers lost, beyond that with as many random tokens where it was tried."""
    lost = measured(own, "lost", "pct_lost", ("ci_low", "ci_high"))
    if own["difference"] is None:
        return Finding(says, lost, unit="%", n=f"{own['n']} pictures")
    told = f"{says} {spelled(lost, '%')} in all."
    beyond = measured(own, f"lost beyond {RANDOM}", "difference", DIFFERENCE)
    return Finding(told, beyond, (NOTHING,), unit="points", n=f"{own['n']} pictures whose untouched answer is right")


SYSTEM = System(
    "llava_interp",
    "LLaVA-Interp",
    "Neo et al., 2024, arXiv 2410.07149",
    "Where does a model keep what it sees, and how does it get from visual tokens to a word?",
    (
        Result(
            "ablation.csv",
            "Visual tokens taken away",
            "Objects no longer named or affirmed, beside as many other "
            "tokens, random ones and those of the highest gradient.",
            "setting condition k buffer n pct_decrease:ci mean_tokens control difference:difference mcnemar_p paper",
            ("ablation_curve",),
            ablated,
            key=True,
        ),
        Result(
            "knockout.csv",
            "Attention blocked",
            "Answers that stay right while queries may not look at keys in a window of layers.",
            "source target window layer_first layer_last n relative_accuracy:ci "
            "correct_prob_drop:drop control difference:difference mcnemar_p paper",
            ("knockout",),
            blocked,
            key=True,
        ),
        Result(
            "lens_hit_rate.csv",
            "Patches read as words",
            "Patches of an object whose most likely tokens name it.",
            "layer criterion topk rate_mean:ci background_mean n_images",
            ("lens_hit_rate",),
            read_off,
            key=True,
        ),
        Result(
            "lens_segmentation_mean.csv",
            "The lens as a segmenter",
            "Overlap, precision and pointing of the lens by layer.",
            "layer iou:iou ap:ap pointing:pointing share n_images",
            ("lens_segmentation",),
            segmented,
        ),
        Result(
            "lens_tuned.csv",
            "Affine lens",
            "The lens behind an affine map to the last layer, fitted on another split.",
            "lens layer criterion topk rate_mean:ci background_mean difference:difference p n_images",
            (),
            tuned,
        ),
        Result(
            "tracing.csv",
            "Patches given back",
            "Share of the right answer's probability that one patch brings back.",
            "corrupted part layer n_images mean_tokens gain:gain share highest chance difference:difference p",
            ("tracing",),
            traced,
        ),
        Result(
            "choices.csv",
            "Which visual tokens matter",
            "Answers lost without tokens chosen by attention, their length or the lens, beside as many random ones.",
            "condition size n pct_lost:ci mean_tokens control difference:difference mcnemar_p on_object",
            (),
            chosen,
        ),
        Result(
            "layers.csv",
            "Where the object's states matter",
            "Answers lost when states of the object's tokens are replaced at one layer, beside as many other tokens.",
            "part layer n pct_lost:ci mean_tokens control difference:difference mcnemar_p",
            (),
            replaced,
        ),
        Result(
            "spoken.csv",
            "Attention blocked while a description is written",
            "Descriptions that no longer name the object, beside as many other tokens.",
            "source target window layer_first layer_last n pct_lost:ci control difference:difference mcnemar_p changed",
            (),
            spoken,
        ),
        Result(
            "several_objects.csv",
            "One of two objects",
            "Denials of the object taken away and of the one that stays.",
            "condition buffer asked n pct_lost:ci mean_tokens against difference:difference mcnemar_p",
            (),
            one_of_two,
        ),
        Result(
            "pairs.csv",
            "States put into twins",
            "Pictures that differ in one object: states of one put into the other, beside as many other tokens.",
            "part layer n mean_tokens recovered:recovered flipped:flipped control difference:difference p",
            (),
            twins,
        ),
        Result(
            "detector.csv",
            "Objects that are there and invented ones",
            "Scores that tell them apart, by area under the curve.",
            "among score n_present n_absent auc:auc control difference:difference answer_mode",
            (),
            told_apart,
        ),
        Result(
            "attention.csv",
            "Attention to the object",
            "Directly and by rollout, and its rank correlation with what blocking costs.",
            "method sort window layer_first layer_last n_images mass:mass random_mass "
            "difference:difference knockout_drop over n rank_correlation:rank",
            (),
            attended,
        ),
    ),
    (
        Page("lens", "Patches as words, picture by picture", "index.html"),
        Page("compare.html", "Models side by side"),
    ),
)
