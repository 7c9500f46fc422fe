"""Captions under steering, and how they are scored (xl_vlms.md 2.10, 6.3)."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section

# As `metrics.captions.NAMES`; a test keeps both in step.
Score = Literal["cider", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "meteor", "spice"]


class Captions(Section):
    """Vectors that change the style of captions."""

    dataset: Name = Field("coco", description="pictures that are described")
    split: Literal["train", "val"] = Field("val", description="split of that dataset")
    prompt: Literal["chat", "turn"] = Field(
        "chat", description="the question within the model's template, or as the checkpoint's own template has it"
    )
    images: int = Field(3000, ge=1, description="most pictures")
    max_new_tokens: int = Field(25, ge=1, description="most tokens per caption")
    alphas: list[float] = Field([1.0], min_length=1, description="strengths of every vector")
    positions: Literal["all", "generated", "last_prompt", "from"] = Field(
        "all", description="positions of the prompt that are steered"
    )
    random: int = Field(3, ge=0, description="random directions of the same length beside every vector")
    shuffled: int = Field(3, ge=0, description="vectors of shuffled labels, of the same length, beside every vector")
    control_alphas: list[float] = Field([1.0], description="strengths at which these are tried")
    styles: dict[Name, list[str]] = Field(
        {}, description="vector of task caption -> words that it should bring, or names of classes of words"
    )
    word_files: dict[str, str] = Field(
        {}, description="class of words -> file with a word per line, for classes that are not known or own ones"
    )
    scores: list[Score] = Field(
        ["cider", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l"],
        description="caption scores; meteor and spice stay empty without the package pycocoevalcap and Java",
    )
    examples: int = Field(20, ge=0, description="pictures whose captions are shown")
    top_words: int = Field(10, ge=1, description="words that became more frequent, listed per row")
    bootstrap: int = Field(2000, ge=10, description="resamples of the pictures behind intervals")
    seed: int = Field(0, ge=0, description="seed of random directions and resamples")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own, vectors = config.xl_vlms.captions, config.xl_vlms.vectors
    found: list[Reference] = [("xl_vlms.captions.dataset", own.dataset, config.datasets, "datasets")]
    return found + [("xl_vlms.captions.styles", name, vectors, "xl_vlms.vectors") for name in own.styles]


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    found, own = [], config.xl_vlms.captions
    wanted = {name for name, one in config.xl_vlms.vectors.items() if one.task == "caption"}
    if others := sorted(wanted ^ set(own.styles) & set(config.xl_vlms.vectors)):
        found.append(f"xl_vlms.captions.styles must name the vectors of task caption, and no others: {others}")
    return found


def _named(word: str) -> dict[str, Any]:
    return {"capture": "concept_states", "dataset": "coco", "words": [word], "has": [word]}


# Nearly every drawn caption names colours and a place: single words show what a style does.
SETS: dict[str, Any] = {f"caption-{word}": _named(word) for word in ("beach", "red")}


def _style(target: str) -> dict[str, Any]:
    # Behind the last block less of the caption is lost for the same share of captions with the style.
    return {"task": "caption", "base": {"set": "captions"}, "target": {"set": target}, "modules": ["block.-1"]}


VECTORS: dict[str, Any] = {
    "style-colors": _style("colors"),
    "style-beach": _style("caption-beach"),
    "style-red": _style("caption-red"),
}
DEFAULT: dict[str, Any] = {
    "images": 80,
    "max_new_tokens": 24,
    "alphas": [0.25, 0.5, 0.75, 1.0, 2.0],
    "control_alphas": [0.5, 1.0],
    "random": 2,
    "shuffled": 2,
    "styles": {"style-colors": ["drawn_colors"], "style-beach": ["beach"], "style-red": ["red"]},
}
