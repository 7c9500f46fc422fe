"""Molmo: a view and one crop of the same content, two layers of the tower, patches pooled two by two."""

from torch import Tensor, nn

from vlmscope.models.tiny.bodies.base import PATCH, Body, Config, Tensors, Words, text, vision
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special

_POOLING = tuple(f"pooling_2d.{name}" for name in ("wv", "wo"))
_PROJECTOR = tuple(f"projector.{name}" for name in ("w1", "w2", "w3"))


def config(recipe: Recipe, words: Words) -> Config:
    """Layers -2 and -3 of the tower side by side; eight rows in the second embedding table."""
    from vlmscope.models.molmo_hf.configuration import MolmoConfig

    language = recipe.language
    decoder = text(language, words, num_key_value_heads=2, intermediate_size=2 * language.hidden)
    eyes = {**vision(recipe), "feature_layers": [-2, -3]}
    return MolmoConfig(**decoder, additional_vocab_size=8, overlap_margins=[0, 0], max_crops=1, vision_config=eyes)


def pictures() -> None:
    """The family cuts pictures by the geometry in the configuration."""


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """What the connector makes of the view: cells of two by two patches."""
    return model.model.vision_backbone(shown["pixel_values"][:, 0], None)


BODY = Body(
    family="molmo",
    special=Special(("<|endoftext|>", "<pad>"), begin="", end="<|endoftext|>", unknown=""),
    config=config,
    pictures=pictures,
    eyes="model.vision_backbone.image_vit",
    taught=("model.vision_backbone.image_pooling_2d", "model.vision_backbone.image_projector"),
    patch=2 * PATCH,
    # At the published deviation of 0.02 what these multiply would start as nothing in a model this narrow.
    stirred=tuple((f"image_{part}.weight", 0.1) for part in (*_POOLING, *_PROJECTOR)),
    look=look,
    about="""- Vision: a tower of its own, layers -2 and -3; a view and one crop, 16 image tokens each with line ends.
- Connector: attention pooling two by two, gated projector, added to the embeddings of the image tokens; patch labels
  train it too.
- Language model: Qwen2-like blocks of Molmo.""",
)
