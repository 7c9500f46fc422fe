"""Qwen2-VL: tower over the picture's own grid, merger of 2 x 2 patches, Qwen2 decoder (xl_vlms.md 4).

Positions have three axes: the model derives them from `mm_token_type_ids`, which the processor makes.
"""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig

TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
)
MARK = "<|vision_start|><|image_pad|><|vision_end|>"


def vision_layers(config: ModelConfig) -> int:
    """Blocks of the vision tower."""
    return config.vision_config.depth


def vision_width(config: ModelConfig) -> int:
    """Residual stream of the vision tower."""
    return config.vision_config.embed_dim


def vision_units(config: ModelConfig) -> int:
    """Units of a vision MLP."""
    return int(config.vision_config.embed_dim * config.vision_config.mlp_ratio)


def merger_units(config: ModelConfig) -> int:
    """Units of the merger: the patches of a square side by side."""
    return vision_width(config) * config.vision_config.spatial_merge_size**2


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """Patches of the picture, resized to whole squares within the pixel limits that the checkpoint sets."""
    return processor.inner.image_processor.get_number_of_image_patches(height, width)


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer, without video."""
    from transformers import AutoTokenizer, Qwen2VLImageProcessorPil, Qwen2VLProcessor

    pictures, words = Qwen2VLImageProcessorPil.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return parts.Marked(parts.without_video(Qwen2VLProcessor, pictures, words), MARK)


FAMILY = Family(
    name="qwen2_vl",
    model_class="Qwen2VLForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model.language_model"),
        **parts.unembedding("lm_head"),
        **parts.tower(
            "model.visual.blocks.{l}", gate="mlp.act", layers=vision_layers, units=vision_units, width=vision_width
        ),
        **parts.projector("model.visual.merger.mlp", gate="1", last="2", units=merger_units),
    },
    template=TEMPLATE,
    line="",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.language_model.norm",
    head="lm_head",
)
