"""LLaVA 1.0: a single linear projector, Llama-2 chat."""

from dataclasses import replace

from vlmscope.models.tiny.bodies import llava
from vlmscope.models.tiny.bodies.base import Config, Words
from vlmscope.models.tiny.recipe import Recipe


def config(recipe: Recipe, words: Words) -> Config:
    """No activation between the projector's two matrices, so that they act as one."""
    return llava.around(llava.llama(recipe, words), recipe, words, projector_hidden_act="linear")


BODY = replace(
    llava.BODY,
    family="llava_llama2",
    config=config,
    about="""- Vision: the tower of the embedded CLIP, layer -2; 64 image tokens.
- Connector: linear (two matrices without an activation between them).
- Language model: Llama with the template of Llama-2 chat.""",
)
