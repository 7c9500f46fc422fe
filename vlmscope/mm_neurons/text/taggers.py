"""Which words of a text are nouns: a list of words by default, and taggers where they are installed."""

import importlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from vlmscope.errors import VlmscopeError
from vlmscope.world.document import TITLES
from vlmscope.world.labels import OBJECTS

# Nouns that captions of the drawn world hold: things, places, what is around them.
PLACES = ("park", "room", "beach", "road", "forest", "city", "desert", "farm", "water", "lung", "brain", "liver")
WORLD = frozenset((*OBJECTS, *PLACES, *TITLES, "traffic", "day", "night", "scan", "xray", "view"))


class Word(NamedTuple):
    """A word of a text and its part of speech in the Penn Treebank's letters; nouns begin with N."""

    text: str
    tag: str


# Text -> its sentences.
Tagger = Callable[[str], list[list[Word]]]
# Address of a CoreNLP server and text -> its sentences, each of pairs of word and tag.
Remote = Callable[[str, str], list[list[tuple[str, str]]]]


def tagger(settings: dict[str, Any], remote: Remote) -> Tagger:
    """The tagger of `mm_neurons.nouns`.

    remote   asks a CoreNLP server
    """
    backend = settings["backend"]
    if backend == "lexicon":
        return lexicon(words_of(settings["lexicon"]) if settings["lexicon"] else WORLD)
    if backend == "corenlp":
        return lambda text: [[Word(*word) for word in part] for part in remote(settings["server"], text)]
    return {"spacy": spacy, "nltk": nltk}[backend](settings["model"])


def lexicon(nouns: Iterable[str]) -> Tagger:
    """Words that are in a list of nouns, in any case, also with an s behind; all others are unknown (X)."""
    known = {noun.casefold() for noun in nouns}

    def tag(word: str) -> Word:
        return Word(word, "N" if singular(word, known) else "X")

    def tagged(text: str) -> list[list[Word]]:
        # Ends of sentences as CoreNLP sees them: a point, question or exclamation mark before a space.
        parts = re.split(r"(?<=[.?!])\s+", text.strip())
        return [[tag(word) for word in re.findall(r"[^\W\d_]+", part)] for part in parts if part]

    return tagged


def singular(word: str, known: Iterable[str]) -> str:
    """The word of a list that this is a form of: itself, or without the s behind it; empty where there is none."""
    lower = word.casefold()
    return next((form for form in (lower, lower.removesuffix("s")) if form in known), "")


def words_of(path: str | Path) -> list[str]:
    """Words of a file, one a line; blank lines and those that begin with # do not count."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VlmscopeError(
            f"The list of nouns cannot be read: {error}",
            where=str(path),
            instead="mm_neurons.nouns.lexicon: a text file",
        ) from error
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not words:
        raise VlmscopeError("The list of nouns is empty.", where=str(path), instead="a noun per line")
    return words


def spacy(model: str) -> Tagger:
    """A pipeline of spaCy."""
    library = _installed("spacy")
    try:
        pipeline = library.load(model)
    except OSError as error:
        raise VlmscopeError(
            f"spaCy has no model '{model}'.",
            where="mm_neurons.nouns.model",
            instead=f"python -m spacy download {model}",
        ) from error
    return lambda text: [[Word(word.text, word.tag_) for word in part] for part in pipeline(text).sents]


def nltk(model: str) -> Tagger:
    """The default tagger of NLTK, with its splitters of sentences and words."""
    library = _installed("nltk")

    def tagged(text: str) -> list[list[Word]]:
        try:
            parts = [library.word_tokenize(part) for part in library.sent_tokenize(text)]
            return [[Word(*word) for word in library.pos_tag(part)] for part in parts]
        except LookupError as error:
            raise VlmscopeError(
                "NLTK lacks its data.",
                where="mm_neurons.nouns.backend: nltk",
                instead="python -m nltk.downloader punkt_tab averaged_perceptron_tagger_eng",
            ) from error

    return tagged


def _installed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise VlmscopeError(
            f"The tagger {name} is not installed.",
            where=f"mm_neurons.nouns.backend: {name}",
            instead=f"pip install {name}, or backend: lexicon",
        ) from error
