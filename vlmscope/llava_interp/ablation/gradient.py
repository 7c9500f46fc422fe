"""Integrated gradients of one logit over the visual tokens (llava_interp.md 2.5).

The path leads from a baseline, where the picture is the mean token, to the prompt itself.
"""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vlmscope import sweep
from vlmscope.llava_interp.asking.prompts import Asked, Word
from vlmscope.models.load import Loaded

Mode = Literal["fixed", "official"]


def target(loaded: Loaded, wanted: Word, spelled: str, logits: Tensor, mode: Mode) -> int:
    """The token whose logit is explained.

    spelled   what the released code encodes, "Yes"
    logits    float32 [vocabulary] of the untouched prompt; of the ways to begin the word the likeliest is taken
    official takes the first id that the tokenizer gives, which is that of the text's beginning where the tokenizer puts
    one there [differs: llava_interp.md 8 #1]
    """
    if mode == "official":
        return loaded.processor.tokenizer.encode(spelled)[0]
    return max(wanted.right, key=lambda token: float(logits[token]))


def attributions(
    loaded: Loaded, asked: Asked, mean: Tensor, token: int, *, steps: int, mode: Mode, chunk: int
) -> np.ndarray:
    """What every number of every position adds to the logit of `token` behind the prompt, float32 [S, d].

    official   nodes at both ends of the path, and one position behind the picture belongs to it
               [differs: llava_interp.md 8 #2]; fixed: nodes in the middle of the steps, the picture alone
    chunk      nodes that go through the model together; gradients are taken of the embeddings alone
    """
    whole = asked.embeds.detach()
    baseline = whole.clone()
    baseline[asked.first : asked.end + (mode == "official")] = mean.to(whole)
    nodes = torch.linspace(0, 1, steps) if mode == "official" else (torch.arange(steps) + 0.5) / steps
    difference, total = whole - baseline, torch.zeros(whole.shape, dtype=torch.float32, device=whole.device)
    for part in nodes.to(whole.device).split(chunk):
        points = baseline + part.to(whole.dtype)[:, None, None] * difference
        # Summed in single precision: many nodes add little each (llava_interp.md 8 #15).
        total += _gradient(loaded, asked, points.requires_grad_(), token).float().sum(0)
    return (total * difference.float() / steps).cpu().numpy()


def _gradient(loaded: Loaded, asked: Asked, points: Tensor, token: int) -> Tensor:
    """Gradients of the logit at several points, [node, S, d]."""
    flags: dict[str, Any] = sweep.flags(loaded, asked.ids.expand(len(points), -1))
    with torch.enable_grad():
        logits = sweep.decoder(loaded)(inputs_embeds=points, use_cache=False, logits_to_keep=1, **flags).logits
        return torch.autograd.grad(logits[:, -1, token].float().sum(), points)[0]


def importance(found: np.ndarray) -> np.ndarray:
    """How much a position matters, float32 [S]: the sum of what its numbers add or take."""
    return np.abs(found).sum(axis=-1)
