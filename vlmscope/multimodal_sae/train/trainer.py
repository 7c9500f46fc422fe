"""Training of an autoencoder, step by step (multimodal_sae.md 2.2).

A window is what one step of the optimiser sees: `accumulate` batches on each of several processes. Notation: F latents.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from vlmscope.multimodal_sae.coder import sae
from vlmscope.multimodal_sae.coder.sae import SparseCoder

# Rates that fit 2^14 latents; more latents take less, by the square root.
RATES = {"adam": 2e-4, "signum": 5e-3}
STATE = "trainer."


@dataclass(frozen=True)
class Recipe:
    """How an autoencoder is trained.

    steps            steps of the optimiser; with `official` batches, after which the rate would be 0
    rate             of learning at its peak; 0 for the one that fits the number of latents
    warmup           steps in which the rate rises
    aux_weight       of what dead latents leave
    sparsity_weight  of the number of active latents (jumprelu)
    dead_after       tokens without firing after which a latent counts as dead
    accumulate       batches per window
    parts            equal parts that a batch is cut into, to save memory
    clip             largest norm of the gradient; 0 for none
    median           b_dec begins at the geometric median of the first batch
    official         as released: zeros count as fired, gradients are clipped within a window, the rate is 0 in the
                     first step and falls as if there were a step per batch, the aux loss is that of 8.B1
    """

    steps: int
    rate: float = 0.0
    warmup: int = 0
    aux_weight: float = 1 / 32
    sparsity_weight: float = 0.0
    dead_after: int = 10_000_000
    accumulate: int = 1
    parts: int = 1
    clip: float = 1.0
    optimizer: Literal["adam", "signum"] = "adam"
    median: bool = True
    official: bool = False


class Record(NamedTuple):
    """One window, as it is logged: means over its batches and processes.

    step     number of the window, from 1
    tokens   states seen so far
    l0       latents above zero per token
    dead     share of latents that did not fire for `dead_after` tokens
    """

    step: int
    tokens: int
    lr: float
    fvu: float
    aux: float
    multi: float
    l0: float
    dead: float


class Signum(torch.optim.Optimizer):
    """Steps of equal size along the sign of the running gradient."""

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(weights), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step."""
        for group in self.param_groups:
            for weight in (one for one in group["params"] if one.grad is not None):
                kept = self.state[weight].setdefault("running", torch.zeros_like(weight))
                kept.lerp_(weight.grad, 1 - group["momentum"])
                weight.sub_(kept.sign(), alpha=group["lr"])


