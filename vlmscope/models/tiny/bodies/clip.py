"""CLIP: the tower that the LLaVA models take over, and the pair behind CLIPScore."""

from typing import Any

from torch import Tensor, nn

from vlmscope.models.tiny.bodies.base import Body, Config, Tensors, Words, vision
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import CLIP
from vlmscope.world.scene import SIZE

SQUARE = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}}


def config(recipe: Recipe, words: Words) -> Config:
    """Both towers; captions are short and regular, so a small text side will do."""
    from transformers import CLIPConfig

    tower = recipe.tower
    told = {
        "vocab_size": len(words),
        "hidden_size": tower.text_width,
        "intermediate_size": 2 * tower.text_width,
        "num_hidden_layers": tower.text_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": tower.text_length,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "projection_dim": tower.projection,
    }
    seen = {**vision(recipe), "projection_dim": tower.projection}
    return CLIPConfig(vision_config=seen, text_config=told, projection_dim=tower.projection)


def pictures() -> Any:
    """One square."""
    from transformers import CLIPImageProcessorPil

    return CLIPImageProcessorPil(**SQUARE)


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """The layer that LLaVA reads, without the class token."""
    return model.vision_model(shown["pixel_values"], output_hidden_states=True).hidden_states[-2][:, 1:]


BODY = Body(
    family="clip",
    special=CLIP,
    config=config,
    pictures=pictures,
    eyes="vision_model",
    look=look,
    about="""- Vision: 64 px in patches of 8, layer -2 trained on patch labels too.
- Text: two layers of width 64; captions of the drawn world.""",
)
