"""How much attention the last token pays to visual tokens, directly and through the positions in between.

Attention of a layer is the mean of its heads, [query, key]. Rollout mixes it with the identity, half and half, for the
residual stream, and multiplies the layers of a window; flow takes the same numbers as capacities of pipes between
positions of neighbouring layers, and asks how much gets through (Abnar and Zuidema, arXiv 2005.00928).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vlmscope import sweep
from vlmscope.capture import attention, taps
from vlmscope.llava_interp.asking.prompts import Asked
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
# Capacities are whole numbers for the search of the largest flow.
STEPS = 1_000_000


def flow(layers: Tensor, query: int, keys: Sequence[int]) -> float:
    """Largest flow from one position behind a window [layer, query, key] to all of `keys` at its entrance, 0 .. 1.

    Several keys let more through than one: sets of unlike size cannot be compared.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    size, depth = query + 1, len(layers)
    # Later positions are hidden from the query. Node b * size + p is position p in front of layer b of the window.
    mixed = (layers[:, :size, :size].double().numpy() + np.eye(size)) / 2
    whole = np.rint(STEPS * mixed).astype(np.int32)
    layer, above, below = np.nonzero(whole)
    end, ports = (depth + 1) * size, np.asarray(keys)
    pipes = np.concatenate([whole[layer, above, below], np.full(len(ports), STEPS, np.int32)])
    rows = np.concatenate([(layer + 1) * size + above, ports])
    columns = np.concatenate([layer * size + below, np.full(len(ports), end)])
    graph = csr_array((pipes, (rows, columns)), shape=(end + 1, end + 1)).astype(np.int32)
    return maximum_flow(graph, depth * size + query, end).flow_value / STEPS


def mass(shares: Tensor, keys: Sequence[int]) -> float:
    """What falls on some positions."""
    return float(shares[list(keys)].sum())
