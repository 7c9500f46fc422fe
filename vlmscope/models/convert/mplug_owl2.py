"""mPLUG-Owl2: the names are ours already (mm_neurons.md 4.4); tables that are computed are left out."""

from pathlib import Path

from vlmscope.models.convert import pieces
from vlmscope.models.convert.llava_llama2 import TEXT
from vlmscope.models.convert.recipe import ModelConfig, Recipe, Source, chosen
from vlmscope.store import files

# Rotary frequencies and sine tables: we compute them.
DROPPED = (r"rotary_emb\.inv_freq$", r"\.[qk]_pos_embed$")
VISION = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels"),
    *("image_size", "patch_size", "layer_norm_eps"),
)
QUERIES = (
    *("num_learnable_queries", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("encoder_hidden_size", "grid_size", "layer_norm_eps"),
)


def config(folder: Path) -> ModelConfig:
    """Our configuration from the official one, whose visual parts carry many settings of no effect."""
    from vlmscope.models.owl2.configuration import OwlConfig

    official = files.read_json(folder / "config.json")
    visual = official["visual_config"]
    parts = {
        "visual_model": chosen(visual["visual_model"], VISION),
        "visual_abstractor": chosen(visual["visual_abstractor"], QUERIES),
    }
    return OwlConfig(**chosen(official, TEXT), visual_config=parts)


def texts(folder: Path, target: Path) -> None:
    """Llama's tokenizer and the released image processor."""
    from transformers import CLIPImageProcessorPil

    pieces.tokenizer(folder / "tokenizer.model", pad="<unk>").save_pretrained(target)
    CLIPImageProcessorPil.from_pretrained(folder).save_pretrained(target)


RECIPE = Recipe(
    sources=(Source("pytorch_model*.bin", dropped=DROPPED),),
    config=config,
    texts=texts,
)
