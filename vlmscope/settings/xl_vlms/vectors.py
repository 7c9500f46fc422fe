"""Which states of which samples make a vector set."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section


class VectorSet(Section):
    """One vector per sample, or none (xl_vlms.md 2.2, 2.3)."""

    capture: Name = Field(description="capture that supplies the states")
    dataset: Name = Field(description="dataset of that capture")
    rule: Literal["word", "before_end", "mean", "index", "prompt_end"] = Field(
        "word",
        description="word: the state that predicted the beginning of one of `words`; before_end: mean over what was "
        "written; mean: over all kept positions; index: by number; prompt_end: what predicted the first token",
    )
    words: list[str] = Field([], description="whole words to look for, in any case (rule: word)")
    index: int = Field(-1, description="number of the position, negative from the end (rule: index)")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    found: list[Reference] = []
    for key, one in config.xl_vlms.sets.items():
        found.append((f"xl_vlms.sets.{key}.capture", one.capture, config.captures, "captures"))
        found.append((f"xl_vlms.sets.{key}.dataset", one.dataset, config.datasets, "datasets"))
    return found


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    return [
        f"xl_vlms.sets.{key}.words must be listed with rule: word, and only then"
        for key, one in config.xl_vlms.sets.items()
        if bool(one.words) != (one.rule == "word")
    ]


DEFAULT: dict[str, Any] = {}
