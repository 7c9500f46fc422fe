"""Tables 1 and 2 of the paper (multimodal_sae.md 6.2, 7): means over latents per class of what they stand for.

Published numbers are those of the paper's autoencoder of LLaVA-NeXT-LLaMA3-8B, explained by LLaVA-OneVision-72B.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae import schemas
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.score import judged
from vlmscope.multimodal_sae.score.fit import Scored
from vlmscope.stats import Draws

TOTAL = "total"
ROWS = (*explain_prompts.CONCEPTS, explain_prompts.OTHER, TOTAL)
METRICS = ("iou", "iou_undilated", "iou_reference", "clip", *judged.FOUND)
SOURCES = {1: "arXiv 2411.14982v2, Table 1", 2: "arXiv 2411.14982v2, Table 2"}
# Class -> value, random mean and half-width of its 99 % interval. The order of the four middle rows is that of a
# running text: a reading, no certainty.
PUBLISHED = {
    "iou": {
        "scene": (0.20, 0.007, 1e-3),
        "object": (0.19, 0.005, 5e-4),
        "part": (0.21, 0.007, 2e-3),
        "material": (0.39, 0.01, 8e-3),
        "texture": (0.21, 0.007, 2e-3),
        "color": (0.10, 0.005, 2e-3),
        TOTAL: (0.20, 0.005, 2e-4),
    },
    "clip": {
        "scene": (24.4, 18.1, 6e-2),
        "object": (24.0, 18.2, 2e-2),
        "part": (23.5, 18.1, 5e-2),
        "material": (24.1, 18.1, 1e-1),
        "texture": (20.9, 18.4, 6e-2),
        "color": (20.3, 19.6, 7e-2),
        TOTAL: (23.6, 18.2, 1e-2),
    },
}
JUDGED = {
    "GPT-4o": {"scene": 0.93, "object": 0.84, "part": 0.90, "material": 1.00, "texture": 0.85, "color": 0.92},
    "human": {"scene": 0.70, "object": 0.85, "part": 0.60, "material": 0.95, "texture": 0.80, "color": 0.60},
}
JUDGED_TOTAL = {"GPT-4o": 0.89, "human": 0.75}

TABLE1 = {
    "coder": pl.String,
    "explainer": pl.String,
    "concept": pl.String,
    **schemas.MEASURED,
    "published": pl.Float64,
    "published_random": pl.Float64,
    "published_random_ci99": pl.Float64,
    "source": pl.String,
}
TABLE2 = {
    "coder": pl.String,
    "explainer": pl.String,
    "judge": pl.String,
    **dict.fromkeys(ROWS, pl.Float64),
    "n": pl.Int64,
    "n_unclear": pl.Int64,
    "source": pl.String,
}


def table1(scored: Sequence[Scored], draws: Draws) -> pl.DataFrame:
    """Table `TABLE1`: a row per autoencoder, explainer, class and measure; published numbers beside the trained one."""
    found = [
        {**about, "concept": concept, "metric": metric, **_mean(kept, refused, metric, draws)}
        for about, some in groups(scored)
        for concept in ROWS
        for kept, refused in [_of(some, concept)]
        for metric in METRICS
    ]
    for row in found:
        known = PUBLISHED.get(row["metric"], {}).get(row["concept"])
        if known and row["coder"] == "trained":
            names = ("published", "published_random", "published_random_ci99")
            row |= dict(zip(names, known, strict=True)) | {"source": SOURCES[1]}
    return pl.DataFrame(found, schema=TABLE1)


def groups(scored: Sequence[Scored]) -> list[tuple[dict[str, str], list[Scored]]]:
    """Scores by autoencoder and explainer, in their order."""
    found: dict[tuple[str, str], list[Scored]] = {}
    for one in scored:
        found.setdefault((one.row["coder"], one.row["explainer"]), []).append(one)
    return [({"coder": coder, "explainer": name}, some) for (coder, name), some in found.items()]


def _of(scored: Sequence[Scored], concept: str) -> tuple[list[Scored], int]:
    """Scores of a class without refusals, and how many refusals there are; refusals have no class."""
    kept = [one for one in scored if not explain_prompts.refused(one.row["refined"])]
    refused = len(scored) - len(kept) if concept == TOTAL else 0
    return [one for one in kept if concept in (TOTAL, one.row["concept"])], refused


def _mean(kept: Sequence[Scored], refused: int, metric: str, draws: Draws) -> dict[str, Any]:
    value, low, high = draws.mean(_column(kept, metric))
    row = {"value": value, "low": low, "high": high, "n_features": len(kept), "n_refused": refused}
    row["shuffled"] = _plain(kept, f"{metric}_shuffled")
    row["ceiling"] = _plain(kept, "ceiling") if metric in ("iou", "iou_reference") else None
    runs = [one.runs[metric] for one in kept if metric in one.runs]
    if runs:
        row["random_mean"], row["random_ci99"] = over_runs(np.mean(runs, axis=0))
    return {name: None if isinstance(one, float) and math.isnan(one) else one for name, one in row.items()}


def _column(kept: Sequence[Scored], name: str) -> np.ndarray:
    """A measure of latents, those left out where there is none."""
    values = np.array([one.row.get(name) for one in kept], np.float64)
    return values[~np.isnan(values)]


def _plain(kept: Sequence[Scored], name: str) -> float | None:
    values = _column(kept, name)
    return float(values.mean()) if len(values) else None


def over_runs(means: np.ndarray) -> tuple[float, float]:
    """Mean over runs and the half-width of its 99 % interval (Student's t), float64 [run]; NaN for a single run."""
    # Here, since it costs a second.
    from scipy.stats import t

    runs = len(means)
    if runs < 2:
        return float(means.mean()), math.nan
    return float(means.mean()), float(t.ppf(0.995, runs - 1) * means.std(ddof=1) / math.sqrt(runs))


def table2(scored: Sequence[Scored], judge: str) -> pl.DataFrame:
    """Table `TABLE2`: shares of descriptions that a judge accepts, then the published ones."""
    found: list[dict[str, Any]] = []
    for about, some in groups(scored):
        kept, _ = _of(some, TOTAL)
        clear = [one for one in kept if one.row["consistency"] >= 0]
        told = {concept: _plain(_of(clear, concept)[0], "consistency") for concept in ROWS}
        found.append({**about, "judge": judge, **told, "n": len(clear), "n_unclear": len(kept) - len(clear)})
    for name, values in JUDGED.items():
        known = {"coder": "published", "explainer": "published", "judge": name, "source": SOURCES[2]}
        found.append({**known, **values, TOTAL: JUDGED_TOTAL[name]})
    return pl.DataFrame(found, schema=TABLE2)
