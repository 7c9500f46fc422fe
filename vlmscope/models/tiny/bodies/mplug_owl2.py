"""mPLUG-Owl2: a tower of its own, queries, a decoder with a branch per modality."""

from typing import Any

from torch import Tensor, nn

from vlmscope.models.tiny.bodies import clip
from vlmscope.models.tiny.bodies.base import SIDE, Body, Config, Tensors, Words, text, vision
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special


def config(recipe: Recipe, words: Words) -> Config:
    """As many queries as the published model has, in two layers instead of six."""
    from vlmscope.models.owl2.configuration import OwlConfig

    language, tower = recipe.language, recipe.tower
    queries: dict[str, Any] = {
        "num_learnable_queries": language.queries,
        "hidden_size": tower.width,
        "encoder_hidden_size": tower.width,
        "intermediate_size": language.query_hidden,
        "num_hidden_layers": language.query_layers,
        "num_attention_heads": tower.heads,
        "grid_size": SIDE,
    }
    return OwlConfig(
        **text(language, words, rms_norm_eps=1e-5),
        visual_config={"visual_model": vision(recipe), "visual_abstractor": queries},
    )


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """What the queries make of the picture, one for each patch; the end token is left out."""
    return model.model.get_image_features(shown["pixel_values"])[:, :-1]


BODY = Body(
    family="mplug_owl2",
    special=Special(("<unk>", "<s>", "<pad>", "</s>")),
    config=config,
    pictures=clip.pictures,
    eyes="model.vision_model",
    look=look,
    taught=("model.visual_abstractor",),
    stirred=(("query_embeds", 0.5),),
    about="""- Vision: a tower of its own, last layer.
- Connector: an abstractor of two layers and 64 queries, and an end token; patch labels train it too, one patch for
  each query.
- Language model: Llama with a branch per modality.""",
)
