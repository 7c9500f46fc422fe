"""Headline results of multimodal_sae: states split into sparse features."""

import polars as pl

from vlmscope.report import sae_beyond, sae_tables
from vlmscope.report.finding import NOTHING, Finding, Measure, Tables, highest, measured, number, pick
from vlmscope.report.result import Page, Result, System

CODERS = {"untrained": "untrained", "pca": "principal components", "pca_topk": "principal components, largest kept"}


def quality(tables: Tables) -> Finding | None:
    """Variance that is kept on held-out pictures."""
    frame = tables("sae_quality.csv").filter(scope="all", metric="ev")
    own = pick(frame, coder="trained")
    if own is None:
        return None
    rows = {name: pick(frame, coder=name) for name in CODERS}
    loss = pick(tables("sae_quality.csv"), coder="trained", scope="answer", metric="ce_score")
    kept = (
        f" {100 * loss['value']:.1f} % of what the layer does for the answers' cross entropy is kept." if loss else ""
    )
    return Finding(
        "Share of the states' variance that the autoencoder keeps on held-out pictures." + kept,
        measured(own, "trained", "value", "", 100),
        tuple(measured(row, CODERS[name], "value", "", 100) for name, row in rows.items() if row),
        unit="%",
        n=f"{own['n_tokens']:,} tokens, one trained autoencoder",
    )


def steered(tables: Tables) -> Finding | None:
    """How often answers name a thing when its latent is held up."""
    frame = tables("steer_effects.csv").filter(word="all")
    own = highest(frame.filter(kind="found"), "named")
    if own is None:
        return None
    same = {"mode": own["mode"], "value": own["value"]}
    rows = {
        "random latents": pick(frame, kind="random", **same),
        "reconstruction alone": pick(frame, kind="rebuilt"),
        "untouched": pick(frame, kind="plain"),
    }
    return Finding(
        f"Answers that name a thing which the picture does not show, its latent held at {own['value']:g} "
        f"({own['mode']}). "
        f"{100 * own['same']:.0f} % of the answers stay as they were.",
        measured(own, "its latent", "named", "named", 100),
        tuple(measured(row, name, "named", "named", 100) for name, row in rows.items() if row),
        unit="%",
        n=f"{own['n']} answers about {own['pictures']} pictures",
        caveat=f"The highest of {len(frame.filter(kind='found'))} modes and values.",
    )


def named(tables: Tables) -> Finding | None:
    """Whether names of latents fit: agreement of masks with what the name says."""
    frame = tables("table1_iou_clip.csv").filter(concept="total", metric="iou")
    own = highest(frame.filter(coder="trained"), "value")
    if own is None:
        return None
    untrained = pick(frame, coder="untrained", explainer=own["explainer"])
    controls = [Measure("names of other latents", 100 * own["shuffled"])] if own["shuffled"] is not None else []
    if untrained and untrained["value"] is not None:
        controls.append(measured(untrained, "untrained autoencoder", "value", ("low", "high"), 100))
    return Finding(
        f"Agreement of a latent's mask with the thing that its name says (intersection over union), names by "
        f"{own['explainer']}; {own['n_refused']} latents got no name.",
        measured(own, "trained", "value", ("low", "high"), 100),
        tuple(controls),
        unit="%",
        n=f"{own['n_features']} latents",
    )


def consistent(tables: Tables) -> Finding | None:
    """How often names are those that the drawn world has."""
    row = highest(tables("table2_consistency.csv").filter(coder="trained"), "total")
    if row is None:
        return None
    other = pick(tables("table2_consistency.csv"), coder="untrained", explainer=row["explainer"])
    beside = (
        f"; {100 * other['total']:.0f} % with an untrained autoencoder" if other and other["total"] is not None else ""
    )
    return Finding(
        f"Names by {row['explainer']} hold for {100 * row['total']:.0f} % of the latents (judge: "
        f"{row['judge']}){beside}.",
        n=f"{row['n']} latents",
        caveat="No interval in this table.",
    )


