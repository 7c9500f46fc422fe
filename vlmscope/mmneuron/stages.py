"""Stages of the language model: three segments of its layers, from neurons and lens together (mmneuron.md 2.9).

The paper claims three stages; how it finds them was not seen. Ours is an operational definition:
    curves [C, L]   per layer: domain-specific neurons, mean lens entropy by kind of position, share of image positions
                    whose first token is a whole word; each standardised over layers
    fit             three segments of constant curves by exact least squares over all pairs of change points
    intervals       bootstrap over samples of the lens curves; the neurons are a fixed set
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.mmneuron import curves, distribution, schemas
from vlmscope.store import tables

CURVE = {"scope": pl.String, "curve": pl.String, "layer": pl.Int32, "value": pl.Float64}
STAGES = {
    "scope": pl.String,
    "change_point": pl.Int32,
    "layer": pl.Int64,
    "ci_low": pl.Int64,
    "ci_high": pl.Int64,
    "agreement": pl.Float64,
    "explained": pl.Float64,
    "layers": pl.Int64,
    "segment": pl.Int64,
    "cuts": pl.Int64,
    "meaningful": pl.Boolean,
}
# The paper claims three stages; what they are and where they end was not seen (mmneuron.md 2.9).
SEGMENTS = 3


@dataclass(frozen=True)
class Cut:
    """Where the second and the third segment begin.

    points      the two layers, None where the curves are flat or the layers too few
    explained   1 - squares within the segments / squares over all layers
    segment     fewest layers of a segment that were asked for
    cuts        ways there are to cut; one way means that nothing was fitted
    """

    points: tuple[int, int] | None
    explained: float | None
    segment: int
    cuts: int


def standardised(values: np.ndarray) -> np.ndarray:
    """Curves [C, L] with mean 0 and spread 1 over layers; a flat curve becomes 0 and says nothing."""
    centered = values - values.mean(axis=1, keepdims=True)
    spread = centered.std(axis=1, keepdims=True)
    # Rounding alone must not make a flat curve look steep.
    flat = spread <= 1e-9 * np.maximum(1.0, np.abs(values).max(axis=1, keepdims=True))
    return np.divide(centered, spread, out=np.zeros_like(centered), where=~flat)


def cut(values: np.ndarray, segment: int) -> Cut:
    """The best two change points of curves [C, L] by exhaustive least squares; ties go to the lower layers.

    segment   fewest layers of a segment; shrinks where the model has too few layers for three of them
    """
    layers = values.shape[1]
    least = min(segment, layers // SEGMENTS)
    if not least:
        return Cut(None, None, 0, 0)
    first, second = _pairs(layers, least)
    x = standardised(values)
    # Squares within a segment from running sums: sum x^2 - (sum x)^2 / length.
    total = np.concatenate([np.zeros((len(x), 1)), x.cumsum(axis=1)], axis=1)
    between = sum(
        ((total[:, end] - total[:, start]) ** 2).sum(axis=0) / (end - start)
        for start, end in ((np.zeros_like(first), first), (first, second), (second, np.full_like(second, layers)))
    )
    whole = (x**2).sum()
    if not whole:
        return Cut(None, None, least, len(first))
    # Cuts that are equally good may differ in the last places; the first one is meant.
    best = int(np.argmax(np.round(between / whole, 12)))
    return Cut((int(first[best]), int(second[best])), float(between[best] / whole), least, len(first))


def _pairs(layers: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of change points that leave every segment at least `least` layers, in ascending order."""
    pairs = [
        (first, second)
        for first in range(least, layers - 2 * least + 1)
        for second in range(first + least, layers - least + 1)
    ]
    return tuple(np.array(pairs).T)


def stages(
    neurons: Mapping[str, np.ndarray],
    parts: Mapping[str, curves.Sums],
    *,
    segment: int,
    meaningful: int,
    resamples: int,
    seed: int,
) -> pl.DataFrame:
    """Change points with 95 % bootstrap intervals, for all domains together ("all") and each by itself.

    agreement    share of the resamples with exactly this change point; it and the interval are empty where there is
                 but one way to cut
    meaningful   the model has enough layers for three segments to be a finding
    """
    scopes = {"all": list(parts), **{domain: [domain] for domain in parts}}
    rows = []
    for scope, members in scopes.items():
        own, sampled = ({domain: each[domain] for domain in members} for each in (neurons, parts))
        found = cut(_stacked(curves.named(own, sampled)), segment)
        drawn = _resampled(own, sampled, segment, resamples, seed) if found.cuts > 1 else np.zeros((0, 2), int)
        layers = len(next(iter(own.values())))
        ends = {"layers": layers, "segment": found.segment, "cuts": found.cuts, "meaningful": layers >= meaningful}
        rows += [
            {"scope": scope, "change_point": number + 1, **_interval(found, drawn, number), **ends}
            for number in range(SEGMENTS - 1)
        ]
    return pl.DataFrame(rows, schema=STAGES)


