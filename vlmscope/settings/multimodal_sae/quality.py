"""How autoencoders are judged."""

from pydantic import Field

from vlmscope.settings.base import Name, Section


class Quality(Section):
    """Quality of the autoencoder on held-out pictures (multimodal_sae.md 6)."""

    capture: Name = Field("states_val", description="capture whose samples and prompt are used; nothing is stored")
    samples: int = Field(120, ge=1, description="most samples per dataset")
    max_new_tokens: int = Field(12, ge=1, description="most tokens that the model writes for the losses in the loop")
    fitted: int = Field(40_000, ge=1, description="training states behind the mean and the principal components")
    keep_first: bool = Field(False, description="the first position of a text keeps its own state in the loop")
    bins: int = Field(40, ge=2, description="bars of the histogram of densities")
