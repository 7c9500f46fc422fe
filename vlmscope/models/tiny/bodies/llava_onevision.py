"""LLaVA-OneVision: SigLIP's tower, a view and tiles, Qwen2."""

from typing import Any

from torch import Tensor, nn

from vlmscope.models.tiny.bodies import llava_next
from vlmscope.models.tiny.bodies.base import Body, Config, Tensors, Words, number, text, vision
from vlmscope.models.tiny.prompts import IMAGE
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special
from vlmscope.world.scene import SIZE

QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VIDEO = "<video>"


def config(recipe: Recipe, words: Words) -> Config:
    """The last layer of the tower is read, all of its patches."""
    from transformers import LlavaOnevisionConfig, Qwen2Config, SiglipVisionConfig

    return LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**vision(recipe), vision_use_head=False),
        text_config=Qwen2Config(**text(recipe.language, words, num_key_value_heads=2)),
        image_token_index=number(words, IMAGE),
        video_token_index=number(words, VIDEO),
        image_grid_pinpoints=[[SIZE, SIZE]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        tie_word_embeddings=False,
    )


def pictures() -> Any:
    """A view and one tile."""
    from transformers import LlavaOnevisionImageProcessorPil

    return LlavaOnevisionImageProcessorPil(size={"height": SIZE, "width": SIZE}, image_grid_pinpoints=[[SIZE, SIZE]])


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """The last layer before the last norm; of the two equal tiles the first."""
    pixels = shown["pixel_values"][:, 0]
    return model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]


BODY = Body(
    family="llava_onevision",
    special=Special(
        (*QWEN, "<pad>", IMAGE, VIDEO),
        begin="",
        end="<|im_end|>",
        unknown="",
        named={"image_token": IMAGE, "video_token": VIDEO},
    ),
    config=config,
    pictures=pictures,
    eyes="model.vision_tower",
    look=look,
    order=llava_next.order(),
    about="""- Vision: SigLIP's tower, last layer; 136 image tokens (a view and a tile of one content).
- Connector: two linear layers with GELU. Language model: Qwen2.""",
)