def _stacked(named: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(named.values()))


def _resampled(
    neurons: Mapping[str, np.ndarray], parts: Mapping[str, curves.Sums], segment: int, resamples: int, seed: int
) -> np.ndarray:
    """Change points of resamples, int [resample, 2]; samples are drawn within each domain."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        draw = {domain: generator.integers(0, len(part.n), len(part.n)) for domain, part in parts.items()}
        found.append(cut(_stacked(curves.named(neurons, parts, draw)), segment).points)
    return np.array([points for points in found if points], dtype=int).reshape(-1, 2)


def _interval(found: Cut, drawn: np.ndarray, number: int) -> dict[str, Any]:
    if found.points is None:
        return dict.fromkeys(("layer", "ci_low", "ci_high", "agreement", "explained"))
    point, explained = found.points[number], round(found.explained, 6)
    if found.cuts == 1:
        # The only way there is: an interval would pretend to certainty.
        return {"layer": point, "ci_low": None, "ci_high": None, "agreement": None, "explained": explained}
    seen = drawn[:, number]
    # Layers are whole numbers, so the quantiles are layers that occurred.
    low, high = np.quantile(seen, [0.025, 0.975], method="inverted_cdf")
    return {
        "layer": point,
        "ci_low": int(low),
        "ci_high": int(high),
        "agreement": float((seen == point).mean()),
        "explained": explained,
    }


def curve_table(neurons: Mapping[str, np.ndarray], parts: Mapping[str, curves.Sums]) -> pl.DataFrame:
    """The curves behind the change points, before standardising."""
    scopes = {"all": list(parts), **{domain: [domain] for domain in parts}}
    rows = [
        (scope, name, layer, float(value))
        for scope, members in scopes.items()
        for name, curve in curves.named(
            {one: neurons[one] for one in members}, {one: parts[one] for one in members}
        ).items()
        for layer, value in enumerate(curve)
    ]
    return pl.DataFrame(rows, schema=CURVE, orient="row")


# ---- files -------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """Tables `curves.ENTROPY`, `CURVE` and `STAGES` of a model."""

    entropy: pl.DataFrame
    curves: pl.DataFrame
    stages: pl.DataFrame


def from_files(
    lens: Sequence[str], neurons: str, summary: str, domains: Sequence[str], settings: Mapping[str, Any]
) -> tuple[Found, dict[str, Any]]:
    """All tables, and what their reader must know.

    lens      curves of the domains, in their order
    settings  segment, meaningful, resamples, seed
    """
    frames = {domain: tables.read(path, schemas.CURVES) for domain, path in zip(domains, lens, strict=True)}
    shape = distribution.shapes_of(summary)["lang"]
    own = tables.read(neurons, schemas.neurons(domains)).filter(pl.col("module") == "lang")
    table = distribution.by_layer(own, {"lang": shape}, domains)
    counts = {domain: table.filter(pl.col("domain") == domain)["count"].to_numpy() for domain in domains}
    parts = {domain: curves.sums(frame, shape[0]) for domain, frame in frames.items()}
    found = stages(counts, parts, **settings)
    return Found(curves.entropy_table(frames), curve_table(counts, parts), found), _meta(found, parts, settings)


def _meta(found: pl.DataFrame, parts: Mapping[str, curves.Sums], settings: Mapping[str, Any]) -> dict[str, Any]:
    layers, cuts = found["layers"][0], found["cuts"][0]
    return {
        "definition": "ours (mmneuron.md 2.9), not the paper's: three segments of constant standardised curves by "
        "exact least squares; `layer` is the first layer of the next segment, counted from 0",
        "settings": dict(settings),
        "layers": layers,
        "samples": {domain: len(part.n) for domain, part in parts.items()},
        "verdict": verdict(layers, cuts, settings["meaningful"]),
        "notes": [
            "intervals resample the samples of the lens; the neuron sets are fixed, so they do not vary",
            "whole word: the token begins with a blank and has letters alone",
        ],
    }


def verdict(layers: int, cuts: int, meaningful: int) -> str:
    """One sentence on whether three stages of so many layers can mean anything."""
    if not cuts:
        return f"Not meaningful: {layers} layers cannot be cut into {SEGMENTS} segments."
    if layers < meaningful:
        ways = "only one way" if cuts == 1 else f"{cuts} ways"
        return f"Not meaningful: {layers} layers, {ways} to cut them; at least {meaningful} layers are needed."
    return f"{layers} layers, {cuts} ways to cut them into {SEGMENTS} segments."
