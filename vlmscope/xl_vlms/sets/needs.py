"""Which takes of a capture a vector set can be read from. A take and a set are tables as the configuration has them."""

from collections.abc import Iterable, Mapping
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.sets.modules import SITES

Table = Mapping[str, Any]
# Rule -> what a take keeps that is read as it is: position, kept.
READY = {
    "word": ("word", "first"),
    "before_end": ("emitting", "mean"),
    "mean": ("emitting", "mean"),
    "prompt_end": ("emitting", "first"),
}
# What a set says where the configuration leaves it out.
USUAL: dict[str, Any] = {
    "rule": "word",
    "words": [],
    "search": "written",
    "spellings": "word",
    "ids": [],
    "index": -1,
    "start": 0,
    "end": 0,
    "keep": "mean",
    "has": [],
    "of": "first",
    "match": "auto",
    "answer_type": "",
    "cap": 0,
}
WRITTEN, WHOLE = ("emitting", "values"), ("all", "values")


def filled(chosen: Table) -> dict[str, Any]:
    """A set with what it leaves out."""
    return {**USUAL, **chosen}


def is_ready(take: Table, chosen: Table) -> bool:
    """Whether a take holds the set's vectors as they are."""
    if chosen["search"] == "whole" or READY.get(chosen["rule"]) != (take["where"], take["keep"]):
        return False
    return chosen["rule"] != "word" or _lowered(take["words"]) == _lowered(chosen["words"])


def has_states(take: Table, chosen: Table) -> bool:
    """Whether a take holds all states that the set's rule looks at."""
    return (take["where"], take["keep"]) == (WHOLE if chosen["search"] == "whole" else WRITTEN)


def fitting(takes: Iterable[Table], chosen: Table) -> list[Table]:
    """Takes that the set can be read from, the ready ones first; of a place that both have, the first is read."""
    own = [take for take in takes if take["site"].partition("[")[0] in SITES.values() and not take.get("units")]
    ready = [take for take in own if is_ready(take, chosen)]
    return ready + [take for take in own if has_states(take, chosen)]


def check(takes: Iterable[Table], chosen: Table, name: str) -> list[Table]:
    """The same, or an error with the line to add.

    takes, chosen   as the configuration has them, what is usual left out
    """
    takes, chosen = [{"words": [], **take} for take in takes], filled(chosen)
    if found := fitting(takes, chosen):
        return found
    where, keep = WHOLE if chosen["search"] == "whole" else WRITTEN
    lines = [f"    - {{site: resid_post, where: {where}, keep: {keep}}}"]
    if chosen["search"] != "whole" and chosen["rule"] in READY:
        where, keep = READY[chosen["rule"]]
        words = f", words: [{', '.join(chosen['words'])}]" if chosen["rule"] == "word" else ""
        lines.append(f"    - {{site: resid_post, where: {where}, keep: {keep}{words}}}")
    raise VlmscopeError(
        f"The capture '{chosen['capture']}' has no take that the vectors of '{name}' can be read from.",
        where=f"captures.{chosen['capture']}.take",
        instead="add\n" + "\n  or, smaller,\n".join(lines),
    )


def _lowered(words: Iterable[str]) -> set[str]:
    return {word.lower() for word in words}
