"""Whether an answer still names the object (llava_interp.md 2.6, 6).

The released ways find a class within other words, and take an empty answer for the beginning of any class: what was
lost still counts as named. The strict ones are the default [differs: llava_interp.md 8 #7].
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

Mode = Literal["strict", "official"]
# What a tokenizer writes in place of a blank.
MARKS = "▁Ġ"


def mentions(text: str, name: str, mode: Mode, others: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Whether a description names a class.

    strict     a whole word, in any case, singular or plural; or one of `others`, class -> further words for it
    official   a part of the text, in this case: "cat" is in "located"
    """
    if mode == "official":
        return name in text
    words = "|".join(re.escape(one) for one in (name, *(others or {}).get(name, ())))
    return re.search(rf"\b(?:{words})(?:s|es)?\b", text, flags=re.IGNORECASE) is not None


def affirms(text: str, mode: Mode) -> bool:
    """Whether the answer to "is there ...?" is yes; official takes those letters within a word too."""
    return "yes" in text.lower() if mode == "official" else re.search(r"\byes\b", text, flags=re.IGNORECASE) is not None


def names(text: str, first: str, token: int, right: Collection[int], mode: Mode) -> bool:
    """Whether the next token is that of the class.

    text    the token decoded by itself
    first   the first piece of the class, as the tokenizer writes it
    right   first tokens of the class, with a blank in front and without
    strict asks for one of `right`; official takes every beginning of the piece, the empty text among them
    """
    if mode == "official":
        return first.lstrip(MARKS).lower().startswith(text.strip().lower())
    return token in right
