"""Scores of one answer, 0 to 1, per benchmark (mmneuron.md 6).

Every function takes the prediction first and then what the benchmark knows; means over rows are taken elsewhere.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.metrics.text import ARTICLES, collapsed, edit_distance

OPTIONS = ("A", "B", "C", "D")
# The released PMC-VQA score also looks for E, an option that no question has.
OFFICIAL_OPTIONS = (*OPTIONS, "E")
_STAND_ALONE = re.compile(r"\b[A-D]\b")
_CHOICE_LETTER = re.compile(r"^\s*[A-D]\s*[:.)]\s*")
_AROUND = " \t\r\n.,:;()[]\"'"


def exact_match(prediction: str, answer: str) -> float:
    """Whether both texts are the same but for case; blanks count (RS-VQA)."""
    return float(prediction.lower() == answer.lower())


def exact_trimmed(prediction: str, answer: str) -> float:
    """Whether both texts are the same but for case and for blanks and marks around them (RS-VQA).

    [differs: mmneuron.md 6] the released score counts a blank or a full stop at the end as another answer.
    """
    return float(collapsed(prediction.strip(_AROUND)) == collapsed(answer.strip(_AROUND)))


# --- documents --------------------------------------------------------------------------------------------------------


def anls(prediction: str, answers: Sequence[str], threshold: float = 1.0) -> float:
    """Normalised Levenshtein similarity to the closest accepted answer (DocVQA).

    threshold   distances from here on count as wrong; 1.0 as released, 0.5 in the DocVQA challenge
    """
    _some(answers)
    return max(_similarity(collapsed(prediction), collapsed(answer), threshold) for answer in answers)


def _similarity(one: str, other: str, threshold: float) -> float:
    longest = max(len(one), len(other))
    distance = edit_distance(one, other) / longest if longest else 0.0
    return 1.0 - distance if distance < threshold else 0.0


# --- medicine ---------------------------------------------------------------------------------------------------------


def official_any(prediction: str, label: str) -> float:
    """Whether any character of the answer is the right letter (PMC-VQA as released).

    [differs: mmneuron.md 8 #17] the released code adds one per character and can exceed 1; this stops at 1.
    """
    return float(_label(label, OFFICIAL_OPTIONS) in prediction)


def first_option(prediction: str, label: str, choices: Sequence[str]) -> float:
    """Whether the option that the answer names first is the right one (PMC-VQA)."""
    return float(option(prediction, choices) == _label(label, OPTIONS))


def option(prediction: str, choices: Sequence[str]) -> str | None:
    """The letter that an answer stands for: the first capital A to D by itself, else the choice it spells out.

    An answer that is nothing but a small letter counts as that letter; inside a sentence "a" is an article.
    """
    bare = prediction.strip(_AROUND)
    if bare.upper() in OPTIONS:
        return bare.upper()
    if match := _STAND_ALONE.search(prediction):
        return match.group()
    texts = [_choice_text(choice) for choice in choices]
    # Nothing but text is left here: a letter, alone or before the text of its choice, was caught above.
    said = _choice_text(prediction)
    return OPTIONS[texts.index(said)] if said and said in texts else None


def _choice_text(choice: str) -> str:
    """` A:Diffuse uptake ` -> `diffuse uptake`."""
    return collapsed(_CHOICE_LETTER.sub("", choice).strip(_AROUND))


def _label(label: str, known: Sequence[str]) -> str:
    if label.strip() not in known:
        raise VlmscopeError(
            f"{label!r} is not the letter of an option.",
            where="answers of PMC-VQA",
            instead=f"one of {', '.join(known)}; leave out questions without a label",
        )
    return label.strip()


# --- common scenes ----------------------------------------------------------------------------------------------------


def com_exact(prediction: str, answers: Sequence[Mapping[str, Any]]) -> float:
    """Whether someone who was sure gave exactly this answer, but for case (VQAv2 as released)."""
    _some(answers)
    return float(prediction.lower() in [one["answer"].lower() for one in answers if one["answer_confidence"] == "yes"])


def vqa_acc(prediction: str, answers: Sequence[Mapping[str, Any]]) -> float:
    """The VQAv2 accuracy: an answer is right when three others gave it, averaged over leaving out each annotator.

    As in the official evaluation only punctuation is taken from the annotators' answers, and only when they differ. The
    released code has `com_exact` instead [differs: mmneuron.md 8 #21].
    """
    _some(answers)
    said = plain_numbers(without_punctuation(_one_line(prediction)))
    given = [one["answer"] for one in answers]
    if len(set(given)) > 1:
        given = [without_punctuation(answer) for answer in given]
    return agreement(said, given)


def agreement(said: str, given: Sequence[str]) -> float:
    """Whether three of the others gave the same answer, averaged over leaving out each annotator, 0 to 1."""
    same = sum(answer == said for answer in given)
    # Leaving out an annotator who agrees lowers the number of matches by one.
    return sum(min(1.0, (same - (answer == said)) / 3) for answer in given) / len(given)


# Marks of the script that came with the benchmark.
MARKS = ";:/'[]\"()=+\\_><@`,?"


def without_punctuation(text: str, marks: str = MARKS, points: int = 0) -> str:
    """Marks beside a blank go, marks inside words become blanks, points stay only before digits.

    points   most points that go; 0 for all of them
    """
    # A comma between digits anywhere makes all marks go without leaving a blank, as in the official evaluation.
    joined = _DIGIT_COMMA.search(text) is not None
    plain = text
    for mark in marks:
        beside = f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if beside or joined else " ")
    return _POINT.sub("", plain, count=points)


def plain_numbers(text: str) -> str:
    """Lower case, number words as digits, no articles, apostrophes put back into contractions."""
    found = [_NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in found if word not in ARTICLES)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _some(answers: Sequence[Any]) -> None:
    if not answers:
        raise VlmscopeError("A question has no answer to compare with.", instead="leave this question out")


_DIGIT_COMMA = re.compile(r"\d,\d")
_POINT = re.compile(r"\.(?!\d)")
_DIGITS = "zero one two three four five six seven eight nine ten"
_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_DIGITS.split())}
# As the official table spells them; where apostrophes are taken out first only forms without any are met.
_SPELT = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's "
    "isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've "
    "shouldn't somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd "
    "there're there's they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's "
    "where'd where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll "
    "you're you've"
)
# Of two apostrophes the official table puts back the one that is missing.
_SPELT_TWICE = (
    "couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've somebody'd've someone'd've "
    "something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've"
)
_CONTRACTIONS = {word.replace("'", ""): word for word in _SPELT.split()}
_CONTRACTIONS |= {
    word[:place] + word[place + 1 :]: word
    for word in _SPELT_TWICE.split()
    for place, letter in enumerate(word)
    if letter == "'"
}
# The official table has this one backwards.
_CONTRACTIONS["somebody'd"] = "somebodyd"
