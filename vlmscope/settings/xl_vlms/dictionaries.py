"""Concept dictionaries: what is decomposed, how, and how it is judged."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section, Share

Method = Literal["snmf", "semi_nmf", "kmeans", "pca", "simple"]


class Words(Section):
    """Which decoded tokens count as words (xl_vlms.md 2.7)."""

    words: str = Field("", description="text file with a word per line; empty: the drawn world's words")
    stops: str = Field("", description="text file with words that do not count; empty: scikit-learn's English ones")
    tokens: int = Field(50, ge=1, description="best tokens of a concept that are looked at")
    keep: int = Field(10, ge=1, description="words of them that stay")
    apply_norm: bool = Field(
        False,
        description="concepts of blocks are read behind the final norm's factors; false: as they are, as released",
    )


class Scores(Section):
    """How words are held against pictures and captions (xl_vlms.md 6.4)."""

    clip: Name = Field("clip", description="model that compares words with pictures")
    prefix: str = Field("", description="what stands before the words; the released text is far from drawn captions")
    weight: float = Field(2.5, gt=0, description="factor of the cosine")
    top: list[int] = Field([1, 3], min_length=1, description="most active concepts of a picture whose mean is taken")
    bertscore: str = Field("", description="folder of the scoring model; empty: an offline stand-in, named so")
    bertscore_layer: int = Field(17, ge=0, description="hidden state that is compared; 17 for roberta-large")


class Dictionaries(Section):
    """Dictionaries of concepts (xl_vlms.md 2.5 to 2.8, 6.4)."""

    sets: list[Name] = Field(
        ["dog", "cat", "person"],
        min_length=1,
        description="vector sets that are decomposed; the set of the same name with -test is held out",
    )
    module: str = Field("final_norm", description="where the states of the main dictionaries are from")
    methods: list[Method] = Field(
        ["snmf", "semi_nmf", "kmeans", "pca", "simple"], min_length=1, description="ways to decompose"
    )
    main: Method = Field("snmf", description="method of figures and of comparisons of layers and of models")
    k: int = Field(10, ge=2, description="concepts per dictionary")
    sweep: list[int] = Field([2, 5, 10, 20], description="sizes of the curve of errors")
    alpha: float = Field(1.0, ge=0, description="weight of sparsity (snmf)")
    max_iter: int = Field(500, ge=1, description="most steps of a fit")
    seed: int = Field(0, ge=0, description="seed of fits, of random controls and of the bootstrap")
    seeds: list[int] = Field([1, 2], description="further seeds behind stability")
    subsamples: int = Field(2, ge=0, description="dictionaries of a part of the samples behind stability")
    part: Share = Field(0.8, description="share of the samples in such a part")
    images: int = Field(5, ge=1, description="most activating pictures per concept (N_MAS)")
    activations: Literal["signed", "absolute"] = Field(
        "signed", description="which activation is the most, as released or by its size; differs for pca alone"
    )
    shuffles: int = Field(200, ge=2, description="orders of the samples that comparisons of models stand beside")
    resamples: int = Field(200, ge=10, description="parts of the samples behind intervals of such comparisons")
    draws: int = Field(20, ge=2, description="random dictionaries, directions and orders that results stand beside")
    directions: Literal["gaussian", "uniform"] = Field(
        "gaussian", description="random directions; uniform: entries between 0 and 1, as released"
    )
    bootstrap: int = Field(1000, ge=10, description="resamples of the pictures behind intervals")
    words: Words = Field(Words(), description="which tokens count as words")
    scores: Scores = Field(Scores(), description="how words are judged")
    imported: dict[Name, dict[Name, str]] = Field(
        {}, description="per model and vector set, an analysis file of the released code to read (docs/formats.md)"
    )


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.xl_vlms.dictionaries
    found: list[Reference] = [("xl_vlms.dictionaries.scores.clip", own.scores.clip, config.models, "models")]
    for name in own.sets:
        for one in (name, f"{name}-test"):
            found.append(("xl_vlms.dictionaries.sets", one, config.xl_vlms.sets, "xl_vlms.sets"))
    for model, files in own.imported.items():
        found.append(("xl_vlms.dictionaries.imported", model, config.models, "models"))
        for name in files:
            found += [
                (f"xl_vlms.dictionaries.imported.{model}", one, config.xl_vlms.sets, "xl_vlms.sets")
                for one in (name, f"{name}-test")
            ]
    return found


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    own, found = config.xl_vlms.dictionaries, []
    if own.main not in own.methods:
        found.append("xl_vlms.dictionaries.main must be one of xl_vlms.dictionaries.methods")
    known = config.xl_vlms.sets
    if len({known[one].dataset for name in own.sets for one in (name, f"{name}-test") if one in known}) > 1:
        found.append("xl_vlms.dictionaries.sets must be sets of one dataset")
    if own.words.tokens < own.words.keep:
        found.append("xl_vlms.dictionaries.words.tokens must be at least xl_vlms.dictionaries.words.keep")
    if own.scores.clip in config.models and config.models[own.scores.clip].family != "clip":
        found.append("xl_vlms.dictionaries.scores.clip must be a model of the family clip")
    return found
