"""Latents of an autoencoder at given states."""

import numpy as np
import torch

from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.steer.features import auc

# States that are encoded at a time.
ROWS = 1024


@torch.inference_mode()
def active(coder: SparseCoder, states: np.ndarray) -> np.ndarray:
    """Activation of every latent, 0 where it is not selected: float32 [M, F].

    states   float [M, d]
    """
    found = np.zeros((len(states), coder.config.latents), np.float32)
    for start in range(0, len(states), ROWS):
        part = torch.as_tensor(states[start : start + ROWS], dtype=torch.float32, device=coder.b_dec.device)
        values, places = coder.select(coder.pre(part))
        np.put_along_axis(found[start : start + ROWS], places.cpu().numpy(), values.cpu().numpy(), axis=1)
    return found


def decoder(coder: SparseCoder) -> np.ndarray:
    """Directions of the latents, float32 [F, d]."""
    return coder.W_dec.detach().float().cpu().numpy()


def telling(own: np.ndarray, others: np.ndarray, most: int) -> list[tuple[int, float]]:
    """Latents that tell one group of states from others best, with the area under the ROC curve, best first.

    own, others   activations [M, F]
    """
    every = np.concatenate([own, others])
    there = np.arange(len(every)) < len(own)
    firing = np.flatnonzero(every.any(axis=0))
    areas = auc(every[:, firing], there)
    order = np.argsort(-areas, kind="stable")[:most]
    return [(int(firing[place]), float(areas[place])) for place in order]
