"""Paths of the steps that draw: as their rules know them."""

from typing import Any

from vlmscope.store import files

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any
SYSTEM = "multimodal_sae"
HOME = f"results/{SYSTEM}/{{model}}"
ALWAYS = ("steering_category_shares.csv", "figures/concepts.png", "attribution", "image_activations")


class Inputs:
    """Input functions and paths of the rules.

    always   what is drawn of every model whatever its latents are
    """

    def __init__(self, config: Any, checkpoints: Any) -> None:
        self.own, self.explain = config.multimodal_sae.figures, config.multimodal_sae.explain
        self.models, self.checkpoints = config.run.multimodal_sae, checkpoints
        self.state = f"{HOME}/steering_categories.state.jsonl"
        self.always = [f"{HOME.format(model=model)}/{name}" for model in self.models for name in ALWAYS]

    def chosen(self, wildcards: Wildcards) -> list[str]:
        """Figures of the chosen latents of every model, which become known on the way."""
        return [path for model in self.models for path in self._of(model)]

    def listed(self, wildcards: Wildcards) -> list[str]:
        """The same of `{model}`, where `{system}` is this one."""
        return self._of(wildcards.model) if wildcards.system == SYSTEM else []

    def _of(self, model: str) -> list[str]:
        chosen = files.read_json(self.checkpoints.multimodal_sae_choose.get(model=model).output.chosen)
        names = [f"{kind}_{latent}.png" for kind in ("steering", "iou_example") for latent in chosen[kind]]
        return [f"{HOME.format(model=model)}/figures/{name}" for name in names]

    def judge(self, wildcards: Wildcards) -> list[str]:
        """The model of the catalogue, where it judges answers."""
        return [f"results/models/{self.explain.model}/model.json"] if self.own.judge.by == "local" else []

    def names(self, wildcards: Wildcards) -> list[str]:
        """Tables with what latents stand for, where they are wanted beside attributions."""
        home = HOME.format(model=wildcards.model)
        return [f"{home}/iou_classes.csv", f"{home}/explanations.csv"] if self.own.named else []
