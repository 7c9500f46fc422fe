"""What made a table: versions, checkpoint, data, budgets, prompts, judge, deviations."""

from collections.abc import Mapping, Sequence
from typing import Any

from vlmscope.datasets import base
from vlmscope.meta import CHECKPOINT, DATA, versions
from vlmscope.samples import Sample
from vlmscope.store.files import digest_text


def describe(
    *,
    table: str,
    scale: str,
    model: Mapping[str, Any],
    raws: Mapping[str, Mapping[str, Any]],
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    summaries: Mapping[str, Mapping[str, Any]],
    notes: Sequence[str],
) -> dict[str, Any]:
    """The companion JSON of a table."""
    return {
        "table": table,
        "scale": scale,
        "checkpoint": {key: model[key] for key in CHECKPOINT},
        "data": {
            domain: {
                **{key: raw[key] for key in DATA},
                "split": data["splits"][domain]["val"],
                "options": data["options"][domain],
            }
            for domain, raw in raws.items()
        },
        "capture": data["capture"],
        "recorded_samples": _first(summaries, "samples"),
        "recorded_positions": {module: summary["positions"] for module, summary in summaries.items()},
        "neurons": {
            module: {
                key: summary[key] for key in ("n_neurons", "n_selected", "members", "effective", "threshold", "bar")
            }
            for module, summary in summaries.items()
        },
        "settings": dict(settings),
        "judge": _judge(settings["evaluate"]["judge"]),
        "prompts": prompts_digest(data["kinds"]),
        "versions": versions(),
        "notes": list(notes),
    }


def _first(summaries: Mapping[str, Mapping[str, Any]], key: str) -> Any:
    return next(iter(summaries.values()))[key] if summaries else {}


def _judge(name: str) -> str:
    if name == "token_f1":
        return "stand-in: token F1 of at least 0.5; not comparable with Lingo-Judge scores"
    return name


def prompts_digest(kinds: Mapping[str, str]) -> str:
    """Digest of the full prompts of all domains, taken on one fixed question."""
    # One fixed question with choices: a changed word anywhere in a prompt changes the digest.
    probe = Sample("s", "d", "val", 0, "s", ("i",), 1, 1, "What?", (" A:1 ", " B:2 ", " C:3 ", " D:4 "), '"A"')
    return digest_text("\n".join(base.load(kind).prompt(probe, "full") for kind in kinds.values()))
