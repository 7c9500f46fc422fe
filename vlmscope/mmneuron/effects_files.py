"""Everything that is told of own, other and random masks, from files: effects, crossed domains, tables 3 to 5."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.mmneuron import controls, effects, meta, scored
from vlmscope.mmneuron.table2 import Setup
from vlmscope.raw import read_manifest
from vlmscope.store import files as stored

# What a reader would ask about these tables.
NOTES = (
    "table numbers: inferred, the published numbering was not seen (mmneuron.md 7.1)",
    "deviation: our definition (2.7); no published one was seen",
    "random neurons: as many per module and layer, none of them own ones (2.8)",
    "measured on the first mmneuron.effects.samples questions of each domain",
)

# The published ones among them, by their names under mmneuron.tables.
CONTROLS = ("deviation", "random_accuracy", "random_deviation")
Tables = dict[str, tuple[pl.DataFrame, dict[str, Any]]]


def results(
    *,
    model: str,
    settings: dict[str, Any],
    conditions: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    files: Mapping[str, Any],
) -> tuple[Tables, dict[str, Any]]:
    """Tables with their schemas by the name of the output, and what made them.

    files   rows, samples, judge, model, summary, raws: as the rule lists them
    """
    asked = dict(zip(data["domains"], files["samples"], strict=True))
    rows = scored.from_files(files["rows"], asked, files["judge"], data["kinds"], settings["evaluate"])
    summaries = stored.read_json(files["summary"])
    setup = Setup.of(model, settings, conditions, data, summaries)
    draws = settings["evaluate"]["bootstrap"], settings["evaluate"]["seed"]
    condition = settings["effects"]["condition"]
    found: Tables = {
        "effects": (effects.effects(rows, condition, *draws), effects.SCHEMA),
        "cross": (effects.cross(rows, condition, data["domains"], *draws), effects.CROSS),
        **controls.tables(rows, setup),
    }
    return found, _about(settings, data, files, summaries)


def _about(
    settings: Mapping[str, Any], data: Mapping[str, Any], files: Mapping[str, Any], summaries: Mapping[str, Any]
) -> dict[str, Any]:
    return meta.describe(
        table=", ".join(["effects", "cross", *(settings[name] for name in CONTROLS)]),
        scale=settings["scale"],
        model=stored.read_json(files["model"]),
        raws=dict(zip(data["domains"], map(read_manifest, files["raws"]), strict=True)),
        data=data,
        settings={key: settings[key] for key in ("identify", "generate", "evaluate", "effects")},
        summaries=summaries,
        notes=NOTES,
    )
