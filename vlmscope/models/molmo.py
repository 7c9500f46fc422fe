"""Molmo: CLIP tower over a global view and overlapping tiles, features added to the tokens (xl_vlms.md 4.4)."""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig, Site

# The space in front belongs to it (xl_vlms.md 2.1).
MOLMO = " User: {prompt} Assistant:"


def text_layers(config: ModelConfig) -> int:
    """Decoder blocks."""
    return config.num_hidden_layers


def text_units(config: ModelConfig) -> int:
    """Units of a decoder MLP, half of the fused projection; the projector has as many."""
    return config.intermediate_size // 2


def text_width(config: ModelConfig) -> int:
    """Residual stream of the decoder."""
    return config.hidden_size


def unused_vision_layers(config: ModelConfig) -> frozenset[int]:
    """Vision blocks above the highest one that is read: executed and recorded, without effect."""
    layers = config.vision_config.num_hidden_layers
    return frozenset(range(max(layer % layers for layer in config.vision_config.feature_layers) + 1, layers))


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """Class token and patches of every crop: 577 each in the published model, 4039 for a 640 x 480 picture."""
    return config.geometry.crops(width, height) * (parts.patches(config) + 1)


def processor(folder: Path, config: ModelConfig) -> Any:
    """Our own cutting of pictures and the checkpoint's tokenizer."""
    from transformers import AutoTokenizer

    from vlmscope.models.molmo_hf import configuration, processing

    configuration.register()
    return processing.MolmoProcessor(AutoTokenizer.from_pretrained(folder), config.geometry, config.embedding_size)


FAMILY = Family(
    name="molmo",
    model_class="vlmscope.models.molmo_hf.modeling.MolmoForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder(
            "model.transformer",
            blocks="blocks",
            gate="act",
            heads="attention",
            attention="attn_out",
            columns="ff_out",
            norm="model.transformer.ln_f",
            layers=text_layers,
            units=text_units,
            width=text_width,
        ),
        **parts.unembedding("model.transformer.ff_out"),
        **parts.tower(
            "model.vision_backbone.image_vit.transformer.resblocks.{l}",
            gate="feed_forward.act",
            columns="feed_forward.w2",
            inert=unused_vision_layers,
        ),
        "projector_gate": Site(
            "model.vision_backbone.image_projector.act",
            "output",
            parts.one,
            text_units,
            "projector",
            "model.vision_backbone.image_projector.w2",
        ),
        "image_embeds": Site("model.vision_backbone.image_projector.w2", "output", parts.one, text_width, "projector"),
    },
    template=MOLMO,
    line="",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.transformer.ln_f",
    head="model.transformer.ff_out",
)
