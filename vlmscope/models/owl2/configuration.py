"""Configuration of mPLUG-Owl2: a Llama with `visual_config` inside (mm_neurons.md 4.4)."""

from typing import Any

from transformers import AutoConfig, LlamaConfig, PreTrainedConfig

from vlmscope.errors import VlmscopeError


class OwlVisionConfig(PreTrainedConfig):
    """The vision encoder; defaults are those of the published model."""

    model_type = "mplug_owl2_vision"
    base_config_key = "visual_model"

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 448
    patch_size: int = 14
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02


class OwlAbstractorConfig(PreTrainedConfig):
    """The visual abstractor that turns patches into a fixed number of queries."""

    model_type = "mplug_owl2_abstractor"
    base_config_key = "visual_abstractor"

    num_learnable_queries: int = 64
    hidden_size: int = 1024
    intermediate_size: int = 2816
    num_hidden_layers: int = 6
    num_attention_heads: int = 16
    encoder_hidden_size: int = 1024
    grid_size: int = 32
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02


class OwlVisualConfig(PreTrainedConfig):
    """Both visual parts, nested as the published `config.json` nests them."""

    model_type = "mplug_owl2_visual"
    base_config_key = "visual_config"
    sub_configs = {"visual_model": OwlVisionConfig, "visual_abstractor": OwlAbstractorConfig}  # noqa: RUF012

    visual_model: dict | PreTrainedConfig | None = None
    visual_abstractor: dict | PreTrainedConfig | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.visual_model = _as_config(self.visual_model, OwlVisionConfig)
        self.visual_abstractor = _as_config(self.visual_abstractor, OwlAbstractorConfig)
        widths = {self.visual_model.hidden_size}
        widths |= {self.visual_abstractor.encoder_hidden_size, self.visual_abstractor.hidden_size}
        if len(widths) > 1:
            raise VlmscopeError(
                f"Queries and patches differ in width ({sorted(widths)}), yet they are attended to together.",
                where="visual_config in config.json of the checkpoint",
                instead="one number for hidden_size of both parts and for encoder_hidden_size",
            )
        super().__post_init__(**kwargs)


class OwlConfig(LlamaConfig):
    """A Llama-2 configuration with the visual parts; defaults are those of the published 7B model.

    image_token_index   stands for one image position in `input_ids`; also called `image_token_id`. It lies outside the
                        vocabulary (the published model has no row for it), so it is never looked up.
    """

    model_type = "mplug_owl2"
    # A field of the other name would be held to the vocabulary, with a warning.
    attribute_map = {"image_token_id": "image_token_index"}  # noqa: RUF012
    sub_configs = {"visual_config": OwlVisualConfig}  # noqa: RUF012

    visual_config: dict | PreTrainedConfig | None = None
    image_token_index: int = -200

    def __post_init__(self, **kwargs: Any) -> None:
        self.visual_config = _as_config(self.visual_config, OwlVisualConfig)
        super().__post_init__(**kwargs)

    @property
    def image_tokens(self) -> int:
        """Positions that one picture fills: the queries and one end token."""
        return self.visual_config.visual_abstractor.num_learnable_queries + 1


def _as_config(value: Any, kind: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A sub-configuration from a mapping; the defaults where there is none."""
    return value if isinstance(value, kind) else kind(**(value or {}))


def register() -> None:
    """Make the configuration known to the library, whose tokenizer loader reads `config.json` too."""
    AutoConfig.register(OwlConfig.model_type, OwlConfig, exist_ok=True)
