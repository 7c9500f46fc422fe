"""Headline results of xl_vlms: concepts of a word, how they shift, and steering."""

import polars as pl

from vlmscope.report import xl_steering
from vlmscope.report.finding import (
    NOTHING,
    Finding,
    Measure,
    Tables,
    highest,
    measured,
    number,
    pick,
    stand_ins,
)
from vlmscope.report.result import Page, Result, System

# The method and the number of concepts of the first paper, where a table has several.
METHOD = "snmf"


def shifted(tables: Tables) -> Finding | None:
    """For how many words and fine-tunes the shift leads to the fine-tuned concepts."""
    frame = tables("shift.csv").filter(goal="matched")
    own, chance = frame.filter(arm="shift"), frame.filter(arm="random")
    if not len(own):
        return None
    gained = own.filter(pl.col("cosine_gain_low") > 0)
    # The lead of the shift over an arm stands in that arm's row.
    ahead = gained.join(chance.filter(pl.col("cosine_lead_low") > 0), on=["finetune", "token"], how="semi")
    return Finding(
        f"Adding the shift brings concepts closer to those of the fine-tuned model than no shift in {len(gained)} of "
        f"{len(own)} pairs of fine-tune and word; in {len(ahead)} of these it is closer than a random shift of equal "
        "length too (intervals of the difference in cosine above zero).",
        n=f"{own['n'].min()} to {own['n'].max()} samples each, tried on the half that the shift was not found on",
        count=(len(ahead), len(own)),
    )


def rebuilt(tables: Tables) -> Finding | None:
    """Error of held-out states beside random dictionaries."""
    frame = tables("cox_recon.csv").filter(method=METHOD).sort("k", descending=True)
    row = pick(frame)
    if row is None:
        return None
    return Finding(
        f"Share of held-out states of \u201c{row['token']}\u201d that {row['k']} concepts do not rebuild ({METHOD}).",
        measured(row, "concepts", "error_test", ("low", "high"), 100),
        (Measure("as many random samples, least squares", 100 * row["error_random"]),),
        unit="%",
        n=f"{row['n_test']} held-out samples",
        expected="below",
    )


def grounded(tables: Tables) -> Finding | None:
    """Words of concepts against pictures, beside random words: the weakest of the configured words."""
    frame = tables("cox_table1.csv").filter(method=METHOD, metric="CS", top_k=1)
    if not len(frame):
        return None
    row = frame.sort("over_random", maintain_order=True).row(0, named=True)
    above = frame.filter(pl.col("over_random_low") > 0)
    return Finding(
        f"CLIPScore of a concept's words above that of random words, for \u201c{row['token']}\u201d, the weakest of "
        f"{len(frame)} words; in {len(above)} the interval is above zero.",
        measured(row, f"above random ({METHOD})", "over_random", "over_random"),
        (NOTHING,),
        n=f"{row['n_test']} held-out samples",
        caveat=stand_ins([row["by"]]),
    )


def classes(tables: Tables) -> Finding | None:
    """Whether concepts follow what pictures show."""
    frame = tables("concept_classes.csv").filter(method=METHOD)
    row = highest(frame, "nmi")
    if row is None:
        return None
    above = frame.filter(pl.col("nmi_low") > pl.col("nmi_shuffled"))
    other = [("shuffled classes", "nmi_shuffled"), ("random samples", "nmi_random_samples")]
    return Finding(
        f"Mutual information of concepts and the {row['kind']} of things for \u201c{row['token']}\u201d, the highest; "
        f"above shuffled classes in {len(above)} of {len(frame)} words and kinds.",
        measured(row, METHOD, "nmi", "nmi"),
        tuple(Measure(name, row[key]) for name, key in other if row[key] is not None),
        n=f"{row['n']} samples",
        caveat=f"The highest of {len(frame)}.",
    )


def faithful(tables: Tables) -> Finding | None:
    """What becomes of the word when its most active concept is taken away."""
    frame = tables("faithful.csv").filter(method=METHOD, edit="delete", concepts=1)
    own, chance = (pick(frame, which=which) for which in ("most_active", "random_concepts"))
    if own is None:
        return None
    return Finding(
        f"Probability of \u201c{own['token']}\u201d when one concept is taken out of the state; "
        f"{number(own['unedited'])} before.",
        measured(own, "most active concept", "probability", ("low", "high")),
        (measured(chance, "a random concept", "probability", ("low", "high")),) if chance else (),
        n=f"{own['n']} samples",
        expected="below",
    )


def stable(tables: Tables) -> Finding | None:
    """Whether other samples give the same concepts: the least stable of the configured words."""
    frame = tables("stability.csv").filter(method=METHOD, kind="subsamples")
    if not len(frame):
        return None
    row = frame.sort("cosine", maintain_order=True).row(0, named=True)
    return Finding(
        f"Cosine of matched concepts when samples are drawn anew, for \u201c{row['token']}\u201d, the least stable of "
        f"{len(frame)} words.",
        measured(row, METHOD, "cosine", ("low", "high")),
        (Measure("random samples", row["random_samples"]), Measure("random directions", row["random_directions"])),
        n=f"{row['runs']} runs",
    )


