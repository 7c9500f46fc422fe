"""Paths of the steps behind the pages: as their rules know them."""

from typing import Any

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any
HOME = "results/multimodal_sae/{model}"


class Inputs:
    """Input functions of the rules; what multimodal_sae.show.parts leaves out is not asked for."""

    def __init__(self, config: Any) -> None:
        self.parts = config.multimodal_sae.show.parts

    def explanations(self, wildcards: Wildcards) -> list[str]:
        """Names with their scores."""
        return self._of("names", wildcards, "explanations.csv")

    def steering(self, wildcards: Wildcards) -> list[str]:
        """Answers under steering."""
        return self._of("steering", wildcards, "steering.csv")

    def effects(self, wildcards: Wildcards) -> list[str]:
        """How often they name the word."""
        return self._of("steering", wildcards, "steer_effects.csv")

    def attribution(self, wildcards: Wildcards) -> list[str]:
        """Shares in answers."""
        return self._of("attribution", wildcards, "attribution.parquet")

    def text_names(self, wildcards: Wildcards) -> list[str]:
        """Names by texts with their ratings."""
        return self._of("text_names", wildcards, "texts/explanations.csv")

    def texts(self, wildcards: Wildcards) -> list[str]:
        """Cached texts."""
        return self._of("texts", wildcards, "texts.h5")

    def tokens(self, wildcards: Wildcards) -> list[str]:
        """Tokens of these texts."""
        return self._of("texts", wildcards, "texts.parquet")

    def _of(self, part: str, wildcards: Wildcards, name: str) -> list[str]:
        return [f"{HOME.format(model=wildcards.model)}/{name}"] if part in self.parts else []
