"""What steering does to answers: accuracies, counts, changed answers, each beside the answers without steering.

xl_vlms.md 6.1 and 6.2. Intervals are 95 % bootstrap intervals over questions; all conditions share their resamples.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope import samples as table
from vlmscope.metrics import vqa_official as vqa
from vlmscope.metrics.vqa_official import TYPES, UNRECOGNIZED, Question
from vlmscope.stats import Draws, interval, mcnemar
from vlmscope.xl_vlms.steer.schemas import CONDITION, EFFECTS

# An answer that three of ten annotators gave counts in full.
RIGHT = 100.0


class Aim(NamedTuple):
    """What a vector is to do.

    original, wanted   answers that should become rarer and more frequent; empty for pairs of concepts
    types              answer types of the questions that it is meant for; empty: not known
    by_type            `wanted` is a type: answers of that type count, whatever the question
    """

    original: str
    wanted: str
    types: frozenset[str]
    by_type: bool = False


class Answers(NamedTuple):
    """Answers to all questions under one condition."""

    texts: np.ndarray
    steered: np.ndarray


def questions(path: str, wanted: Sequence[str]) -> list[Question]:
    """Questions of a table in the order of these samples."""
    rows = {one.sample: json.loads(one.answer) for one in table.read(path)}
    return [
        Question(name, tuple(rows[name]["answers"]), rows[name]["answer_type"], rows[name]["question_type"])
        for name in wanted
    ]


def aims(vectors: Mapping[str, Any], asked: Sequence[Question]) -> dict[str, Aim]:
    """What every vector is to do; a sum is meant for the questions of all its parts.

    vectors   xl_vlms.vectors
    """
    usual: dict[str, Counter[str]] = {}
    for one in asked:
        usual.setdefault(Counter(one.answers).most_common(1)[0][0].lower(), Counter())[one.answer_type] += 1

    def types(name: str) -> set[str]:
        one = vectors[name]
        if one["method"] == "sum":
            return set().union(*(types(part) for part in one["parts"]))
        if one["original"]:
            known = usual.get(one["original"].lower())
            return {known.most_common(1)[0][0]} if known else set()
        return set(one["target"]["types"])

    found = {}
    for name, one in vectors.items():
        if one["task"] == "type":
            found[name] = Aim("", one["target"]["types"][0], frozenset(one["target"]["types"]), True)
        else:
            found[name] = Aim(one["original"], one["wanted"], frozenset(types(name)))
    return found


def effects(rows: pl.DataFrame, asked: Sequence[Question], aim: Mapping[str, Aim], draws: Draws) -> pl.DataFrame:
    """One row per condition, `EFFECTS` without the name of the model.

    rows   `STEERED`; the first condition is that without steering: the released scripts keep none, and then count
           every answer as changed [differs: xl_vlms.md 8 #11]
    asked  questions in the order of each condition's rows
    """
    judge = Judge(asked, draws)
    found, before = [], None
    for (number,), part in rows.group_by("condition", maintain_order=True):
        own = Answers(part["prediction"].to_numpy(), part["steered"].to_numpy())
        before = own if before is None else before
        about = {name: part[name][0] for name in CONDITION}
        told = judge.measures(own, before, aim.get(about["vector"], Aim("", "", frozenset())))
        found.append({"model": "", "seed": draws.seed, "condition": number, **about, **told})
    return pl.DataFrame(found, schema=EFFECTS)


class Judge:
    """Scores of answers to fixed questions; an answer that comes again is scored once."""

    def __init__(self, asked: Sequence[Question], draws: Draws) -> None:
        self.asked, self.weights = list(asked), draws.weights(len(asked))
        self.types = np.array([one.answer_type for one in asked], dtype=object)
        self.known = vqa.answers_to_type(vqa.types_to_answers(asked)["answer_type"])
        self.scores: dict[tuple[int, str], tuple[float, float]] = {}
        self.kinds: dict[str, str] = {}

    def measures(self, own: Answers, before: Answers, aim: Aim) -> dict[str, Any]:
        """Columns of `EFFECTS`, those that name the condition left out."""
        public, official = self.scored(own.texts).T
        was = self.scored(before.texts)[:, 0]
        changed = own.texts != before.texts
        found = {"n": len(self.asked), "steered_pct": 100 * own.steered.mean()}
        found |= self._means({f"acc_{kind}": (public, self.types == name) for kind, name in TYPES.items()})
        found |= self._means({"acc": (public, np.ones(len(public), bool))})
        found |= self._official(official)
        found |= {f"n_{kind}": count for kind, count in self._type_counts(own.texts).items()}
        found |= self._means({"changed": (100.0 * changed, np.ones(len(public), bool))}, point="changed_pct")
        found["p_right"] = _mcnemar(was >= RIGHT, public >= RIGHT)
        return found | self._counts(own, before, aim) | self._elsewhere(public, was, aim)

    def scored(self, texts: Iterable[str]) -> np.ndarray:
        """Public and official accuracy of every answer, float64 [question, 2]."""
        return np.array([self._scored(row, text) for row, text in enumerate(texts)]).reshape(-1, 2)

    def _scored(self, row: int, text: str) -> tuple[float, float]:
        if (row, text) not in self.scores:
            given = self.asked[row].answers
            self.scores[row, text] = vqa.acc_vqa(text, given), vqa.acc_official_code(text, given)
        return self.scores[row, text]

    def _means(self, columns: Mapping[str, tuple[np.ndarray, np.ndarray]], point: str = "") -> dict[str, float | None]:
        """Mean of values over some questions, with interval; nothing where there is no question."""
        found: dict[str, float | None] = {}
        for name, (values, chosen) in columns.items():
            if not chosen.any():
                found |= dict.fromkeys((point or name, f"{name}_low", f"{name}_high"))
                continue
            some = self.weights[:, chosen]
            drawn = some.sum(axis=1)
            means = np.divide(some @ values[chosen], drawn, out=np.full(len(some), np.nan), where=drawn > 0)
            low, high = interval(means[1:])
            found |= {point or name: float(means[0]), f"{name}_low": low, f"{name}_high": high}
        return found

    def _official(self, scores: np.ndarray) -> dict[str, float | None]:
        means = vqa.by_type(scores, self.types.tolist())
        found = {f"acc_{kind}_as_official": means.get(name) for kind, name in TYPES.items()}
        return found | {"acc_overall_as_official": means[vqa.OVERALL]}

    def _type_counts(self, texts: Iterable[str]) -> dict[str, int]:
        counts = Counter(self._kind(text) for text in texts)
        return {kind: counts[name] for kind, name in (TYPES | {UNRECOGNIZED: UNRECOGNIZED}).items()}

    def _kind(self, text: str) -> str:
        if text not in self.kinds:
            self.kinds[text] = vqa.answer_type(text, self.known)
        return self.kinds[text]

    def _counts(self, own: Answers, before: Answers, aim: Aim) -> dict[str, Any]:
        """How often the original and the wanted answer were written, among the questions that the vector is for."""
        found: dict[str, Any] = {"original": aim.original, "wanted": aim.wanted}
        if not aim.wanted:
            return found
        meant = (
            np.isin(self.types, list(aim.types)) if aim.types and not aim.by_type else np.ones(len(self.types), bool)
        )
        now, was = (self._wanted(one.texts, aim) for one in (own, before))
        changed = own.texts != before.texts
        change = (now.astype(float) - was) * meant
        means = self._means({"d_wanted": (change * len(change), np.ones(len(change), bool))})
        told = {
            **means,
            "d_wanted": int(change.sum()),
            "n_wanted": int((now & meant).sum()),
            "n_wanted_all": int(now.sum()),
            "wanted_pct": 100 * float(now[changed].mean()) if changed.any() else None,
            "p_wanted": _mcnemar(was & meant, now & meant),
        }
        return found | told | ({} if aim.by_type else self._written(own, before, aim, meant))

    def _wanted(self, texts: np.ndarray, aim: Aim) -> np.ndarray:
        if not aim.by_type:
            return _is(texts, aim.wanted)
        return np.array([self._kind(text) == aim.wanted for text in texts], dtype=bool)

    def _written(self, own: Answers, before: Answers, aim: Aim, meant: np.ndarray) -> dict[str, int]:
        """Counts of the original answer, and the count of the wanted one that later types overwrote as released."""
        gone, there = (_is(one.texts, aim.original) for one in (own, before))
        official = vqa.answer_counts(own.texts.tolist(), self.types.tolist())[vqa.OVERALL + vqa.AS_OFFICIAL]
        return {
            "d_original": int((gone & meant).sum() - (there & meant).sum()),
            "n_original": int((gone & meant).sum()),
            "n_wanted_all_as_official": sum(n for text, n in official.items() if _same(text, aim.wanted)),
        }

    def _elsewhere(self, public: np.ndarray, was: np.ndarray, aim: Aim) -> dict[str, Any]:
        """Accuracy on questions of the types that the vector is not meant for."""
        others = ~np.isin(self.types, list(aim.types)) if aim.types else np.zeros(len(self.types), bool)
        found = self._means({"acc_off": (public, others), "d_acc_off": (public - was, others)})
        del found["acc_off_low"], found["acc_off_high"]
        return {**found, "n_off": int(others.sum())}


def _same(text: str, answer: str) -> bool:
    return text.strip().lower() == answer.lower()


def _is(texts: Iterable[str], answer: str) -> np.ndarray:
    return np.array([_same(text, answer) for text in texts], dtype=bool)


def _mcnemar(before: np.ndarray, after: np.ndarray) -> float:
    return mcnemar(int((before & ~after).sum()), int((after & ~before).sum()))
