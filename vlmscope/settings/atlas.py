"""Settings of the atlas, what the five systems together tell of one model."""

import re
from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section
from vlmscope.settings.xl_vlms.vectors import OBJECTS


class Neurons(Section):
    """Which neurons count as those of a word."""

    k: int = Field(50, ge=1, description="best neurons of a noun in one picture; stable ones are so in half of them")


class Directions(Section):
    """How latents and concepts are matched."""

    draws: int = Field(200, ge=20, description="random directions and orders of states that matches stand beside")


class Runs(Section):
    """Passes of the model for what is destroyed and for steering."""

    images: int = Field(100, ge=2, description="pictures whose objects are taken away, words in turn")
    buffer: Literal[0, 1, 2] = Field(1, description="neighbours that are taken away or blocked with the object")
    latents: int = Field(3, ge=1, description="latents per word that are followed, by how well they tell it")
    seed: int = Field(42, ge=0, description="seed of random tokens, latents and neurons")


class Steer(Section):
    """Ways to steer, side by side."""

    words: int = Field(4, ge=1, description="words that are steered to, the first ones of `sets`")
    kl: float = Field(
        0.1, gt=0, description="equal effect: divergence of the next token in nats, geometric mean over pictures"
    )
    strengths: list[float] = Field(
        [0.1, 0.3, 0.6, 1.2, 3.0, 10.0, 30.0],
        min_length=3,
        description="tried on the pictures apart, in lengths of a mean state (of neurons: of their usual activation)",
    )
    apart: int = Field(12, ge=2, description="pictures on which strengths are matched")
    images: int = Field(24, ge=2, description="held-out pictures without the word on which they are judged")
    random: int = Field(3, ge=1, description="random directions and sets of neurons")


class Show(Section):
    """The page."""

    pictures: int = Field(4, ge=0, le=12, description="pictures per word, with maps")
    neurons: int = Field(12, ge=1, description="neurons per word")
    pixels: int = Field(160, ge=32, le=448, description="longest side of a picture")


class Atlas(Section):
    """Joint tables of the five systems for one model."""

    sets: list[Name] = Field(
        list(OBJECTS),
        min_length=2,
        description="vector sets of xl_vlms, one per object word; the set of the same name with -test is held out",
    )
    bootstrap: int = Field(1000, ge=10, description="resamples behind intervals")
    seed: int = Field(0, ge=0, description="seed of resamples and of random directions")
    neurons: Neurons = Field(Neurons(), description="neurons of words")
    directions: Directions = Field(Directions(), description="latents beside concepts")
    runs: Runs = Field(Runs(), description="objects taken away, and attention to them blocked")
    steer: Steer = Field(Steer(), description="steering side by side")
    show: Show = Field(Show(), description="page of object words")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.atlas
    wanted: list[Reference] = [("run.atlas", name, config.models, "models") for name in config.run.atlas]
    for name in own.sets:
        wanted += [("atlas.sets", one, config.xl_vlms.sets, "xl_vlms.sets") for one in (name, f"{name}-test")]
    return wanted


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    own, found = config.atlas, []
    if config.run.atlas and not re.fullmatch(r"resid_post\[\d+\]", config.multimodal_sae.site):
        found.append("multimodal_sae.site must be resid_post[N], the states that the atlas matches concepts with")
    if list(own.steer.strengths) != sorted(set(own.steer.strengths)) or own.steer.strengths[0] <= 0:
        found.append("atlas.steer.strengths must rise from above 0")
    return found


DATASETS: dict[str, Any] = {}
CAPTURES: dict[str, Any] = {}
DEFAULT: dict[str, Any] = {}
