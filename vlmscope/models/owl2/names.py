"""Names of the released mPLUG-Owl2 checkpoint and of ours: the same, but for tables that can be computed."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from vlmscope.models.base import ModelConfig
from vlmscope.models.convert.mplug_owl2 import DROPPED


def from_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a released checkpoint as our class holds them."""
    return {name: value for name, value in tensors.items() if not any(re.search(one, name) for one in DROPPED)}


def to_official(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our weights as the release has them: with the rotary frequencies of every layer, without the sine tables."""
    width = config.hidden_size // config.num_attention_heads
    exponents = torch.arange(0, width, 2, dtype=torch.float32) / width
    frequencies = 1.0 / config.rope_parameters["rope_theta"] ** exponents
    named = [f"model.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in range(config.num_hidden_layers)]
    return dict(tensors) | {name: frequencies.clone() for name in named}
