"""How much attention the last token pays to visual tokens, directly and through the positions in between.

Attention of a layer is the mean of its heads, [query, key]. Rollout mixes it with the identity, half and half, for the
residual stream, and multiplies the layers of a window (Abnar and Zuidema, arXiv 2005.00928).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vlmscope import sweep
from vlmscope.capture import attention, taps
from vlmscope.llava_interp.prompts import Asked
from vlmscope.models.load import Loaded


@torch.inference_mode()
def heads(loaded: Loaded, asked: Asked) -> Tensor:
    """Attention of every layer, averaged over heads, float32 [layer, query, key] on the host; rows sum to 1."""
    site = loaded.family.site("attn_prob")
    depth = site.layers(loaded.config)
    found: dict[int, Tensor] = {}

    def see(layer: int, value: Tensor) -> None:
        # One layer at a time: all heads of all layers would not fit.
        found[layer] = value[0].float().mean(0).cpu()

    with attention.eager(loaded), taps.reading(loaded, site, range(depth), see):
        flags = sweep.flags(loaded, asked.ids[None])
        sweep.decoder(loaded)(inputs_embeds=asked.embeds[None], use_cache=False, logits_to_keep=1, **flags)
    return torch.stack([found[layer] for layer in range(depth)])


def direct(layers: Tensor, query: int) -> Tensor:
    """Attention of one position, averaged over the layers [layer, query, key] of a window, float [key]."""
    return layers[:, query].mean(0)


def rolled(layers: Tensor, query: int) -> Tensor:
    """Share of each position at the entrance of the window in one position behind it, float [key]; they sum to 1."""
    share = torch.zeros(layers.shape[-1], dtype=layers.dtype)
    share[query] = 1
    # From the last layer down: one row of the product, never the product itself.
    for layer in layers.flip(0):
        share = (share + share @ layer) / 2
    return share


METHODS = {"direct": direct, "rollout": rolled}


def mass(shares: Tensor, keys: Sequence[int]) -> float:
    """What falls on some positions."""
    return float(shares[list(keys)].sum())
