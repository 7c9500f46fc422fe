"""Paths of the steps beyond the published system: as their rules know them."""

from typing import Any

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any


class Inputs:
    """Input functions and paths of the rules."""

    def __init__(self, config: Any, hookpoint: str) -> None:
        self.config, self.own = config, config.multimodal_sae.beyond
        self.home = "results/multimodal_sae/{model}/beyond"
        self.patches = f"{self.home}/patches.h5"
        self.other = f"{self.home}/seeds/{{seed}}/{hookpoint}"
        self.seeds = self.own.stability.seeds

    def neurons(self, wildcards: Wildcards) -> list[str]:
        """The table of domain neurons, where they are compared with and defined for the model's family."""
        defined = self.config.models[wildcards.model].family in self.config.mmneuron.conditions
        return [f"results/mmneuron/{wildcards.model}/neurons.parquet"] if self.own.neurons and defined else []
