"""mPLUG-Owl2: own vision encoder, 64 queries and an end token, Llama with a branch per modality (mm_neurons.md 4.4)."""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig, Site

# Two separators, no system text (mm_neurons.md 2.2).
OWL = "USER: {prompt} ASSISTANT:"


def text_layers(config: ModelConfig) -> int:
    """Decoder blocks."""
    return config.num_hidden_layers


def text_units(config: ModelConfig) -> int:
    """Units of a decoder MLP."""
    return config.intermediate_size


def text_width(config: ModelConfig) -> int:
    """Residual stream of the decoder."""
    return config.hidden_size


def vision_layers(config: ModelConfig) -> int:
    """Blocks of the vision encoder; all of them are used."""
    return config.visual_config.visual_model.num_hidden_layers


def vision_units(config: ModelConfig) -> int:
    """Units of a vision MLP."""
    return config.visual_config.visual_model.intermediate_size


def vision_width(config: ModelConfig) -> int:
    """Residual stream of the vision encoder."""
    return config.visual_config.visual_model.hidden_size


def abstractor_layers(config: ModelConfig) -> int:
    """Layers of the visual abstractor."""
    return config.visual_config.visual_abstractor.num_hidden_layers


def abstractor_units(config: ModelConfig) -> int:
    """Units of an abstractor MLP."""
    return config.visual_config.visual_abstractor.intermediate_size


def abstractor_width(config: ModelConfig) -> int:
    """Residual stream of the queries."""
    return config.visual_config.visual_abstractor.hidden_size


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """CLS and patches, the same for every picture: 1025 in the published model."""
    vision = config.visual_config.visual_model
    return (vision.image_size // vision.patch_size) ** 2 + 1


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer; pictures go straight to the CLIP pipeline, as in the released trainer."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil

    from vlmscope.models.owl2 import configuration, processing

    configuration.register()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token_id is None:
        # The released tokenizer has none; padding is masked, so any token will do.
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return processing.OwlProcessor(
        tokenizer,
        CLIPImageProcessorPil.from_pretrained(folder),
        image_token=config.image_token_id,
        image_tokens=config.visual_config.visual_abstractor.num_learnable_queries + 1,
    )


QUERIES = "model.visual_abstractor.encoder.layers.{l}"

FAMILY = Family(
    name="mplug_owl2",
    model_class="vlmscope.models.owl2.modeling.MPLUGOwl2ForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model", layers=text_layers, units=text_units, width=text_width),
        **parts.unembedding("lm_head"),
        **parts.tower(
            "model.vision_model.encoder.layers.{l}",
            gate="mlp.act",
            layers=vision_layers,
            units=vision_units,
            width=vision_width,
        ),
        # No columns: a norm over the units stands between them and the next linear layer.
        "qformer_gate": Site(
            QUERIES + ".crossattention.output.mlp.act", "output", abstractor_layers, abstractor_units, "projector"
        ),
        "qformer_resid": Site(QUERIES, "output", abstractor_layers, abstractor_width, "projector"),
        "image_embeds": Site("model.visual_abstractor", "output", parts.one, text_width, "projector"),
    },
    template=OWL,
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.norm",
    head="lm_head",
    flags="modality_indicators",
    without={"projector_gate": "queries take its place; their gates are `qformer_gate`"},
)
