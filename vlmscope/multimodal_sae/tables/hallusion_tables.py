"""Table 11 of the paper: answers that became better, stayed the same, or became worse, beside random latents."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats

ANSWERS = {
    "sample": pl.String,
    "question": pl.String,
    "truth": pl.String,
    "said": pl.String,
    "condition": pl.String,
    "draw": pl.Int64,
    "latents": pl.String,
    "value": pl.Float64,
    "steered": pl.String,
    "outcome": pl.Int64,
}
RANDOM = {"removed": "removed, random", "held": "held, random"}
# Which random latents a condition is compared with.
CONTROL = {**RANDOM, "doubted": RANDOM["removed"]}
REBUILT = "rebuilt"
CONDITIONS = ("removed", RANDOM["removed"], "held", RANDOM["held"], "doubted", REBUILT)
WRONG, RIGHT, ALL, PUBLISHED = "wrong", "right", "all", "published"
# among: questions that were answered wrongly, rightly, or all, weighted as they were asked. net: better - worse.
# p: exact sign test of better against worse; random_p: the same of the questions at which it did better or worse
# than random latents did on average.
TABLE11 = {
    "among": pl.String,
    "condition": pl.String,
    "n": pl.Int64,
    "better": pl.Float64,
    "same": pl.Float64,
    "worse": pl.Float64,
    "net": pl.Float64,
    "net_low": pl.Float64,
    "net_high": pl.Float64,
    "p": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
    "random_p": pl.Float64,
    "n_asked": pl.Int64,
    "n_clear": pl.Int64,
    "n_wrong": pl.Int64,
    "paper_better": pl.Float64,
    "paper_same": pl.Float64,
    "paper_worse": pl.Float64,
    "source": pl.String,
}
PAPER = {"paper_better": 0.09, "paper_same": 0.89, "paper_worse": 0.02}
SOURCE = "arXiv 2411.14982v2, Table 11 (100 questions, which ones is not known)"
NOTES = (
    "removed, held: whoever chooses the latents knows the true answer, so this is no way to answer better.",
    "doubted: latents that speak for what was said are removed, whatever is true.",
    "Wrong answers can only become better, right ones only worse; all weighs both as they were asked.",
    "rebuilt: the reconstruction alone. The published code and prompts are not known.",
)


def table11(answers: pl.DataFrame, counts: Mapping[str, int], draws: stats.Draws) -> pl.DataFrame:
    """`TABLE11` of `ANSWERS`; intervals of 95 % draw questions."""
    rows: list[dict[str, Any]] = []
    share = {WRONG: counts["wrong"] / counts["clear"], RIGHT: 1 - counts["wrong"] / counts["clear"]}
    for name in CONDITIONS:
        by = {among: _outcomes(answers, among, name) for among in share}
        against = {among: _outcomes(answers, among, CONTROL[name]) if name in CONTROL else None for among in share}
        rows += [_row(among, name, by[among], against[among], draws) for among in share if len(by[among])]
        if all(len(one) for one in by.values()):
            rows.append(_weighted(name, by, against, share, draws))
    about = {f"n_{key}": counts[key] for key in ("asked", "clear", "wrong")}
    rows.append({"among": PUBLISHED, **PAPER, "source": SOURCE})
    order = (WRONG, RIGHT, ALL, PUBLISHED)
    ordered = sorted(rows, key=lambda row: order.index(row["among"]))
    return pl.DataFrame([row | ({} if row["among"] == PUBLISHED else about) for row in ordered], schema=TABLE11)


def _outcomes(answers: pl.DataFrame, among: str, name: str) -> np.ndarray:
    """Outcome of every question, mean over draws, float64 [question, better - worse, better, worse]."""
    kind = pl.col("said") == pl.col("truth") if among == RIGHT else pl.col("said") != pl.col("truth")
    net = pl.col("outcome")
    means = [net.mean(), (net > 0).mean().alias("better"), (net < 0).mean().alias("worse")]
    own = answers.filter(kind, pl.col("condition") == name)
    return own.group_by("sample", maintain_order=True).agg(means).drop("sample").to_numpy()


def _row(among: str, name: str, own: np.ndarray, against: np.ndarray | None, draws: stats.Draws) -> dict[str, Any]:
    better, worse = own[:, 1].mean(), own[:, 2].mean()
    net = dict(zip(("net", "net_low", "net_high"), draws.mean(own[:, 0]), strict=True))
    row = {"among": among, "condition": name, "n": len(own), "better": better, "worse": worse}
    row |= {"same": 1 - better - worse, **net, "p": _sign(own[:, 0])}
    if against is not None:
        gap = own[:, 0] - against[:, 0]
        row |= dict(zip(("more", "more_low", "more_high"), draws.mean(gap), strict=True)) | {"random_p": _sign(gap)}
    return row


def _sign(values: np.ndarray) -> float:
    """Exact two-sided sign test; ties are left out."""
    return stats.mcnemar(int((values < 0).sum()), int((values > 0).sum()))


def _weighted(
    name: str,
    by: Mapping[str, np.ndarray],
    against: Mapping[str, np.ndarray | None],
    share: Mapping[str, float],
    draws: stats.Draws,
) -> dict[str, Any]:
    """Shares among all questions as they were asked: those of wrong and right answers, weighted."""

    def drawn(values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of the questions themselves and of resamples, float64 [1 + resample]."""
        found = np.zeros(1 + draws.resamples)
        for number, (among, own) in enumerate(values.items()):
            weights = stats.Draws(draws.resamples, draws.seed + number).weights(len(own))
            found += share[among] * (weights @ own) / len(own)
        return found

    better, worse = (float(drawn({key: own[:, k] for key, own in by.items()})[0]) for k in (1, 2))
    row = {"among": ALL, "condition": name, "n": sum(map(len, by.values())), "better": better, "worse": worse}
    row |= {"same": 1 - better - worse, **_told("net", drawn({key: own[:, 0] for key, own in by.items()}))}
    if all(one is not None for one in against.values()):
        row |= _told("more", drawn({key: own[:, 0] - against[key][:, 0] for key, own in by.items()}))
    return row


def _told(name: str, values: np.ndarray) -> dict[str, float]:
    low, high = stats.interval(values[1:])
    return {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}
