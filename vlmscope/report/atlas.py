"""Headline results of the atlas: what the systems find, held against each other in one model."""

import polars as pl

from vlmscope.report.finding import Finding, Measure, Tables, measured, number, pick
from vlmscope.report.result import Page, Result, System


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


def destroyed(tables: Tables) -> Finding | None:
    """What a word's direction loses with the object, beside as many other tokens, where the question is answered."""
    frame = tables("destroyed.csv").filter(word="all", name="all", place="last", condition="object")
    deepest = frame.filter(kind="concept", belongs="own").sort("depth", descending=True)
    if not len(deepest):
        return None
    own, other = deepest.row(0, named=True), pick(frame, kind="concept", belongs="other", depth=deepest["depth"][0])
    controls = [Measure("as many other tokens", own["control"])]
    if other is not None:
        controls.append(measured(other, "other words", "change", "change"))
    return Finding(
        f"Where the question is answered, states lie {number(own['clean'])} of the way to those that wrote the word, "
        f"and {number(own['clean'] + own['change'])} when the object's tokens are replaced.",
        measured(own, "change along the word's direction", "change", "change"),
        tuple(controls),
        n=f"{own['n']} pictures",
        expected="below",
    )


def steering(tables: Tables) -> Finding | None:
    """The way to steer that gains most above random directions at equal effect."""
    frame = tables("steering.csv").filter(pl.col("word") == "all", pl.col("beyond").is_not_null())
    if not len(frame):
        return None
    best = frame.sort("beyond", descending=True).row(0, named=True)
    order = ", ".join(
        f"{row['method']} {number(row['gain'])}" for row in frame.sort("gain", descending=True).to_dicts()
    )
    return Finding(
        f"At strengths that disturb the next token equally, the word gains (nats): {order}; most above random: "
        f"{best['method']}, which costs answers about other objects {number(best['loss'])} nats.",
        measured(best, f"{best['method']} above {best['control']}", "beyond", "beyond"),
        (Measure("no difference", 0.0, 0.0, 0.0),),
        unit="nats",
        n=f"{best['n']} held-out pictures",
    )


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
        Result(
            "destroyed.csv",
            "What goes with an object",
            "Directions, latents and neurons without the object's tokens, or blind for them, beside other tokens.",
            "kind belongs word name depth place condition clean change:change control difference:difference p n",
            (),
            destroyed,
            key=True,
        ),
        Result(
            "steering.csv",
            "Ways to steer, at equal effect",
            "What the word gains and what answers about other objects lose, on held-out pictures that do not show it.",
            "word method n strength kl_typical gain:gain loss:loss says right right_clean beyond:beyond control p",
            ("steering",),
            steering,
            key=True,
        ),
    ),
    (Page("index.html", "Words through all systems"),),
)
