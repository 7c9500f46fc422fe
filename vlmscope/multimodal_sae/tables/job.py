"""Paths and settings of the steps behind the tables of layers and models: as their rules know them."""

from typing import Any

from vlmscope.multimodal_sae.explain import job as explain_job
from vlmscope.multimodal_sae.train import job

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any
HOME = "results/multimodal_sae/{model}"


class Inputs:
    """Input functions and parameters of the rules."""

    def __init__(self, config: Any, naming: explain_job.Inputs) -> None:
        self.config, self.own, self.naming = config, config.multimodal_sae.small, naming
        self.studied = {one.model: one for one in self.own.studied}
        capture = config.captures[self.own.train.capture]
        self.raws = [f"results/data/{name}/raw.json" for name in capture.data]
        self.samples = [f"results/data/{name}/{capture.split}.parquet" for name in capture.data]
        self.formats = sorted({f"vlmscope.datasets.{config.datasets[name].kind}" for name in capture.data})

    def about(self, wildcards: Wildcards) -> str:
        """Layers of the model, the site without its layer, formats of the samples and how they are asked."""
        site = self.config.multimodal_sae.site.partition("[")[0]
        told = {"layers": self.studied[wildcards.model].layers, "site": site}
        return job.text({**told, "data": job.about(self.config, self.own.train.capture)})

    def asked(self, wildcards: Wildcards) -> str:
        """Format of the questions that are asked with the autoencoder in the loop, and how they are asked."""
        own = self.config.multimodal_sae.downstream
        told = {"prompt": own.prompt, "begin": "", "samples": own.samples, "vision_positions": 0}
        return job.text({"kinds": [self.config.datasets[own.data].kind], "settings": told})

    def explainer(self, wildcards: Wildcards) -> list[str]:
        """The model of the catalogue that explains, labels or judges, where it is asked."""
        told = self.config.multimodal_sae.explain
        return self.naming.manifest("local" in (*self.own.by, told.refiner.by, told.labeller.by, told.judge.by))

    def models(self, wildcards: Wildcards) -> str:
        """Model -> family and label, those of the table's own model first."""
        names = sorted(self.studied, key=lambda name: name != wildcards.model)
        found = {name: self.config.models[name] for name in names}
        about = {name: {"family": one.family, "label": one.label} for name, one in found.items()}
        # Canonical JSON sorts keys; the order is a list of its own.
        return job.text({"order": names, "models": about})

    def others(self, wildcards: Wildcards) -> list[str]:
        """Scores of all models, in that order."""
        names = sorted(self.studied, key=lambda name: name != wildcards.model)
        return [f"results/multimodal_sae/{name}/small_scores.csv" for name in names]
