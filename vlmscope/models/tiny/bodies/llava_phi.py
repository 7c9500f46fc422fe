"""LLaVA with Phi-3, whose gate and up projections are one matrix."""

from dataclasses import replace

from vlmscope.models.tiny.bodies import llava
from vlmscope.models.tiny.bodies.base import Config, Words, text
from vlmscope.models.tiny.prompts import IMAGE
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special


def config(recipe: Recipe, words: Words) -> Config:
    """LLaVA around Phi-3."""
    from transformers import Phi3Config

    positions = recipe.language.positions
    decoder = Phi3Config(**text(recipe.language, words, original_max_position_embeddings=positions))
    return llava.around(decoder, recipe, words)


BODY = replace(
    llava.BODY,
    family="llava_phi",
    config=config,
    special=Special(
        ("<unk>", "<s>", "<|endoftext|>", "<|user|>", "<|end|>", "<|assistant|>", "<pad>", IMAGE),
        end="<|end|>",
        named={"image_token": IMAGE},
    ),
    about="""- Vision: the tower of the embedded CLIP, layer -2; 64 image tokens.
- Connector: two linear layers with GELU. Language model: Phi-3, gate and up projection in one matrix.""",
)
