"""Idefics2: a SigLIP-like tower, a gated projection, latents that read the picture, Mistral."""

from typing import Any

import torch
from torch import Tensor, nn

from vlmscope.models.tiny.bodies.base import SIDE, Body, Config, Tensors, Words, number, text, vision
from vlmscope.models.tiny.prompts import IMAGE
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special
from vlmscope.world.scene import SIZE

FAKE, TURN = "<fake_token_around_image>", "<end_of_utterance>"


def config(recipe: Recipe, words: Words) -> Config:
    """As many latents as the published model has, in two layers instead of three."""
    from transformers import Idefics2Config, MistralConfig
    from transformers.models.idefics2.configuration_idefics2 import Idefics2PerceiverConfig, Idefics2VisionConfig

    language = recipe.language
    latents = Idefics2PerceiverConfig(
        hidden_size=language.width,
        resampler_n_latents=language.queries,
        resampler_depth=language.query_layers,
        resampler_n_heads=language.heads,
        resampler_head_dim=language.width // language.heads,
        num_key_value_heads=2,
    )
    return Idefics2Config(
        vision_config=Idefics2VisionConfig(**vision(recipe)),
        perceiver_config=latents,
        text_config=MistralConfig(**text(language, words, num_key_value_heads=2)),
        image_token_id=number(words, IMAGE),
        tie_word_embeddings=False,
    )


def pictures() -> Any:
    """One square, not split."""
    from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil

    return Idefics2ImageProcessorPil(size={"shortest_edge": SIZE, "longest_edge": SIZE}, do_image_splitting=False)


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """The last layer after the last norm, then what the latents make of it, one for each patch.

    The same heads read both: the latents have no places of their own and find them far sooner so.
    """
    pixels = shown["pixel_values"][:, 0]
    seen = model.model.vision_model(pixel_values=pixels).last_hidden_state
    everywhere = torch.ones(seen.shape[:2], dtype=torch.bool)
    return torch.cat([seen, model.model.connector(seen, attention_mask=everywhere)])


BODY = Body(
    family="idefics2",
    special=Special(("<unk>", "<s>", "</s>", "<pad>", IMAGE, FAKE, TURN), end=TURN),
    config=config,
    pictures=pictures,
    eyes="model.vision_model",
    look=look,
    taught=("model.connector",),
    stirred=(("latents", 1.0),),
    order=tuple(range(SIDE * SIDE)),
    about="""- Vision: a tower of its own, last layer.
- Connector: gated projection, then a resampler of two layers and 64 latents; patch labels train it too, one patch for
  each latent. Language model: Mistral.""",
)
