"""What the feature browser and the text view show."""

from typing import Literal

from pydantic import Field

from vlmscope.settings.base import Name, Section


class Show(Section):
    """Pages to look at latents."""

    parts: list[Literal["names", "steering", "attribution", "texts", "text_names"]] = Field(
        ["names", "steering", "attribution", "texts"],
        description="results that pages show beside pictures and words; those left out are not made for them; "
        "text_names are those of explain_texts",
    )
    latents: int = Field(
        0,
        ge=0,
        description="latents with a page: named and steered ones, then those of most pictures; 0: all that fire",
    )
    pictures: int = Field(8, ge=1, description="pictures on the page of a latent")
    pixels: int = Field(64, ge=8, description="side of pictures, which are squashed to a square as the model sees them")
    tokens: int = Field(8, ge=1, description="tokens that a latent promotes most, and suppresses most")
    neighbours: int = Field(6, ge=1, description="nearest latents, and latents that fire together with one")
    counted: int = Field(2000, ge=1, description="most pictures in which firing together is counted")
    windows: int = Field(5, ge=1, description="pieces of texts on the page of a latent")
    window: int = Field(12, ge=2, description="tokens of a piece")
    steered: int = Field(6, ge=1, description="answers under steering on the page of a latent, changed ones first")
    regions: int = Field(48, ge=1, description="pictures whose patches can be clicked")
    top: int = Field(8, ge=1, description="latents that are kept of each of these patches")


class Texts(Section):
    """Texts whose tokens are looked at (multimodal_sae.md 2.4, 2.11)."""

    own: list[str] = Field([], description="texts of your own, each looked at as it is")
    data: Name = Field("sbu", description="dataset whose texts about pictures are read, without the pictures")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    samples: int = Field(160, ge=0, description="most of its texts; 0: your own alone")
    length: int = Field(64, ge=2, description="tokens of a chunk: texts are joined and cut, as released")
    shown: int = Field(40, ge=1, description="most texts and chunks in the text view")
