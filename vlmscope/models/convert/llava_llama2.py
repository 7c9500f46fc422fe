"""LLaVA 1.0 with Llama-2 chat: official names to those of transformers (mm_neurons.md 4.2).

The official projector is one matrix; it becomes the first of two, the second is the identity. The official code joins
embeddings itself and has no id for the picture. An id outside of the 32,000 rows could not be looked up, and new rows
would change the unembedding; so the id of `<unk>` stands for the picture, which no text contains since every byte has
a token of its own. Padding, official id 0 too, becomes `</s>`.
"""

from pathlib import Path
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.models.convert import pieces
from vlmscope.models.convert.recipe import ModelConfig, Recipe, Source, chosen
from vlmscope.store import files

UNKNOWN = 0
TOWER = "tower"
PROJECTOR = (r"^model\.mm_projector\.", "model.multi_modal_projector.linear_1.")
COMPUTED = (r"rotary_emb\.inv_freq$", r"position_ids$")
TEXT = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "rope_theta"),
)
VISION = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels"),
    *("image_size", "patch_size", "hidden_act", "layer_norm_eps", "projection_dim"),
)
# What this converter and the processor take for granted.
EXPECTED = {
    "mm_use_im_start_end": (False, None),
    "mm_vision_select_feature": ("patch", None),
    "mm_projector_type": ("linear", None),
    "rope_scaling": (None,),
    "tie_word_embeddings": (False, None),
}


def config(folder: Path) -> ModelConfig:
    """A LLaVA configuration from the official one and that of the vision tower."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    official = files.read_json(folder / "config.json")
    if wrong := [name for name, fine in EXPECTED.items() if official.get(name) not in fine]:
        raise VlmscopeError(
            f"This LLaVA differs from the one that is converted here in {', '.join(wrong)}.",
            where=str(folder / "config.json"),
            instead="liuhaotian/llava-llama-2-13b-chat-lightning-preview or a fine-tune of it",
        )
    tower = files.read_json(folder / TOWER / "config.json")
    vision = CLIPVisionConfig(**chosen(tower.get("vision_config", tower), VISION))
    return LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**chosen(official, TEXT)),
        image_token_index=UNKNOWN,
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        projector_hidden_act="linear",
        vision_feature_layer=official["mm_vision_select_layer"],
        vision_feature_select_strategy="default",
    )


def texts(folder: Path, target: Path) -> None:
    """Llama's tokenizer, and the image processor of the tower."""
    from transformers import CLIPImageProcessorPil

    pieces.tokenizer(folder / "tokenizer.model", pad="</s>").save_pretrained(target)
    CLIPImageProcessorPil.from_pretrained(folder / TOWER).save_pretrained(target)


def identity(config: ModelConfig) -> dict[str, Any]:
    """The second matrix of the projector and its bias."""
    import torch

    width = config.text_config.hidden_size
    name = "model.multi_modal_projector.linear_2."
    return {
        name + "weight": torch.eye(width, dtype=torch.float16),
        name + "bias": torch.zeros(width, dtype=torch.float16),
    }


RECIPE = Recipe(
    sources=(
        Source(
            "pytorch_model*.bin",
            rename=(
                PROJECTOR,
                (r"^model\.vision_tower\.vision_tower\.vision_model\.", "model.vision_tower."),
                (r"^model\.", "model.language_model."),
            ),
            dropped=COMPUTED,
        ),
        Source("mm_projector.bin", rename=(PROJECTOR,), fallback=True),
        # The official code loads the tower anew, whatever the shards hold.
        Source(
            TOWER + "/model.safetensors",
            rename=((r"^vision_model\.", "model.vision_tower."),),
            dropped=(*COMPUTED, r"^text_model\.", r"_projection\.weight$", r"^logit_scale$"),
            fallback=True,
        ),
    ),
    config=config,
    texts=texts,
    beside={
        TOWER: (
            "openai/clip-vit-large-patch14",
            "32bd64288804d66eefd0ccbe215aa642df71cc41",
            ("config.json", "preprocessor_config.json", "model.safetensors"),
        )
    },
    added=identity,
)
