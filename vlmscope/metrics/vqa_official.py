"""VQA accuracy and counts of answers as the released code of XL-VLMs has them, beside the public accuracy.

xl_vlms.md 6.1 and 6.2. Accuracies are percentages, 0 to 100. Every list has one entry per question, in one order.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.metrics.text import is_number
from vlmscope.metrics.vqa import agreement, plain_numbers, without_punctuation

MARKS = ';/[]"{}()=+\\_-><@`,?!'
# The released code hands a flag over where the number of replacements belongs.
POINTS = 32
OVERALL = "overall"
WITHOUT = "overall_without_category_of_interest"
BY_QUESTION = "overall_by_question"
AS_OFFICIAL = "_as_official"
UNRECOGNIZED = "unrecognized"
# Answer types by the names that columns and configurations have: a slash would do for neither.
TYPES = {"yesno": "yes/no", "number": "number", "other": "other"}


class Question(NamedTuple):
    """What VQAv2 knows of a question.

    key             its number, as text
    answers         what the annotators gave, unchanged
    answer_type     yes/no, number or other
    question_type   its first words
    """

    key: str
    answers: tuple[str, ...]
    answer_type: str
    question_type: str = ""


# ---- normalisation -----------------------------------------------------------------------------------------------


def tokenised(text: str) -> str:
    """First stage: lower case, no commas and question marks, the genitive apart."""
    return text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()


def unpunctuated(text: str) -> str:
    """Second stage: marks out or blanked, points that are no decimal points out."""
    return without_punctuation(text, MARKS, POINTS)


def normalised(text: str) -> str:
    """All stages, as a prediction goes through them; the last two twice."""
    text = tokenised(text).replace("\n", " ").replace("\t", " ").strip()
    for _ in range(2):
        text = plain_numbers(unpunctuated(text))
    return text


# ---- accuracy ----------------------------------------------------------------------------------------------------


def acc_official_code(prediction: str, answers: Sequence[str]) -> float:
    """A third for every annotator who agrees, at most all.

    Of the references only number words, articles and contractions are unified: a hyphen or a genitive never matches.
    """
    said = normalised(prediction)
    return 100 * min(1.0, sum(plain_numbers(answer) == said for answer in answers) / 3)


def acc_vqa(prediction: str, answers: Sequence[str]) -> float:
    """The public evaluation: both sides fully normalised where annotators differ, each annotator left out in turn.

    The released code has `acc_official_code` alone [differs: xl_vlms.md 8 #10].
    It is that of the EvalAI server; `vqa.vqa_acc` is the older script, which keeps articles in references.
    """
    if not answers:
        raise VlmscopeError("A question has no answer to compare with.", instead="leave this question out")
    given = [answer.replace("\n", " ").replace("\t", " ").strip() for answer in answers]
    if len(set(given)) > 1:
        given = [plain_numbers(unpunctuated(answer)) for answer in given]
    return 100 * agreement(normalised(prediction), given)


def accuracies(
    predictions: Sequence[str],
    references: Iterable[Sequence[str]],
    score: Callable[[str, Sequence[str]], float] = acc_official_code,
) -> np.ndarray:
    """Score of every question, float64 [question]."""
    return np.array([score(*pair) for pair in zip(predictions, references, strict=True)], dtype=np.float64)


def by_type(scores: np.ndarray, types: Sequence[str], category: str = "") -> dict[str, float]:
    """Mean per type, in order of appearance, and three means over all.

    overall                                as released: mean of the types' means
    overall_without_category_of_interest   the same over types whose name does not contain `category`; 0 for none
    overall_by_question                    mean over questions, ours [differs: xl_vlms.md 8 #10]
    """
    places = _places(types)
    means = {kind: float(scores[rows].mean()) for kind, rows in places.items()}
    rest = [mean for kind, mean in means.items() if category not in kind]
    return means | {
        OVERALL: float(np.mean(list(means.values()))) if means else 0.0,
        WITHOUT: float(np.mean(rest)) if rest else 0.0,
        BY_QUESTION: float(scores.mean()) if len(scores) else 0.0,
    }


def _places(types: Sequence[str]) -> dict[str, list[int]]:
    """Rows of every type, types in order of appearance."""
    found: dict[str, list[int]] = {}
    for row, kind in enumerate(types):
        found.setdefault(kind, []).append(row)
    return found


# ---- counts ------------------------------------------------------------------------------------------------------


def answer_counts(predictions: Sequence[str], types: Sequence[str], category: str = "") -> dict[str, dict[str, int]]:
    """How often each answer was written, case kept, per type and over all types.

    The `..._as_official` entries are those of the released code, where a later type overwrites an earlier one.
    """
    counts = {kind: Counter(predictions[row] for row in rows) for kind, rows in _places(types).items()}
    found: dict[str, dict[str, int]] = {kind: dict(one) for kind, one in counts.items()}
    for name, kept in ((OVERALL, list(counts)), (WITHOUT, [kind for kind in counts if category not in kind])):
        found[name] = dict(sum((counts[kind] for kind in kept), Counter()))
        found[name + AS_OFFICIAL] = {answer: n for kind in kept for answer, n in counts[kind].items()}
    return found


def types_to_answers(questions: Iterable[Question]) -> dict[str, dict[str, list[str]]]:
    """The dictionary that the released code reads: every annotated answer, normalised, per answer and question type."""
    found: dict[str, dict[str, list[str]]] = {"answer_type": {}, "question_type": {}}
    for question in questions:
        given = [normalised(answer) for answer in question.answers]
        found["answer_type"].setdefault(question.answer_type, []).extend(given)
        found["question_type"].setdefault(question.question_type, []).extend(given)
    return found


def answers_to_type(type_to_answers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The type that each answer belongs to most often; on ties that which comes first."""
    best: dict[str, tuple[int, str]] = {}
    for kind, answers in type_to_answers.items():
        for answer, count in Counter(answers).items():
            if answer not in best or count > best[answer][0]:
                best[answer] = count, kind
    return {answer: kind for answer, (_, kind) in best.items()}


def types_count(predictions: Sequence[str], answer_to_type: Mapping[str, str]) -> dict[str, int]:
    """How many predictions are answers of each type; numbers that no annotator gave count as `number`."""
    return dict(Counter(answer_type(prediction, answer_to_type) for prediction in predictions))


def answer_type(prediction: str, answer_to_type: Mapping[str, str]) -> str:
    """Type of an answer."""
    said = normalised(prediction)
    return answer_to_type[said] if said in answer_to_type else "number" if is_number(said) else UNRECOGNIZED


class Counts(NamedTuple):
    """Predictions that hold one of some words, as parts of words, case and outer blanks ignored.

    with_word               predictions that do
    and_reference           of those, one of the references holds a target word
    and_baseline            of those with the word, the baseline's prediction holds a target word
    changed                 predictions other than the baseline's; without a baseline those that are not empty
    """

    with_word: int
    and_reference: int
    and_baseline: int
    changed: int


def counts(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    baseline: Sequence[str] | None,
    words: Sequence[str],
    targets: Sequence[str],
) -> Counts:
    """The four counters of the released code."""
    before = [""] * len(predictions) if baseline is None else list(baseline)
    rows = list(zip(predictions, references, before, strict=True))
    holding = [row for row in rows if _holds(row[0], words)]
    return Counts(
        len(holding),
        sum(any(_holds(one, targets) for one in given) for _, given, _ in holding),
        sum(_holds(earlier, targets) for _, _, earlier in holding),
        sum(said != earlier for said, _, earlier in rows),
    )


def _holds(text: str, words: Sequence[str]) -> bool:
    plain = text.lower().strip()
    return any(word.lower().strip() in plain for word in words)
