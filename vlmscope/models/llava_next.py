"""LLaVA-NeXT: CLIP tower over a base view and tiles, two-layer projector, Llama decoder (mmneuron.md 4.1).

The template is that of the released code of MMNeuron; the checkpoint's own leaves out the sentences before `USER:`.
"""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig

VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: {prompt} ASSISTANT:"
)


def tiles(config: ModelConfig, width: int, height: int) -> int:
    """Base view and tiles of a picture."""
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    return image_size_to_num_patches((height, width), config.image_grid_pinpoints, config.vision_config.image_size)


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """CLS and patches of every tile: 577 per tile in the published model, 2885 for a 640 x 480 picture."""
    return tiles(config, width, height) * (parts.patches(config) + 1)


def processor(folder: Path, config: ModelConfig) -> Any:
    """The Pillow image processor that cuts tiles, and the tokenizer."""
    from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor

    return parts.llava_processor(LlavaNextProcessor, LlavaNextImageProcessorPil, folder, config)


FAMILY = Family(
    name="llava_next",
    model_class="LlavaNextForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model.language_model"),
        **parts.unembedding("lm_head"),
        **parts.tower("model.vision_tower.encoder.layers.{l}", inert=parts.unused_vision_layers),
        **parts.projector("model.multi_modal_projector"),
    },
    template=VICUNA,
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.language_model.norm",
    head="lm_head",
)
