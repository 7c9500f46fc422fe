"""The decoder of Molmo (xl_vlms.md 4.4): fused projections, grouped keys, the released parameter names.

Axis order: [sample, token, unit].
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb, eager_attention_forward

from vlmscope.models.molmo_hf.configuration import MolmoConfig


class SplitEmbedding(nn.Module):
    """The input table in two parts: the vocabulary, and the new rows behind it."""

    def __init__(self, config: MolmoConfig) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(config.embedding_size, config.hidden_size))
        self.new_embedding = nn.Parameter(torch.zeros(config.additional_vocab_size, config.hidden_size))

    @property
    def weight(self) -> Tensor:
        """The vocabulary's part, under the name that other embeddings give their table."""
        return self.embedding

    def forward(self, ids: Tensor) -> Tensor:
        """Rows of both parts for int64 [sample, token]; looked up apart, since joining them would copy the table."""
        size = len(self.embedding)
        is_new = ids >= size
        old = functional.embedding(ids.masked_fill(is_new, 0), self.embedding)
        new = functional.embedding((ids - size).masked_fill(~is_new, 0), self.new_embedding)
        return torch.where(is_new[..., None], new, old)


class AttentionCore(nn.Module):
    """Attention between the projections. It has no parameters; what it returns can be recorded."""

    def __init__(self, config: MolmoConfig, layer_idx: int) -> None:
        super().__init__()
        self.config, self.layer_idx = config, layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = True

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Mixed values [sample, token, d] and, with eager attention, the probabilities."""
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in (query, key, value))
        # Rotated in float32, whatever the model computes in.
        rotated = apply_rotary_pos_emb(query.float(), key.float(), *position_embeddings)
        query, key = (part.to(value.dtype) for part in rotated)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        mixed, probabilities = attend(self, query, key, value, attention_mask, scaling=self.scaling, **kwargs)
        return mixed.flatten(2), probabilities


class MolmoBlock(GradientCheckpointingLayer):
    """One block, norms before the branches; gate and up come from one projection, the gate second."""

    def __init__(self, config: MolmoConfig, layer_idx: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.narrow = width // config.num_attention_heads * config.num_key_value_heads
        self.attn_norm = LlamaRMSNorm(width, eps=config.layer_norm_eps)
        self.att_proj = nn.Linear(width, width + 2 * self.narrow, bias=config.qkv_bias)
        self.attention = AttentionCore(config, layer_idx)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.ff_norm = LlamaRMSNorm(width, eps=config.layer_norm_eps)
        self.ff_proj = nn.Linear(width, config.intermediate_size, bias=False)
        self.act = nn.SiLU()
        self.ff_out = nn.Linear(config.intermediate_size // 2, width, bias=False)

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        """The residual stream after the block."""
        fused = self.att_proj(self.attn_norm(hidden_states))
        parts = fused.split((fused.shape[-1] - 2 * self.narrow, self.narrow, self.narrow), -1)
        mixed, _ = self.attention(*parts, **kwargs)
        hidden_states = hidden_states + self.attn_out(mixed)
        up, gate = self.ff_proj(self.ff_norm(hidden_states)).chunk(2, -1)
        return hidden_states + self.ff_out(self.act(gate) * up)


class Decoder(nn.Module):
    """Table, blocks, norm and unembedding under their published names; the model runs them."""

    def __init__(self, config: MolmoConfig) -> None:
        super().__init__()
        self.wte = SplitEmbedding(config)
        self.blocks = nn.ModuleList(MolmoBlock(config, number) for number in range(config.num_hidden_layers))
        self.ln_f = LlamaRMSNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.ff_out = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
