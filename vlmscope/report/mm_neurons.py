"""Headline results of mm_neurons: neurons that write a caption's words."""

import polars as pl

from vlmscope.report.finding import Finding, Tables, measured, pick, spelled, stand_ins
from vlmscope.report.result import Page, Result, System

# What the paper shows most: neurons by contribution, activations of the activation function, ten per noun.
SHOWN = {"activation": "act_fn", "k": 10}
INTERVAL = ("ci_low", "ci_high")
RANDOM = "random neurons"
LIKENESS = ("bertscore", "moverscore", "bleurt")


def _both(frame: pl.DataFrame, **where: object) -> tuple[dict | None, dict | None]:
    """Rows of the neurons by contribution and of random ones."""
    own, chance = (pick(frame, method=method, **SHOWN, **where) for method in ("contribution", "random"))
    return own, chance


def semantic(tables: Tables) -> Finding | None:
    """How often a neuron's best tokens hold the noun."""
    frame = tables("table_semantic.csv")
    own, chance = _both(frame, ref="noun")
    if own is None:
        return None
    return Finding(
        "How many of the ten neurons that contribute most to a noun have it among their decoded tokens.",
        measured(own, "by contribution", "match_at_k", INTERVAL, 100),
        (measured(chance, RANDOM, "match_at_k", INTERVAL, 100),) if chance else (),
        unit="%",
        n=f"{own['n']} pictures",
        caveat=stand_ins((own[f"{name}_by"] for name in LIKENESS), "Likeness in the table, not this share"),
    )


def sensitive(tables: Tables) -> Finding | None:
    """Whether maps of neurons lie on the thing."""
    own, chance = _both(tables("table_image_sensitivity.csv"))
    if own is None:
        return None
    return Finding(
        "How far the maps of a noun's ten best neurons lie on the thing (intersection over union, percent).",
        measured(own, "by contribution", "iou", "iou", 100),
        (measured(chance, RANDOM, "iou", "iou", 100),) if chance else (),
        unit="%",
        n=f"{own['n']} pictures, regions from {own['regions']}",
    )


def invariant(tables: Tables) -> Finding | None:
    """Whether the same neurons are found after the image tokens have changed places."""
    own, chance = _both(tables("table_region_invariance.csv"), mode="forced")
    if own is None:
        return None
    return Finding(
        "How many of a noun's ten best neurons stay when image tokens change places and the same caption is read.",
        measured(own, "by contribution", "overlap", INTERVAL, 100),
        (measured(chance, RANDOM, "overlap", INTERVAL, 100),) if chance else (),
        unit="%",
        n=f"{own['n']} pictures, {own['nouns']} nouns",
    )


def shared(tables: Tables) -> Finding | None:
    """Whether pictures share neurons for the same noun."""
    own, _ = _both(tables("table_cross_image.csv"))
    if own is None:
        return None
    return Finding(
        "How many of ten neurons two pictures have in common for the same noun.",
        measured(own, "same noun", "overlap_same", "same", 100),
        (measured(own, "different nouns", "overlap_diff", "diff", 100),),
        unit="%",
        n=f"{own['n']} pictures, {own['n_nouns']} nouns",
    )


def specific(tables: Tables) -> Finding | None:
    """Whether nouns of a picture have neurons of their own."""
    own, chance = _both(tables("table_specificity.csv"))
    if own is None:
        return None
    return Finding(
        "One minus the share of neurons that two nouns of a picture have in common.",
        measured(own, "by contribution", "specificity", INTERVAL, 100),
        (measured(chance, RANDOM, "specificity", INTERVAL, 100),) if chance else (),
        unit="%",
        n=f"{own['n']} pictures, {own['pairs']} pairs of nouns",
        expected="below",
        caveat="Random sets are the more specific ones, as they must be: a high specificity by itself says little.",
    )


def removed(tables: Tables) -> Finding | None:
    """Whether a noun leaves the caption when its neurons are zeroed."""
    frame = tables("table_perturb.csv").filter(kind="zero", activation="act_fn")
    own = pick(frame.filter(set="contribution").sort("k", descending=True))
    if own is None:
        return None
    chance = pick(tables("table_perturb.csv"), set="random", kind="zero", k=own["k"])
    return Finding(
        f"How often a noun leaves the caption when the {own['k']} neurons that contribute most to it are zeroed.",
        measured(own, "by contribution", "noun_gone", INTERVAL, 100),
        (measured(chance, RANDOM, "noun_gone", INTERVAL, 100),) if chance else (),
        unit="%",
        n=f"{own['n']} pictures, {own['nouns']} nouns",
    )


