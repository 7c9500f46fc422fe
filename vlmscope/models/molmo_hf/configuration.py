"""Configuration of Molmo: the published flat fields for the decoder, `vision_config` for the rest (xl_vlms.md 4.4)."""

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from vlmscope.errors import VlmscopeError
from vlmscope.models.molmo_hf.geometry import Geometry

# Variants of the published code that the 7B-D model does not use and this class does not compute.
UNSUPPORTED = ("norm_after", "attention_layer_norm", "clip_qkv", "weight_tying")


class MolmoVisionConfig(PreTrainedConfig):
    """The vision backbone. The published `config.json` says nothing about it; these defaults are its constants.

    feature_layers   blocks whose outputs are concatenated, in this order; negative ones count from the end
    """

    model_type = "molmo_vision"
    base_config_key = "vision_config"

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 23
    num_attention_heads: int = 16
    image_size: int = 336
    patch_size: int = 14
    layer_norm_eps: float = 1e-5
    feature_layers: list[int] | tuple[int, ...] = (-2, -9)
    initializer_range: float = 0.02


class MolmoConfig(PreTrainedConfig):
    """Defaults are those of the published 7B-D model.

    intermediate_size      width of the fused gate and up projection, twice the units of an MLP
    additional_vocab_size  rows of the second embedding table; the unembedding lacks them
    max_crops              tiles of a picture at most, the global view not counted
    overlap_margins        patches of a tile that the tile before and the tile after it show better
    image_token_index      stands for one image position, the third row of the second table; also `image_token_id`
    """

    model_type = "molmo"
    sub_configs = {"vision_config": MolmoVisionConfig}  # noqa: RUF012
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012
    # A field of the other name would be held to the vocabulary, with a warning.
    attribute_map = {"image_token_id": "image_token_index"}  # noqa: RUF012
    default_theta = 1_000_000.0

    vision_config: dict | PreTrainedConfig | None = None
    vocab_size: int = 152_064
    embedding_size: int | None = None
    additional_vocab_size: int = 128
    hidden_size: int = 3584
    intermediate_size: int = 37_888
    num_hidden_layers: int = 28
    num_attention_heads: int = 28
    num_key_value_heads: int = 4
    max_position_embeddings: int = 4096
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    rope_parameters: dict | None = None
    initializer_range: float = 0.02
    use_cache: bool = True
    tie_word_embeddings: bool = False
    max_crops: int = 12
    overlap_margins: list[int] | tuple[int, ...] = (4, 4)
    image_token_index: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if not isinstance(self.vision_config, MolmoVisionConfig):
            self.vision_config = MolmoVisionConfig(**(self.vision_config or {}))
        if self.embedding_size is None:
            self.embedding_size = self.vocab_size
        if self.image_token_index is None:
            self.image_token_index = self.embedding_size + 2
        super().__post_init__(**kwargs)
        for name in UNSUPPORTED:
            if getattr(self, name, None):
                raise VlmscopeError(
                    f"This Molmo variant needs '{name}', which is not computed here.",
                    where="config.json of the checkpoint",
                    instead="allenai/Molmo-7B-D-0924 or a fine-tune of it",
                )

    @property
    def geometry(self) -> Geometry:
        """How pictures are cut and where their pieces stand in the prompt."""
        vision = self.vision_config
        return Geometry(vision.image_size, vision.patch_size, tuple(self.overlap_margins), self.max_crops)


def from_official(settings: Mapping[str, Mapping[str, Any]]) -> MolmoConfig:
    """A configuration from the two tables of the released training code, `text` and `vision`."""
    text, vision = settings["text"], settings["vision"]
    tower = MolmoVisionConfig(
        hidden_size=vision["image_emb_dim"],
        intermediate_size=vision["image_mlp_dim"],
        num_hidden_layers=vision["image_num_layers"],
        num_attention_heads=vision["image_num_heads"],
        image_size=vision["image_default_input_size"][0],
        patch_size=vision["image_patch_size"],
        layer_norm_eps=vision["image_norm_eps"],
        feature_layers=list(text["vit_layers"]),
    )
    return MolmoConfig(
        vision_config=tower,
        vocab_size=text["vocab_size"],
        embedding_size=text["embedding_size"],
        additional_vocab_size=text["additional_vocab_size"],
        hidden_size=text["d_model"],
        intermediate_size=text["mlp_hidden_size"],
        num_hidden_layers=text["n_layers"],
        num_attention_heads=text["n_heads"],
        num_key_value_heads=text["n_kv_heads"],
        max_position_embeddings=text["max_sequence_length"],
        layer_norm_eps=text["layer_norm_eps"],
        qkv_bias=text["qkv_bias"],
        rope_theta=text["rope_theta"],
        **{name: text[name] for name in UNSUPPORTED if name in text},
    )


def register() -> None:
    """Make the configuration known to the library, whose tokenizer loader reads `config.json` too."""
    AutoConfig.register(MolmoConfig.model_type, MolmoConfig, exist_ok=True)
