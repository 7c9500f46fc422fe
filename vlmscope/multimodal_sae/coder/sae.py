"""Sparse autoencoders: a state as a sum of few directions (multimodal_sae.md 2.1; arXiv 2411.14982, section 3).

Notation: T tokens, F latents, d units of the state, k active latents per token.

    pre(x) = relu((x - b_dec) W_enc^T + b_enc)     [T, F]
    a, i   = the latents that the variant selects  [T, k]
    x_hat  = sum_j a_j W_dec[i_j] + b_dec          [T, d]
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.coder import select, sparse
from vlmscope.multimodal_sae.coder.sparse import Places

Variant = Literal["topk", "groupmax", "batch_topk", "jumprelu", "matryoshka"]


@dataclass(frozen=True)
class Config:
    """What an autoencoder is made of.

    d           width of the states
    latents     F
    k           active latents per token; on average for batch_topk, aimed at by jumprelu
    variant     topk: the k largest; groupmax: the largest of each of k equal groups; batch_topk: the k T largest of a
                batch, later those above the mean threshold; jumprelu: those above a learned threshold each; matryoshka:
                topk whose prefixes have to reconstruct as well
    normalize   rows of W_dec have unit length after every step
    multi_topk  a reconstruction with 4 k latents counts too
    prefixes    numbers of latents that have to reconstruct by themselves (matryoshka); F is one of them
    bandwidth   of the kernel behind the gradient of thresholds (jumprelu)
    skip        x W_skip^T is added to the output (files of other tools)
    aux_k       dead latents per token that learn from what is left; 0 for d / 2, as released
    """

    d: int
    latents: int
    k: int
    variant: Variant = "topk"
    normalize: bool = True
    multi_topk: bool = False
    prefixes: tuple[int, ...] = ()
    bandwidth: float = 0.05
    skip: bool = False
    aux_k: int = 0

    def __post_init__(self) -> None:
        wrong = ""
        if not 1 <= self.k <= self.latents:
            wrong = f"{self.k} of {self.latents} latents cannot be active"
        elif self.variant == "groupmax" and self.latents % self.k:
            wrong = f"{self.latents} latents cannot be cut into {self.k} equal groups"
        elif self.prefixes and (min(self.prefixes) < 1 or max(self.prefixes) > self.latents):
            wrong = f"prefixes {self.prefixes} of {self.latents} latents"
        elif self.variant == "matryoshka" and not self.prefixes:
            wrong = "matryoshka without prefixes"
        if wrong:
            raise VlmscopeError(f"There is no such autoencoder: {wrong}.", where="multimodal_sae.sae")


class Encoded(NamedTuple):
    """Active latents of some tokens.

    acts     float32 [T, k]   0 where fewer are active
    places   whose `index`, int64 [T, k], has their numbers
    count    active latents of a token on average, where thresholds learn from it (jumprelu)
    """

    acts: Tensor
    places: Places
    count: Tensor | None = None

    @property
    def indices(self) -> Tensor:
        """Numbers of the latents, int64 [T, k]."""
        return self.places.index


class Forward(NamedTuple):
    """One pass.

    out       reconstruction, float32 [T, d]
    acts      float32 [T, k]
    indices   int64 [T, k]
    fvu       share of the batch's variance that is left
    aux       what dead latents leave of the rest; 0 where none is dead
    multi     fvu with 4 k latents (multi_topk), mean fvu of the shorter prefixes (matryoshka), else 0
    sparsity  (active latents / k - 1)^2 (jumprelu), else 0
    """

    out: Tensor
    acts: Tensor
    indices: Tensor
    fvu: Tensor
    aux: Tensor
    multi: Tensor
    sparsity: Tensor


class SparseCoder(nn.Module):
    """An autoencoder under the names of the released files: encoder.weight, encoder.bias, W_dec, b_dec."""

    def __init__(self, config: Config, seed: int | None = 0) -> None:
        """Random weights of a seed; for None room alone, to be filled from a file. Always float32."""
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(config.d, config.latents, device="meta").to_empty(device="cpu")
        self.W_dec = nn.Parameter(torch.empty(config.latents, config.d))
        self.b_dec = nn.Parameter(torch.zeros(config.d))
        if config.skip:
            self.W_skip = nn.Parameter(torch.zeros(config.d, config.d))
        if config.variant == "jumprelu":
            self.log_threshold = nn.Parameter(torch.full((config.latents,), math.log(config.bandwidth)))
        if config.variant == "batch_topk":
            self.register_buffer("threshold", torch.full((), -1.0))
        if seed is not None:
            self._begin(seed)

    @torch.no_grad()
    def _begin(self, seed: int) -> None:
        bound = 1 / math.sqrt(self.config.d)
        self.encoder.weight.uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))
        self.encoder.bias.zero_()
        self.W_dec.copy_(self.encoder.weight)
        self.normalize()

    # ---- encoding and decoding ---------------------------------------------------------------------------------

    def pre(self, x: Tensor) -> Tensor:
        """Activations before the selection, [T, F]."""
        return torch.relu((x.float() - self.b_dec) @ self.encoder.weight.T + self.encoder.bias)

    def select(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        """Values and numbers of the latents that the variant selects of pre-activations, [T, k] each."""
        own = self.config
        if own.variant == "groupmax":
            return select.groups(pre, own.k)
        if own.variant == "batch_topk":
            return select.above(pre, self._threshold(pre))
        if own.variant == "jumprelu":
            return select.above(pre, self.log_threshold.exp() - own.bandwidth / 2 * self.training)
        return pre.topk(own.k, sorted=False)

    def _threshold(self, pre: Tensor) -> Tensor:
        """The batch's own threshold while it learns, whose running mean is taken later."""
        if not self.training:
            return self.threshold
        found = select.batch_threshold(pre, self.config.k)
        self.threshold.copy_(found if self.threshold < 0 else 0.99 * self.threshold + 0.01 * found)
        return found

    def encode(self, x: Tensor) -> Encoded:
        """Active latents of states [T, d], with gradients."""
        return self._encode(x.float(), [self.select])[0]

    def _encode(self, x: Tensor, picks: list[sparse.Pick]) -> list[Encoded]:
        together = self.config.variant in ("batch_topk", "jumprelu")
        parts = (self.b_dec, self.encoder.weight, self.encoder.bias)
        (acts, places), *more = sparse.encode(x, *parts, picks, together)
        first = Encoded(acts, places)
        if self.config.variant == "jumprelu":
            thresholds = self.log_threshold.exp()[places.index]
            kept, count = select.jump(acts, thresholds, self.config.bandwidth)
            first = Encoded(kept, places, count)
        return [first, *(Encoded(*one) for one in more)]

    def decode(self, acts: Tensor, indices: Tensor, x: Tensor | None = None) -> Tensor:
        """Reconstruction [T, d] from active latents; `x` for files with a skip connection."""
        return self._decode(Encoded(acts, Places(indices, self.config.latents)), x)

    def _decode(self, encoded: Encoded, x: Tensor | None = None) -> Tensor:
        out = sparse.decode(encoded.acts, self.W_dec, encoded.places) + self.b_dec
        return out if x is None or not self.config.skip else out + x @ self.W_skip.T

    # ---- losses ------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, dead: Tensor | None = None, official: bool = False) -> Forward:
        """Reconstruct states and measure the losses (multimodal_sae.md 2.1).

        x         [T, d] in any precision
        dead      bool [F]: latents that may learn from what is left; None for no such loss
        official  as released: variance in the precision of `x`; the residual of the aux loss has the other sign and is
                  not detached, its reconstruction has b_dec; with multi_topk what is handed back has 4 k latents.
                  Otherwise corrected [differs: multimodal_sae.md 8 B1]
        """
        states, some_dead = x.float(), dead is not None and bool(dead.any())
        picks: list[sparse.Pick] = [self.select]
        if some_dead:
            most = min(self._aux_k, int(dead.sum()))
            picks.append(lambda pre: pre.masked_fill(~dead, -torch.inf).topk(most, sorted=False))
        if self.config.multi_topk:
            picks.append(lambda pre: pre.topk(4 * self.config.k, sorted=False))
        main, *more = self._encode(states, picks)
        shown, out = main, self._decode(main, states)
        variance = (x - x.mean(0)).pow(2).sum() if official else (states - states.mean(0)).pow(2).sum()
        fvu = (out - states).pow(2).sum() / variance
        zero = out.new_zeros(())
        aux = self._aux(more.pop(0), out - states, official) / variance if some_dead else zero
        multi = self._prefixes(main, states) / variance if self.config.variant == "matryoshka" else zero
        if self.config.multi_topk:
            wide = self._decode(more[0], states)
            multi = (wide - states).pow(2).sum() / variance
            shown, out = (more[0], wide) if official else (shown, out)
        sparsity = zero if main.count is None else (main.count / self.config.k - 1) ** 2
        return Forward(out, shown.acts, shown.indices, fvu, aux, multi, sparsity)

    @property
    def _aux_k(self) -> int:
        return self.config.aux_k or self.config.d // 2

    def _aux(self, encoded: Encoded, error: Tensor, official: bool) -> Tensor:
        """How far dead latents are from what is missing; few of them weigh less."""
        scale = min(encoded.acts.shape[1] / self._aux_k, 1.0)
        if official:
            return scale * (self._decode(encoded) - error).pow(2).sum()
        return scale * (self._decode(encoded) - self.b_dec + error.detach()).pow(2).sum()

    def _prefixes(self, encoded: Encoded, states: Tensor) -> Tensor:
        """Mean squared error of the prefixes but the whole."""
        errors = [
            (self._decode(Encoded(encoded.acts * (encoded.indices < size), encoded.places)) - states).pow(2).sum()
            for size in self.config.prefixes
            if size < self.config.latents
        ]
        return torch.stack(errors).mean() if errors else states.new_zeros(())

    # ---- the decoder's rows ------------------------------------------------------------------------------------

    @torch.no_grad()
    def normalize(self) -> None:
        """Give the rows of W_dec unit length, where the configuration says so."""
        if self.config.normalize:
            self.W_dec /= self.W_dec.norm(dim=1, keepdim=True) + torch.finfo(self.W_dec.dtype).eps

    @torch.no_grad()
    def orthogonalize(self) -> None:
        """Take from the gradient of W_dec what would only change the length of its rows."""
        if self.config.normalize and self.W_dec.grad is not None:
            along = (self.W_dec.grad * self.W_dec).sum(1, keepdim=True)
            self.W_dec.grad -= along * self.W_dec


