"""Paths of the steps that name latents and score names: as their rules know them."""

import json
from typing import Any

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any


class Inputs:
    """Input functions and paths of the rules."""

    def __init__(self, config: Any, hookpoint: str) -> None:
        self.own, self.judges = config.multimodal_sae.explain, config.judges
        self.texts, self.datasets = config.multimodal_sae.explain_texts, config.datasets
        self.texts_raws = [f"results/data/{name}/raw.json" for name in self.texts.data]
        self.texts_samples = [f"results/data/{name}/{self.texts.split}.parquet" for name in self.texts.data]
        self.texts_formats = sorted({f"vlmscope.datasets.{config.datasets[name].kind}" for name in self.texts.data})
        self.texts_state = f"results/multimodal_sae/{{model}}/texts/labels.state/{hookpoint}.jsonl"
        self.trained = f"results/multimodal_sae/{{model}}/sae/{hookpoint}"
        self.control = f"results/multimodal_sae/{{model}}/untrained/{hookpoint}"
        self.state = f"results/multimodal_sae/{{model}}/labels.state/{hookpoint}.jsonl"
        self.clip = f"results/models/{self.own.clip}/model.json"
        self.family = f"vlmscope.models.{config.models[self.own.model].family}"

    def explainer(self, wildcards: Wildcards) -> list[str]:
        """The model of the catalogue that explains, where it is asked."""
        told = (self.own.refiner.by, self.own.labeller.by)
        return self.manifest("local" in self.own.by or "local" in told)

    def texts_weights(self, wildcards: Wildcards) -> str:
        """The autoencoder, or the one that was not trained."""
        home = {"trained": self.trained, "untrained": self.control}[wildcards.coder]
        return f"{home}/sae.safetensors".replace("{model}", wildcards.model)

    def texts_explainer(self, wildcards: Wildcards) -> list[str]:
        """The same, where latents are named by texts."""
        return self.manifest("local" in self.texts.by or self.own.refiner.by == "local")

    def texts_kinds(self, wildcards: Wildcards) -> str:
        """Formats of the datasets whose words are read, as canonical JSON."""
        return json.dumps([self.datasets[name].kind for name in self.texts.data])

    def judge(self, wildcards: Wildcards) -> list[str]:
        """The same, where it judges."""
        return self.manifest(self.own.judge.by == "local")

    def segmenters(self, wildcards: Wildcards) -> list[str]:
        """Manifests or configurations of the models that find boxes and cut them out; none where masks are known."""
        named = (self.own.detector, self.own.sam) if self.own.segmenter == "grounded" else ()
        found = [(name, self.judges[name]) for name in named]
        return [
            f"results/models/{name}/hub.json" if one.source == "hub" else f"{one.checkpoint}/config.json"
            for name, one in found
        ]

    def manifest(self, wanted: bool) -> list[str]:
        """The manifest of that model, where it is wanted."""
        return [f"results/models/{self.own.model}/model.json"] if wanted else []
