"""How a model's tokenizer spells words, from its file alone: neither torch nor transformers is loaded."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from tokenizers import Tokenizer

from vlmscope.errors import VlmscopeError
from vlmscope.selection import whole_words
from vlmscope.store import files

# What word-start pieces begin with: SentencePiece's and byte-level BPE's mark of a space.
SPACES = ("\u2581", "\u0120")


class Spelling:
    """A tokenizer, and whether it puts a space before a text by itself, as Llama's does."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.has_own_space = tokenizer.encode("a", add_special_tokens=False).tokens[0].startswith(SPACES)

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special ones left out."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)

    def raw(self, tokens: Sequence[int]) -> str:
        """Text of tokens with the special ones."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=False)

    def spellings(self, word: str) -> list[list[int]]:
        """Ids of a word that begins within a text, and where that is another spelling, of one that begins it."""
        forms = [word] if self.has_own_space else [f" {word}", word]
        return [self.tokenizer.encode(form, add_special_tokens=False).ids for form in forms]


def word_starts(read: Callable[[Sequence[int]], str], tokens: Sequence[int], words: Sequence[str]) -> list[int]:
    """Tokens at which one of the words begins in the text that they make.

    read   text of tokens, special ones included

    A word counts as a whole, whatever its case and however many tokens it takes; the token is the one that holds its
    first letter, so a piece that is a space alone does not count [differs: xl_vlms.md 8 #1, #2, #3].
    """
    # Text up to and with each token: pieces alone may decode to other texts.
    texts = [read(tokens[: place + 1]) for place in range(len(tokens))]
    if not texts:
        return []
    # Half a character decodes to a mark that the next token takes back; ends must not fall.
    ends = list(accumulate(map(len, texts), max))
    found = whole_words(words).finditer(texts[-1])
    return sorted({next(k for k, end in enumerate(ends) if end > match.start()) for match in found})


def spelling(model: str | Path) -> Spelling:
    """The tokenizer of a model.

    model   its manifest
    """
    path = Path(files.read_json(model)["folder"]) / "tokenizer.json"
    if not path.is_file():
        raise VlmscopeError(
            "The checkpoint has no tokenizer.json.",
            where=str(path),
            instead="load its tokenizer with transformers.AutoTokenizer and save it in this folder",
        )
    # The library raises Exception itself for whatever is wrong with a file.
    try:
        return Spelling(Tokenizer.from_file(str(path)))
    except Exception as error:
        raise VlmscopeError(
            f"The tokenizer cannot be read: {error}", where=str(path), instead="fetch this file again"
        ) from error
