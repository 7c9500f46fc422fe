"""Which latents move a prompt's answer away from a baseline: attribution patching (multimodal_sae.md 2.9, 10).

With the autoencoder in the loop, D = logit[answer] - logit[baseline] behind the prompt. Notation: T tokens, n entries
(token, active latent), c the reconstruction [T, d], q_j the one with latent j off at every token, where the next latent
takes its place unless `refill` is off. Attribution of an entry: (c - q_j)[t] . dD/d(state)[t]; what supports the answer
is positive.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vlmscope import edits, replay
from vlmscope.capture import taps
from vlmscope.capture.plan import Take
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.coder import sparse
from vlmscope.multimodal_sae.coder.sae import SparseCoder

# Where the gradient is taken: official, with the latent off; atp, at c; trapezoid, both; integrated, on the way.
Mode = Literal["official", "atp", "trapezoid", "integrated"]


class Entries(NamedTuple):
    """Active latents of tokens, in the order of the latents.

    token, latent, spare   int64 [n]     `spare` is what takes the place of the latent
    act, spare_act         float32 [n]   their values
    """

    token: Tensor
    latent: Tensor
    act: Tensor
    spare: Tensor
    spare_act: Tensor

    def steps(self, table: Tensor) -> Tensor:
        """c - q_j at the tokens of the entries, [n, d]; `table` is W_dec."""
        return self.act[:, None] * table[self.latent] - self.spare_act[:, None] * table[self.spare]

    def some(self, places: Tensor | slice) -> "Entries":
        """Those of some numbers."""
        return Entries(*(one[places] for one in self))


@torch.no_grad()
def entries(coder: SparseCoder, x: Tensor, refill: bool = True) -> Entries:
    """Entries of states [T, d]; thresholds (jumprelu, batch_topk) leave a place empty."""
    parts = [_picked(coder, coder.pre(some), refill) for some in x.float().split(sparse.DENSE // coder.config.latents)]
    acts, index, spare_acts, spare = (torch.cat(one) for one in zip(*parts, strict=True))
    token, slot = (acts > 0).nonzero(as_tuple=True)
    latent = index[token, slot]
    order = latent.argsort(stable=True)
    token, slot = token[order], slot[order]
    return Entries(token, latent[order], acts[token, slot], spare[token, slot], spare_acts[token, slot])


def _picked(coder: SparseCoder, pre: Tensor, refill: bool) -> tuple[Tensor, ...]:
    """Values and numbers of the active latents [T, k], and of what would take their places."""
    own = coder.config
    acts, index = coder.select(pre)
    if not refill or own.variant in ("batch_topk", "jumprelu") or own.k == own.latents:
        return acts, index, torch.zeros_like(acts), index
    if own.variant == "groupmax":
        size = own.latents // own.k
        if size == 1:
            return acts, index, torch.zeros_like(acts), index
        values, place = pre.unflatten(1, (own.k, size)).topk(2, dim=2)
        return acts, index, values[..., 1], place[..., 1] + torch.arange(own.k, device=pre.device) * size
    value, number = pre.scatter(1, index, -1.0).max(1)
    return acts, index, value[:, None].expand_as(acts), number[:, None].expand_as(index)


@dataclass
class Prompt:
    """A prompt with the autoencoder in the loop.

    inputs             of a single prompt
    answer, baseline   numbers of the tokens that are compared
    rows               latents per pass
    """

    loaded: Loaded
    coder: SparseCoder
    take: Take
    inputs: Mapping[str, Any]
    answer: int
    baseline: int
    refill: bool = True
    rows: int = 16

    def __post_init__(self) -> None:
        self.block = self.take.layers[0] if self.take.site == "resid_post" else self.take.layers[0] - 1
        found: list[Tensor] = []
        with taps.reading(self.loaded, self.site, self.take.layers, lambda layer, value: found.append(value)):
            self.known = replay.prefix(self.loaded, self.inputs, [max(self.block, 0)])
        x = found[0][0].to(self.coder.b_dec.device)
        with torch.no_grad():
            # A copy: tensors of inference cannot take part in gradients.
            self.states = x.float().clone()
            self.entries = entries(self.coder, self.states, self.refill)
            self.clean = self.coder.decode(*self.coder.select(self.coder.pre(self.states)), self.states)

    @property
    def site(self) -> Any:
        """Where the autoencoder stands."""
        return self.loaded.family.site(self.take.site)

    @cached_property
    def latents(self) -> list[int]:
        """Latents that are active anywhere."""
        return self.entries.latent.unique().tolist()

    def of(self, latent: int) -> Tensor:
        """Numbers of a latent's entries."""
        return (self.entries.latent == latent).nonzero().squeeze(1)

    def run(self, points: Tensor, gradient: bool = True) -> tuple[Tensor, Tensor | None]:
        """D float32 [row], and its gradient at the states [row, T, d], with these states in place of the layer's.

        points   float32 [row, T, d]
        """
        from transformers import DynamicCache

        count, points = len(points), points.detach().requires_grad_(gradient)
        some = [0] * count
        whole = self.known.rows(some)
        if self.block < 0:
            whole = {key: one[some] for key, one in self.inputs.items()}
        module = taps.module_at(self.loaded.model, self.site.path, self.take.layers[0])
        handle = edits.hook(module, self.site.side, lambda value: points.to(value))
        try:
            with contextlib.ExitStack() as undo:
                undo.enter_context(torch.set_grad_enabled(gradient))
                if self.block >= 0:
                    undo.enter_context(replay.replayed(self.loaded, self.known, self.block, some))
                given = {"past_key_values": DynamicCache(), "use_cache": True, "logits_to_keep": 1}
                logits = self.loaded.model(**whole, **given).logits[:, -1].float()
                metric = logits[:, self.answer] - logits[:, self.baseline]
                found = torch.autograd.grad(metric.sum(), points)[0] if gradient else None
        finally:
            handle.remove()
        return metric.detach(), found

    @cached_property
    def plain(self) -> tuple[float, Tensor]:
        """D and its gradient [T, d] with no latent off."""
        metric, gradient = self.run(self.clean[None])
        return float(metric[0]), gradient[0]

    def between(self, latents: list[int], share: float) -> Tensor:
        """States that are a share of the way from every q_j to c, [latent, T, d]."""
        points = self.clean.repeat(len(latents), 1, 1)
        for row, latent in enumerate(latents):
            own = self.entries.some(self.of(latent))
            points[row, own.token] -= (1 - share) * own.steps(self.coder.W_dec)
        return points

    def off(self, latents: list[int]) -> np.ndarray:
        """The true effect of every latent, D(c) - D(q_j), float64 [latent]."""
        parts = [latents[start : start + self.rows] for start in range(0, len(latents), self.rows)]
        found = [self.run(self.between(some, 0.0), gradient=False)[0] for some in parts]
        return self.plain[0] - torch.cat(found).double().cpu().numpy()

    def attributed(self, mode: Mode, latents: list[int], points: int = 9) -> np.ndarray:
        """Attribution of every entry, float32 [n]; 0 for latents that are not asked about.

        points   on the way from q_j to c (integrated: Gauss-Legendre)
        """
        shares, weights = _places(mode, points)
        total = torch.zeros(len(self.entries.token), device=self.clean.device)
        for share, weight in zip(shares, weights, strict=True):
            total += weight * self._at(latents, share)
        return total.cpu().numpy()

    def _at(self, latents: list[int], share: float) -> Tensor:
        """Attribution of every entry with the gradient at one share of the way, [n]."""
        found = torch.zeros(len(self.entries.token), device=self.clean.device)
        if share == 1.0:
            kept = torch.isin(self.entries.latent, torch.tensor(latents, device=found.device)).nonzero().squeeze(1)
            for places in kept.split(max(1, sparse.DENSE // self.clean.shape[1])):
                found[places] = self._products(places, self.plain[1])
            return found
        for start in range(0, len(latents), self.rows):
            some = latents[start : start + self.rows]
            gradient = self.run(self.between(some, share))[1]
            for row, latent in enumerate(some):
                own = self.of(latent)
                found[own] = self._products(own, gradient[row])
        return found

    def _products(self, places: Tensor, gradient: Tensor) -> Tensor:
        """Products of what entries of some numbers change with the gradient [T, d] at their tokens."""
        own = self.entries.some(places)
        return (own.steps(self.coder.W_dec) * gradient[own.token]).sum(1)


def _places(mode: Mode, points: int) -> tuple[list[float], list[float]]:
    """Shares of the way at which the gradient is taken, and their weights."""
    if mode == "integrated":
        nodes, weights = np.polynomial.legendre.leggauss(points)
        return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
    known = {"official": ([0.0], [1.0]), "atp": ([1.0], [1.0]), "trapezoid": ([0.0, 1.0], [0.5, 0.5])}
    return known[mode]
