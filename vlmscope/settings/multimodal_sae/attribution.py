"""Which answers are traced back to latents, and how."""

from typing import Literal

from pydantic import Field

from vlmscope.settings.base import Name, Section

Mode = Literal["official", "atp", "trapezoid", "integrated"]


class Attribution(Section):
    """Attribution patching (multimodal_sae.md 2.9)."""

    data: Name = Field("sbu", description="dataset whose pictures are asked about")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    pictures: int = Field(8, ge=1, description="most pictures")
    question: str = Field("what color is it?", description="what is asked about every picture")
    answer: str = Field("", description="piece of the vocabulary that is explained; empty: the most likely first token")
    baseline: str = Field("", description="piece that it is compared with; empty: the next likely one")
    mode: Mode = Field(
        "trapezoid",
        description="where the gradient is taken: official, with the latent off; atp, at the reconstruction; "
        "trapezoid, the mean of both; integrated, along the way",
    )
    compared: list[Mode] = Field(
        ["official", "atp", "trapezoid", "integrated"],
        description="modes that are held against the true effect of every latent",
    )
    points: int = Field(9, ge=1, description="points along the way (mode: integrated)")
    refill: bool = Field(True, description="the next latent takes the place of the one that is off, as released")
    candidates: int = Field(0, ge=0, description="latents that are looked at, the largest by atp; 0: all active ones")
    pool: Literal["avg", "max"] = Field("avg", description="how the tokens of a part are summed up")
    parts: list[Literal["image", "text"]] = Field(["image", "text"], min_length=1, description="parts of the filter")
    top_k: int = Field(50, ge=1, description="latents per part in the filter")
    rows: int = Field(32, ge=1, description="latents per pass")
    bootstrap: int = Field(2000, ge=10, description="resamples of the prompts behind intervals")
    seed: int = Field(0, ge=0, description="their seed")
