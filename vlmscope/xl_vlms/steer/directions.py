"""Which pairs of concepts lead to one answer: fine-grained directions (xl_vlms.md 2.10; paper B, appendix B.3).

The logic of the released notebook; the function in the released package raises [differs: xl_vlms.md 8 #13].
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.steer.schemas import DIRECTIONS


class Lead(NamedTuple):
    """What a direction leads to.

    main        answers whose number rises most, most first
    increases   of the answers that were looked at, most first
    gap         smallest distance between the main answers' increases and the others'; 0 where there are no others
    """

    main: tuple[str, ...]
    increases: dict[str, int]
    gap: float


def increases(before: Iterable[str], after: Iterable[str], *, first_word: bool, top: int) -> dict[str, int]:
    """Answers that became more frequent, at most `top`, most first; answers that are not written any more are left out.

    first_word   answers are merged by their first word
    """
    was, now = (Counter(one) for one in (before, after))
    changes = {answer: count - was[answer] for answer, count in now.items()}
    if first_word:
        merged: Counter[str] = Counter()
        for answer, change in changes.items():
            merged[(answer.split() or [""])[0]] += change
        changes = dict(merged)
    return dict(sorted(changes.items(), key=lambda item: -item[1])[:top])


def two_means(values: Sequence[float]) -> int:
    """How many of the largest values form a cluster: the exact 1-D two-means; all of them where no two differ.

    values   falling
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(np.unique(numbers)) < 2:
        return len(numbers)
    costs = [_spread(numbers[:cut]) + _spread(numbers[cut:]) for cut in range(1, len(numbers))]
    return 1 + int(np.argmin(costs))


def _spread(values: np.ndarray) -> float:
    return float(((values - values.mean()) ** 2).sum())


def lead(changes: Mapping[str, int]) -> Lead:
    """Main answers and their distance from the others, from what `increases` gives."""
    names, values = list(changes), list(changes.values())
    count = two_means(values)
    gap = float(values[count - 1] - values[count]) if count < len(values) else 0.0
    return Lead(tuple(names[:count]), dict(changes), gap)


def chosen(leads: Mapping[str, Lead], *, targets: int, keep: int, unique: bool) -> list[str]:
    """Names of the directions to keep, widest gap first.

    targets   most main answers of a direction
    unique    of several directions with the same main answers only the best is kept
    """
    found: list[str] = []
    seen: set[frozenset[str]] = set()
    for name, one in sorted(leads.items(), key=lambda item: -item[1].gap):
        new = frozenset(one.main) not in seen
        if len(one.main) <= targets and (new or not unique) and len(found) < keep:
            found.append(name)
            seen.add(frozenset(one.main))
    return found


def table(steered: pl.DataFrame, model: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """All pairs of concepts, widest gap first, `DIRECTIONS`.

    steered    `STEERED`
    settings   directions, seed (xl_vlms.steer)
    """
    own, pairs = settings["directions"], steered.filter(kind="pair")
    if not len(pairs):
        raise VlmscopeError(
            f"No pair of concepts was tried with the model '{model}'.",
            where="xl_vlms.steer.sweep.models",
            instead=f"a list with {model} in it",
        )
    before = steered.filter(kind="none")["prediction"].to_list()

    def led(part: pl.DataFrame) -> Lead:
        after = part["prediction"].to_list()
        return lead(increases(before, after, first_word=own["first_word"], top=own["top"]))

    leads = {name: led(part) for (name,), part in pairs.group_by("vector", maintain_order=True)}
    kept = chosen(leads, targets=own["targets"], keep=own["keep"], unique=own["unique"])
    randoms = [led(part).gap for _, part in steered.filter(kind="random_pair").group_by("draw", maintain_order=True)]
    rows = [
        {
            "model": model,
            "seed": settings["seed"],
            "rank": rank,
            "i": int(name.split("-")[0]),
            "j": int(name.split("-")[1]),
            "main_answers": json.dumps(one.main, ensure_ascii=False),
            "increases": json.dumps(one.increases, ensure_ascii=False),
            "gap": one.gap,
            "key": f"concept_{name.replace('-', '_to_')}",
            "kept": name in kept,
            "n": len(before),
            "random_gap": float(np.mean(randoms)) if randoms else None,
        }
        for rank, (name, one) in enumerate(sorted(leads.items(), key=lambda item: -item[1].gap), start=1)
    ]
    return pl.DataFrame(rows, schema=DIRECTIONS)
