"""LLaVA-NeXT: CLIP tower over a base view and tiles, two-layer projector, Llama decoder (mmneuron.md 4.1)."""

from pathlib import Path
from typing import Any

from vlmscope.models.base import Family, ModelConfig, Site

VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: {prompt} ASSISTANT:"
)


def text_layers(config: ModelConfig) -> int:
    """Decoder blocks."""
    return config.text_config.num_hidden_layers


def text_units(config: ModelConfig) -> int:
    """Units of a decoder MLP."""
    return config.text_config.intermediate_size


def text_width(config: ModelConfig) -> int:
    """Residual stream of the decoder."""
    return config.text_config.hidden_size


def vision_layers(config: ModelConfig) -> int:
    """Blocks of the vision tower, the unused last ones included."""
    return config.vision_config.num_hidden_layers


def vision_units(config: ModelConfig) -> int:
    """Units of a vision MLP."""
    return config.vision_config.intermediate_size


def vision_width(config: ModelConfig) -> int:
    """Residual stream of the vision tower."""
    return config.vision_config.hidden_size


def unused_vision_layers(config: ModelConfig) -> frozenset[int]:
    """Vision blocks above the one whose output is read: executed and recorded, without effect."""
    layers = vision_layers(config)
    used = config.vision_feature_layer + layers + 1 if config.vision_feature_layer < 0 else config.vision_feature_layer
    return frozenset(range(used, layers))


def tiles(config: ModelConfig, width: int, height: int) -> int:
    """Base view and tiles of a picture."""
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    return image_size_to_num_patches((height, width), config.image_grid_pinpoints, config.vision_config.image_size)


def vision_positions(config: ModelConfig, width: int, height: int) -> int:
    """CLS and patches of every tile: 577 per tile in the published model, 2885 for a 640 x 480 picture."""
    vision = config.vision_config
    return tiles(config, width, height) * ((vision.image_size // vision.patch_size) ** 2 + 1)


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer; geometry that old processor files lack comes from the model."""
    from transformers import AutoTokenizer, LlavaNextImageProcessorPil, LlavaNextProcessor

    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
    )


BLOCK = "model.language_model.layers.{l}"
EYE = "model.vision_tower.encoder.layers.{l}"

FAMILY = Family(
    name="llava_next",
    model_class="LlavaNextForConditionalGeneration",
    processor=processor,
    sites={
        "embeds": Site("model.language_model.layers.0", "input", lambda c: 1, text_width, "text"),
        "resid_pre": Site(BLOCK, "input", text_layers, text_width, "text"),
        "resid_post": Site(BLOCK, "output", text_layers, text_width, "text"),
        "attn_out": Site(BLOCK + ".self_attn.o_proj", "output", text_layers, text_width, "text"),
        "mlp_gate": Site(BLOCK + ".mlp.act_fn", "output", text_layers, text_units, "text", BLOCK + ".mlp.down_proj"),
        "mlp_hidden": Site(
            BLOCK + ".mlp.down_proj", "input", text_layers, text_units, "text", BLOCK + ".mlp.down_proj"
        ),
        "mlp_out": Site(BLOCK + ".mlp.down_proj", "output", text_layers, text_width, "text"),
        "final_norm": Site("model.language_model.norm", "output", lambda c: 1, text_width, "text"),
        "vision_gate": Site(
            EYE + ".mlp.activation_fn",
            "output",
            vision_layers,
            vision_units,
            "vision",
            EYE + ".mlp.fc2",
            unused_vision_layers,
        ),
        "vision_resid": Site(EYE, "output", vision_layers, vision_width, "vision", inert=unused_vision_layers),
        "projector_gate": Site(
            "model.multi_modal_projector.act",
            "output",
            lambda c: 1,
            text_width,
            "projector",
            "model.multi_modal_projector.linear_2",
        ),
        "image_embeds": Site("model.multi_modal_projector.linear_2", "output", lambda c: 1, text_width, "projector"),
    },
    template=VICUNA,
    image_token=lambda config: config.image_token_id,
    vision_positions=vision_positions,
    norm="model.language_model.norm",
    head="lm_head",
)
