"""What is asked of an autoencoder beyond the published system."""

from pydantic import Field, field_validator

from vlmscope.settings.base import Section, Share


class Stability(Section):
    """Autoencoders of other seeds on the same states."""

    seeds: list[int] = Field(
        [1, 2], description="seeds of the further autoencoders, beside train.seed: weights and order of the states"
    )
    matched: int = Field(
        4096, ge=0, description="most latents that are matched one to one (Hungarian: memory grows with the square)"
    )

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds) or any(seed < 0 for seed in seeds):
            raise ValueError("seeds must differ and not be negative")
        return seeds


class Duplicates(Section):
    """Latents that say the same."""

    least: int = Field(20, ge=1, description="patches in which a latent has to fire to be compared by its firing")
    pairs: int = Field(50, ge=1, description="pairs that are listed by each measure")


class Absorption(Section):
    """Words whose own latent is silent (arXiv 2409.14507; the thresholds are those of SAEBench 0.6)."""

    jump: Share = Field(0.03, description="F1 that another latent has to add to be one of the word's own")
    most: int = Field(10, ge=1, description="most latents of a word's own")
    cosine: float = Field(0.025, ge=-1, le=1, description="least cosine of an absorbing latent with the probe")
    share: float = Field(0.4, ge=0, description="least share of the probe's value that an absorbing latent makes up")
    least_f1: Share = Field(0.6, description="F1 of a probe below which its word does not count")
    least: int = Field(20, ge=1, description="held-out patches with the word below which it does not count")


class Families(Section):
    """Latents in groups by their decoder rows, and a map of them."""

    families: int = Field(40, ge=2, description="groups")
    neighbours: int = Field(10, ge=1, description="nearest latents of each that may join its group")
    least_iou: Share = Field(0.05, description="IoU below which a latent stands for no word")
    mapped: int = Field(20_000, ge=10, description="most latents that are grouped and mapped, those that fire most")
    perplexity: float = Field(30.0, gt=0, description="neighbours that count on the map (t-SNE)")


class Beyond(Section):
    """Beyond the published system (multimodal_sae.md 9)."""

    samples: int = Field(240, ge=2, description="most pictures per dataset of multimodal_sae.cache")
    stability: Stability = Field(Stability(), description="the same latents again from other seeds")
    duplicates: Duplicates = Field(Duplicates(), description="latents that say the same")
    absorption: Absorption = Field(Absorption(), description="words whose own latent is silent")
    families: Families = Field(Families(), description="groups of latents, and a map")
    neurons: int = Field(40, ge=0, description="domain neurons per domain that are compared (mmneuron); 0: none")
    draws: int = Field(200, ge=10, description="random directions, and shuffles of words, behind chance")
    resamples: int = Field(1000, ge=10, description="resamples behind intervals")
    seed: int = Field(0, ge=0, description="their seed")
