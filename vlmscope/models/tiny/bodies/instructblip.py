"""InstructBLIP: a tower of its own, queries that read the question too, Llama."""

from typing import Any

from torch import Tensor, nn

from vlmscope.models.tiny.bodies import llava
from vlmscope.models.tiny.bodies.base import Body, Config, Tensors, Words, vision
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special
from vlmscope.world.scene import SIZE


def config(recipe: Recipe, words: Words) -> Config:
    """Cross-attention in every Q-Former layer; the processor adds the image token behind all others."""
    from transformers import InstructBlipConfig, InstructBlipQFormerConfig, InstructBlipVisionConfig

    language, tower = recipe.language, recipe.tower
    queries = InstructBlipQFormerConfig(
        vocab_size=len(words),
        hidden_size=tower.width,
        num_hidden_layers=language.query_layers,
        num_attention_heads=tower.heads,
        intermediate_size=language.query_hidden,
        max_position_embeddings=192,
        cross_attention_frequency=1,
        encoder_hidden_size=tower.width,
        pad_token_id=words.pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return InstructBlipConfig(
        vision_config=InstructBlipVisionConfig(**vision(recipe)),
        qformer_config=queries,
        text_config=llava.llama(recipe, words, vocab_size=len(words) + 1),
        num_query_tokens=language.queries,
        image_token_index=len(words),
    )


def pictures() -> Any:
    """One square."""
    from transformers import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": SIZE, "width": SIZE})


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """The last layer after the last norm, without the class token."""
    return model.vision_model(shown["pixel_values"]).last_hidden_state[:, 1:]


BODY = Body(
    family="instructblip",
    # The processor wants to add the image token itself.
    special=Special(("<unk>", "<s>", "<pad>", "</s>")),
    config=config,
    pictures=pictures,
    eyes="vision_model",
    look=look,
    stirred=(("query_tokens", 0.5),),
    alone=True,
    about="""- Vision: a tower of its own, last layer.
- Connector: a Q-Former of two layers whose 16 queries see picture and question. Language model: Llama.""",
)
