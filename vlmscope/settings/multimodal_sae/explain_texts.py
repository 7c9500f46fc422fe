"""Which texts latents are looked at with, and how they are named by them."""

from typing import Literal

from pydantic import Field, model_validator

from vlmscope.settings.base import Name, Section


class ExplainTexts(Section):
    """Latents in texts (multimodal_sae.md 2.4-2.6, 2.10); who explains, refines and judges stands under `explain`."""

    data: list[Name] = Field(["chats"], min_length=1, description="datasets with conversations, whose words are read")
    split: Literal["train", "val"] = Field("train", description="split of those datasets")
    samples: int = Field(240, ge=1, description="most samples per dataset")
    length: int = Field(32, ge=2, description="tokens of the pieces that are read at a time (--ctx_len)")
    dtype: Literal["float16", "float32"] = Field("float32", description="precision of the values on disk")
    by: list[Literal["local", "server", "oracle"]] = Field(
        ["oracle"],
        min_length=1,
        description="explainers: those of `explain`; oracle names the tokens at which a latent fires most",
    )
    latents: int = Field(100, ge=0, description="latents that are named, the first with enough pieces; 0: all")
    window: int = Field(8, ge=1, description="tokens of a piece that is shown")
    examples: int = Field(5, ge=1, description="pieces per latent, to name it and again to score the name")
    highlight: float = Field(
        0.6, ge=0, lt=1, description="share of the highest activation above which tokens are marked"
    )
    cot: bool = Field(False, description="ask for a chain of thought")
    logits: bool = Field(False, description="tell which tokens a latent makes likelier")
    promoted: int = Field(10, ge=1, description="how many of these are kept")
    max_new_tokens: int = Field(500, ge=1, description="most tokens of a description")
    resamples: int = Field(1000, ge=10, description="resamples of the latents behind intervals")
    seed: int = Field(0, ge=0, description="their seed, and that of shuffled names")

    @model_validator(mode="after")
    def _fits(self) -> "ExplainTexts":
        if self.window > self.length:
            raise ValueError(f"pieces of {self.window} tokens do not fit into {self.length}: window <= length")
        return self
