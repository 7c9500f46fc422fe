"""Which directions steer a model, and how they are tried out (xl_vlms.md 2.10)."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section
from vlmscope.settings.xl_vlms.vectors import TYPES

Positions = Literal["all", "generated", "last_prompt", "from"]


class Group(Section):
    """Some of the vectors of a set; a list that is empty asks for nothing."""

    set: Name = Field(description="vector set")
    answers: list[str] = Field([], description="usual answers of their questions, exactly")
    types: list[str] = Field([], description="answer types of their questions: yes/no, number, other")
    said: list[str] = Field([], description="what the model wrote, in any case")


class Vector(Section):
    """A steering vector, at every kept module of its sets."""

    task: Literal["type", "targeted", "caption"] = Field(
        description="what it is to change: the type of answers, one answer, captions (tried out elsewhere)"
    )
    method: Literal["shift_of_means", "cluster", "sum"] = Field(
        "shift_of_means",
        description="mean of target minus mean of base; cluster: minus the mean of k concepts of base; sum: of `parts`",
    )
    base: Group | None = Field(None, description="what it leads away from")
    target: Group | None = Field(None, description="what it leads to")
    modules: list[str] = Field(["block.-1"], min_length=1, description="blocks behind which it is added")
    k: int = Field(5, ge=1, description="concepts of base (method: cluster)")
    parts: dict[Name, float] = Field({}, description="vectors and their weights (method: sum)")
    without: list[Name] = Field([], description="vectors to whose span it is made to stand at right angles")
    gate: int = Field(
        0,
        ge=0,
        description="concepts of the base's set; more than 0: tried only on questions nearest to those of its own",
    )
    swept: bool = Field(False, description="tried only with the models of xl_vlms.steer.sweep")
    original: str = Field("", description="answer that should become rarer, counted as written")
    wanted: str = Field("", description="answer that should become more frequent, counted as written")
    like: str = Field("", description="key of published numbers beside it (vlmscope/xl_vlms/steer/published.toml)")


class Directions(Section):
    """Search among all pairs of concepts for those that lead to one answer (xl_vlms.md 2.10)."""

    set: Name = Field("type-all", description="vectors whose concepts are paired")
    k: int = Field(5, ge=2, description="concepts")
    module: str = Field("block.-1", description="block behind which the pairs are added")
    alpha: float = Field(1.0, gt=0, description="strength")
    top: int = Field(5, ge=1, description="answers with the largest increase that are divided into main and other ones")
    targets: int = Field(2, ge=1, description="most main answers of a pair that is kept")
    keep: int = Field(5, ge=1, description="pairs kept")
    unique: bool = Field(True, description="keep only the best pair of each set of main answers")
    first_word: bool = Field(True, description="count answers by their first word")


class Sweep(Section):
    """What is varied, one thing at a time, for the models of `models`."""

    models: list[Name] = Field(["llava15"], description="models for which all this is done")
    vectors: list[Name] = Field(["yes-no"], description="vectors that are varied; the first of their modules is used")
    alphas: list[float] = Field([-1.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0], description="strengths")
    samples: list[int] = Field([5, 10, 20, 40], description="samples of base and of target that a vector is made from")
    draws: int = Field(3, ge=1, description="draws of samples per number")
    positions: list[Positions] = Field(
        ["all", "last_prompt", "from", "generated"], description="positions that are steered"
    )
    start: int = Field(0, ge=0, description="first steered position (positions: from); 0: the first behind the picture")


class Separability(Section):
    """How far states of different answers lie apart, layer by layer."""

    set: Name = Field("type-all", description="vectors that are told apart")
    classes: dict[str, dict[str, list[str]]] = Field(
        {
            "type": {"yes/no": [], "number": [], "other": []},
            "yes or no": {"yes": ["yes"], "no": ["no"]},
            "colour": {"red": ["red"], "blue": ["blue"]},
        },
        description="question -> class -> its answers; without answers the class is an answer type",
    )
    folds: int = Field(4, ge=2, description="parts of the cross-validation")
    permutations: int = Field(20, ge=1, description="shuffles of the labels beside it")


class Released(Section):
    """A steering vector of the released code."""

    file: str = Field(description="its .pth file")
    key: str = Field(
        "steering_vector", description="name of the vector in it; steering_vector_concept_i_to_j for pairs"
    )
    block: int = Field(ge=0, description="decoder block behind which it belongs, from 0")


class Steer(Section):
    """Answers under steering, and what is made of them."""

    dataset: Name = Field("vqa", description="questions that are answered")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    questions: int = Field(160, ge=1, description="most questions")
    prompt: Literal["chat", "turn"] = Field(
        "chat", description="how they are asked, as in captures: that of the capture behind the vectors"
    )
    max_new_tokens: int = Field(5, ge=1, description="most tokens per answer")
    alphas: list[float] = Field([0.5, 1.0, 2.0], min_length=1, description="strengths of every vector")
    positions: Positions = Field("all", description="positions of the prompt that are steered")
    random: int = Field(5, ge=0, description="random directions of the same length beside every vector")
    shuffled: int = Field(
        4,
        ge=0,
        description="vectors of shuffled labels, of the same length, beside every vector; every second one is the "
        "opposite of the one before",
    )
    control_alphas: list[float] = Field([1.0], description="strengths at which these are tried")
    directions: Directions = Field(Directions(), description="search among pairs of concepts")
    sweep: Sweep = Field(Sweep(), description="ablations")
    separability: Separability = Field(Separability(), description="classes of states, layer by layer")
    imported: dict[Name, dict[Name, Released]] = Field(
        {}, description="per model and vector, a file of the released code that is read instead of making the vector"
    )
    bootstrap: int = Field(2000, ge=10, description="resamples of the questions behind intervals")
    seed: int = Field(0, ge=0, description="seed of concepts, draws and resamples")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own, steer, found = config.xl_vlms.vectors, config.xl_vlms.steer, []
    for key, one in own.items():
        where = f"xl_vlms.vectors.{key}"
        found += [
            (f"{where}.{side}.set", getattr(one, side).set, config.xl_vlms.sets, "xl_vlms.sets")
            for side in ("base", "target")
            if getattr(one, side)
        ]
        found += [(f"{where}.parts", name, own, "xl_vlms.vectors") for name in one.parts]
        found += [(f"{where}.without", name, own, "xl_vlms.vectors") for name in one.without]
    found += [("xl_vlms.steer.sweep.vectors", name, own, "xl_vlms.vectors") for name in steer.sweep.vectors]
    for model, files in steer.imported.items():
        found.append(("xl_vlms.steer.imported", model, config.models, "models"))
        found += [(f"xl_vlms.steer.imported.{model}", name, own, "xl_vlms.vectors") for name in files]
    found += [("xl_vlms.steer.sweep.models", name, config.models, "models") for name in steer.sweep.models]
    found.append(("xl_vlms.steer.dataset", steer.dataset, config.datasets, "datasets"))
    for section in ("directions", "separability"):
        wanted = getattr(steer, section).set
        found.append((f"xl_vlms.steer.{section}.set", wanted, config.xl_vlms.sets, "xl_vlms.sets"))
    return found


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    found = []
    for key, one in config.xl_vlms.vectors.items():
        where, summed = f"xl_vlms.vectors.{key}", one.method == "sum"
        if summed != bool(one.parts) or summed == bool(one.base and one.target):
            found.append(f"{where} needs `parts` with method: sum, and else `base` and `target`")
        others = [config.xl_vlms.vectors.get(name) for name in (*one.parts, *one.without)]
        if any(other and (other.method == "sum" or other.without) for other in others):
            found.append(f"{where} is made of vectors that are themselves made of others")
        if summed and one.gate:
            found.append(f"{where}.gate needs a base")
    return found


# What the drawn world is asked; the published ones are yes -> no, 1 -> 3 and white -> black.
_SET = "type-all"


def _group(**asked: list[str]) -> dict[str, Any]:
    return {"set": _SET, **asked}


def _targeted(original: str, wanted: str, like: str, **options: Any) -> dict[str, Any]:
    return {
        "task": "targeted",
        "base": _group(answers=[original], said=[original]),
        "target": _group(answers=[wanted], said=[wanted]),
        "original": original,
        "wanted": wanted,
        "like": like,
        "modules": ["block.-2", "block.-1"],
        **options,
    }


def _typed(target: str) -> dict[str, Any]:
    others = [one for one in TYPES.values() if one != target]
    return {
        "task": "type",
        "base": _group(types=others),
        "target": _group(types=[target]),
    }


VECTORS: dict[str, Any] = {
    "to-yesno": _typed("yes/no"),
    "to-number": _typed("number"),
    "to-other": _typed("other"),
    "yes-no": _targeted("yes", "no", "yes-no", gate=8),
    # Three things of a kind are too rare among drawn scenes.
    "one-two": _targeted("1", "2", "one-three"),
    "red-blue": _targeted("red", "blue", "white-black"),
    "yes-no-cluster": _targeted("yes", "no", "", method="cluster", modules=["block.-2"], swept=True),
    "yes-no-clean": _targeted("yes", "no", "", without=["to-other"], modules=["block.-2"], swept=True),
    "yes-no-and-red-blue": {
        "task": "targeted",
        "method": "sum",
        "parts": {"yes-no": 1.0, "red-blue": 1.0},
        "original": "yes",
        "wanted": "no",
        "swept": True,
    },
}
DEFAULT: dict[str, Any] = {"vectors": VECTORS}
