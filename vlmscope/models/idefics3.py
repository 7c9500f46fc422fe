"""Idefics3 and SmolVLM: SigLIP-like tower over tiles and the whole, pixel shuffle and one matrix, Llama decoder.

The projector is a single matrix: there is no `projector_gate`. The template is SmolVLM's; Idefics3-8B-Llama3 begins
with `<|begin_of_text|>` instead of `<|im_start|>`.
"""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig, Site


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """Patches of all tiles and of the whole picture; every one of them has the size of the tower."""
    tiles, _, _ = processor.image_processor.get_number_of_image_patches(height, width)
    return max(tiles, 1) * parts.patches(config)


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer; the image tokens of a tile follow from the model."""
    from transformers import AutoTokenizer, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    return Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        image_seq_len=parts.patches(config) // config.scale_factor**2,
    )


FAMILY = Family(
    name="idefics3",
    model_class="Idefics3ForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model.text_model"),
        **parts.unembedding("lm_head"),
        **parts.tower("model.vision_model.encoder.layers.{l}"),
        "image_embeds": Site(
            "model.connector.modality_projection.proj", "output", parts.one, parts.text_width, "projector"
        ),
    },
    template="<|im_start|>User:{prompt}<end_of_utterance>\nAssistant:",
    line="",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.text_model.norm",
    head="lm_head",
    without={"projector_gate": "its projector is a single matrix"},
)
