"""LLaVA 1.5: CLIP's tower, one view, two-layer projector, Llama."""

from typing import Any

from torch import Tensor, nn

from vlmscope.models.tiny.bodies import clip
from vlmscope.models.tiny.bodies.base import SIDE, Body, Config, Tensors, Words, number, text, vision
from vlmscope.models.tiny.prompts import IMAGE
from vlmscope.models.tiny.recipe import Recipe


def llama(recipe: Recipe, words: Words, **more: Any) -> Config:
    """The decoder of most families."""
    from transformers import LlamaConfig

    return LlamaConfig(**text(recipe.language, words, rms_norm_eps=1e-5, **more))


def around(decoder: Config, recipe: Recipe, words: Words, **more: Any) -> Config:
    """A LLaVA around a decoder."""
    from transformers import CLIPVisionConfig, LlavaConfig

    return LlavaConfig(
        vision_config=CLIPVisionConfig(**vision(recipe), projection_dim=recipe.tower.projection),
        text_config=decoder,
        image_token_index=number(words, IMAGE),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=SIDE * SIDE,
        tie_word_embeddings=False,
        **more,
    )


def config(recipe: Recipe, words: Words) -> Config:
    """LLaVA 1.5."""
    return around(llama(recipe, words), recipe, words)


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """Layer -2 without the class token."""
    return model.model.vision_tower(shown["pixel_values"], output_hidden_states=True).hidden_states[-2][:, 1:]


BODY = Body(
    family="llava",
    config=config,
    pictures=clip.pictures,
    eyes="model.vision_tower",
    look=look,
    order=tuple(range(SIDE * SIDE)),
    about="""- Vision: the tower of the embedded CLIP, layer -2; 64 image tokens.
- Connector: two linear layers with GELU. Language model: Llama.""",
)
