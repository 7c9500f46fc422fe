"""How a comparison of two models changes with strength, number of concepts, layer and step of the fine-tuning."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vlmscope.stats import Draws
from vlmscope.xl_vlms.sets.vectors import VectorSet
from vlmscope.xl_vlms.shift import moves, study
from vlmscope.xl_vlms.shift.study import Reader, Settings, Study

Row = dict[str, Any]


def concepts(one: Study) -> list[Row]:
    """A row per concept: all measures, words and pictures."""
    found = study.measures(one)
    told = {"words": one.words, "images": one.images}
    return [
        {"concept": k, **{name: values[k].item() for name, values in found.items()}}
        | {name: {side: lists[k] for side, lists in parts.items()} for name, parts in told.items()}
        for k in range(len(one.matched))
    ]


def alphas(
    one: Study, settings: Settings, draws: Draws, read: Reader, keywords: Sequence[str]
) -> tuple[list[Row], list[Row]]:
    """Rows per strength: overlap and cosine; share of the task's words among those of the concepts.

    keywords   words of the task, in any case
    """
    known = frozenset(word.lower() for word in keywords)
    overlaps, shares = [], []
    for alpha in settings["alphas"]:
        for row in study.arms(one, settings, alpha, draws, read):
            words = row.pop("words")
            overlaps.append(row)
            shares.append({key: row[key] for key in ("alpha", "arm", "n")} | _share(words, known, one, draws))
    goal = {"alpha": None, "arm": "tuned", "n": int(one.known.sum())}
    return overlaps, [*shares, goal | _share(one.words["tuned"], known, one, draws)]


def _share(words: list[list[str]], known: frozenset[str], one: Study, draws: Draws) -> dict[str, float]:
    """Per cent of the different words of each concept that belong to the task: mean over concepts with a shift."""
    lists = [set(own) for own in words]
    values = np.array([100 * len(own & known) / len(own) if own else np.nan for own in lists])
    return study.summary({"keywords": values}, one.known, draws)


def ks(before: VectorSet, after: VectorSet, settings: Settings, draws: Draws, read: Reader) -> list[Row]:
    """Rows per number of concepts, as far as there are vectors enough."""
    most = min(len(before.samples), len(after.samples))
    found = []
    for k in sorted({*settings["ks"], settings["k"]}):
        if k <= most:
            found += [{"k": k, **row} for row in steady(before, after, {**settings, "k": k}, draws, read)]
    return found


def layers(
    pairs: Iterable[tuple[str, VectorSet, VectorSet]], settings: Settings, draws: Draws, read: Reader
) -> list[Row]:
    """Rows per place of the model.

    pairs   module, vectors of both models
    """
    return [
        {"module": name, **row} for name, before, after in pairs for row in steady(before, after, settings, draws, read)
    ]


def steady(before: VectorSet, after: VectorSet, settings: Settings, draws: Draws, read: Reader) -> list[Row]:
    """Rows without a shift, with it, and with a random direction, at the settings' strength."""
    one = study.study(before, after, settings, read)
    none = study.arms(one, settings, 0.0, draws, read)[0] | {"arm": "none"}
    rows = [none, *study.arms(one, settings, settings["alpha"], draws, read)]
    return [{key: value for key, value in row.items() if key not in ("alpha", "words")} for row in rows]


def iterations(
    before: VectorSet, steps: Sequence[tuple[int, VectorSet]], settings: Settings, read: Reader
) -> list[Row]:
    """Rows per step and concept of the original: how alike it and its match still are, and with its shift.

    steps   number of the step, vectors of the model then; at step 0 stands the original itself
    """
    found = []
    for step, after in ((0, before), *steps):
        one = study.study(before, after, settings, read)
        told = study.measures(one)
        names = {"t_overlap": "orig_pct", "t_overlap_shifted": "shifted_pct"}
        names |= {"cosine": "orig_cosine", "cosine_shifted": "shifted_cosine"}
        for k in range(settings["k"]):
            row = {"step": step, "concept": k, "n": int(told["n"][k]), "matched": int(told["matched"][k])}
            found.append(row | {name: float(told[key][k]) for name, key in names.items()})
    return found


def distances(one: Study) -> dict[str, float]:
    """How far samples moved, as a part of how long their states were: mean over samples."""
    moved = np.linalg.norm(one.pair.after - one.pair.before, axis=1)
    lengths = np.linalg.norm(one.pair.before, axis=1)
    return {
        "moved": float(moved.mean()),
        "moved_sd": float(moved.std()),
        "moved_share": float((moved / lengths).mean()),
        "match_cosine": float(np.diag(moves.cosines(one.original.concepts, one.tuned.concepts)).mean()),
    }
