"""Qwen2.5-VL: Qwen2-VL with gated vision MLPs and attention within windows (multimodal_sae.md 4).

Inside the tower, and in `projector_gate` and `image_embeds`, the patches stand in the order of the windows; the model
puts them back into the order of the picture afterwards.
"""

from dataclasses import replace

from vlmscope.models import parts, qwen2_vl
from vlmscope.models.base import ModelConfig


def merger_units(config: ModelConfig) -> int:
    """Units of the merger: the patches of a square side by side."""
    return parts.vision_width(config) * config.vision_config.spatial_merge_size**2


FAMILY = replace(
    qwen2_vl.FAMILY,
    name="qwen2_5_vl",
    model_class="Qwen2_5_VLForConditionalGeneration",
    sites={
        **parts.decoder("model.language_model"),
        **parts.unembedding("lm_head"),
        **parts.tower(
            "model.visual.blocks.{l}", gate="mlp.act_fn", columns="mlp.down_proj", layers=qwen2_vl.vision_layers
        ),
        **parts.projector("model.visual.merger.mlp", gate="1", last="2", units=merger_units),
    },
)
