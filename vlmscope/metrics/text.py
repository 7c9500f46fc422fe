"""Comparing short texts: words, overlap, edit distance."""

import re
import unicodedata
from collections import Counter

ARTICLES = ("a", "an", "the")
_WORD_BREAK = re.compile(r"\s+")


def collapsed(text: str) -> str:
    """Lower case, no blanks around, white space inside as one blank (the ANLS preparation, mmneuron.md 6)."""
    return _WORD_BREAK.sub(" ", text.strip().lower())


def words(text: str) -> list[str]:
    """Words without case, punctuation and articles; accents are kept."""
    # casefold also makes one of ß and ss, NFKC of a ligature and its letters.
    plain = unicodedata.normalize("NFKC", text).casefold()
    spaced = "".join(" " if unicodedata.category(letter).startswith("P") else letter for letter in plain)
    return [word for word in spaced.split() if word not in ARTICLES]


def is_number(text: str) -> bool:
    """Whether Python reads a text as a number: "7", "3.5" and "1e5", but also "nan" and "inf"."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def token_f1(prediction: str, reference: str) -> float:
    """Harmonic mean of word precision and recall, 0 to 1; 1 when neither text has a word."""
    said, meant = Counter(words(prediction)), Counter(words(reference))
    if not said or not meant:
        return float(said == meant)
    shared = (said & meant).total()
    return 2 * shared / (said.total() + meant.total())


def edit_distance(one: str, other: str) -> int:
    """Fewest insertions, deletions and substitutions of characters (Levenshtein)."""
    # One row of the table at a time, along the shorter text.
    if len(one) < len(other):
        one, other = other, one
    above = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        row = [i]
        for j, b in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


# ---- number ------------------------------------------------------------------------------------------------------

_IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "mice": "mouse",
    "people": "person",
    "teeth": "tooth",
}
# Ending of a plural -> endings of what it may be the plural of.
_PLURALS = {
    "men": ("man",),
    "ies": ("y", "ie"),
    "ves": ("f", "fe", "ve"),
    **{f"{sound}es": (sound, sound + "e") for sound in ("s", "x", "z", "ch", "sh", "o")},
    "s": ("",),
}
_NO_PLURAL = ("ss", "us", "is")


def forms(word: str) -> frozenset[str]:
    """A word without case, and what it may be the plural of; two words are the same noun if they share a form.

    English, by its endings. A stemmer would cut more and make one of car and care, or of plane and plan.
    """
    word = unicodedata.normalize("NFKC", word).casefold().strip()
    if word in _IRREGULAR:
        return frozenset({word, _IRREGULAR[word]})
    for ending, others in _PLURALS.items():
        if word.endswith(ending) and not word.endswith(_NO_PLURAL) and len(word) > len(ending) + 1:
            return frozenset({word, *(word.removesuffix(ending) + other for other in others)})
    return frozenset({word})
