"""LLaVA-OneVision: SigLIP tower over base view and tiles, two-layer projector, Qwen2 decoder (multimodal_sae.md 4)."""

from pathlib import Path
from typing import Any

from vlmscope.models import llava_next, parts
from vlmscope.models.base import Family, ModelConfig


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """Patches of every tile; SigLIP has no class token, and tiles are scaled down only behind the projector."""
    return llava_next.tiles(config, width, height) * parts.patches(config)


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer, without video."""
    from transformers import AutoTokenizer, LlavaOnevisionImageProcessorPil, LlavaOnevisionProcessor

    return parts.without_video(
        LlavaOnevisionProcessor,
        LlavaOnevisionImageProcessorPil.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
        num_image_tokens=parts.patches(config),
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        vision_aspect_ratio=config.vision_aspect_ratio,
    )


FAMILY = Family(
    name="llava_onevision",
    model_class="LlavaOnevisionForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model.language_model"),
        **parts.unembedding("lm_head"),
        **parts.tower("model.vision_tower.encoder.layers.{l}", inert=parts.unused_vision_layers),
        **parts.projector("model.multi_modal_projector"),
    },
    template="<|im_start|>user {prompt}<|im_end|><|im_start|>assistant\n",
    close="<|im_end|>",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.language_model.norm",
    head="lm_head",
)
