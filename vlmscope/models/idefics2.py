"""Idefics2: SigLIP-like tower, gated projection, perceiver resampler, Mistral decoder (xl_vlms.md 4).

Pictures of different size in one batch are padded to the largest, and the tower computes the padding too: counts of
vision sites depend on the batch unless its pictures have one size.
"""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig, Site

CONNECTOR = "model.connector.modality_projection"
RESAMPLER = "model.connector.perceiver_resampler"


def resampler_layers(config: ModelConfig) -> int:
    """Blocks of the resampler."""
    return config.perceiver_config.resampler_depth


def resampler_units(config: ModelConfig) -> int:
    """Units of a resampler MLP: four times its width."""
    return 4 * config.perceiver_config.hidden_size


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """Patches of the picture and, where the checkpoint splits it, of its four quarters; all padded to the largest."""
    import numpy as np
    from transformers.models.idefics2.image_processing_pil_idefics2 import get_resize_output_image_size

    pictures, patch = processor.image_processor, config.vision_config.patch_size
    whole = np.empty((0, height, width))
    views = pictures.split_images(whole) if pictures.do_image_splitting else [whole]
    sides = [get_resize_output_image_size(view, pictures.size) for view in views]
    rows, columns = (max(side) // patch for side in zip(*sides, strict=True))
    return len(views) * rows * columns


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer; the number of latents comes from the model."""
    from transformers import AutoTokenizer, Idefics2Processor
    from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil

    return Idefics2Processor(
        image_processor=Idefics2ImageProcessorPil.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        image_seq_len=config.perceiver_config.resampler_n_latents,
    )


FAMILY = Family(
    name="idefics2",
    model_class="Idefics2ForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model.text_model"),
        **parts.unembedding("lm_head"),
        **parts.tower("model.vision_model.encoder.layers.{l}"),
        "projector_gate": Site(
            CONNECTOR + ".act_fn", "output", parts.one, parts.text_units, "projector", CONNECTOR + ".down_proj"
        ),
        "resampler_gate": Site(
            RESAMPLER + ".layers.{l}.mlp.act_fn",
            "output",
            resampler_layers,
            resampler_units,
            "projector",
            RESAMPLER + ".layers.{l}.mlp.down_proj",
        ),
        "image_embeds": Site(RESAMPLER + ".norm", "output", parts.one, parts.text_width, "projector"),
    },
    template="User:{prompt}<end_of_utterance>\nAssistant:",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.text_model.norm",
    head="lm_head",
)
