"""Exact parts of a noun's logit: embedding, attention heads, neurons, biases (mm_neurons.md 9, wish c).

The stream before the final norm is the embedding plus what attention and MLP of every layer add to it, and the norm
multiplies it by a gain and by one number, 1/rms. So at the position that writes token t, with r = u_t gain / rms,
    logit = r . embedding + sum_l,h r . O_l,h m_l,h + sum_l,i z_l,i r . w_l,i + biases
with m the values that head h has mixed, O_l,h its columns of the output projection, w_l,i the output weights of unit i.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.rank import scores
from vlmscope.mm_neurons.rank.gradient import Place, Traced
from vlmscope.mm_neurons.schemas import ATTRIBUTION
from vlmscope.models import parts, written
from vlmscope.models.base import Site
from vlmscope.models.load import Loaded

log = logging.getLogger(__name__)

# What rounding may leave of a logit, as a share of the largest part; 16-bit streams are rounded after every block.
CLOSE, CLOSE_16_BIT = 1e-4, 5e-2


@dataclass(frozen=True)
class Parts:
    """What the logits of some places are made of.

    neurons     [place, layer, unit]
    heads       [place, layer, head]
    embedding   [place]
    bias        [place]
    logit       [place]   as the model gives it
    """

    neurons: Tensor
    heads: Tensor
    embedding: Tensor
    bias: Tensor
    logit: Tensor

    def total(self) -> Tensor:
        """Sum of all parts, [place]."""
        return self.neurons.sum((1, 2)) + self.heads.sum((1, 2)) + self.embedding + self.bias


def is_exact(loaded: Loaded) -> bool:
    """Whether attention and MLP go straight into the stream: in some families a norm stands between, and logits have
    no exact parts."""
    family = loaded.family
    attention = taps.module_at(loaded.model, family.site("attn_out").path)
    return family.site("mlp_out").path == family.site("mlp_hidden").columns and isinstance(attention, nn.Linear)


def sites(loaded: Loaded) -> dict[str, Site]:
    """What has to be read of a model whose logits have exact parts."""
    family = loaded.family
    stream = family.site("resid_post")
    last = stream.path.replace("{l}", str(stream.layers(loaded.config) - 1))
    return {
        "hidden": family.site("mlp_hidden"),
        "mixed": replace(family.site("attn_out"), side="input"),
        "embedding": family.site("embeds"),
        "stream": replace(stream, path=last, layers=parts.one),
        "normed": family.site("final_norm"),
    }


@torch.no_grad()
def of(loaded: Loaded, wanted: Sequence[Place], traced: Traced) -> Parts:
    """Parts of the logits of some places, float64 on the host; products are made in single precision.

    traced   a pass in which `sites` were read
    """
    family, seen = loaded.family, traced.seen
    norm, head = (taps.module_at(loaded.model, path) for path in (family.norm, family.head))
    tokens = [place.token for place in wanted]
    gain = written.gain(norm.weight, family).cpu()
    scale = _scale(seen["stream"][:, 0].float(), seen["normed"][:, 0].float(), gain, traced.logits.dtype)
    rows = head.weight[tokens].float().cpu() * gain * scale[:, None]
    bias = torch.zeros(len(wanted)) if head.bias is None else head.bias[tokens].float().cpu()
    found: dict[str, list[Tensor]] = {"hidden": [], "mixed": []}
    for layer in range(seen["hidden"].shape[1]):
        for name, site in (("hidden", "mlp_out"), ("mixed", "attn_out")):
            module = taps.module_at(loaded.model, family.site(site).path, layer)
            shares, more = _through(rows, module)
            found[name].append((shares * seen[name][:, layer].float()).double())
            bias = bias + more
    neurons, mixed = (torch.stack(one, 1) for one in found.values())
    heads = mixed.unflatten(2, (parts.text_heads(loaded.config), -1)).sum(3)
    embedding = (rows * seen["embedding"][:, 0].float()).double().sum(1)
    made = Parts(neurons, heads, embedding, bias.double(), traced.logits.detach().double().cpu())
    _check(made, traced.logits.dtype)
    return made


def _through(rows: Tensor, module: nn.Module) -> tuple[Tensor, Tensor | float]:
    """What each input of a linear module gives to the rows, [place, input], and what its bias does."""
    there = rows.to(module.weight.device)
    bias = 0.0 if module.bias is None else (there @ module.bias.float()).cpu()
    return (there @ module.weight.float()).cpu(), bias


def _scale(stream: Tensor, normed: Tensor, gain: Tensor, kind: torch.dtype) -> Tensor:
    """The factor 1/rms of every place, from what the norm made of its input."""
    weighted = stream * gain
    scale = (normed * weighted).sum(1) / (weighted * weighted).sum(1)
    apart = (normed - weighted * scale[:, None]).abs().max()
    if apart > _allowed(kind) * normed.abs().max():
        raise VlmscopeError(
            "The final norm is not a gain times one number: it moves the mean, or has a bias.",
            where="attribution",
            instead="contribution scores, which need no norm",
        )
    return scale


def _allowed(kind: torch.dtype) -> float:
    return CLOSE if kind in (torch.float32, torch.float64) else CLOSE_16_BIT


def _check(found: Parts, kind: torch.dtype) -> None:
    """Refuse parts that do not add up to the logit."""
    apart = (found.total() - found.logit).abs().max()
    largest = torch.stack([found.neurons.abs().sum((1, 2)), found.heads.abs().sum((1, 2)), found.logit.abs()]).max()
    log.info("parts of %d logits: %.2g apart, of %.2g", len(found.logit), apart, largest)
    if apart > _allowed(kind) * largest:
        raise VlmscopeError(
            f"The parts of a logit miss it by {float(apart):.3g}: the model does something to the stream that is not "
            "known here.",
            where="attribution",
        )


def table(names: Sequence[tuple[str, str]], found: Parts, listed: int) -> pl.DataFrame:
    """Rows of `schemas.ATTRIBUTION`; the scores of a noun add up to its logit.

    names    sample and noun of every place
    listed   neurons and heads that have rows of their own, so many of each; the others are added up
    """
    rows = [row for place, name in enumerate(names) for row in _rows(name, found, place, listed)]
    return pl.DataFrame(rows, ATTRIBUTION, orient="row")


def _rows(name: tuple[str, str], found: Parts, place: int, listed: int) -> Iterator[tuple[Any, ...]]:
    logit = float(found.logit[place])
    sums = {"embedding": float(found.embedding[place]), "bias": float(found.bias[place])}
    kinds = {"neuron": found.neurons[place], "head": found.heads[place]}
    every = torch.cat([one.flatten() for one in kinds.values()])
    # One ranking of neurons and heads.
    rank = torch.empty(len(every), dtype=torch.int64)
    rank[scores.best(every, len(every))[1]] = torch.arange(len(every))
    start = 0
    for kind, one in kinds.items():
        places = scores.best(one.flatten(), listed)[1]
        for spot, value in zip(places.tolist(), one.flatten()[places].tolist(), strict=True):
            yield *name, kind, spot // one.shape[1], spot % one.shape[1], int(rank[start + spot]), value, logit
        sums[f"other {kind}s"] = float(one.sum() - one.flatten()[places].sum())
        start += one.numel()
    sums["rounding"] = logit - float(found.total()[place])
    for kind, value in sums.items():
        yield *name, kind, None, None, None, value, logit
