"""Headline results of mmneuron: neurons that fire in one domain."""

import polars as pl

from vlmscope.report.finding import Finding, Measure, Tables, measured, pick, spelled, stand_ins
from vlmscope.report.result import Page, Result, System

OTHERS = {"other": "another domain's neurons", "random": "as many random neurons"}


def _change(row: dict[str, float]) -> str:
    """What becomes of the score, and whether that is more than nothing."""
    delta = measured(row, "", "delta", "delta")
    unsure = delta.low <= 0 <= delta.high
    return f"The score changes by {spelled(delta, 'points')}" + (
        ", an interval that holds zero." if unsure else ", an interval without zero."
    )


def effects(tables: Tables) -> Finding | None:
    """Own neurons beside another domain's and random ones, over all domains."""
    frame = tables("effects.csv")
    own = pick(frame, domain="mean", kind="own")
    if own is None:
        return None
    rows = {kind: pick(frame, domain="mean", kind=kind) for kind in OTHERS}
    return Finding(
        "How far the last block's states move when a domain's own neurons are zeroed. " + _change(own),
        measured(own, "own neurons", "deviation", "deviation"),
        tuple(measured(row, OTHERS[kind], "deviation", "deviation") for kind, row in rows.items() if row),
        unit="%",
        n=f"{own['n']} questions, {own['masks']} domains, about {own['units']:.0f} neurons each",
    )


def accuracy(tables: Tables) -> Finding | None:
    """The largest loss of accuracy among conditions and domains."""
    frame = tables("table2_long.csv")
    untouched, masked = frame.filter(condition="none"), frame.filter(pl.col("condition") != "none")
    if not len(masked):
        return None
    worst = masked.sort("delta_vs_none", maintain_order=True).row(0, named=True)
    before = pick(untouched, domain=worst["domain"])
    ends = ("ci_low", "ci_high")
    return Finding(
        f"The largest loss: {worst['dataset']} with the neurons of {worst['masked_modules']} set to zero "
        f"({worst['n_masked_neurons']} neurons).",
        measured(worst, "zeroed", "score", ends, 100),
        (measured(before, "untouched", "score", ends, 100),) if before else (),
        unit="%",
        n=f"{worst['n']} questions",
        expected="below",
        caveat=f"The largest of {len(masked)} comparisons, not corrected for their number.{_by_stand_in(frame)}",
    )


def _by_stand_in(frame: pl.DataFrame) -> str:
    """A sentence about the columns of the table that a stand-in scored."""
    found = frame.filter(pl.col("metric").str.contains("stand_in"))
    told = stand_ins(found["metric"].to_list(), ", ".join(found["dataset"].unique(maintain_order=True)))
    return f" {told}" if told else ""


def amounts(tables: Tables) -> Finding:
    """How many neurons are specific to a domain."""
    frame = tables("table1.csv")
    parts = [f"{row['union']} of {row['n_neurons']} in {row['module']}" for row in frame.iter_rows(named=True)]
    return Finding("Neurons that belong to a domain: " + ", ".join(parts) + ".")


def crossed(tables: Tables) -> Finding:
    """In how many tested domains their own neurons matter most."""
    frame = tables("cross.csv")
    tested = frame["tested_on"].unique(maintain_order=True).to_list()
    most = {one: frame.filter(tested_on=one).sort("deviation")["neurons_of"].to_list()[-1] for one in tested}
    own = sum(one == found for one, found in most.items())
    return Finding(
        f"In {own} of {len(tested)} domains it is their own neurons that move the states most.",
        n=f"{frame['n'].min()} questions per cell",
    )


def deviations(tables: Tables) -> Finding:
    """Domains in which all own neurons move the states further than as many random ones."""
    own, chance = (tables(f"table{number}_long.csv").filter(condition="all") for number in (3, 5))
    both = own.join(chance.select("domain", pl.col("ci_high").alias("chance")), on="domain")
    above = both.filter(pl.col("ci_low") > pl.col("chance"))
    return Finding(
        f"All own neurons zeroed: in {len(above)} of {len(both)} domains the states move further than with as many "
        "random ones, by intervals that do not meet.",
        count=(len(above), len(both)),
    )


def dose(tables: Tables) -> Finding | None:
    """Own beside random neurons at the largest share."""
    frame = tables("dose.csv").filter(domain="mean")
    if not len(frame):
        return None
    rate = float(frame["rate"].max())
    rows = {kind: pick(frame, rate=rate, kind=kind) for kind in ("own", "random")}
    if rows["own"] is None:
        return None
    return Finding(
        f"At the largest share, where selection keeps {rate:g} of a module's neurons, the states move this far.",
        measured(rows["own"], "own neurons", "deviation", "deviation"),
        tuple(
            measured(one, OTHERS[kind], "deviation", "deviation")
            for kind, one in rows.items()
            if one and kind in OTHERS
        ),
        unit="%",
        n=f"{rows['own']['n']} questions",
    )


def edits(tables: Tables) -> Finding:
    """What other edits than zero do."""
    frame = tables("ablations.csv").filter(domain="mean")
    names = {"zero": "zero", "mean": "the mean", "scale": "times {factor:g}"}
    told = [
        names[row["edit"]].format(factor=row["factor"] or 0)
        + " "
        + spelled(measured(row, "", "deviation", "deviation"), "%")
        for row in frame.iter_rows(named=True)
    ]
    return Finding("Deviation of states when own neurons are set to " + ", ".join(told) + ".")


def stable(tables: Tables) -> Finding | None:
    """How much neuron sets of other pictures agree."""
    frame = tables("stability.csv")
    if not len(frame):
        return None
    agreed = frame["jaccard"]
    return Finding(
        f"Jaccard's index between neuron sets of different pictures: median {agreed.median():.2f}, "
        f"from {agreed.min():.2f} to {agreed.max():.2f}.",
        n=f"{len(frame)} pairs of sets",
    )


