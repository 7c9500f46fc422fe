"""The vision encoder of mPLUG-Owl2 (mm_neurons.md 4.4): a ViT whose last norm covers all tokens, CLS included.

Axis order: [picture, token, unit]; token 0 is CLS.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlmscope.models.activations import QuickGELU
from vlmscope.models.base import ModelConfig


class VisionEmbeddings(nn.Module):
    """Patches, CLS and learned positions, normed."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        tokens = (config.image_size // config.patch_size) ** 2 + 1
        width, patch = config.hidden_size, config.patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = nn.Conv2d(config.num_channels, width, kernel_size=patch, stride=patch, bias=False)
        self.position_embedding = nn.Parameter(torch.zeros(1, tokens, width))
        self.pre_layernorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[picture, channel, row, column] to [picture, token, unit]."""
        patches = self.patch_embed(pixel_values).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1)
        return self.pre_layernorm(tokens + self.position_embedding)


class VisionAttention(nn.Module):
    """Self-attention with one fused projection, laid out head by head: [head, (query, key, value), unit]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """The branch output, same shape."""
        # An even split into three blocks would mix the parts of different heads.
        fused = self.query_key_value(hidden).unflatten(-1, (self.heads, 3, -1))
        query, key, value = fused.permute(3, 0, 2, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.dense(mixed.transpose(1, 2).flatten(2))


class VisionMLP(nn.Module):
    """Two linear layers around the activation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = QuickGELU()
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """The branch output, same shape."""
        return self.fc2(self.act(self.fc1(hidden)))


class VisionLayer(nn.Module):
    """One block, norms before the branches."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = VisionAttention(config)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = VisionMLP(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """The residual stream after the block."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden))
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class VisionEncoder(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: Tensor) -> Tensor:
        """The residual stream after the last block."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class VisionModel(nn.Module):
    """Embeddings, blocks and a norm over every token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embeddings = VisionEmbeddings(config)
        self.encoder = VisionEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[picture, channel, row, column] to [picture, token, unit], CLS kept."""
        return self.post_layernorm(self.encoder(self.embeddings(pixel_values)))
