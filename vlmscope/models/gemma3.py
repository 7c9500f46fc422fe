"""Gemma 3: SigLIP tower over one square view, pooling and one matrix, decoder with norms behind its branches.

Both branches pass a norm before they are added to the stream, so `attn_out` and `mlp_out` are read behind it. Image
positions see each other in both directions: the model finds them by `token_type_ids`. The projector is a single matrix:
there is no `projector_gate`.
"""

from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig, Site


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """Patches of the one view, whatever the picture; SigLIP has no class token."""
    return parts.patches(config)


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer; the number of image tokens comes from the model."""
    from transformers import AutoTokenizer, Gemma3ImageProcessorPil, Gemma3Processor

    inner = Gemma3Processor(
        image_processor=Gemma3ImageProcessorPil.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        image_seq_length=config.mm_tokens_per_image,
    )
    return parts.Marked(inner, "<start_of_image>")


FAMILY = Family(
    name="gemma3",
    model_class="Gemma3ForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder(
            "model.language_model", attention="post_attention_layernorm", branch="post_feedforward_layernorm"
        ),
        **parts.unembedding("lm_head"),
        **parts.tower("model.vision_tower.encoder.layers.{l}"),
        "image_embeds": Site("model.multi_modal_projector", "output", parts.one, parts.text_width, "projector"),
    },
    template="<start_of_turn>user\n{prompt}<end_of_turn>\n<start_of_turn>model\n",
    line="",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.language_model.norm",
    head="lm_head",
    norm_offset=1.0,
    without={"projector_gate": "its projector is a single matrix"},
)
