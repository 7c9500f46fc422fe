"""Results of multimodal_sae beyond the published system: other seeds, doubled latents, absorption, groups, vectors."""

from vlmscope.report.finding import Finding, Tables, measured, pick
from vlmscope.report.result import Result

KINDS = {"untrained": "untrained", "random": "random directions of the same covariance", "pca": "principal axes"}


def seeded(tables: Tables) -> Finding | None:
    """Whether another seed finds the same latents."""
    frame = tables("beyond/stability.csv").filter(scope="all", metric="max_cosine")
    own = pick(frame, kind="seed")
    if own is None:
        return None
    rows = {name: pick(frame, kind=kind, left=own["left"]) for kind, name in KINDS.items()}
    return Finding(
        f"Cosine of a latent to the closest one of an autoencoder from another seed ({own['left']}, {own['right']}).",
        measured(own, "trained", "value", ("low", "high")),
        tuple(measured(row, name, "value", ("low", "high")) for name, row in rows.items() if row),
        n=f"{own['latents']} latents",
    )


def doubled(tables: Tables) -> Finding | None:
    """Whether latents point where others point already."""
    own = pick(tables("beyond/duplicates.csv"), coder="trained", metric="max_cosine")
    if own is None:
        return None
    return Finding(
        "Cosine of a latent's direction to the closest other one, mean over latents.",
        measured(own, "trained", "value", ("low", "high")),
        (measured(own, "random directions of the same covariance", "chance", "chance"),),
        n=f"{own['latents']} latents",
    )


def absorbed(tables: Tables) -> Finding | None:
    """How often a word's own latents are silent while another one speaks for it."""
    frame = tables("beyond/absorption.csv").filter(word="mean")
    own, other = pick(frame, coder="trained"), pick(frame, coder="untrained")
    if own is None:
        return None
    return Finding(
        "Patches that show a word whose own latents are silent while another latent speaks for it; "
        f"{100 * own['chance']:.1f} % for random directions.",
        measured(own, "trained", "absorbed", ("low", "high"), 100),
        (measured(other, "untrained", "absorbed", ("low", "high"), 100),) if other else (),
        unit="%",
        expected="below",
    )


RESULTS = (
    Result(
        "beyond/stability.csv",
        "Other seeds, other latents?",
        "Latents of one autoencoder looked for in another, in untrained ones and among random directions.",
        "left right kind scope metric value latents",
        (),
        seeded,
    ),
    Result(
        "beyond/duplicates.csv",
        "Latents that double others",
        "Directions that lie close to another latent's, and latents that fire together, beside chance.",
        "coder metric value chance:chance latents",
        (),
        doubled,
    ),
    Result(
        "beyond/absorption.csv",
        "Absorption",
        "Words whose own latents are silent where they are shown while another latent speaks for them.",
        "coder kind word own patches silent absorbed chance:chance more:more absorber",
        (),
        absorbed,
    ),
    Result(
        "beyond/families.csv",
        "Families of latents, and a map",
        "Whether near latents form groups and share words, beside chance.",
        "measure value chance:chance p latents families",
        ("beyond/map",),
    ),
    Result(
        "beyond/concepts.csv",
        "Vectors of words",
        "Decoder rows beside differences of means, against all other patches and against those of the same kind.",
        "against kind word cosine chance shuffled more:more same area_vector area_latent area_probe",
        (),
        None,
        lambda frame: frame.filter(word="mean"),
    ),
    Result(
        "beyond/neurons.csv",
        "Latents and domain neurons",
        "What domain neurons write and when they fire beside latents, against other neurons of their layers.",
        "domain metric value others more:more chance:chance neurons",
    ),
)
