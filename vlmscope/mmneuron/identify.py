"""Domain-specific neurons by domain activation probability entropy, DAPE (arXiv 2406.11193; mmneuron.md 2.3).

Notation: L layers, I units, D domains, N = L I D.
    p [L, I, D]   firing probability, positions with activation > 0 over positions counted
    H [L, I]      entropy of p / sum_d p, in nats, 0 .. ln D
    t, b          order statistics of all N values of p
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import modules, schemas
from vlmscope.store.files import digest_text
from vlmscope.store.shards import DomainCounts, read_counts


@dataclass(frozen=True)
class Selection:
    """Neurons of one module.

    members     bool [domain, layer, unit]   the neuron belongs to the domain
    probability float [layer, unit, domain]
    entropy     float [layer, unit]          +inf where no domain exceeds the threshold
    selected    flat indices layer * I + unit of the K neurons of lowest entropy, lowest first
    threshold, bar   t and b
    """

    members: np.ndarray
    probability: np.ndarray
    entropy: np.ndarray
    selected: np.ndarray
    threshold: float
    bar: float


def select(
    fired: np.ndarray,
    seen: np.ndarray,
    *,
    top_rate: float = 0.01,
    filter_rate: float = 0.95,
    bar_rate: float = 0.95,
    assign: str = "bar",
    compat_float32: bool = False,
) -> Selection:
    """Select neurons that fire in few domains and assign them to domains.

    fired   int64 [domain, layer, unit]
    seen    int64 [domain]

    assign "bar" is the published rule (every domain with p > b). "highest" keeps of those only the domain with the
    highest p: at tiny scale neurons often pass the bar in several domains, and only the strongest one is hurt when
    they are zeroed (tiny_world.md 6.1). Float64 unless `compat_float32`; ties go to the lower flat index, always five
    lists [differs: mmneuron.md 8 #6, #7].
    """
    probability = _probability(fired, seen, np.float32 if compat_float32 else np.float64)
    threshold, bar = order_statistic(probability, filter_rate), order_statistic(probability, bar_rate)
    entropy = _entropy(probability)
    entropy[~(probability > threshold).any(axis=2)] = np.inf
    # Of the whole module, not of the neurons that passed; so few may pass that infinite ones fill the quota.
    count = round(entropy.size * top_rate)
    selected = np.argsort(entropy.ravel(), kind="stable")[:count]
    members = _assigned(probability, selected, bar, assign)
    return Selection(members, probability, entropy, selected, float(threshold), float(bar))


def _probability(fired: np.ndarray, seen: np.ndarray, kind: type) -> np.ndarray:
    """p = c / n, [layer, unit, domain]."""
    if (seen <= 0).any():
        raise VlmscopeError(
            f"A domain has no counted positions (positions per domain: {seen.tolist()}).",
            where="the capture behind mmneuron",
            instead="check that every dataset has samples in the split that is captured",
        )
    return np.moveaxis(fired, 0, 2).astype(kind) / seen.astype(kind)


def _entropy(probability: np.ndarray) -> np.ndarray:
    """H = - sum_d q ln q with q = p / sum p; 0 ln 0 = 0, and a neuron that never fires has q = 0."""
    total = probability.sum(axis=2, keepdims=True)
    share = np.divide(probability, total, out=np.zeros_like(probability), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return -(share * logs).sum(axis=2)


def order_statistic(values: np.ndarray, rate: float) -> float:
    """The round(N rate)-th smallest value, counted from 1, Python rounding; not an interpolated quantile."""
    # Rates of 0 and 1 mean the smallest and the largest value.
    place = min(max(round(values.size * rate), 1), values.size)
    return np.partition(values.ravel(), place - 1)[place - 1]


def _assigned(probability: np.ndarray, selected: np.ndarray, bar: float, assign: str) -> np.ndarray:
    """members[d, l, k]: selected and p > b, and for "highest" also the domain of largest p (ties: first domain)."""
    layers, units, domains = probability.shape
    chosen = np.zeros(layers * units, dtype=bool)
    chosen[selected] = True
    members = chosen.reshape(layers, units)[:, :, None] & (probability > bar)
    if assign == "highest":
        # argmax takes the first of equal values, so a tie goes to the domain that stands first.
        members &= np.arange(domains) == probability.argmax(axis=2)[:, :, None]
    return np.moveaxis(members, 2, 0)


def neuron_table(counts: DomainCounts, selection: Selection, module: str) -> pl.DataFrame:
    """Rows by domain, layer, unit; all domains' probabilities stand beside each neuron."""
    domain, layer, unit = np.nonzero(selection.members)
    columns = {
        "module": [module] * len(domain),
        "layer": layer.astype(np.int32),
        "index": unit.astype(np.int32),
        "domain": [counts.domains[d] for d in domain],
    }
    p = selection.probability[layer, unit].astype(np.float64)
    columns |= {f"p_{name}": p[:, d] for d, name in enumerate(counts.domains)}
    return pl.DataFrame(columns | {"entropy": selection.entropy[layer, unit]}, schema=schemas.neurons(counts.domains))


def summary(counts: DomainCounts, selection: Selection, module: str) -> dict[str, Any]:
    """What table 1 and the metadata need: sizes, thresholds, sharing, and how many members can have an effect."""
    per_domain = selection.members.sum(axis=(1, 2))
    sharing = selection.members.sum(axis=0)
    layers = [layer for layer in range(selection.members.shape[1]) if layer not in counts.inert]
    return {
        "module": module,
        "shape": list(selection.entropy.shape),
        "n_neurons": int(selection.entropy.size),
        "n_selected": len(selection.selected),
        "threshold": selection.threshold,
        "bar": selection.bar,
        "members": dict(zip(counts.domains, per_domain.tolist(), strict=True)),
        "effective": dict(zip(counts.domains, selection.members[:, layers].sum(axis=(1, 2)).tolist(), strict=True)),
        "union": int((sharing > 0).sum()),
        "shared_ge2": int((sharing > 1).sum()),
        "positions": dict(zip(counts.domains, counts.seen.tolist(), strict=True)),
        "samples": dict(zip(counts.domains, counts.samples, strict=True)),
        "set": digest_text(repr([array.tolist() for array in np.nonzero(selection.members)])),
    }


def from_captures(
    counts: Sequence[str], *, domains: Sequence[str], family: str, identify: Mapping[str, Any]
) -> tuple[pl.DataFrame, dict[str, dict[str, Any]]]:
    """Neuron table of all modules and, per module, what identification reports.

    counts      index files in the order of the domains
    identify    settings of the selection
    """
    parts, summaries = [], {}
    for module in modules.sites(family):
        found = read_counts(dict(zip(domains, counts, strict=True)), modules.take_name(family, module))
        selection = select(found.fired, found.seen, **identify)
        parts.append(neuron_table(found, selection, module))
        summaries[module] = summary(found, selection, module)
    return pl.concat(parts), summaries
