"""Settings of system 4, sparse autoencoders."""

from typing import Any

from pydantic import Field

from vlmscope.settings.base import Reference, Section


class MultimodalSAE(Section):
    """System 4."""

    layer: int = Field(-2, description="decoder block whose output is taken apart; negative from the end")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    return [("run.multimodal_sae", name, config.models, "models") for name in config.run.multimodal_sae]


DEFAULT: dict[str, Any] = {}
