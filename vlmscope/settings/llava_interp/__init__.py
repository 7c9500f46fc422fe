"""Settings of system 5, what becomes of visual tokens."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section
from vlmscope.settings.llava_interp import more
from vlmscope.settings.llava_interp.more import (
    Attention,
    Choices,
    Detector,
    Exchange,
    Layers,
    Pairs,
    Several,
    Spoken,
    Tracing,
    Tuned,
    Views,
)


class Objects(Section):
    """Pictures, and the object of each that is looked at (llava_interp.md 2.2, 2.3)."""

    dataset: Name = Field("objects", description="dataset of kind coco_objects")
    split: Literal["train", "val"] = Field("train", description="split of that dataset")
    most: int = Field(3, ge=1, description="most objects in a picture")
    least_area: float = Field(0, ge=0, description="square pixels that the object must exceed")
    most_area: float = Field(4096, gt=0, description="square pixels that it must stay below")
    area: Literal["whole", "visible"] = Field(
        "whole", description="of the whole object, as released, or of what the model sees of it"
    )
    geometry: Literal["aligned", "official"] = Field(
        "aligned",
        description="which patches an object covers; aligned: by what the image processor does; official: as released",
    )


class Asking(Section):
    """What the model is asked (llava_interp.md 4)."""

    prompt: str = Field("<image>\n{question}", description="what stands around a question, within the model's template")
    prompts: dict[Name, str] = Field({}, description="family -> the same where it differs")
    describe: str = Field("describe the image.", description="request for a description")
    poll: str = Field("is there a {class}?", description="question after the object")
    affirmed: str = Field("yes", description="how a positive answer begins")
    begin: str = Field(
        "", description="words that the answer to a picture's own question is begun with; {a}: a or an, by the class"
    )
    generative_tokens: int = Field(24, ge=1, description="most tokens of a description")
    polling_tokens: int = Field(3, ge=1, description="most tokens of the answer to `poll`")


class Mean(Section):
    """The vector that tokens are replaced by (llava_interp.md 2.1)."""

    folder: str = Field("", description="folder of pictures whose tokens are averaged; empty: those of the dataset")
    most: int = Field(0, ge=0, description="pictures at most; 0 means all")
    imported: dict[Name, str] = Field({}, description="model -> published vector (.pt) that is taken instead")


class Gradient(Section):
    """Integrated gradients, by which tokens are ranked (llava_interp.md 2.5)."""

    mode: Literal["fixed", "official"] = Field(
        "fixed",
        description="fixed: logit of the answer, path within the picture; official: logit of the token that the "
        "tokenizer puts first, one position too many",
    )
    steps: int = Field(16, ge=2, description="nodes of the path")
    sizes: list[int] = Field([2, 4, 8, 16, 32], description="how many of the most important tokens are replaced")


class Ablation(Section):
    """Tokens replaced at the entrance of the decoder (llava_interp.md 2.5, 2.6)."""

    images: int = Field(60, ge=1, description="images kept for description and poll, and for the pictures' questions")
    value: Literal["mean", "zero"] = Field("mean", description="what takes a token's place")
    sizes: list[int] = Field([2, 4, 8, 16, 32], description="how many random tokens are replaced")
    gradient: Gradient = Field(Gradient(), description="sets of the most important tokens")
    seed: int = Field(42, ge=0, description="seed of random sets and noise")


class Knockout(Section):
    """Attention blocked between groups of tokens (llava_interp.md 2.7)."""

    images: int = Field(100, ge=1, description="images with a question that are looked at")
    sliding: list[int] = Field([2], description="widths of sliding windows of layers")
    seed: int = Field(42, ge=0, description="seed of random keys")


class Lens(Section):
    """What the vocabulary says of visual tokens (llava_interp.md 2.8)."""

    images: int = Field(60, ge=1, description="images with an object that are read")
    shown: int = Field(6, ge=0, description="images whose data are written for pages and figures")
    question: str = Field("describe the image.", description="what the model is asked meanwhile")
    least_area: float = Field(0, ge=0, description="square pixels that the object must exceed")
    most_area: float = Field(4096, gt=0, description="square pixels that it must stay below")
    k: int = Field(5, ge=1, description="tokens kept per layer and position")
    threshold: float = Field(
        0.5, gt=0, le=1, description="share of a map's maximum above which a patch counts as the object's"
    )
    twice: bool = Field(False, description="norm the last layer's states a second time, as released")


class Show(Section):
    """Pages of the lens."""

    pages: int = Field(1000, ge=1, description="pictures with a page, the first ones of llava_interp.lens.shown")
    pixels: int = Field(64, ge=16, le=256, description="longest side of pictures in the overview")


class LlavaInterp(Section):
    """System 5."""

    answers: Literal["strict", "official"] = Field(
        "strict", description="strict: the object as a whole word, in any case; official: as a part of the text"
    )
    synonyms: dict[str, list[str]] = Field({}, description="class -> further words for it (answers: strict)")
    bootstrap: int = Field(2000, ge=1, description="resamples of the intervals of differences")
    seed: int = Field(42, ge=0, description="seed of the resamples")
    objects: Objects = Field(Objects(), description="pictures and their objects")
    asking: Asking = Field(Asking(), description="what the model is asked")
    mean: Mean = Field(Mean(), description="what tokens are replaced by")
    ablation: Ablation = Field(Ablation(), description="visual tokens taken away")
    knockout: Knockout = Field(Knockout(), description="attention blocked")
    lens: Lens = Field(Lens(), description="visual tokens as words")
    tuned: Tuned = Field(Tuned(), description="visual tokens as words, behind an affine map of every layer")
    tracing: Tracing = Field(Tracing(), description="single visual tokens given back")
    several: Several = Field(Several(), description="one object taken away, another one asked for")
    choices: Choices = Field(Choices(), description="tokens chosen by attention, length or lens")
    layers: Layers = Field(Layers(), description="states taken away at one layer")
    spoken: Spoken = Field(Spoken(), description="attention blocked while a description is written")
    pairs: Pairs = Field(Pairs(), description="states of a picture put into its twin")
    detector: Detector = Field(Detector(), description="objects that are there told from invented ones")
    attention: Attention = Field(Attention(), description="attention weights beside blocked attention")
    exchange: Exchange = Field(Exchange(), description="files of the released code")
    views: Views = Field(Views(), description="what pages tell of states beside the lens")
    show: Show = Field(Show(), description="pages of the lens")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.llava_interp
    wanted: list[Reference] = [("run.llava_interp", name, config.models, "models") for name in config.run.llava_interp]
    wanted += [("llava_interp.mean.imported", name, config.models, "models") for name in own.mean.imported]
    wanted += more.names(config)
    return [*wanted, ("llava_interp.objects.dataset", own.objects.dataset, config.datasets, "datasets")]


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    return more.problems(config)


DATASETS: dict[str, Any] = {"objects": {"kind": "coco_objects", "scenes": {"train": 240, "val": 40}}}
CAPTURES: dict[str, Any] = {}
DEFAULT: dict[str, Any] = {}
