"""Judging free answers of LingoQA: the Lingo-Judge classifier and its offline stand-in (mmneuron.md 6)."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TypeVar

from vlmscope.metrics import text
from vlmscope.metrics.encoders import OneLogit, Source

Key = TypeVar("Key", bound=Hashable)
STAND_IN = "token_f1"
REMEDY = "a classifier like wayveai/Lingo-Judge, fetched and named by its folder, or mmneuron.evaluate.judge: token_f1"


def judge_text(question: str, reference: str, prediction: str) -> str:
    """What the classifier reads; the literal `[CLS]` belongs to it."""
    return f"[CLS]\nQuestion: {question}\nAnswer: {reference}\nStudent: {prediction}"


def token_f1(prediction: str, reference: str) -> bool:
    """The stand-in: right when the texts are the same or share half their words (F1 at least 0.5).

    [differs: mmneuron.md 6] not a model; tables name it and never mix it with scores of Lingo-Judge.
    """
    same = text.collapsed(prediction) == text.collapsed(reference)
    return same or text.token_f1(prediction, reference) >= 0.5


def any_right(groups: Sequence[Key], right: Sequence[bool]) -> dict[Key, bool]:
    """Per question, whether any of its rows is right; questions in the order of their first row."""
    questions: dict[Key, bool] = {}
    for group, is_right in zip(groups, right, strict=True):
        questions[group] = questions.get(group, False) or bool(is_right)
    return questions


class LingoJudge:
    """A sequence classifier with one logit; above 0 the answer is right. Loaded when first asked."""

    def __init__(
        self, checkpoint: str | Path, *, revision: str | None = None, batch: int = 32, device: str = "cpu"
    ) -> None:
        source = Source(str(checkpoint), "judge", str(checkpoint), REMEDY, revision)
        self.model = OneLogit(source, batch=batch, device=device)

    def logits(self, texts: Sequence[str]) -> list[float]:
        """One logit per input text (see `judge_text`), order kept."""
        return self.model.scores(texts).tolist()

    def right(self, questions: Sequence[str], references: Sequence[str], predictions: Sequence[str]) -> list[bool]:
        """Whether each prediction answers its question like its reference: sigmoid(logit) > 0.5."""
        texts = [judge_text(*row) for row in zip(questions, references, predictions, strict=True)]
        return [logit > 0 for logit in self.logits(texts)]