def singles(tables: Tables) -> Finding | None:
    """The best latent of each thing: trained beside untrained."""
    frame = tables("iou_classes.csv")
    row = pick(frame, coder="trained - untrained")
    if row is None:
        return None
    return Finding(
        f"Overlap of the best latent's mask with a thing, trained less untrained autoencoder, mean over "
        f"{len(frame.filter(pl.col('kind').is_not_null(), coder='trained'))} things.",
        measured(row, "trained less untrained", "iou", ("low", "high"), 100),
        (NOTHING,),
        unit="points",
        n=f"{row['pictures']} pictures",
    )


def attributed(tables: Tables) -> Finding | None:
    """Whether gradients find the latents that matter."""
    row = pick(tables("attribution_modes.csv"), mode="official")
    if row is None:
        return None
    return Finding(
        "Correlation of the released gradient rule with what taking each latent away really does.",
        measured(row, "released rule", "correlation", "correlation"),
        (Measure("no relation", 0.0, 0.0, 0.0),),
        n=f"{row['latents']} latents of {row['prompts']} prompts",
        caveat=f"Relative error {number(row['error'])}: the order is right more than the size.",
    )


def trained(tables: Tables) -> Finding | None:
    """Where training ended."""
    frame = tables("train_log.csv")
    if not len(frame):
        return None
    first, last = frame.row(0, named=True), frame.row(-1, named=True)
    return Finding(
        f"Unexplained variance goes from {number(first['fvu'])} to {number(last['fvu'])} in {last['step']} steps and "
        f"{last['tokens']:,} tokens; {number(100 * last['dead'])} % of the latents are dead at the end."
    )


def _summary(frame: pl.DataFrame) -> pl.DataFrame:
    """Metrics as rows, coders as columns, over all tokens and over answers."""
    kept = frame.filter(pl.col("scope").is_in(["all", "answer"]))
    return kept.pivot(on="coder", index=["scope", "metric"], values="value", aggregate_function="first")


def _all_words(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(word="all")


SYSTEM = System(
    "multimodal_sae",
    "Multimodal SAE",
    "Zhang et al., 2024, arXiv 2411.14982",
    "Which sparse features do states consist of, can they be named, and do they cause what they are named after?",
    (
        Result(
            "sae_quality.csv",
            "Quality of the autoencoder",
            "On held-out pictures, beside an untrained autoencoder "
            "and principal components; ev: variance kept, ce: cross entropy of answers.",
            "",
            ("feature_density",),
            quality,
            _summary,
            key=True,
        ),
        Result(
            "steer_effects.csv",
            "Steering by a latent",
            "Answers that name the thing, its latent held at a value, beside random latents of similar density.",
            "word kind mode positions value n pictures named:named more:more same",
            (),
            steered,
            _all_words,
            key=True,
        ),
        Result(
            "table1_iou_clip.csv",
            "Table 1: do names fit?",
            "By kind of concept: agreement of masks and CLIP score, "
            "beside other names and an untrained autoencoder. Published numbers are of another model.",
            "coder explainer concept metric value random_mean shuffled ceiling n_features n_refused published",
            (),
            named,
            key=True,
        ),
        Result(
            "table2_consistency.csv",
            "Table 2: consistency of names",
            "How often a judge agrees with a name.",
            "",
            (),
            consistent,
        ),
        Result(
            "iou_classes.csv",
            "Latents of single things",
            "The best latent of each thing, chosen on other pictures than it is scored on.",
            "coder kind word latent iou_reference iou pictures",
            (),
            singles,
        ),
        Result(
            "attribution_modes.csv",
            "Latents as causes",
            "Rules that estimate what each latent does for an answer, against taking it away.",
            "mode prompts latents correlation:correlation error:error",
            (),
            attributed,
        ),
        Result(
            "train_log.csv",
            "Training",
            "Unexplained variance and dead latents over the steps.",
            "step tokens fvu l0 dead tokens_per_s",
            ("train_curve",),
            trained,
        ),
        *sae_beyond.RESULTS,
        *sae_tables.RESULTS,
    ),
    (Page("text_view.html", "Texts colored by latents"), Page("features", "Latents one by one", "index.html")),
)
