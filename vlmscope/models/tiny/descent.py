"""One optimizer step for both stages: Muon and AdamW side by side on one schedule."""

import re
import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn

from vlmscope.models.tiny.recipe import Pace

# A numbered layer, as the families call it: layers.0, layer.0, blocks.0, resblocks.0.
_BLOCK = re.compile(r"(layers?|blocks)\.\d+\.")


class Descent:
    """Optimizers and schedule of one stage. Muon takes the matrices inside layers, where it learns far faster."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], pace: Pace) -> None:
        named = [(name, weight) for name, weight in named if weight.requires_grad]
        inside = [weight for name, weight in named if weight.ndim == 2 and _BLOCK.search(name)]
        outside = [weight for name, weight in named if weight.ndim != 2 or not _BLOCK.search(name)]
        self.pace, self.weights = pace, inside + outside
        self._optimizers = (
            torch.optim.Muon(inside, lr=pace.muon, weight_decay=pace.decay, momentum=pace.momentum),
            # Embeddings, norms, biases, heads: decay would only pull them to zero.
            torch.optim.AdamW(outside, lr=pace.adamw, weight_decay=0.0, betas=(0.9, 0.98)),
        )
        self._schedules = [torch.optim.lr_scheduler.LambdaLR(one, self._rate) for one in self._optimizers]

    def step(self, loss: torch.Tensor) -> None:
        """Follow the gradient of one batch's loss."""
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, self.pace.clip)
        # Both follow one schedule; only their top rates differ.
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            optimizer.step()
            schedule.step()

    def _rate(self, step: int) -> float:
        done = step / self.pace.steps
        warm = min(1.0, (step + 1) / (self.pace.warm * self.pace.steps))
        return warm * (1.0 if done < self.pace.hold else max(self.pace.floor, (1 - done) / (1 - self.pace.hold)))


def batches(weights: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless batches of indices; heavier ones come more often, none twice in one round of two fifths of all.

    weights   float64 [index]
    """
    kept = max(size, int(len(weights) * 0.4))
    while True:
        # Ordering exponential waiting times is weighted sampling without replacement.
        order = np.argsort(rng.exponential(size=len(weights)) / weights)[:kept]
        for start in range(0, kept - size + 1, size):
            yield order[start : start + size]


class Clock:
    """CPU seconds since the clock was made; on a shared machine the only figure that repeats."""

    def __init__(self) -> None:
        self._start = time.process_time()

    def seconds(self) -> float:
        """CPU seconds so far."""
        return time.process_time() - self._start