def placed(tables: Tables) -> Finding | None:
    """How far image and text positions give the same neurons."""
    row = pick(tables("positions.csv"), domain="any", a="image", b="text")
    if row is None:
        return None
    return Finding(
        f"Image and text positions agree on {row['intersection']} neurons of {row['size_a']} and {row['size_b']} "
        f"(Jaccard {row['jaccard']:.2f})."
    )


def staged(tables: Tables) -> Finding | None:
    """Whether stages mean anything in this model."""
    row = pick(tables("stages.csv"), scope="all")
    if row is None:
        return None
    found = tables("stages.csv").filter(scope="all")["layer"].to_list()
    says = f"Change points at layers {', '.join(map(str, found))} of {row['layers']}."
    few = "" if row["meaningful"] else "The model has too few layers for stages to mean anything."
    return Finding(says, caveat=few)


def entropy(tables: Tables) -> Finding | None:
    """What the lens is unsure of in the first and the last block."""
    frame = tables("fig_entropy.csv").filter(token_type="last")
    if not len(frame):
        return None
    first, last = (
        frame.filter(layer=layer).select(pl.col("mean_entropy").mean()).item()
        for layer in (frame["layer"].min(), frame["layer"].max())
    )
    return Finding(
        f"Where the answer begins, mean entropy goes from {first:.2f} nats behind the first block to {last:.2f} behind "
        "the last one, over all domains.",
        n=f"{frame['n'].sum()} positions",
    )


def mapped(tables: Tables) -> Finding:
    """How far the domains' pictures lie apart on the map, in spreads."""
    frame = tables("fig2_pca.csv")
    middles = frame.group_by("domain", maintain_order=True).agg(pl.col("pc1", "pc2").mean())
    between = middles.select(pl.col("pc1").var() + pl.col("pc2").var()).item() or 0.0
    within = (
        frame.group_by("domain").agg(pl.col("pc1", "pc2").var()).select((pl.col("pc1") + pl.col("pc2")).mean()).item()
    )
    ratio = Measure("", between / within) if within else None
    told = (
        f" The domains' middles spread {spelled(ratio)} times as far as pictures of one domain (variance)."
        if ratio
        else ""
    )
    return Finding(f"{len(frame)} pictures of {len(middles)} domains.{told}")


EFFECT = "domain kind masks n units deviation:deviation score delta:delta"
SYSTEM = System(
    "mmneuron",
    "MMNeuron",
    "Huo et al., 2024, arXiv 2406.11193",
    "Which neurons fire in one domain only, and what is lost without them?",
    (
        Result(
            "effects.csv",
            "Own neurons beside controls",
            "Deviation: relative change of the last block's states, in percent. Delta: change of the score, in points.",
            EFFECT,
            ("effects",),
            effects,
            key=True,
        ),
        Result(
            "table2.csv",
            "Table 2: accuracy with neurons zeroed",
            "In percent; the first row is the untouched "
            "model, every other one has the neurons of its modules set to zero.",
            "",
            (),
            accuracy,
            key=True,
        ),
        Result(
            "cross.csv",
            "Domains crossed",
            "Neurons of one domain zeroed, another one tested; in brackets in the "
            "figure: changes whose interval holds zero.",
            "neurons_of tested_on n units deviation:deviation delta:delta",
            ("cross",),
            crossed,
            key=True,
        ),
        Result(
            "dose.csv",
            "More and fewer neurons",
            "Effect over the share of neurons that selection keeps, beside as many random ones.",
            "domain rate kind n units deviation:deviation delta:delta",
            ("dose",),
            dose,
        ),
        Result(
            "ablations.csv",
            "Other edits than zero",
            "Own neurons zeroed, set to their mean over all domains, or multiplied.",
            "domain edit factor n units deviation:deviation delta:delta",
            (),
            edits,
        ),
        Result(
            "table1.csv",
            "Table 1: how many neurons",
            "Per module: units, those kept by lowest domain entropy, and to which domains they belong.",
            "",
            ("fig_layers",),
            amounts,
        ),
        Result("table3.csv", "Table 3: deviation of states", "In percent, by module and domain.", "", (), deviations),
        Result(
            "stability.csv",
            "Other pictures, other neurons?",
            "Agreement of neuron sets found on disjoint or fewer pictures.",
            "module domain comparison a b samples_a samples_b size_a size_b jaccard",
            ("stability",),
            stable,
        ),
        Result(
            "positions.csv",
            "Image and text positions",
            "Neurons of the decoder found on all, image or text positions alone.",
            "module domain a b positions_a positions_b size_a size_b jaccard",
            (),
            placed,
        ),
        Result(
            "fig_entropy.csv",
            "Lens entropy by layer",
            "Entropy of the tokens that final norm and unembedding read behind each block.",
            "layer domain token_type mean_entropy std n",
            ("fig_entropy",),
            entropy,
        ),
        Result(
            "stages.csv",
            "Stages of the language model",
            "Change points of neurons per layer, lens entropy and whole words, by our own definition.",
            "scope change_point layer:ci agreement explained layers meaningful",
            ("fig_stages",),
            staged,
        ),
        Result(
            "fig2_pca.csv",
            "Map of the pictures",
            "Pictures of all domains by the vision tower: two principal components.",
            "domain sample pc1 pc2",
            ("fig2_pca",),
            mapped,
        ),
    ),
    (
        Page("neurons.html", "Neurons one by one: pictures, places, what zeroing each changes"),
        Page("lens_*_*.html", "Logit lens"),
    ),
)
