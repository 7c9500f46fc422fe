"""Which pictures and texts are probed for the latents that stand out in them."""

from typing import Literal

from pydantic import Field, field_validator

from vlmscope.settings.base import Name, Section


class Probe(Section):
    """Probing of pictures (multimodal_sae.md 2.11)."""

    data: Name = Field("sbu", description="dataset of the pictures")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    images: list[str] = Field([], description="names of its samples; none: the first `pictures`")
    pictures: int = Field(3, ge=1, description="pictures, where none are named")
    question: str = Field("", description="what is asked about each; empty: the picture alone")
    texts: list[str] = Field([], description="texts without a picture, probed as they are")
    positions: Literal["image", "all"] = Field("image", description="tokens that the mean is over")
    ranks: list[tuple[int, int]] = Field(
        [(0, 10)], min_length=1, description="intervals of ranks from 0, the last one out (--topk, --interval)"
    )

    @field_validator("ranks")
    @classmethod
    def _ordered(cls, ranks: list[tuple[int, int]]) -> list[tuple[int, int]]:
        if wrong := [one for one in ranks if not 0 <= one[0] < one[1]]:
            raise ValueError(f"{list(wrong[0])} is no interval of ranks: 0 <= first < last")
        return ranks
