"""Which active latents are kept."""

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
