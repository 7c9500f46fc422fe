"""An edit found by gradient descent (mm_neurons.md 2.11; ours, with the values of the same author's text editor).

Delta in R^{K x d} starts at zero; Adam on
    max_j -log p(y_j)                                 the pieces y of the target at the places of the source word
    + alpha KL(original || edited)                    mean over the steps that shall stay as they are
    + beta max_j -log(1 - p(y_j at the next step))    the target is not said twice
    + gamma |Delta|
and stops as soon as p(y) reaches `stop` at every place. The first and third term are means over places. Steps that
stay are those before a place, and all steps of captions without the source word [differs: mm_neurons.md 2.11].
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlmscope.mm_neurons.runs import columns, passes
from vlmscope.mm_neurons.runs.columns import Added
from vlmscope.mm_neurons.runs.passes import Prompt
from vlmscope.mm_neurons.runs.readings import Neurons
from vlmscope.models.load import Loaded

log = logging.getLogger(__name__)
# Largest probability of which the logarithm of its rest is taken.
CERTAIN = 1 - 1e-6


@dataclass(frozen=True)
class Row:
    """A caption as the optimiser reads it.

    tokens   up to and with the target word; a whole caption where there is none
    target   pieces at the end of `tokens` that shall be written; empty where all shall stay
    stays    steps whose distribution shall stay
    """

    prompt: Prompt
    tokens: tuple[int, ...]
    target: tuple[int, ...]
    stays: tuple[int, ...]


def optimise(
    loaded: Loaded, rows: Sequence[Row], places: Neurons, settings: Mapping[str, Any], batch: int
) -> tuple[Added, dict[str, float]]:
    """Rows to be added, and how the search ended: steps, the least probability of the target, the loss.

    places     layers and units of the neurons
    settings   steps, rate, stop, alpha, beta, gamma
    batch      rows that are differentiated at once
    """
    parts = [[rows[row] for row in some] for some in passes.batches([row.prompt for row in rows], batch)]
    # Not in inference mode: what is made there cannot meet gradients.
    with torch.no_grad():
        before = [passes.logits(loaded, *_read(part)).float().log_softmax(-1) for part in parts]
    width = loaded.family.site("mlp_out").width(loaded.config)
    delta = torch.zeros(len(places[0]), width, device=loaded.device, requires_grad=True)
    descent = torch.optim.Adam([delta], lr=settings["rate"])
    told: dict[str, float] = {}
    for step in range(settings["steps"] + 1):
        descent.zero_grad()
        with columns.learned(loaded, *places, delta):
            told = _descend(loaded, parts, before, settings)
        told = {"steps": step, **told}
        if told["least"] >= settings["stop"] or step == settings["steps"]:
            break
        if step:
            # At zero the norm has no gradient.
            (settings["gamma"] * delta.norm()).backward()
        descent.step()
    log.info("after %(steps)d steps: least probability of the target %(least).3f, loss %(loss).3f", told)
    return Added(*places, delta.detach().cpu().numpy()), told


def _read(part: Sequence[Row]) -> tuple[list[Prompt], list[tuple[int, ...]]]:
    return [row.prompt for row in part], [row.tokens for row in part]


def _descend(
    loaded: Loaded, parts: Sequence[Sequence[Row]], before: Sequence[Tensor], settings: Mapping[str, Any]
) -> dict[str, float]:
    """Gradients of all terms but the last, part by part."""
    aimed = sum(bool(row.target) for part in parts for row in part)
    stays = sum(len(row.stays) for part in parts for row in part)
    loss, least = 0.0, 1.0
    for part, old in zip(parts, before, strict=True):
        new = passes.logits(loaded, *_read(part)).float().log_softmax(-1)
        terms, lowest = _terms(part, old.to(new.device), new, settings, max(1, aimed), max(1, stays))
        total = sum(terms)
        total.backward()
        loss, least = loss + float(total.detach()), min(least, lowest)
    return {"loss": loss, "least": least}


def _terms(
    part: Sequence[Row], old: Tensor, new: Tensor, settings: Mapping[str, Any], aimed: int, stays: int
) -> tuple[list[Tensor], float]:
    terms, least = [new.sum() * 0], 1.0
    for place, row in enumerate(part):
        for one in _said(row, new[place]):
            least = min(least, float(one[0].detach().exp().min()))
            again = one[1].exp().clamp(max=CERTAIN)
            terms += [(-one[0]).max() / aimed, settings["beta"] * (-torch.log1p(-again)).max() / aimed]
        if row.stays:
            steps = list(row.stays)
            apart = (old[place, steps].exp() * (old[place, steps] - new[place, steps])).sum()
            terms.append(settings["alpha"] * apart / stays)
    return terms, least


def _said(row: Row, new: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Log-probabilities of the target's pieces where they shall stand, and again at the step behind them."""
    if row.target:
        pieces, end = torch.tensor(row.target, device=new.device), len(row.tokens)
        steps = torch.arange(end - len(pieces), end, device=new.device)
        yield new[steps, pieces], new[end, pieces]
