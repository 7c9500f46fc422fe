"""CLIP: a picture tower and a text tower that meet in one space; for scores, it writes no text.

The text holds no image position, and there is no unembedding: `image_token` is no id, `norm` and `head` are empty.
"""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig, Site


def shared_width(config: ModelConfig) -> int:
    """The space in which pictures and texts are compared."""
    return config.projection_dim


def no_token(config: ModelConfig) -> int:
    """No token stands for an image position."""
    return -1


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """CLS and patches of the one view, whatever the picture."""
    return parts.patches(config) + 1


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer; `<image>` is left out of the text."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPProcessor

    inner = CLIPProcessor(
        image_processor=CLIPImageProcessorPil.from_pretrained(folder), tokenizer=AutoTokenizer.from_pretrained(folder)
    )
    return parts.Marked(inner, "")


FAMILY = Family(
    name="clip",
    model_class="CLIPModel",
    processor=processor,
    sites={
        **parts.decoder(
            "text_model.encoder",
            gate="mlp.activation_fn",
            attention="self_attn.out_proj",
            columns="mlp.fc2",
            norm="text_model.final_layer_norm",
        ),
        "text_embeds": Site("text_projection", "output", parts.one, shared_width, "projector"),
        **parts.tower("vision_model.encoder.layers.{l}"),
        "image_embeds": Site("visual_projection", "output", parts.one, shared_width, "projector"),
    },
    template="{prompt}",
    image_token=no_token,
    vision_positions=vision_positions,
    norm="",
    head="",
    without={
        "logits": "it writes no text and has no unembedding",
        "projector_gate": "its projection is a single matrix",
    },
)
