"""Headline results of the atlas: what the systems find, held against each other in one model."""

import polars as pl

from vlmscope.report.finding import Finding, Measure, Tables, measured, number, pick
from vlmscope.report.result import Result, System


def both(tables: Tables) -> Finding | None:
    """Whether neurons that write words are those of a domain."""
    own = pick(tables("neurons.csv"), word="all", domain="any", layer="all")
    if own is None or not own["expected"]:
        return None
    return Finding(
        f"{own['both']} of the {own['word_neurons']} neurons that write a word belong to a domain, "
        f"{number(own['expected'])} are expected by chance.",
        measured(own, "found over expected", "ratio", "ratio"),
        (Measure("chance", 1.0, *(own[f"random_{end}"] / own["expected"] for end in ("low", "high"))),),
        n=f"{own['pictures']} pictures; p = {number(own['p'])}",
    )


def directions(tables: Tables) -> Finding | None:
    """Words and concepts that a latent meets better than random directions."""
    frame = tables("directions.csv").filter(pl.col("random_p").is_not_null())
    if not len(frame):
        return None
    met = frame.filter(pl.col("random_p") < 0.05)
    return Finding(
        f"For {len(met)} of {len(frame)} words and concepts, by angle or by common activity, the closest latent is "
        f"closer than random directions come (p < 0.05); chance alone would give about {0.05 * len(frame):.0f}.",
        count=(len(met), len(frame)),
        caveat="Not corrected for the number of comparisons.",
    )


def depth(tables: Tables) -> Finding | None:
    """Where in depth each quantity has risen half."""
    frame = tables("depth.csv").filter(half=True)
    if not len(frame):
        return None
    told = ", ".join(f"{row['what']} at {row['depth']}" for row in frame.iter_rows(named=True))
    return Finding(f"Half of the way above its control, in blocks that have run: {told}.")


SYSTEM = System(
    "atlas",
    "Atlas",
    "of this workflow, no paper",
    "Do the neurons, latents, concepts and visual tokens that the systems find belong together?",
    (
        Result(
            "neurons.csv",
            "Domain neurons and word neurons",
            "How many neurons are both, beside random sets that keep the number of neurons of every layer.",
            "word domain layer units domain_neurons word_neurons both expected ratio:ratio p q pictures",
            (),
            both,
            key=True,
        ),
        Result(
            "directions.csv",
            "Latents, words and concepts",
            "Latents that come closest to a word or concept, by angle and common activity, beside random directions.",
            "word kind concept match latent value random_mean random_high random_p shuffled_mean shuffled_p n",
            (),
            directions,
        ),
        Result(
            "depth.csv",
            "Where in depth",
            "How deep each system finds what it looks for; dashed in the figure: controls.",
            "what depth value control controlled half n",
            ("depth",),
            depth,
        ),
    ),
    (),
)
