"""Which latents are held, at what, and how it is asked."""

from typing import Literal

from pydantic import Field

from vlmscope.settings.base import Name, Section


class Feature(Section):
    """A latent that is steered in any case."""

    latent: int = Field(ge=0, description="its number")
    word: str = Field(description="what it is said to stand for")


class Steer(Section):
    """Steering by latents (multimodal_sae.md 2.8)."""

    features: list[Feature] = Field([], description="latents with the word that they are said to stand for")
    words: list[str] = Field([], description="words for each of which the latent is found that agrees best with it")
    found: Name = Field("sbu", description="dataset whose texts about pictures have these words")
    found_split: Literal["train", "val"] = Field("train", description="split of that dataset")
    found_samples: int = Field(160, ge=2, description="most pictures in which features are looked for")
    random: int = Field(2, ge=0, description="random latents of similar density beside every feature")
    data: Name = Field("sbu", description="dataset whose pictures are asked about")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    pictures: int = Field(24, ge=1, description="most pictures that are asked about")
    questions: list[str] = Field(["describe the image."], description="what is asked about every picture")
    texts: list[str] = Field(["describe the image."], description="what is asked without a picture")
    chat: bool = Field(True, description="questions stand in the model's template; else as they are (--pure-text)")
    values: list[float] = Field([50.0, 100.0, 200.0], min_length=1, description="values of the latent; 50 as published")
    modes: list[Literal["replace", "keep_error", "add"]] = Field(
        ["replace", "keep_error", "add"],
        min_length=1,
        description="replace: the states are rebuilt with the latent held, as released; keep_error: what it changes is "
        "added to them; add: value times its direction is",
    )
    positions: list[Literal["all", "prefill", "image", "text", "last"]] = Field(
        ["prefill"],
        min_length=1,
        description="of the prompt: prefill, all, as released; image; text; last; all: also of what is written",
    )
    max_new_tokens: int = Field(16, ge=1, description="most tokens that are written")
    rows: int = Field(64, ge=1, description="most rows of a pass")
    bootstrap: int = Field(2000, ge=10, description="resamples of the pictures behind intervals")
    seed: int = Field(0, ge=0, description="seed of random latents and of resamples")
