"""Files of the released code, in and out."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section


class Exchange(Section):
    """Files of the released code (docs/formats.md)."""

    imported: dict[Name, dict[Name, str]] = Field(
        {}, description="per model and vector set, a feature file that is read instead of the capture"
    )
    position: int | None = Field(
        None, description="which position of imported states of several is taken; empty: the mean over them"
    )
    part: Literal["outputs/average", "outputs/last_input", "inputs/last_raw_input"] = Field(
        "outputs/average", description="which state of imported learn-to-steer features makes a vector"
    )


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    found: list[Reference] = []
    for model, files in config.xl_vlms.exchange.imported.items():
        found.append(("xl_vlms.exchange.imported", model, config.models, "models"))
        found += [(f"xl_vlms.exchange.imported.{model}", key, config.xl_vlms.sets, "xl_vlms.sets") for key in files]
    return found