def loss(found: Forward, aux_weight: float = 0.0, sparsity_weight: float = 0.0) -> Tensor:
    """What is minimised (multimodal_sae.md 2.1)."""
    return found.fvu + aux_weight * found.aux + found.multi / 8 + sparsity_weight * found.sparsity


@torch.no_grad()
def geometric_median(points: Tensor, steps: int = 100, tolerance: float = 1e-5) -> Tensor:
    """The point [d] of least summed distance to points [T, d], by Weiszfeld's method from their mean.

    A point that is met exactly is left out of that step, where the released code divides by zero.
    """
    guess = points.mean(0)
    for _ in range(steps):
        distance = (points - guess).norm(dim=1)
        weight = torch.where(distance > 0, 1 / distance.clamp(min=torch.finfo(points.dtype).tiny), 0)
        if not weight.any():
            break
        before, guess = guess, (weight / weight.sum()) @ points
        if (guess - before).norm() < tolerance:
            break
    return guess


def untrained(coder: SparseCoder, seed: int) -> SparseCoder:
    """The control beside a trained autoencoder: the weights it began with, and the trained b_dec."""
    control = SparseCoder(coder.config, seed=seed).to(coder.b_dec.device).requires_grad_(False).eval()
    control.b_dec.copy_(coder.b_dec.detach())
    return control