def across(tables: Tables) -> Finding | None:
    """How alike states of two models are: the least alike pair."""
    frame = tables("across_models.csv")
    if not len(frame):
        return None
    row = frame.sort("cka", maintain_order=True).row(0, named=True)
    return Finding(
        f"Likeness (CKA) of the states of {row['model']} and {row['other']} at \u201c{row['token']}\u201d, the least "
        f"alike of {len(frame)} pairs and words.",
        measured(row, "same pictures", "cka", "cka"),
        (Measure("shuffled pictures, 97.5 % quantile", row["cka_shuffled_high"]),),
        n=f"{row['n']} pictures",
    )


STEER = (
    "vector block alpha n acc:acc d_wanted:d_wanted wanted_pct random_d_wanted shuffled_d_wanted "
    "d_acc_off:d_acc_off changed_pct:changed"
)
ACCURACIES = "acc_yesno:acc_yesno acc_number:acc_number acc_other:acc_other"
SYSTEM = System(
    "xl_vlms",
    "XL-VLMs",
    "Parekh et al., 2024, arXiv 2406.08074; Khayatan et al., 2025, arXiv 2501.03012; Parekh et al., "
    "2025, arXiv 2508.12815",
    "Which concepts stand behind a word, how does fine-tuning move them, and can a vector steer answers?",
    (
        Result(
            "steer_targeted.csv",
            "Targeted steering of answers",
            "Answers that become the wanted one, beside random directions and shuffled labels of equal length.",
            STEER,
            ("steer_alpha",),
            xl_steering.targeted,
            key=True,
        ),
        Result(
            "steer_captions.csv",
            "Captions steered to a style",
            "Captions with a word of the style, and what is left of their quality.",
            "vector kind block alpha n with_style_pct:with_style_pct changed_pct:changed_pct cider:cider bleu4:bleu4",
            ("steer_captions",),
            xl_steering.captions,
        ),
        Result(
            "shift.csv",
            "Concepts shifted by fine-tuning",
            "Shift vectors from one half of the samples, tried on the other half.",
            "finetune token goal arm n cosine:cosine cosine_gain:cosine_gain t_overlap:t_overlap "
            "t_overlap_gain:t_overlap_gain",
            ("shift",),
            shifted,
            key=True,
        ),
        Result(
            "dictionaries.csv",
            "Concept dictionaries",
            "Error, sparsity and shared words of every dictionary.",
            "token module method k n error error_test:error_test sparsity active dead overlap_list own_word",
            ("cox_recon",),
            rebuilt,
        ),
        Result(
            "cox_table1.csv",
            "Words of concepts",
            "CLIPScore against pictures (CS) and likeness to captions (BS), beside random words and captions.",
            "token metric top_k method mean over_random:over_random n_test by published_mean published_std",
            ("cox_fig3", "cox_layers"),
            grounded,
            key=True,
        ),
        Result(
            "concept_classes.csv",
            "Do concepts follow what pictures show?",
            "Normalised mutual information with colour, place, position and number of things.",
            "token method kind n classes nmi:nmi nmi_shuffled nmi_random_samples nmi_random_directions purity:purity",
            (),
            classes,
        ),
        Result(
            "faithful.csv",
            "Concepts taken away",
            "Probability of the word with concepts deleted or alone.",
            "token method edit which concepts n probability unedited unchanged",
            (),
            faithful,
        ),
        Result(
            "stability.csv",
            "Other seeds, other samples",
            "Cosine of matched concepts between runs.",
            "token method k kind runs cosine random_samples random_directions",
            (),
            stable,
        ),
        Result(
            "separability.csv",
            "Are answers separable?",
            "Linear probes of states by block, beside permuted answers.",
            "question module classes n linear_accuracy:linear permuted_accuracy silhouette permuted_silhouette",
            ("separability",),
            xl_steering.separable,
        ),
        Result(
            "steer_type.csv",
            "Steering of the type of answer",
            "Accuracies by type of answer under vectors between types.",
            f"vector block alpha n {ACCURACIES} changed_pct:changed",
        ),
        Result(
            "ablation_alpha.csv",
            "Strength of steering",
            "Accuracies over the strength.",
            f"vector block alpha n {ACCURACIES} d_wanted:d_wanted",
            ("ablation_alpha",),
        ),
        Result(
            "ablation_layer.csv",
            "Layer of steering",
            "Accuracies over the layer.",
            f"vector block alpha n {ACCURACIES} d_wanted:d_wanted",
            ("ablation_layer",),
        ),
        Result(
            "learned_pope.csv",
            "Learned steering: POPE",
            "A network writes the vector for every prompt; p2s knows the right answer.",
            "subset method alpha n accuracy_pct:accuracy p f1_pct yes_pct published_accuracy_pct",
            (),
            xl_steering.pope,
        ),
        Result("learned_safety.csv", "Learned steering: safety", "A network writes the vector for every prompt."),
        Result(
            "across_models.csv",
            "Concepts across models",
            "Likeness of states (CKA) and of matched concepts over the pictures that both models have.",
            "token model other n cka:cka cka_shuffled cka_p matched:matched matched_shuffled matched_p",
            (),
            across,
        ),
        Result(
            "steer_models.csv",
            "Steering across models",
            "The same vectors in every model.",
            "model vector block alpha n acc:acc d_wanted:d_wanted random_d_wanted shuffled_d_wanted",
        ),
    ),
    (
        Page("steering.html", "Steering: a slider"),
        Page("concepts_*.html", "Concepts of a word"),
        Page("local_*.html", "Concepts in single pictures"),
        Page("shift_panels_*.html", "Concepts before and after fine-tuning"),
    ),
)
