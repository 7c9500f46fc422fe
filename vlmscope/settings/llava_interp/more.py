"""What system 5 has beyond the released code, and its files."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section


class Tracing(Section):
    """Single visual tokens given back to a model that lost them."""

    images: int = Field(24, ge=1, description="images with a question that are traced")
    corrupted: Literal["whole", "object"] = Field(
        "whole", description="which visual tokens are lost: all of them, or those of the object"
    )
    layers: int = Field(8, ge=1, description="most layers, spread from the entrance of the decoder to its last but one")
    seed: int = Field(42, ge=0, description="seed of random sets")
    shown: int = Field(6, ge=0, description="images whose maps are drawn")


class Several(Section):
    """One object taken away, another one asked for."""

    images: int = Field(100, ge=1, description="images with two objects that count")
    buffers: list[Literal[0, 1, 2]] = Field([0, 1], description="neighbours that are taken away with the object")
    seed: int = Field(42, ge=0, description="seed of the choice of objects and of random sets")


class Choices(Section):
    """Tokens chosen by attention, length or lens, and taken away."""

    images: int = Field(60, ge=1, description="images with a question that are looked at")
    sizes: list[int] = Field([2, 4, 8, 16], description="how many tokens every rule takes")
    seed: int = Field(42, ge=0, description="seed of random sets")


class Layers(Section):
    """States taken away at one layer."""

    images: int = Field(60, ge=1, description="images with a question that are looked at")
    averaged: int = Field(60, ge=1, description="images whose states are averaged into what takes a state's place")
    layers: int = Field(8, ge=1, description="most layers, spread from the entrance of the decoder to its last but one")
    buffer: Literal[0, 1, 2] = Field(1, description="neighbours that are taken away with the object")
    seed: int = Field(42, ge=0, description="seed of random sets")


class Spoken(Section):
    """Attention blocked while a description is written."""

    images: int = Field(40, ge=1, description="images that are described")
    seed: int = Field(42, ge=0, description="seed of random keys")


class Pairs(Section):
    """States of a picture put into its twin, which has another object in the same place."""

    images: int = Field(60, ge=1, description="pairs, the first pictures with a question")
    layers: int = Field(8, ge=1, description="most layers, spread from the entrance of the decoder to its last but one")
    seed: int = Field(42, ge=0, description="seed of the choice of twins and of random sets")


class Detector(Section):
    """Scores of the lens for objects that are there, and for others."""

    images: int = Field(60, ge=1, description="images whose objects are asked for, and as many absent ones")
    seed: int = Field(42, ge=0, description="seed of the choice of absent objects")


class Attention(Section):
    """Attention weights beside what blocked attention costs."""

    images: int = Field(100, ge=1, description="images with a question that are looked at")
    flow: int = Field(100, ge=0, description="images whose attention flow is searched too, the slow one of the methods")


class Tuned(Section):
    """An affine map in front of the lens, fitted for every layer."""

    images: int = Field(200, ge=2, description="images that the maps are fitted on")
    fitted: Literal["train", "val"] = Field("train", description="split that the maps are fitted on")
    judged: Literal["train", "val"] = Field("val", description="split whose objects are read")
    ridge: float = Field(1e-3, ge=0, description="weight of the penalty, in units of the states' mean variance")


class Views(Section):
    """What pages of the lens tell of states beside it."""

    lenses: list[Literal["cosine", "affine"]] = Field(
        ["cosine", "affine"],
        description="other ways to read visual tokens; cosine: nearest input embeddings; affine: see `tuned`",
    )
    k: int = Field(3, ge=1, description="tokens kept per layer and visual token, of each")
    queries: int = Field(12, ge=1, description="last positions of the prompt whose attention to the picture is kept")
    heads: int = Field(4, ge=1, description="heads per layer of the last position, those that pay most to the picture")


class Released(Section):
    """Result files of the released code that are read instead of running the model."""

    ablation: str = Field("", description="results of descriptions and polls")
    vqa: str = Field("", description="results of the pictures' questions without some tokens")
    knockout: str = Field("", description="results of blocked attention")


class Exchange(Section):
    """Files of the released code (docs/formats.md)."""

    imported: dict[Name, Released] = Field({}, description="model -> result files that are read")


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    told = config.llava_interp.tuned
    same = "llava_interp.tuned: the lens is judged on the split it was fitted on; name train and val"
    return [same] if told.fitted == told.judged else []


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    imported = config.llava_interp.exchange.imported
    return [("llava_interp.exchange.imported", name, config.models, "models") for name in imported]
