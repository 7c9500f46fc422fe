"""Which metric of a benchmark stands in the tables (mmneuron.md 6)."""

from collections.abc import Mapping
from typing import Any

# Benchmark formats whose answers are scored.
KINDS = ("lingoqa", "pmc_vqa", "rsvqa", "vqav2", "docvqa")
STAND_IN = "token_f1_stand_in"
# The name of a real judge's scores, whichever checkpoint it is.
JUDGED = "lingo-judge"


def metric_of(kind: str, settings: Mapping[str, Any]) -> str:
    """The metric that a benchmark contributes to the tables.

    settings   the section mmneuron.evaluate
    """
    free = STAND_IN if settings["judge"] == "token_f1" else JUDGED
    return {
        "lingoqa": free,
        "pmc_vqa": settings["med_metric"],
        "rsvqa": "exact",
        "vqav2": settings["com_metric"],
        "docvqa": "anls",
    }[kind]
