"""The vision backbone of Molmo (xl_vlms.md 4.4): CLIP's tower, attention pooling two by two, a gated projector.

Axis order: [crop, token, unit]; token 0 of the tower is the class token. Crops of all samples stand one after another.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlmscope.models.activations import QuickGELU
from vlmscope.models.base import ModelConfig


class Attention(nn.Module):
    """Multi-head attention from queries to keys of width `width_in`, without a mask."""

    def __init__(self, width: int, heads: int, width_in: int) -> None:
        super().__init__()
        self.heads = heads
        self.wq = nn.Linear(width_in, width)
        self.wk = nn.Linear(width_in, width)
        self.wv = nn.Linear(width_in, width)
        self.wo = nn.Linear(width, width)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """[row, query, unit] from queries and tokens [row, token, unit]. The kernel keeps scores in float32."""
        parts = (self.wq(query), self.wk(tokens), self.wv(tokens))
        heads = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        return self.wo(functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers around the activation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = QuickGELU()
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """The branch output, same shape."""
        return self.w2(self.act(self.w1(hidden)))


class ResidualBlock(nn.Module):
    """One block of the tower, norms before the branches."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention = Attention(width, config.num_attention_heads, width)
        self.feed_forward = FeedForward(config)
        self.attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.ffn_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """The residual stream after the block."""
        normed = self.attention_norm(hidden)
        hidden = hidden + self.attention(normed, normed)
        return hidden + self.feed_forward(self.ffn_norm(hidden))


class BlockStack(nn.Module):
    """The blocks under their published name."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualBlock(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """The residual stream after every block."""
        states = []
        for block in self.resblocks:
            hidden = block(hidden)
            states.append(hidden)
        return states


class VisionTransformer(nn.Module):
    """CLIP's tower on patches that are already cut, without a last norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        tokens = (config.image_size // config.patch_size) ** 2 + 1
        width = config.hidden_size
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(tokens, width))
        self.patch_embedding = nn.Linear(3 * config.patch_size**2, width, bias=False)
        self.pre_ln = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.transformer = BlockStack(config)

    def forward(self, crops: Tensor) -> list[Tensor]:
        """[crop, patch, value] to the residual stream after every block, [crop, token, unit]."""
        seen = self.patch_embedding(crops)
        tokens = torch.cat([self.class_embedding.expand(len(seen), 1, -1), seen], 1)
        return self.transformer(self.pre_ln(tokens + self.positional_embedding))


class Projector(nn.Module):
    """SwiGLU to the decoder's width; `units` wide inside."""

    def __init__(self, width: int, units: int, width_out: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, units, bias=False)
        self.act = nn.SiLU()
        self.w3 = nn.Linear(width, units, bias=False)
        self.w2 = nn.Linear(units, width_out, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """[crop, cell, unit] to [crop, cell, d]."""
        return self.w2(self.act(self.w1(hidden)) * self.w3(hidden))


class VisionBackbone(nn.Module):
    """From crops to what is added to the embeddings of the image tokens."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        vision = config.vision_config
        wide = vision.hidden_size * len(vision.feature_layers)
        self.layers = tuple(vision.feature_layers)
        self.grid = vision.image_size // vision.patch_size
        self.image_vit = VisionTransformer(vision)
        self.pad_embed = nn.Parameter(torch.zeros(2, wide))
        self.image_pooling_2d = Attention(vision.hidden_size, vision.num_attention_heads, wide)
        self.image_projector = Projector(vision.hidden_size, config.intermediate_size // 2, config.hidden_size)

    def forward(self, crops: Tensor, masks: Tensor | None) -> Tensor:
        """[crop, patch, value] and the share of each patch that shows the picture [crop, patch] to [crop, cell, d]."""
        features = self.features(crops)
        if masks is not None:
            blank, partly = masks == 0, (masks < 1) & (masks != 0)
            marks = torch.stack([blank, partly], -1).to(features.dtype)
            features = features + marks @ self.pad_embed
        return self.image_projector(self.pooled(features))

    def features(self, crops: Tensor) -> Tensor:
        """Patches of the chosen layers side by side, [crop, patch, unit]; zero where a crop is missing."""
        states = self.image_vit(crops)
        features = torch.cat([states[layer][:, 1:] for layer in self.layers], -1)
        missing = (crops == -1).flatten(1).all(1)
        return features.masked_fill(missing[:, None, None], 0)

    def pooled(self, features: Tensor) -> Tensor:
        """Two by two patches to one, [crop, cell, unit]: attention to the four with their mean as the query."""
        grid = features.unflatten(1, (self.grid, self.grid))
        if self.grid % 2:
            grid = functional.pad(grid, (0, 0, 0, 1, 0, 1))
        cells = grid.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3)
        windows = cells.flatten(3, 4).flatten(0, 2)
        query = windows.mean(1, keepdim=True)
        return self.image_pooling_2d(query, windows).unflatten(0, (len(features), -1)).squeeze(2)
