"""Settings of system 5, what becomes of visual tokens."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Reference, Section


class LlavaInterp(Section):
    """System 5."""

    answers: Literal["strict", "official"] = Field(
        "strict", description="strict: the object as a whole word, in any case; official: as a part of the text"
    )


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    return [("run.llava_interp", name, config.models, "models") for name in config.run.llava_interp]


DEFAULT: dict[str, Any] = {}
