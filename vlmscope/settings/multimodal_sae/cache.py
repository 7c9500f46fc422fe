"""Which active latents are kept, and of which pictures."""

from typing import Literal

from pydantic import Field

from vlmscope.settings.base import Name, Section


class Cache(Section):
    """Active latents of pictures (multimodal_sae.md 2.4)."""

    data: list[Name] = Field(
        ["objects"], min_length=1, description="datasets whose pictures are looked at, in this order"
    )
    split: Literal["train", "val"] = Field("train", description="split of those datasets")
    samples: int = Field(240, ge=1, description="most pictures per dataset")
    scope: Literal["base", "all"] = Field("base", description="image tokens of the first view, or all of them")
    dtype: Literal["float16", "float32"] = Field("float32", description="precision of the values on disk")
    splits: int = Field(4, ge=1, description="files of the export in the released layout")


class Part(Section):
    """Pictures of one dataset."""

    data: Name = Field(description="dataset")
    split: Literal["train", "val"] = Field("train", description="split of that dataset")
    share: float = Field(1.0, gt=0, le=1, description="share of its rows, from the first on")


class Joined(Section):
    """Pictures of several datasets in one, as autoencoders are looked at with (`prepare_cache_dataset`)."""

    parts: list[Part] = Field(
        [Part(data="rs"), Part(data="med"), Part(data="com"), Part(data="doc"), Part(data="chats", share=0.05)],
        min_length=1,
        description="where they come from, in this order",
    )