class Trainer:
    """An autoencoder in training; every process of a run has one, and all of them stay equal.

    since   int64 [F]   tokens since each latent fired
    """

    def __init__(self, coder: SparseCoder, recipe: Recipe) -> None:
        self.coder, self.recipe = coder.train(), recipe
        self.weights = dict(coder.named_parameters())
        self.rate = recipe.rate or RATES[recipe.optimizer] / math.sqrt(coder.config.latents / 2**14)
        kind = torch.optim.Adam if recipe.optimizer == "adam" else Signum
        self.optimizer: torch.optim.Optimizer = kind(self.weights.values(), lr=self.rate)
        device = coder.b_dec.device
        self.since = torch.zeros(coder.config.latents, dtype=torch.int64, device=device)
        self.fired = torch.zeros(coder.config.latents, dtype=torch.bool, device=device)
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.batches = self.tokens = self.window = 0
        self.sums = torch.zeros(4, dtype=torch.float64)

    # ---- a step ------------------------------------------------------------------------------------------------

    def learn(self, x: Tensor, counted: int | None = None) -> Record | None:
        """Learn from one batch of states [T, d]; at the end of a window what is logged, else None.

        counted   tokens that the batch counts for, where the states are not all that was read
        """
        own, recipe = self.coder, self.recipe
        if self.batches == 0 and recipe.median:
            own.b_dec.data.copy_(sae.geometric_median(self._gathered(x.float())))
        own.normalize()
        dead = self.since > recipe.dead_after if recipe.aux_weight > 0 else None
        for part in x.chunk(recipe.parts):
            found = own(part, dead, recipe.official)
            share = len(part) / len(x) if not recipe.official else 1 / recipe.parts
            total = sae.loss(found, recipe.aux_weight, recipe.sparsity_weight)
            (total * share / recipe.accumulate).backward()
            self._note(found, share)
        self.window += len(x) if counted is None else counted
        self.batches += 1
        last = self.batches % recipe.accumulate == 0
        if last or recipe.official:
            self._agree()
            if recipe.clip:
                torch.nn.utils.clip_grad_norm_(self.weights.values(), recipe.clip)
        return self._end() if last else None

    @torch.no_grad()
    def _note(self, found: sae.Forward, share: float) -> None:
        """Which latents fired, and what goes into the log."""
        positive = found.acts > 0
        self.fired[found.indices if self.recipe.official else found.indices[positive]] = True
        seen = (found.fvu, found.aux, found.multi, positive.sum() / len(positive))
        self.sums += share / self.recipe.accumulate * torch.stack(seen).double().cpu()

    @torch.no_grad()
    def _agree(self) -> None:
        """The mean gradient of all processes. What was accumulated before is equal on all, so it stays as it is."""
        if self.world > 1:
            for weight in self.weights.values():
                dist.all_reduce(weight.grad)
                weight.grad /= self.world

    @torch.no_grad()
    def _gathered(self, x: Tensor) -> Tensor:
        """States of all processes, which have equally many."""
        if self.world == 1:
            return x
        every = [torch.empty_like(x) for _ in range(self.world)]
        dist.all_gather(every, x.contiguous())
        return torch.cat(every)

    @torch.no_grad()
    def _end(self) -> Record:
        """Step of the optimiser, dead counters, log."""
        recipe, step = self.recipe, self.batches // self.recipe.accumulate
        self.coder.orthogonalize()
        lr = self.rate * self.factor(step - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not recipe.official:
            self.coder.normalize()
        seen, fired, sums = torch.tensor(self.window), self.fired.int(), self.sums / self.world
        if self.world > 1:
            seen = seen.to(fired.device)
            sums = sums.to(fired.device)
            dist.all_reduce(seen)
            dist.all_reduce(fired, op=dist.ReduceOp.MAX)
            dist.all_reduce(sums)
        self.tokens += int(seen)
        self.since += int(seen)
        self.since[fired.bool()] = 0
        self.fired.zero_()
        self.window = 0
        self.sums = torch.zeros_like(self.sums)
        dead = float((self.since > recipe.dead_after).double().mean())
        return Record(step, self.tokens, lr, *sums.tolist(), dead)

    def factor(self, step: int) -> float:
        """Share of the rate in a step, counted from 0: up to 1, then down to 0 in a line."""
        early = 0 if self.recipe.official else 1
        if step < self.recipe.warmup:
            return (step + early) / self.recipe.warmup
        return max(0.0, (self.recipe.steps - step) / max(1, self.recipe.steps - self.recipe.warmup))

    # ---- state -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Everything that a later process needs to go on at the end of a window."""
        kept = {f"coder.{name}": one for name, one in self.coder.state_dict().items()}
        kept |= {STATE + "since": self.since, STATE + "counts": torch.tensor([self.batches, self.tokens])}
        for name, weight in self.weights.items():
            kept |= {f"optimizer.{name}.{key}": one for key, one in self.optimizer.state[weight].items()}
        return {name: one.detach().contiguous() for name, one in kept.items()}

    @torch.no_grad()
    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        for name, one in self.coder.state_dict().items():
            one.copy_(kept[f"coder.{name}"])
        self.since.copy_(kept[STATE + "since"])
        self.batches, self.tokens = kept[STATE + "counts"].tolist()
        for name, weight in self.weights.items():
            start = f"optimizer.{name}."
            own = {key.removeprefix(start): one for key, one in kept.items() if key.startswith(start)}
            # A step count stays on the host, as the optimiser has it.
            self.optimizer.state[weight] = {
                key: one.clone() if key == "step" else one.to(weight.device, copy=True) for key, one in own.items()
            }
