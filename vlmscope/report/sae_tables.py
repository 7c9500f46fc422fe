"""Further results of multimodal_sae: answers in the loop, layers and models, a white picture, wrong answers."""

from vlmscope.report.finding import NOTHING, Finding, Tables, measured, pick, stand_ins
from vlmscope.report.result import Result

CONTROLS = {"untrained": "untrained autoencoder", "pca_topk": "principal components, largest kept"}


def answered(tables: Tables) -> Finding | None:
    """Right answers with the autoencoder in the loop."""
    frame = tables("downstream.csv")
    own, clean = pick(frame, coder="trained"), pick(frame, coder="clean")
    if own is None or clean is None:
        return None
    rows = {name: pick(frame, coder=coder) for coder, name in CONTROLS.items()}
    return Finding(
        "Questions that are answered rightly with the autoencoder's reconstruction in place of a layer's output; "
        f"{100 * clean['exact']:.1f} % without it.",
        measured(own, "trained", "exact", "exact", 100),
        tuple(measured(row, name, "exact", "exact", 100) for name, row in rows.items() if row),
        unit="%",
        n=f"{own['n']} questions",
    )


def layered(tables: Tables) -> Finding | None:
    """At how many layers training matters for the best latents of things."""
    frame = tables("table3_layers.csv").drop_nulls("iou_classes")
    pairs = [
        (pick(frame, coder="trained", layer=layer), pick(frame, coder="untrained", layer=layer))
        for layer in frame["layer"].unique().sort()
    ]
    known = [(own, other) for own, other in pairs if own and other]
    if not known:
        return None
    apart = sum(own["iou_classes_low"] > other["iou_classes_high"] for own, other in known)
    level = sum(own["iou_low"] <= other["iou_high"] for own, other in known)
    return Finding(
        f"Layers at which the best latents of things overlap with them more than those of an untrained autoencoder. "
        f"Names of latents do not tell both apart at {level} of {len(known)} layers.",
        count=(apart, len(known)),
        n="one small autoencoder per layer",
    )


def white(tables: Tables) -> Finding | None:
    """Whether answers about nothing are about the name of the latent that is held."""
    frame = tables("table9_steering.csv")
    row, own = pick(frame, among="all", kind="steering - random"), pick(frame, among="all", kind="steering")
    if row is None or own is None or row["relevance"] is None:
        return None
    return Finding(
        "Relevance, 1 to 10, of answers about a white picture to the name of the latent that is held, less that of "
        "random latents.",
        measured(row, "held less random", "relevance", ("low", "high")),
        (NOTHING,),
        n=f"{row['n_features']} of {row['n_asked']} latents",
        caveat=stand_ins([row["judge"]]),
    )


def turned(tables: Tables) -> Finding | None:
    """Whether wrong answers rest on few latents, and right ones too."""
    frame = tables("table11_hallusion.csv")
    own, right = (
        pick(frame, among=among, condition=name) for among, name in (("wrong", "removed"), ("right", "doubted"))
    )
    if own is None or own["more"] is None:
        return None
    beside = f" The same done to right answers makes {100 * right['worse']:.0f} % of them wrong." if right else ""
    return Finding(
        f"Wrong answers that become right without the latents that speak for them, less the share with random ones "
        f"taken away.{beside}",
        measured(own, "removed less random", "more", "more", 100),
        (NOTHING,),
        unit="points",
        n=f"{own['n']} wrong answers",
        caveat="Who chooses these latents knows the true answer.",
    )


RESULTS = (
    Result(
        "downstream.csv",
        "Answers in the loop",
        "Questions answered rightly with a layer's output replaced by what each coder makes of it.",
        "coder n exact:exact more:more p same_answer",
        (),
        answered,
    ),
    Result(
        "table3_layers.csv",
        "Table 3: layers",
        "Small autoencoders of several layers; published numbers are of other autoencoders and pictures.",
        "layer coder explainer fvu n_features iou:iou iou_random clip:clip iou_classes:iou_classes paper_iou",
        (),
        layered,
    ),
    Result(
        "table10_models.csv",
        "Table 10: models",
        "The same for one layer of several models; there is no IoU where image tokens are no patches.",
        "model layer coder explainer n_features iou:iou iou_random clip:clip clip_random paper_iou_printed paper_clip",
    ),
    Result(
        "table9_steering.csv",
        "Table 9: a white picture",
        "How far answers about nothing are about the name of the latent that is held.",
        "among kind judge relevance n_features p paper_relevance",
        (),
        white,
    ),
    Result(
        "table11_hallusion.csv",
        "Table 11: wrong answers",
        "What becomes of answers when latents on which they rest are changed, beside random latents.",
        "among condition n better same worse net:net more:more paper_better paper_worse",
        (),
        turned,
    ),
)
