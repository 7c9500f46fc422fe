"""LLaVA 1.5: CLIP tower over one square view, two-layer projector, Llama decoder (xl_vlms.md 4, llava_interp.md 4)."""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """CLS and patches of the one view, whatever the picture: 577 in the published model."""
    return parts.patches(config) + 1


def processor(folder: Path, config: ModelConfig) -> Any:
    """CLIP's Pillow image processor and the tokenizer."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    return parts.llava_processor(LlavaProcessor, CLIPImageProcessorPil, folder, config)


FAMILY = Family(
    name="llava",
    model_class="LlavaForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model.language_model"),
        **parts.unembedding("lm_head"),
        **parts.tower("model.vision_tower.encoder.layers.{l}", inert=parts.unused_vision_layers),
        **parts.projector("model.multi_modal_projector"),
    },
    template="USER: {prompt} ASSISTANT:",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.language_model.norm",
    head="lm_head",
)
