"""What else is told of the states of one prompt: how sure a layer is, how it changes them, what looks where.

Layer 0 is what enters the decoder, layer l the output of block l. Notation: L blocks, S positions, V visual tokens,
Q positions that look, H heads that are kept, d width.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vlmscope import lens, sweep
from vlmscope.capture import attention, taps
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.lens.tuned import Maps
from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Stream:
    """The residual stream of one prompt.

    entropy    float32 [L + 1, S]   of the lens, in nats
    lengths    float32 [L + 1, S]
    previous   float32 [L, S]       cosine of layers 1 .. L to the layer before
    """

    entropy: np.ndarray
    lengths: np.ndarray
    previous: np.ndarray


@dataclass(frozen=True)
class Looks:
    """What some positions pay to the visual tokens.

    queries   positions, the last of the prompt at the end
    mean      float32 [Q, L, V]   averaged over heads
    heads     int64 [H, L]        those of the last position that pay most to the picture, most first
    single    float32 [H, L, V]   theirs
    """

    queries: list[int]
    mean: np.ndarray
    heads: np.ndarray
    single: np.ndarray


@torch.inference_mode()
def stream(loaded: Loaded, found: Tensor) -> Stream:
    """What is told of states [L + 1, S, d] at every position."""
    entropy = torch.stack([lens.read(loaded, layer, 1).entropy.cpu() for layer in found])
    wide = [layer.float() for layer in found]
    turned = [torch.cosine_similarity(before, after, dim=-1) for before, after in itertools.pairwise(wide)]
    lengths = torch.stack([layer.norm(dim=-1) for layer in wide])
    return Stream(entropy.numpy(), lengths.cpu().numpy(), torch.stack(turned).cpu().numpy())


# ---- other lenses --------------------------------------------------------------------------------------------------


@torch.inference_mode()
def nearest(loaded: Loaded, found: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens whose input embeddings point where states [L + 1, V, d] do: ids int64 and cosines float32 [L + 1, V, k].

    A token whose embedding is zero points nowhere: its cosine is 0.
    """
    table = torch.nn.functional.normalize(loaded.model.get_input_embeddings().weight.float(), dim=-1)
    tokens, values = [], []
    for layer in found:
        unit = torch.nn.functional.normalize(layer.to(table), dim=-1)
        parts = [(one @ table.T).topk(min(k, len(table)), dim=-1) for one in unit.split(_rows(len(table)))]
        tokens.append(torch.cat([one.indices for one in parts]).cpu())
        values.append(torch.cat([one.values for one in parts]).cpu())
    return torch.stack(tokens).numpy(), torch.stack(values).numpy()


def _rows(vocabulary: int) -> int:
    """States at once, so that never more than `lens.MOST_VALUES` products exist."""
    return max(1, lens.MOST_VALUES // vocabulary)


@torch.inference_mode()
def affine(loaded: Loaded, found: Tensor, k: int, maps: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and probabilities [L + 1, V, k] of states behind the affine map of their layer (lens/tuned.py)."""
    read = [lens.read(loaded, layer, k) for layer in maps.through(found)]
    tokens, values = (torch.stack([getattr(one, name).cpu() for one in read]) for name in ("tokens", "probability"))
    return tokens.numpy(), values.numpy()


# ---- attention -----------------------------------------------------------------------------------------------------


@torch.inference_mode()
def looks(loaded: Loaded, asked: Asked, queries: Sequence[int], heads: int) -> Looks:
    """Attention of some positions, and of single heads of the last one, to the visual tokens.

    queries   positions in rising order, the last of the prompt among them
    heads     how many heads of every layer are kept
    """
    site = loaded.family.site("attn_prob")
    rows, seen = list(queries), slice(asked.first, asked.end)
    mean: list[Tensor] = []
    order: list[Tensor] = []
    single: list[Tensor] = []

    def see(layer: int, value: Tensor) -> None:
        # One layer at a time: all heads of all layers would not fit.
        paid = value[0, :, rows, seen].float()
        last = paid[:, -1]
        strongest = last.sum(-1).argsort(descending=True, stable=True)[:heads]
        mean.append(paid.mean(0).cpu())
        order.append(strongest.cpu())
        single.append(last[strongest].cpu())

    with attention.eager(loaded), taps.reading(loaded, site, range(site.layers(loaded.config)), see):
        flags = sweep.flags(loaded, asked.ids[None])
        sweep.decoder(loaded)(inputs_embeds=asked.embeds[None], use_cache=False, logits_to_keep=1, **flags)
    return Looks(rows, torch.stack(mean, 1).numpy(), torch.stack(order, 1).numpy(), torch.stack(single, 1).numpy())
