"""Idefics2: SigLIP-like tower, gated projection, perceiver resampler, Mistral decoder (xl_vlms.md 4).

Pictures of different size in one batch are padded to the largest. The tower computes the padding too, and takes a patch
for real that the picture only touches, which it leaves out of the picture alone: only pictures that are resized to one
size share a batch.
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


def views(processor: Any, width: int, height: int) -> tuple[int, int, int]:
    """Views of a picture, which are the four quarters too where the checkpoint splits it, and the largest's sides."""
    import numpy as np
    from transformers.models.idefics2.image_processing_pil_idefics2 import get_resize_output_image_size

    pictures = processor.image_processor
    whole = np.empty((0, height, width))
    every = pictures.split_images(whole) if pictures.do_image_splitting else [whole]
    sides = [get_resize_output_image_size(view, pictures.size) for view in every]
    rows, columns = map(max, zip(*sides, strict=True))
    return len(every), rows, columns


def alike(config: ModelConfig, processor: Any, width: int, height: int) -> tuple[int, int]:
    """The size to which all views are padded, in pixels."""
    return views(processor, width, height)[1:]


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """Patches of all views, each padded to the largest."""
    count, rows, columns = views(processor, width, height)
    patch = config.vision_config.patch_size
    return count * (rows // patch) * (columns // patch)


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
    line="",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.text_model.norm",
    head="lm_head",
    alike=alike,
)
