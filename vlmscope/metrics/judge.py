"""Judging free answers of LingoQA: the Lingo-Judge classifier and its offline stand-in (mmneuron.md 6)."""

from collections.abc import Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import text

Key = TypeVar("Key", bound=Hashable)
STAND_IN = "token_f1"
# Tokens of the classifier; longer texts are cut at the end.
LONGEST = 512


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
        self.checkpoint, self.revision, self.batch, self.device = str(checkpoint), revision, batch, device

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Tokenizer and model in evaluation mode."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        place = {"revision": self.revision, "local_files_only": True}
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.checkpoint, **place)
            model, loaded = AutoModelForSequenceClassification.from_pretrained(
                self.checkpoint, output_loading_info=True, **place
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise VlmscopeError(
                f"The judge cannot be loaded: {str(error).splitlines()[0]}",
                where=self.checkpoint,
                instead="fetch wayveai/Lingo-Judge and name its folder, or set mmneuron.evaluate.judge: token_f1",
            ) from error
        # A missing head would be drawn at random and judge at random.
        if model.config.num_labels != 1 or loaded["missing_keys"]:
            raise VlmscopeError(
                f"This is no judge: it has {model.config.num_labels} outputs instead of one, "
                f"and {len(loaded['missing_keys'])} weights are missing.",
                where=self.checkpoint,
                instead="a sequence classifier in the format of wayveai/Lingo-Judge",
            )
        return tokenizer, model.to(self.device).eval()

    def logits(self, texts: Sequence[str]) -> list[float]:
        """One logit per input text (see `judge_text`), order kept."""
        import torch

        tokenizer, model = self._parts
        # Texts of like length share a batch, so that little is padded.
        order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
        logits = [0.0] * len(texts)
        for start in range(0, len(order), self.batch):
            block = order[start : start + self.batch]
            inputs = tokenizer(
                [texts[k] for k in block], padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
            )
            with torch.inference_mode():
                scores = model(**inputs.to(self.device)).logits[:, 0].float().tolist()
            for k, score in zip(block, scores, strict=True):
                logits[k] = score
        return logits

    def right(self, questions: Sequence[str], references: Sequence[str], predictions: Sequence[str]) -> list[bool]:
        """Whether each prediction answers its question like its reference: sigmoid(logit) > 0.5."""
        texts = [judge_text(*row) for row in zip(questions, references, predictions, strict=True)]
        return [logit > 0 for logit in self.logits(texts)]
