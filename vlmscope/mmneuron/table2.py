"""Table 2: accuracy when each domain's own neurons are deactivated (mmneuron.md 7.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import meta
from vlmscope.mmneuron.metrics import metric_of
from vlmscope.mmneuron.schemas import DOMAIN_SCORES
from vlmscope.raw import read_manifest
from vlmscope.stats import mean_interval, paired
from vlmscope.store import files, tables

# Which condition was measured on what: the first columns of tables 2 to 5.
CELL = {
    "model": pl.String,
    "condition": pl.String,
    "masked_modules": pl.String,
    "domain": pl.String,
    "dataset": pl.String,
    "split": pl.String,
}
LONG = {
    **CELL,
    "metric": pl.String,
    "n": pl.Int64,
    "score": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "delta_vs_none": pl.Float64,
    "n_masked_neurons": pl.Int64,
    "decode": pl.String,
    "seed": pl.Int64,
    "neuron_set": pl.String,
    # Ours: the change against the untouched model, question by question.
    "lost": pl.Int64,
    "gained": pl.Int64,
    "test": pl.String,
    "p_value": pl.Float64,
}


@dataclass(frozen=True)
class Setup:
    """What the table needs to know besides scores.

    conditions  rows: name, label, modules
    kinds, splits   benchmark format and official evaluation split per domain
    summaries   module -> what identification reports
    evaluate, generate   those sections of the settings
    """

    model: str
    label: str
    columns: Sequence[str]
    conditions: Sequence[Mapping[str, Any]]
    kinds: Mapping[str, str]
    splits: Mapping[str, Mapping[str, str]]
    summaries: Mapping[str, Mapping[str, Any]]
    evaluate: Mapping[str, Any]
    generate: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        model: str,
        settings: Mapping[str, Any],
        conditions: Sequence[Mapping[str, Any]],
        data: Mapping[str, Any],
        summaries: Mapping[str, Mapping[str, Any]],
    ) -> "Setup":
        """As rules hand it over.

        settings   label, columns, evaluate, generate
        data       kinds, splits
        """
        own = {name: settings[name] for name in ("label", "columns", "evaluate", "generate")}
        shown = {name: data[name] for name in ("kinds", "splits")}
        return cls(model=model, conditions=conditions, summaries=summaries, **own, **shown)

    def cell(self, condition: Mapping[str, Any], domain: str) -> dict[str, str]:
        """Columns `CELL`."""
        return {
            "model": self.model,
            "condition": condition["name"],
            "masked_modules": "+".join(condition["modules"]),
            "domain": domain,
            "dataset": base.load(self.kinds[domain]).LABEL,
            "split": self.splits[domain]["val"],
        }


def long_table(scores: Mapping[str, pl.DataFrame], setup: Setup) -> pl.DataFrame:
    """One row per condition and domain; scores and intervals in 0..1, delta against the untouched model.

    scores   domain -> rows of `schemas.SCORES`, all conditions
    """
    rows = [_cell(scores[domain], condition, domain, setup) for condition in setup.conditions for domain in scores]
    return pl.DataFrame(rows, schema=LONG)


def _cell(scores: pl.DataFrame, condition: Mapping[str, Any], domain: str, setup: Setup) -> dict[str, Any]:
    metric = metric_of(setup.kinds[domain], setup.evaluate)
    values, before = (_values(scores, name, metric, domain) for name in (condition["name"], "none"))
    draws = setup.evaluate["bootstrap"], setup.evaluate["seed"]
    mean, low, high = mean_interval(values, *draws)
    test, p_value = paired(before, values, *draws) if condition["modules"] else ("", None)
    return {
        **setup.cell(condition, domain),
        "metric": metric,
        "n": len(values),
        "score": mean,
        "ci_low": low,
        "ci_high": high,
        "delta_vs_none": mean - float(before.mean()),
        "n_masked_neurons": sum(setup.summaries[module]["members"][domain] for module in condition["modules"]),
        "decode": setup.generate["decode"],
        "seed": setup.generate["seed"],
        "neuron_set": neuron_set(condition["modules"], setup.summaries),
        "lost": int((values < before).sum()),
        "gained": int((values > before).sum()),
        "test": test,
        "p_value": p_value,
    }


def _values(scores: pl.DataFrame, condition: str, metric: str, domain: str) -> Any:
    chosen = scores.filter((pl.col("condition") == condition) & (pl.col("metric") == metric))
    if chosen.is_empty():
        raise VlmscopeError(
            f"The domain '{domain}' has no scores under the condition '{condition}' by the metric '{metric}'.",
            where="results/mmneuron/*/scores",
            instead="give the dataset at least one row of its split val, or take it out of mmneuron.domains",
        )
    # In the order of the questions, so that two conditions are compared row by row.
    return chosen.sort("group")["score"].to_numpy()


def neuron_set(modules: Sequence[str], summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """A short name of the neuron sets that a condition uses; empty for the untouched model."""
    if not modules:
        return ""
    return files.digest_text(":".join(f"{module}={summaries[module]['set']}" for module in modules))[:16]


def wide_table(long: pl.DataFrame, setup: Setup) -> pl.DataFrame:
    """The table as published: one line per condition, cells 100 x score with two decimals, as text."""
    return wide({(row["condition"], row["domain"]): 100 * row["score"] for row in long.iter_rows(named=True)}, setup)


def wide(values: Mapping[tuple[str, str], float], setup: Setup) -> pl.DataFrame:
    """Any table of this shape, from condition and domain to the number of the cell; empty where there is none."""
    labels = {domain: base.load(setup.kinds[domain]).LABEL for domain in setup.columns}
    cells = {key: f"{value:.2f}" for key, value in values.items()}
    rows = [
        {
            "baseline": setup.label,
            "module": condition["label"],
            "masked_modules": "+".join(condition["modules"]),
            **{labels[domain]: cells.get((condition["name"], domain)) for domain in setup.columns},
        }
        for condition in setup.conditions
    ]
    # Cells are text: the two decimals belong to the format, a float column would drop trailing zeros.
    return pl.DataFrame(rows, schema=wide_schema(setup))


def wide_schema(setup: Setup) -> dict[str, Any]:
    """Columns of table2.csv."""
    names = ["baseline", "module", "masked_modules", *(base.load(setup.kinds[one]).LABEL for one in setup.columns)]
    return dict.fromkeys(names, pl.String)


# What a reader who knows the released code would stumble over.
NOTES = (
    "table number: inferred, the published numbering was not seen (mmneuron.md 7.1)",
    "masks zero activations row by row, which equals zeroing columns of weights (2.4)",
    "a medical answer counts at most once (8 #17)",
    "max_new_tokens replaces max_length (8 #14)",
)
# Of models with a projector alone.
PROJECTOR_NOTES = (
    "vision rows include the projector, as released (8 #10)",
    "the projector-only row masks the projector; the released code masked nothing (8 #9)",
)
ROWS_NOTES = {
    False: "one prediction per LingoQA question, judged against both references (6)",
    True: "one prediction per LingoQA row, judged against its own reference, as released (6)",
}


def from_files(
    *,
    model: str,
    settings: dict[str, Any],
    conditions: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    scores: Sequence[str],
    summary: str,
    manifest: str,
    raws: Sequence[str],
) -> tuple[Setup, dict[str, pl.DataFrame], dict[str, Any]]:
    """Setup, scores by domain and companion metadata of table 2."""
    found = files.read_json(summary)
    setup = Setup.of(model, settings, conditions, data, found)
    every = pl.concat([tables.read(path, DOMAIN_SCORES) for path in scores])
    described = meta.describe(
        table=settings["table"],
        scale=settings["scale"],
        model=files.read_json(manifest),
        raws=dict(zip(data["domains"], map(read_manifest, raws), strict=True)),
        data=data,
        settings={key: settings[key] for key in ("identify", "generate", "evaluate")},
        summaries=found,
        notes=notes(conditions, settings["generate"]["official_rows"]),
    )
    by_domain = {domain: every.filter(pl.col("domain") == domain) for domain in data["domains"]}
    return setup, by_domain, described


def notes(conditions: Sequence[Mapping[str, Any]], official_rows: bool) -> list[str]:
    """What a reader of the table who knows the released code is told; of a projector only where there is one."""
    projector = any("mmproj" in row["modules"] for row in conditions)
    return [*NOTES, *(PROJECTOR_NOTES if projector else ()), ROWS_NOTES[official_rows]]
