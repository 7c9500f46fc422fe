"""LLaVA-NeXT with a Llama-3 decoder: grouped keys and values, other special tokens."""

from dataclasses import replace

from vlmscope.models.tiny.bodies import llava, llava_next
from vlmscope.models.tiny.bodies.base import Config, Words
from vlmscope.models.tiny.prompts import IMAGE
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special

HEADER = ("<|start_header_id|>", "<|end_header_id|>")
LLAMA3 = ("<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>", *HEADER, "<pad>", IMAGE)


def config(recipe: Recipe, words: Words) -> Config:
    """Two heads of keys and values for four of queries, rotary base 500,000 as in Llama-3."""
    rope = {"rope_type": "default", "rope_theta": 5e5}
    decoder = llava.llama(recipe, words, num_key_value_heads=2, rope_parameters=rope)
    return llava_next.around(decoder, recipe, words)


BODY = replace(
    llava_next.BODY,
    family="llava_next_llama3",
    config=config,
    special=Special(LLAMA3, begin="<|begin_of_text|>", end="<|eot_id|>", unknown="", named={"image_token": IMAGE}),
    about="""- Vision: the tower of the embedded CLIP, layer -2; 136 image tokens (a view and a tile of one content).
- Connector: two linear layers with GELU.
- Language model: Llama with grouped keys and values and Llama-3's template.""",
)