def edited(tables: Tables) -> Finding | None:
    """What an edit of weights reaches, and what it spoils."""
    row = pick(tables("table_edit.csv"), method="closed_form", applied="alone")
    if row is None:
        return None
    parts = {name: spelled(measured(row, "", name, name, 100), "%") for name in ("success", "generality", "locality")}
    return Finding(
        f"Weights edited so that \u201c{row['source']}\u201d becomes \u201c{row['target']}\u201d, closed "
        "form: the edited "
        f"captions follow in {parts['success']}, other captions with the word in {parts['generality']}; captions "
        f"without it stay the same in {parts['locality']}.",
        n=f"{row['success_n']}, {row['generality_n']} and {row['locality_n']} captions",
    )


def hooked(tables: Tables) -> Finding | None:
    """How far the two readings of an activation agree."""
    row = pick(tables("table_hook_compare.csv"), method="contribution", k=10)
    if row is None:
        return None
    return Finding(
        "How many of the ten best neurons are the same whether the activation function's output or the down "
        "projection's input counts as activation.",
        measured(row, "by contribution", "overlap", INTERVAL, 100),
        unit="%",
        n=f"{row['n_images']} pictures",
    )


def counted(tables: Tables) -> Finding:
    """Nouns of the captions."""
    row = tables("noun_counts.csv").row(0, named=True)
    return Finding(
        f"{row['nouns']} nouns in {row['captions']} captions, {row['different']} different; {row['not_in_picture']} of "
        "them are of things that the picture does not show."
    )


def layered(tables: Tables) -> Finding | None:
    """Where the best neurons lie."""
    frame = tables("layers.csv").filter(method="contribution", **SHOWN).sort("layer")
    every = frame["count"].sum()
    if not every:
        return None
    told = ", ".join(
        f"{100 * row['count'] / every:.0f} % in layer {row['layer']}" for row in frame.iter_rows(named=True)
    )
    return Finding(f"The ten best neurons by contribution: {told}.", n=f"{every} neurons, counted once per noun")


SYSTEM = System(
    "mm_neurons",
    "MM_Neurons",
    "Pan et al., 2024, arXiv 2311.07470",
    "Which neurons write a word of a caption, what do they say, and does the word leave with them?",
    (
        Result(
            "table_semantic.csv",
            "Do neurons say the noun?",
            "Decoded tokens of the best neurons against noun and caption.",
            "method activation k ref match_at_k:ci bertscore moverscore bleurt n paper",
            (),
            semantic,
            key=True,
        ),
        Result(
            "table_perturb.csv",
            "Does the noun leave with its neurons?",
            "Neurons zeroed or with noise on their output weights, beside random ones.",
            "set activation kind k sigma noun_gone:ci dlogp:dlogp caption_changed:changed n",
            (),
            removed,
            key=True,
        ),
        Result(
            "table_image_sensitivity.csv",
            "Do neurons look at the thing?",
            "Maps of the best neurons against where the thing is.",
            "method activation k iou:iou iou_same_area:iou_same_area pointing:pointing "
            "positive_share:positive_share area n paper",
            ("fig_measures",),
            sensitive,
            key=True,
        ),
        Result(
            "table_region_invariance.csv",
            "Image tokens shuffled",
            "Share of best neurons that stay; free: the caption is written anew, forced: the original one is read.",
            "method activation k mode overlap:ci lost_nouns chance n nouns paper",
            (),
            invariant,
        ),
        Result(
            "table_cross_image.csv",
            "Across pictures",
            "Neurons that two pictures have in common.",
            "method activation k m_images overlap_same:same overlap_diff:diff gap:gap n_nouns n paper",
            (),
            shared,
        ),
        Result(
            "table_specificity.csv",
            "Specific to a noun",
            "One minus the share of neurons that two nouns of a picture have in common.",
            "method activation k specificity:ci mean_nouns_per_neuron n paper",
            (),
            specific,
        ),
        Result(
            "table_edit.csv",
            "Knowledge edited",
            "Weights changed so that one word becomes another: success on the "
            "edited captions, on others with the word, and none on captions without it.",
            "source target method applied K success:success generality:generality locality:locality ppl:ppl "
            "weights seconds "
            "paper",
            (),
            edited,
        ),
        Result(
            "layers.csv",
            "Layers of the best neurons",
            "Counts by layer; unique: every neuron once.",
            "method activation k layer count unique_count",
            ("fig_layers",),
            layered,
        ),
        Result(
            "table_hook_compare.csv",
            "Two readings of an activation",
            "Overlap of the lists that both readings give.",
            "method k overlap:ci rank_correlation n_images",
            (),
            hooked,
        ),
        Result("noun_counts.csv", "Nouns of the captions", "What the captions hold.", "", (), counted),
        Result("table_runtime.csv", "What it costs", "Seconds of each step, from the benchmark files of this run."),
    ),
    (
        Page("gallery.html", "Gallery: click a word of a caption"),
        Page("catalogue.html", "Catalogue: which neurons write a noun"),
        Page("table_examples.html", "Neurons by every method, side by side"),
    ),
)
