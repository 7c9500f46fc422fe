"""The decoder of mPLUG-Owl2 (mm_neurons.md 4.4): a Llama whose norms, keys and values have a branch per modality.

Axis order: [sample, token, unit].
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaMLP,
    LlamaRMSNorm,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

from vlmscope.models.owl2.configuration import OwlConfig


class Modality(NamedTuple):
    """Flat positions of a batch by branch, int64: text takes branch 0, image branch 1."""

    text: Tensor
    image: Tensor


def modality(flags: Tensor) -> Modality | None:
    """Positions from flags [sample, token] (1 = image); None where all is text, so that one branch suffices."""
    is_image = flags.reshape(-1).bool()
    if not is_image.any():
        return None
    return Modality((~is_image).nonzero().squeeze(1), is_image.nonzero().squeeze(1))


class Multiway(nn.Module):
    """Two modules of the same shape; each token runs through the one of its modality only."""

    def __init__(self, text: nn.Module, image: nn.Module) -> None:
        super().__init__()
        self.multiway = nn.ModuleList([text, image])

    def forward(self, hidden: Tensor, modality: Modality | None) -> Tensor:
        """[sample, token, unit]."""
        text, image = self.multiway
        if modality is None:
            return text(hidden)
        flat = hidden.flatten(0, -2)
        written, seen = text(flat[modality.text]), image(flat[modality.image])
        joined = torch.cat([written, seen])
        # The position of each token in `joined`.
        order = torch.cat([modality.text, modality.image]).argsort()
        return joined[order].unflatten(0, hidden.shape[:-1])


class OwlAttention(LlamaAttention):
    """Llama's attention with branched keys and values."""

    def __init__(self, config: OwlConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.k_proj = Multiway(*(self._narrow(config) for _ in range(2)))
        self.v_proj = Multiway(*(self._narrow(config) for _ in range(2)))

    def _narrow(self, config: OwlConfig) -> nn.Linear:
        return nn.Linear(config.hidden_size, config.num_key_value_heads * self.head_dim, bias=config.attention_bias)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        modality: Modality | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """The branch output [sample, token, d] and, with eager attention, the probabilities."""
        parts = (self.q_proj(hidden_states), self.k_proj(hidden_states, modality), self.v_proj(hidden_states, modality))
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in parts)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        mixed, probabilities = attend(self, query, key, value, attention_mask, scaling=self.scaling, **kwargs)
        return self.o_proj(mixed.flatten(2)), probabilities


class OwlDecoderLayer(GradientCheckpointingLayer):
    """Llama's block with branched norms; the MLP is shared."""

    def __init__(self, config: OwlConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = OwlAttention(config, layer_idx)
        self.mlp = LlamaMLP(config)
        self.input_layernorm = Multiway(*(_norm(config) for _ in range(2)))
        self.post_attention_layernorm = Multiway(*(_norm(config) for _ in range(2)))

    def forward(self, hidden_states: Tensor, modality: Modality | None = None, **kwargs: Any) -> Tensor:
        """The residual stream after the block."""
        branch, _ = self.self_attn(self.input_layernorm(hidden_states, modality), modality=modality, **kwargs)
        hidden_states = hidden_states + branch
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states, modality))


def _norm(config: OwlConfig) -> LlamaRMSNorm:
    return LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
