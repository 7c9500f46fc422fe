"""What the trainer needs to know of an architecture; everything else is the real class and the family's processor."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vlmscope.models.tiny.packing import Packed
from vlmscope.models.tiny.recipe import Language, Recipe
from vlmscope.models.tiny.tokenizer import LLAMA, Special
from vlmscope.world.scene import SIZE

# Pixels; a drawn letter, five by seven dots, is about as large.
PATCH = 8
SIDE = SIZE // PATCH
# Transformers objects, kept loose.
Config = Any
Words = Any
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Body:
    """One trainable architecture.

    family      name of the family file, which gives class, processor, sites and template
    special     special tokens of its tokenizer
    config      (recipe, tokenizer) -> configuration of the model
    pictures    () -> image processor of transformers, or None where the family cuts pictures itself
    eyes        path of the vision tower: trained in stage one, frozen in stage two
    look        (model, tensors of pictures) -> states that stage one labels patch by patch, [picture, patch, width]:
                those that the connector reads, or those that it gives where it has as many queries as patches (both,
                one after the other along the first axis, the connector's last)
    taught      modules that stage one trains beside the tower
    patch       pixels along one of those patches
    stirred     parameters that start at one value for all queries and would stay alike, with their deviation
    order       which patch each image token of a single picture shows (one past the last: none); None if no place
    positions   (model, packed batch, tensors of pictures) -> position ids, where they are not one count per token
    alone       True where the connector reads the question too: a row holds one question only
    about       lines of the model card
    """

    family: str
    config: Callable[[Recipe, Words], Config]
    pictures: Callable[[], Any]
    eyes: str
    look: Callable[[nn.Module, Tensors], Tensor]
    about: str
    special: Special = LLAMA
    taught: tuple[str, ...] = ()
    patch: int = PATCH
    stirred: tuple[tuple[str, float], ...] = ()
    order: tuple[int, ...] | None = None
    positions: Callable[[nn.Module, Packed, Tensors], Tensor] | None = None
    alone: bool = False


def body(name: str) -> Body:
    """The architecture in `bodies/<name>.py`."""
    return importlib.import_module(f"vlmscope.models.tiny.bodies.{name}").BODY


def text(recipe: Language, words: Words, **more: Any) -> dict[str, Any]:
    """Sizes of the decoder, for any text configuration."""
    return {
        "vocab_size": len(words),
        "hidden_size": recipe.width,
        "intermediate_size": recipe.hidden,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "max_position_embeddings": recipe.positions,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "tie_word_embeddings": False,
        **more,
    }


def vision(recipe: Recipe) -> dict[str, Any]:
    """Sizes of the vision tower, for any vision configuration."""
    tower = recipe.tower
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.hidden,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "image_size": SIZE,
        "patch_size": PATCH,
    }


def number(words: Words, token: str) -> int:
    """The id of a special token."""
    return words.convert_tokens_to_ids(token)
