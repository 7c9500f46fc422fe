"""How good an autoencoder is: sums over any number of tokens, and what follows from them (multimodal_sae.md 6.4).

Notation: T tokens, F latents, d units; x a state, y its reconstruction, a the active latents. Sums are float64.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vlmscope.multimodal_sae.coder.sae import SparseCoder

TINY = 1e-12
# Rows whose products are there at a time.
ROWS = 2048


class Taken(NamedTuple):
    """What a coder makes of states.

    out      [T, d]
    acts     [T, k]
    indices  [T, k]
    """

    out: Tensor
    acts: Tensor
    indices: Tensor


Coder = Callable[[Tensor], Taken]


def of_sae(coder: SparseCoder) -> Coder:
    """An autoencoder as a coder."""

    def taken(x: Tensor) -> Taken:
        found = coder.encode(x)
        return Taken(coder.decode(found.acts, found.indices, x.float()), found.acts, found.indices)

    return taken


def of_components(mean: Tensor, components: Tensor, k: int, largest: bool) -> Coder:
    """Principal components [d, d], best first: the first k, or per token those with the k largest shares."""

    def taken(x: Tensor) -> Taken:
        shares = (x.float() - mean) @ components.T
        first = torch.arange(k, device=x.device).expand(len(x), k)
        index = shares.abs().topk(k).indices if largest else first
        acts = shares.gather(1, index)
        return Taken(torch.zeros_like(shares).scatter(1, index, acts) @ components + mean, acts, index)

    return taken


def components(blocks: Iterable[Tensor], most: int) -> tuple[Tensor, Tensor, int]:
    """Mean [d] and principal components [d, d] of the first states of a stream, and how many those are."""
    count, total, squares = 0, 0.0, 0.0
    for block in blocks:
        rows = block[: most - count].double()
        count, total, squares = count + len(rows), total + rows.sum(0), squares + rows.T @ rows
        if count >= most:
            break
    mean = total / count
    vectors = torch.linalg.eigh(squares / count - torch.outer(mean, mean)).eigenvectors
    return mean.float(), vectors.flip(1).T.float().contiguous(), count


class Sums:
    """Sums over tokens of one coder and scope.

    x, xx    sum of the states, of their squares by unit
    Everything else is a sum over tokens of what its name says.
    """

    def __init__(self, d: int) -> None:
        self.tokens = self.batches = 0
        self.x, self.xx = torch.zeros(d, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)
        names = ("error", "cosine", "ratio", "xy", "yy", "l0", "l1", "token_ratio", "batch_fvu")
        self.sums = dict.fromkeys(names, 0.0)

    def add(self, x: Tensor, found: Taken) -> None:
        """Add states of one picture [T, d]: the published share left is a mean over pictures."""
        if not len(x):
            return
        x, out = x.double().cpu(), found.out.double().cpu()
        around = (x - x.mean(0)).pow(2).sum(1)
        error, norm, other = (out - x).pow(2).sum(1), x.norm(dim=1), out.norm(dim=1)
        self.tokens += len(x)
        self.x += x.sum(0)
        self.xx += x.pow(2).sum(0)
        product = (x * out).sum(1)
        more = {
            "error": error,
            "cosine": product / (norm * other).clamp(min=TINY),
            "ratio": other / norm.clamp(min=TINY),
            "xy": product,
            "yy": other.pow(2),
            "l0": (found.acts != 0).sum(1),
            "l1": found.acts.abs().sum(1),
            "token_ratio": error / around.clamp(min=TINY),
        }
        for name, values in more.items():
            self.sums[name] += float(values.sum())
        if len(x) > 1:
            self.batches += 1
            self.sums["batch_fvu"] += float(error.sum() / around.sum().clamp(min=TINY))

    def metrics(self) -> dict[str, float]:
        """Metric -> value (docs/multimodal_sae.md)."""
        n, of = max(1, self.tokens), self.sums
        mean, squares = self.x / n, self.xx / n
        variance = float(squares.sum() - mean.pow(2).sum())
        error = of["error"] / n
        # The mean of the squares where the square of the mean belongs: for comparison with SAEBench 0.6 alone.
        benched = float(squares.sum() - squares.pow(2).sum())
        return {
            "ev": 1 - error / variance if variance > 0 else float("nan"),
            "fvu": error / variance if variance > 0 else float("nan"),
            "fvu_official": of["batch_fvu"] / max(1, self.batches),
            "ev_legacy": 1 - of["token_ratio"] / n,
            "ev_saebench": 1 - error / benched if benched else float("nan"),
            "mse": error,
            "cosine": of["cosine"] / n,
            "l2_ratio": of["ratio"] / n,
            "reconstruction_bias": of["yy"] / of["xy"] if of["xy"] else float("nan"),
            "l0": of["l0"] / n,
            "l1": of["l1"] / n,
        }


class Firing:
    """How often latents fire.

    fired   int64 [F]   tokens
    first   int64 [F]   tokens seen up to the first firing, -1 for none
    """

    def __init__(self, latents: int) -> None:
        self.tokens = 0
        self.fired = np.zeros(latents, np.int64)
        self.first = np.full(latents, -1, np.int64)

    def add(self, found: Taken) -> None:
        """Add the tokens of one picture, in their order."""
        token, place = (found.acts.cpu() != 0).nonzero().numpy().T
        latent = found.indices.cpu().numpy()[token, place]
        self.fired += np.bincount(latent, minlength=len(self.fired))
        new, where = np.unique(latent, return_index=True)
        new, where = new[self.first[new] < 0], where[self.first[new] < 0]
        self.first[new] = self.tokens + token[where] + 1
        self.tokens += len(found.acts)

    def metrics(self) -> dict[str, float]:
        """Metric -> value."""
        share = self.fired / max(1, self.tokens)
        alive = self.fired > 0
        return {
            "alive": float(alive.mean()),
            "dead": float(1 - alive.mean()),
            "fires_above_1pct": float((share > 0.01).mean()),
            "fires_above_10pct": float((share > 0.1).mean()),
            "first_fire_median": float(np.median(self.first[alive])) if alive.any() else float("nan"),
        }

    def histogram(self, bins: int) -> Iterator[tuple[float, float, int]]:
        """Bounds of log10 of the share of tokens, and how many of the latents that fire lie between."""
        share = np.log10(self.fired[self.fired > 0] / max(1, self.tokens))
        counts, bounds = np.histogram(share, bins, range=(-np.log10(max(10, self.tokens)), 0))
        yield from zip(bounds[:-1].tolist(), bounds[1:].tolist(), counts.tolist(), strict=True)


def geometry(coder: SparseCoder) -> dict[str, float]:
    """How directions lie to one another: means over latents."""
    encoder, decoder = coder.encoder.weight.detach(), coder.W_dec.detach()
    units = {"encoder": _unit(encoder), "decoder": _unit(decoder)}
    found = {f"{name}_max_cosine": float(_nearest(rows).mean()) for name, rows in units.items()}
    found["encoder_decoder_cosine"] = float((units["encoder"] * units["decoder"]).sum(1).mean())
    found["encoder_norm"] = float(encoder.norm(dim=1).mean())
    found["encoder_bias"] = float(coder.encoder.bias.detach().mean())
    return found | {"decoder_norm": float(decoder.norm(dim=1).mean())}


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=TINY)


def _nearest(rows: Tensor) -> Tensor:
    """Largest cosine of every row to another one [F]."""
    found = []
    for start in range(0, len(rows), ROWS):
        cosines = rows[start : start + ROWS] @ rows.T
        cosines.diagonal(offset=start).fill_(-1)
        found.append(cosines.max(1).values)
    return torch.cat(found)


class Losses:
    """Cross-entropy and divergence of next tokens with the states replaced: sums by scope and condition."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str, str], float] = {}
        self.tokens: dict[str, int] = {}

    def add(self, scope: str, condition: str, clean: Tensor, other: Tensor, target: Tensor) -> None:
        """Add log-probabilities [n, V] without and with a replacement, and the tokens that came next [n]."""
        if condition == "clean":
            self.tokens[scope] = self.tokens.get(scope, 0) + len(target)
        values = {
            "ce": -other.gather(1, target[:, None]).sum(),
            "kl": (clean.exp() * (clean - other)).sum(),
            "same": (clean.argmax(1) == other.argmax(1)).sum(),
        }
        for name, value in values.items():
            key = scope, condition, name
            self.sums[key] = self.sums.get(key, 0.0) + float(value)

    def metrics(self, scope: str, condition: str) -> dict[str, Any]:
        """Metric -> value; scores are 1 for no loss and 0 for the loss of states set to zero."""
        n = max(1, self.tokens.get(scope, 0))

        def mean(which: str, name: str) -> float:
            return self.sums.get((scope, which, name), 0.0) / n

        ce, kl, zero = mean(condition, "ce"), mean(condition, "kl"), mean("zero", "ce")
        lost, none = zero - mean("clean", "ce"), mean("zero", "kl")
        return {
            "ce": ce,
            "ce_difference": ce - mean("clean", "ce"),
            "ce_score": (zero - ce) / lost if lost else float("nan"),
            "kl": kl,
            "kl_score": (none - kl) / none if none else float("nan"),
            "same_token": mean(condition, "same"),
        }
