"""LLaVA-NeXT: a squeezed view and tiles, each line of the tiles closed by a token."""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from vlmscope.models.tiny import pixels
from vlmscope.models.tiny.bodies import clip, llava
from vlmscope.models.tiny.bodies.base import SIDE, Config, Tensors, Words, number, vision
from vlmscope.models.tiny.prompts import IMAGE
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.world.scene import SIZE

# Height and width: a single picture, and five frames side by side.
PINPOINTS = ([SIZE, SIZE], [SIZE, pixels.FRAMES * SIZE])


def order() -> tuple[int, ...]:
    """Patches of the view one after the other, then those of the tile line by line; the two show the same pixels."""
    closed = [place for line in range(SIDE) for place in (*range(line * SIDE, (line + 1) * SIDE), SIDE * SIDE)]
    return (*range(SIDE * SIDE), *closed)


def around(decoder: Config, recipe: Recipe, words: Words) -> Config:
    """A LLaVA-NeXT around a decoder."""
    from transformers import CLIPVisionConfig, LlavaNextConfig

    return LlavaNextConfig(
        vision_config=CLIPVisionConfig(**vision(recipe), projection_dim=recipe.tower.projection),
        text_config=decoder,
        image_token_index=number(words, IMAGE),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_grid_pinpoints=[list(pair) for pair in PINPOINTS],
        image_seq_length=len(order()),
        tie_word_embeddings=False,
    )


def config(recipe: Recipe, words: Words) -> Config:
    """LLaVA-NeXT with Llama."""
    return around(llava.llama(recipe, words), recipe, words)


def pictures() -> Any:
    """Squares of one tile, and lines of five."""
    from transformers import LlavaNextImageProcessorPil

    return LlavaNextImageProcessorPil(**clip.SQUARE, image_grid_pinpoints=[list(pair) for pair in PINPOINTS])


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """Layer -2 of the squeezed view, without the class token."""
    return llava.look(model, {"pixel_values": shown["pixel_values"][:, 0]})


BODY = replace(
    llava.BODY,
    family="llava_next",
    config=config,
    pictures=pictures,
    look=look,
    order=order(),
    about="""- Vision: the tower of the embedded CLIP, layer -2; 136 image tokens for a single picture (a view and a
  tile of one content), 392 for five frames side by side.
- Connector: two linear layers with GELU. Language model: Llama with Vicuna's template.""",
)
