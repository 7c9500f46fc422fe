"""Are latents the domain neurons of the same model? What neurons write beside decoder rows, and what fires together.

A neuron adds its activation times a column of the down projection to the stream; the activation may be negative, so a
column and its opposite count alike. Only neurons of layers that write up to the site are compared. Beside domain
neurons stand as many others of the same layers. Chance: random directions with the covariance of all columns;
activations whose pictures were moved on, each neuron's by a number of its own.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.beyond import cosines
from vlmscope.multimodal_sae.beyond.patch_files import Patches, Units
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.stats import Draws, interval

ALL = "all"
# value: mean over a domain's neurons of the largest cosine or correlation (either sign) with any latent; others: the
# same of the other neurons; chance: see above.
NEURONS = {
    "domain": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "others": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
    "chance": pl.Float64,
    "chance_low": pl.Float64,
    "chance_high": pl.Float64,
    "neurons": pl.Int64,
    "latents": pl.Int64,
}
NEURON = {
    "domain": pl.String,
    "layer": pl.Int64,
    "unit": pl.Int64,
    "latent": pl.Int64,
    "cosine": pl.Float64,
    "fires_with": pl.Int64,
    "correlation": pl.Float64,
}


class Best(NamedTuple):
    """Every neuron's nearest latent.

    value    float [neuron]   size of the cosine or correlation
    latent   int64 [neuron]
    """

    value: np.ndarray
    latent: np.ndarray


def correlated(active: Active, values: np.ndarray, least: int) -> Best:
    """Largest correlation of neurons with latents over patches, of either sign; 0 where a neuron never changes.

    values   float32 [n, neuron]
    least    patches in which a latent has to fire
    """
    matrix, kept = active.matrix, np.flatnonzero(active.fired >= least)
    if not len(kept) or not values.shape[1]:
        return Best(np.zeros(values.shape[1]), np.full(values.shape[1], -1, np.int64))
    own = matrix[:, kept]
    mean = np.asarray(own.sum(0), np.float64) / len(values)
    spread = np.sqrt(np.maximum(np.asarray(own.power(2).sum(0), np.float64) / len(values) - mean**2, cosines.TINY))
    centered = values - values.mean(0, dtype=np.float64)
    scale = np.sqrt((centered**2).mean(0))
    # The mean of a neuron is gone, so that of a latent adds nothing.
    products = (own.T @ centered) / len(values) / spread[:, None]
    found = np.abs(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0))
    return Best(found.max(0), kept[found.argmax(0)])


def moved(values: np.ndarray, base: int, generator: np.random.Generator) -> np.ndarray:
    """Activations with the pictures of every neuron moved on by a number of its own, [n, neuron]."""
    pictures = values.reshape(-1, base, values.shape[1])
    steps = generator.integers(1, max(2, len(pictures)), values.shape[1])
    order = (np.arange(len(pictures))[:, None] - steps) % len(pictures)
    return np.take_along_axis(pictures, order[:, None, :], 0).reshape(values.shape)


def tables(rows: np.ndarray, held: Patches, least: int, draws: Draws, directions: int) -> tuple[Any, Any]:
    """Tables `NEURONS` and `NEURON`; without rows where no neurons were looked at.

    rows         decoder rows of length 1, [F, d]
    directions   random directions behind chance
    """
    if held.units is None:
        return pl.DataFrame(schema=NEURONS), pl.DataFrame(schema=NEURON)
    units, active, generator = held.units, held.coders["trained"], np.random.default_rng(draws.seed)
    columns = cosines.unit(units.columns)
    near = Best(*cosines.nearest(columns, rows, absolute=True))
    fires = correlated(active, units.values, least)
    random = cosines.nearest(cosines.alike(units.columns, directions, generator), rows, absolute=True)[0]
    shifted = correlated(active, moved(units.values, held.base, generator), least).value
    compared = int(np.count_nonzero(active.fired >= least))
    found = _rows(units, "cosine", near.value, random, len(rows), draws)
    found += _rows(units, "correlation", fires.value, shifted, compared, draws)
    told = {"domain": units.domain, "layer": units.layer, "unit": units.unit, "latent": near.latent}
    told |= {"cosine": near.value.astype(np.float64), "fires_with": fires.latent, "correlation": fires.value}
    return pl.DataFrame(found, schema=NEURONS), pl.DataFrame(told, schema=NEURON)


def _rows(
    units: Units, metric: str, value: np.ndarray, chance: np.ndarray, latents: int, draws: Draws
) -> list[dict[str, Any]]:
    """One row per domain and one for all, domain neurons beside the others and beside chance."""
    domain, found = np.array(units.domain), []
    others = value[domain == ""]
    told = dict(zip(("chance", "chance_low", "chance_high"), draws.mean(chance), strict=True))
    for name in [ALL, *dict.fromkeys(one for one in units.domain if one)]:
        own = value[domain != "" if name == ALL else domain == name]
        row = {"domain": name, "metric": metric, **dict(zip(("value", "low", "high"), draws.mean(own), strict=True))}
        row |= {"others": float(others.mean()) if len(others) else math.nan, **_more(own, others, draws)}
        found.append({**row, **told, "neurons": len(own), "latents": latents})
    return found


def _more(own: np.ndarray, others: np.ndarray, draws: Draws) -> dict[str, float]:
    """Difference of two means, with an interval that draws both."""
    if not len(own) or not len(others):
        return {"more": math.nan, "more_low": math.nan, "more_high": math.nan}
    generator = np.random.default_rng(draws.seed)
    drawn = [
        one[generator.integers(0, len(one), (draws.resamples, len(one)))].mean(1).astype(np.float64)
        for one in (own, others)
    ]
    low, high = interval(drawn[0] - drawn[1])
    return {"more": float(own.mean()) - float(others.mean()), "more_low": low, "more_high": high}
