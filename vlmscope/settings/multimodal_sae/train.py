"""How autoencoders are trained."""

from typing import Literal

from pydantic import Field, model_validator

from vlmscope.settings.base import Name, Section


class Train(Section):
    """Training of the autoencoder (multimodal_sae.md 2.1, 2.2)."""

    capture: Name = Field("states", description="capture whose samples and prompt are used; it takes `site` everywhere")
    stored: bool = Field(True, description="read what the capture stored; else the model runs beside, storing nothing")
    variant: Literal["topk", "groupmax", "batch_topk", "jumprelu", "matryoshka"] = Field(
        "topk",
        description="which latents are active: the k largest, as published; of each of k groups; of a batch; "
        "above a learned threshold; topk whose prefixes reconstruct as well",
    )
    latents: int = Field(512, ge=0, description="latents; 0: `expansion` times the width of the states")
    expansion: int = Field(32, ge=1, description="latents per unit of the states (latents: 0)")
    k: int = Field(16, ge=1, description="active latents per token")
    prefixes: list[int] = Field([], description="numbers of first latents that reconstruct by themselves (matryoshka)")
    bandwidth: float = Field(0.05, gt=0, description="width in which thresholds learn (jumprelu)")
    normalize: bool = Field(True, description="keep the decoder's rows at length 1")
    multi_topk: bool = Field(False, description="four times as many active latents have to reconstruct as well")
    steps: int = Field(600, ge=1, description="steps of the optimiser; batches with compat: official")
    batch: int = Field(1024, ge=1, description="states per batch and process")
    buffer: int = Field(32768, ge=2, description="states that are held to be mixed, per process")
    accumulate: int = Field(1, ge=1, description="batches per step")
    parts: int = Field(1, ge=1, description="parts that a batch is cut into, to save memory")
    optimizer: Literal["adam", "signum"] = Field("adam", description="Adam, as released, or signs of running gradients")
    rate: float = Field(0.003, ge=0, description="learning rate; 0: 2e-4 (signum 5e-3) / sqrt(latents / 2^14)")
    warmup: int = Field(50, ge=0, description="steps in which the rate rises")
    clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0: none")
    aux_weight: float | None = Field(
        None,
        ge=0,
        description="weight of what dead latents leave; null: 1/32, and 0 as published with compat: official",
    )
    aux_k: int = Field(16, ge=0, description="dead latents per token that learn so; 0: half the width, as released")
    dead_after: int = Field(50_000, ge=0, description="tokens without firing after which a latent counts as dead")
    sparsity_weight: float = Field(1.0, ge=0, description="weight of the number of active latents (jumprelu)")
    compat: Literal["none", "official"] = Field("none", description="official: the released order and losses")
    seed: int = Field(0, ge=0, description="seed of weights and of the order of states")
    log_every: int = Field(10, ge=1, description="steps per row of the log")
    save_every: int = Field(10, ge=0, description="rows of the log after which a killed run can go on; 0: never")

    @model_validator(mode="after")
    def _fits(self) -> "Train":
        if self.buffer < 2 * self.batch:
            raise ValueError(f"a buffer of {self.buffer} states cannot mix batches of {self.batch}: buffer >= 2 batch")
        if self.variant == "matryoshka" and not self.prefixes:
            raise ValueError("variant: matryoshka needs `prefixes`")
        if self.latents and self.k > self.latents:
            raise ValueError(f"of {self.latents} latents {self.k} cannot be active")
        return self
