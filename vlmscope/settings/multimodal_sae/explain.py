"""How latents are named, and how names are scored."""

from typing import Literal

from pydantic import Field, model_validator

from vlmscope.settings.base import Name, Section


class Talk(Section):
    """Who answers."""

    by: Literal["none", "local", "server"] = Field(
        "none", description="nobody; the model of `explain.model`; a server that talks as OpenAI's does"
    )
    url: str = Field("", description="address of the server up to, not with, /chat/completions")
    model: str = Field("", description="the model, as the server names it")
    key: str = Field("", description="environment variable with the server's password; empty: none")

    @model_validator(mode="after")
    def _whole(self) -> "Talk":
        if self.by == "server" and not (self.url and self.model):
            raise ValueError("a server needs `url` and `model`")
        return self


class Explain(Section):
    """Names for latents, and their scores (multimodal_sae.md 2.5-2.7, 2.10)."""

    by: list[Literal["local", "server", "oracle"]] = Field(
        ["local", "oracle"],
        min_length=1,
        description="explainers: the model below; the server below; one that knows the masks, as an upper bound",
    )
    model: Name = Field("llava-onevision", description="model of the catalogue that explains (by: local)")
    explainer: Talk = Field(Talk(), description="server that explains (by: server)")
    style: Literal["together", "each"] = Field(
        "each",
        description="all pictures and instructions at once, as released; one question about each, for small models",
    )
    question: str = Field("what is in the middle?", description="asked about each picture (style: each)")
    max_new_tokens: int = Field(12, ge=1, description="most tokens of an answer")
    refiner: Talk = Field(Talk(), description="shortens descriptions to a noun phrase; none: they stay as they are")
    labeller: Talk = Field(Talk(), description="says which kind of concept is named; none: by words of the masks")
    judge: Talk = Field(Talk(), description="says whether a description fits; none: words are compared with the masks")
    latents: int = Field(
        100, ge=0, description="latents that are named, the first that fire in enough pictures; 0: all"
    )
    examples: int = Field(5, ge=1, description="pictures per latent, to name it and again to score the name")
    size: int = Field(64, ge=8, description="pixels of a side of the squashed pictures; 336 as released")
    least: float = Field(0.05, ge=0, le=1, description="mean IoU below which the explainer with the masks refuses")
    segmenter: Literal["truth", "grounded"] = Field(
        "truth", description="ground-truth masks; Grounding DINO with SAM, as released"
    )
    detector: Name = Field("grounding-dino", description="entry of judges that finds boxes (segmenter: grounded)")
    sam: Name = Field("sam", description="entry of judges that cuts out what is in them (segmenter: grounded)")
    box_threshold: float = Field(0.3, ge=0, le=1, description="least score of a box")
    clip: Name = Field("clip", description="model of the family clip that scores names")
    prefix: str = Field("a ", description="what stands before a name that CLIP reads; nothing as released")
    scorers: list[Literal["detection", "fuzzing", "simulation"]] = Field(
        ["detection", "fuzzing", "simulation"],
        description="what the judge is asked besides: which pictures show the name, which regions, how much of it; "
        "each asks it about 20 times per latent",
    )
    random_iou: int = Field(10, ge=1, description="runs of masks on random pictures")
    random_clip: int = Field(30, ge=1, description="runs of CLIP scores of random pictures")
    resamples: int = Field(1000, ge=10, description="resamples behind intervals")
    seed: int = Field(0, ge=0, description="seed of the control, of random pictures, of shuffled names and resamples")

    @model_validator(mode="after")
    def _fits(self) -> "Explain":
        if "server" in self.by and self.explainer.by != "server":
            raise ValueError("by: server needs explainer: {by: server, url: .., model: ..}")
        return self
