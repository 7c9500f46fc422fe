"""What the remaining tables of the paper are made from."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from vlmscope.settings.base import Name, Section
from vlmscope.settings.multimodal_sae.train import Train

By = Literal["local", "server", "oracle"]
SMALL = Train(stored=False, latents=192, k=8, steps=200, log_every=20, save_every=0)


class Downstream(Section):
    """Right answers with the autoencoder in the loop (multimodal_sae.md 6.4)."""

    data: Name = Field("com", description="dataset of kind vqav2 whose questions are asked")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    prompt: Literal["simple", "full", "chat", "turn"] = Field("chat", description="how they are asked, as in captures")
    samples: int = Field(160, ge=1, description="most questions")
    max_new_tokens: int = Field(6, ge=1, description="most tokens of an answer")
    fitted: int = Field(40_000, ge=1, description="training states behind the mean and the principal components")
    keep_first: bool = Field(False, description="the first position of a prompt keeps its own state")
    bootstrap: int = Field(2000, ge=10, description="resamples of the questions behind intervals")
    seed: int = Field(0, ge=0, description="their seed")


class White(Section):
    """Answers about a white picture with named latents held (multimodal_sae.md 6.3, Table 9)."""

    explainer: By = Field("oracle", description="whose names are taken, one of multimodal_sae.explain.by")
    concepts: list[str] = Field(
        ["object", "color"], min_length=1, description="classes of the latents that are held; object as published"
    )
    features: int = Field(100, ge=1, description="most latents")
    random: int = Field(2, ge=1, description="random latents of similar density beside each")
    question: str = Field("describe the image.", description="what is asked about the white picture")
    pixels: int = Field(64, ge=1, description="of its sides")
    value: float = Field(200.0, description="value of the latent; 50 as published")
    mode: Literal["replace", "keep_error", "add"] = Field("replace", description="as in multimodal_sae.steer.modes")
    positions: Literal["all", "prefill", "image", "text", "last"] = Field(
        "prefill", description="as in multimodal_sae.steer.positions"
    )
    max_new_tokens: int = Field(16, ge=1, description="most tokens that are written")
    bootstrap: int = Field(2000, ge=10, description="resamples of the latents behind intervals")
    seed: int = Field(0, ge=0, description="seed of random latents and of resamples")


class Hallusion(Section):
    """Wrong answers under changed latents (multimodal_sae.md 7, Table 11)."""

    data: Name = Field("hallusion", description="dataset of kind hallusion_bench or pope")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    questions: int = Field(500, ge=1, description="most questions that are asked")
    studied: int = Field(60, ge=1, description="most wrong answers, and as many right ones, that are looked into")
    suffix: str = Field("", description="what stands behind every question")
    attribution: Literal["official", "atp", "trapezoid", "integrated"] = Field(
        "atp", description="how latents are found, as in multimodal_sae.attribution.mode"
    )
    latents: int = Field(4, ge=1, description="latents that are changed at once")
    value: float = Field(50.0, description="value at which latents are held; 50 as published for steering")
    mode: Literal["replace", "keep_error"] = Field("replace", description="as in multimodal_sae.steer.modes")
    positions: Literal["all", "prefill", "image", "text", "last"] = Field(
        "prefill", description="as in multimodal_sae.steer.positions"
    )
    random: int = Field(2, ge=1, description="draws of as many random latents")
    max_new_tokens: int = Field(4, ge=1, description="most tokens of an answer")
    bootstrap: int = Field(2000, ge=10, description="resamples of the questions behind intervals")
    seed: int = Field(0, ge=0, description="seed of random latents and of resamples")


class Studied(Section):
    """A model and the layers that small autoencoders are trained at."""

    model: Name = Field(description="model of the catalogue")
    layers: list[int] = Field(min_length=1, description="numbers of its decoder blocks")

    @field_validator("layers")
    @classmethod
    def _once_and_real(cls, layers: list[int]) -> list[int]:
        if len(set(layers)) < len(layers) or min(layers) < 0:
            raise ValueError(f"{layers} are no different layers, counted from 0")
        return layers


class Small(Section):
    """Small autoencoders at several layers and in other models (multimodal_sae.md 7, Tables 3, 4 and 10)."""

    studied: list[Studied] = Field(
        [
            Studied(model="llava-next-llama3", layers=[0, 1, 2]),
            Studied(model="blip", layers=[1]),
            Studied(model="qwen2-vl", layers=[1]),
        ],
        min_length=1,
        description="models and layers; all layers of a model are trained in one pass over the data",
    )
    held: bool = Field(
        True, description="the model is run once and its states stay in memory; else it runs as long as is trained"
    )
    train: Train = Field(SMALL, description="their training; `stored` stays false: states are read from the model")
    by: list[By] = Field(["oracle"], min_length=1, description="explainers, as in multimodal_sae.explain.by")
    scorers: list[Literal["detection", "fuzzing", "simulation"]] = Field(
        [], description="what the judge is asked besides, as in multimodal_sae.explain.scorers"
    )
    features: int = Field(40, ge=1, description="latents per autoencoder that are named and scored; 100 as published")

    @model_validator(mode="after")
    def _reads_the_model(self) -> "Small":
        if self.train.stored:
            raise ValueError("multimodal_sae.small.train.stored must be false")
        names = [one.model for one in self.studied]
        if len(set(names)) < len(names):
            raise ValueError("a model is studied once, with all its layers")
        return self
