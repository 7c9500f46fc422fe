"""Which decoded pieces count as words (xl_vlms.md 2.7): those of a list that are no stop words, and numbers."""

from pathlib import Path
from typing import NamedTuple

from vlmscope.errors import VlmscopeError
from vlmscope.metrics.text import is_number
from vlmscope.world import labels
from vlmscope.world.document import TITLES

# Words that the captions of the drawn world can hold, beside the names of things and colors.
SCENERY = (
    *("park", "room", "beach", "forest", "city", "desert", "farm", "water", "field", "traffic", "street"),
    *("lung", "brain", "liver", "scan", "image", "view", "day", "night", "rain", "fog"),
)
# Shorter words do not count.
LEAST = 3
# Function words of English that the stop list of scikit-learn does not have.
MORE_STOPS = frozenset({"yes"})


class WordFilter(NamedTuple):
    """What a piece is held against; both lists are of lower-case words.

    words   all words, as the list spells them: a name with a capital letter is never met, as in the released code
    stops   words that do not count
    """

    words: frozenset[str]
    stops: frozenset[str]

    def __call__(self, piece: str) -> bool:
        """Whether a piece, without case and blanks, is a word or a number."""
        word = piece.strip().lower()
        return (word in self.words and len(word) >= LEAST and word not in self.stops) or is_number(word)


def word_filter(words: str = "", stops: str = "") -> WordFilter:
    """The filter of two files of words; without them the drawn world's words and scikit-learn's stop words.

    words   a word per line, e.g. `corpora/words/en` of NLTK's data
    stops   separated by commas or lines
    """
    return WordFilter(_read(words) if words else world(), _read(stops) if stops else english())


def world() -> frozenset[str]:
    """Words of the drawn world's captions that say what is there, plurals among them."""
    nouns = (*labels.OBJECTS, *SCENERY, *TITLES)
    return frozenset((*nouns, *(f"{noun}s" for noun in nouns), *labels.COLOR_NAMES, *labels.POSITIONS))


def english() -> frozenset[str]:
    """Function words of English."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    # "top" is in that list, but says where something is.
    return ENGLISH_STOP_WORDS - frozenset(labels.POSITIONS) | MORE_STOPS


def _read(path: str) -> frozenset[str]:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VlmscopeError(
            f"The list of words cannot be read: {error}",
            where=path,
            instead="a text file with a word per line, as python -m nltk.downloader words brings one",
        ) from error
    found = frozenset(word.strip() for word in text.replace(",", "\n").splitlines() if word.strip())
    if not found:
        raise VlmscopeError("The list of words is empty.", where=path, instead="a word per line")
    return found
