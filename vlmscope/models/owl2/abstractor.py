"""The visual abstractor of mPLUG-Owl2 (mm_neurons.md 4.4): learned queries read the patches, one end token follows.

Axis order: [picture, token, unit]. Notation: q queries, k encoder tokens.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vlmscope.models.base import ModelConfig


def sine_cosine(positions: np.ndarray, width: int) -> np.ndarray:
    """Sines, then cosines, of `position * 10000^(-k / (width / 2))`.

    positions   [token]
    returns     float32 [token, width]
    """
    half = width // 2
    frequencies = 1.0 / 10000 ** (np.arange(half, dtype=np.float32) / np.float32(half))
    angles = positions.reshape(-1).astype(np.float32)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def query_positions(config: ModelConfig) -> Tensor:
    """Positions of the queries: float32 [query, unit]."""
    return torch.from_numpy(sine_cosine(np.arange(config.num_learnable_queries), config.hidden_size))


def patch_positions(config: ModelConfig) -> Tensor:
    """Positions of the encoder's tokens: zeros for CLS, then column features before row features; [token, unit]."""
    rows, columns = np.divmod(np.arange(config.grid_size**2), config.grid_size)
    half = config.encoder_hidden_size // 2
    grid = np.concatenate([sine_cosine(columns, half), sine_cosine(rows, half)], axis=1)
    return torch.from_numpy(np.concatenate([np.zeros_like(grid[:1]), grid]))


class PositionTables(nn.Module):
    """Both tables. Checkpoints lack them, so `fill` writes them again after weights were loaded."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("query", query_positions(config), persistent=False)
        self.register_buffer("patch", patch_positions(config), persistent=False)

    def values(self) -> dict[str, Tensor]:
        """What each buffer must hold."""
        return {"query": query_positions(self.config), "patch": patch_positions(self.config)}


class QueryAttention(nn.Module):
    """Queries attend to themselves and to the picture; positions are added to queries and keys, not to values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.encoder_hidden_size, config.hidden_size)
        self.value = nn.Linear(config.encoder_hidden_size, config.hidden_size)

    def forward(self, query: Tensor, tokens: Tensor, positions: PositionTables) -> Tensor:
        """[picture, query, unit] from queries and from tokens [picture, query + patch, unit]."""
        places = positions.query.to(query.dtype)
        both = torch.cat([places, positions.patch.to(query.dtype)])
        parts = (self.query(query + places), self.key(tokens + both), self.value(tokens))
        heads = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        return functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


class GatedMLP(nn.Module):
    """SwiGLU with a norm before the last linear layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = nn.SiLU()
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.ffn_ln = nn.LayerNorm(config.intermediate_size, eps=config.layer_norm_eps)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """The branch output, same shape."""
        return self.w2(self.ffn_ln(self.act(self.w1(hidden)) * self.w3(hidden)))


class QueryOutput(nn.Module):
    """What follows the attention; its own module because the published names say so."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm2 = nn.LayerNorm(config.hidden_size)
        self.mlp = GatedMLP(config)

    def forward(self, query: Tensor, mixed: Tensor) -> Tensor:
        """[picture, query, unit]; `query` is the residual base."""
        hidden = query + self.out_proj(mixed)
        return hidden + self.mlp(self.norm2(hidden))


class CrossAttention(nn.Module):
    """One layer. `norm1`, `normk` and `norm2` use the library's eps 1e-5, unlike the configured 1e-6."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size)
        self.normk = nn.LayerNorm(config.encoder_hidden_size)
        self.attention = QueryAttention(config)
        self.output = QueryOutput(config)

    def forward(self, hidden: Tensor, encoded: Tensor, positions: PositionTables) -> Tensor:
        """[picture, query, unit]. The residual base is the normed query, not the query itself."""
        query = self.norm1(hidden)
        tokens = torch.cat([query, self.normk(encoded)], 1)
        return self.output(query, self.attention(query, tokens, positions))


class AbstractorLayer(nn.Module):
    """A cross-attention under its published name."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.crossattention = CrossAttention(config)

    def forward(self, hidden: Tensor, encoded: Tensor, positions: PositionTables) -> Tensor:
        """[picture, query, unit]."""
        return self.crossattention(hidden, encoded, positions)


class AbstractorEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AbstractorLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: Tensor, encoded: Tensor, positions: PositionTables) -> Tensor:
        """[picture, query, unit]."""
        for layer in self.layers:
            hidden = layer(hidden, encoded, positions)
        return hidden


class VisualAbstractor(nn.Module):
    """Queries through the layers, projected to the decoder's width, with the end token behind them."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.query_embeds = nn.Parameter(torch.zeros(1, config.num_learnable_queries, config.hidden_size))
        self.positions = PositionTables(config)
        self.encoder = AbstractorEncoder(config)
        self.visual_fc = nn.Linear(config.hidden_size, width)
        self.vit_eos = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, encoded: Tensor) -> Tensor:
        """[picture, encoder token, unit] to [picture, query + 1, d]."""
        pictures = len(encoded)
        queries = self.encoder(self.query_embeds.expand(pictures, -1, -1), encoded, self.positions)
        return torch.cat([self.visual_fc(queries), self.vit_eos.expand(pictures, -1, -1)], 1)
