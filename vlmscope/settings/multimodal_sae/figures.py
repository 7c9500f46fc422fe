"""What is drawn of latents, and who says what became of steered answers."""

from typing import Literal

from pydantic import Field

from vlmscope.settings.base import Section
from vlmscope.settings.multimodal_sae.explain import Talk


class Figures(Section):
    """Figures, cards and overlays (multimodal_sae.md 7)."""

    judge: Talk = Field(Talk(), description="says what became of steered answers; none: told by their words")
    relevance: bool = Field(True, description="a judge also says how relevant an answer is to the latent, 1 to 10")
    bootstrap: int = Field(2000, ge=10, description="resamples of the pictures behind intervals")
    seed: int = Field(0, ge=0, description="their seed")
    cards: int = Field(12, ge=0, description="most latents that get a card of their steered answers")
    mode: Literal["replace", "keep_error", "add"] = Field(
        "replace", description="mode that the cards show; the first of multimodal_sae.steer.modes where it is not there"
    )
    value: float = Field(0.0, ge=0, description="value that the cards show; 0: the largest of multimodal_sae.steer")
    pictures: int = Field(3, ge=1, description="pictures of a card")
    concepts: int = Field(8, ge=1, description="latents of the figure of concepts, the best first")
    examples: int = Field(4, ge=0, description="of these, latents that also get a figure of their IoU")
    shown: int = Field(5, ge=1, description="pictures per latent, of those held out from its name")
    traced: int = Field(10, ge=1, description="latents per part that are shown of an attribution")
    named: bool = Field(
        True, description="latents of an attribution have names beside them, which explainers then make"
    )
    latents: list[int] = Field(
        [], description="latents whose pictures are exported; none: the first explain.latents with enough pictures"
    )
