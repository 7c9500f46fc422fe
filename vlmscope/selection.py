"""Which samples of a benchmark are looked at: seeded random subsets, words in their texts, lists of pictures."""

import json
import pickletools
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vlmscope.errors import VlmscopeError

# What a pickled list of texts is made of; nothing that builds, imports or calls.
PLAIN = {"PROTO", "FRAME", "MARK", "APPEND", "APPENDS", "STOP"}
LISTS = {"LIST", "EMPTY_LIST"}
TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
NOTE, NOTE_AT, RECALL = "MEMOIZE", {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
MATCHES = ("word", "exact", "substring")


def subset(n: int, size: int, seed: int) -> np.ndarray:
    """Places of the released code's random subset, int64 [size], in its order (xl_vlms.md 2.3); size 0 takes all."""
    if not size:
        return np.arange(n)
    if size > n:
        raise VlmscopeError(
            f"A subset of {size} is larger than the {n} items there are.",
            where="datasets.*.options.subset",
            instead=f"at most {n}, or 0 for all of them",
        )
    return np.random.default_rng(seed=seed).choice(n, size=size, replace=False)


def listed(text: str) -> list[str]:
    """Words of an option, `red, blue` -> `["red", "blue"]`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def matcher(wanted: Sequence[str], match: str) -> Callable[[str], bool]:
    """Tells whether a text has one of the wanted words.

    match   word: as a whole, in any case; exact: it is the whole text, in any case; substring: anywhere, in this case,
            as the released code does, which finds `no` in `snow` [differs: xl_vlms.md 8 #4]
    """
    if match not in MATCHES:
        raise VlmscopeError(f"There is no match '{match}'.", instead="one of: " + ", ".join(MATCHES))
    if match == "substring":
        return lambda text: any(word in text for word in wanted)
    if match == "exact":
        known = {word.strip().lower() for word in wanted}
        return lambda text: text.strip().lower() in known
    return lambda text: bool(wanted) and whole_words(wanted).search(text) is not None


def whole_words(wanted: Sequence[str]) -> re.Pattern[str]:
    """A pattern that finds one of the words as a whole, in any case; of several at one place the longest."""
    choice = "|".join(re.escape(word) for word in sorted(wanted, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{choice})(?!\w)", flags=re.IGNORECASE)


def stem(reference: str) -> str:
    """`train2014/COCO_train2014_000000000009.jpg` -> `COCO_train2014_000000000009`."""
    return PurePosixPath(reference).stem


def stems(path: str | Path) -> set[str]:
    """Stems of the pictures that a file lists: a pickled or JSON list of texts, or a text with one per line.

    The released code compares whole names with stems and finds nothing [differs: xl_vlms.md 8 #7].
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        found = _listed_in(data, path.suffix)
    except OSError as error:
        raise _refused(path, f"it cannot be read ({error.strerror})") from None
    except (ValueError, IndexError, KeyError, RecursionError) as error:
        raise _refused(path, f"it is damaged ({str(error)[:80]})") from None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _refused(path, "it is no list of texts")
    return {stem(one) for one in found}


def _listed_in(data: bytes, suffix: str) -> list[str]:
    if suffix in (".pkl", ".pickle"):
        return pickled_texts(data)
    text = data.decode("utf-8")
    return json.loads(text) if suffix == ".json" else [line.strip() for line in text.splitlines() if line.strip()]


def pickled_texts(data: bytes) -> list[str]:
    """The texts of a pickled list of texts, read without running it; anything else in it is refused."""
    found: list[str] = []
    memo: dict[int, str | None] = {}
    last: str | None = None
    lists = 0
    for code, argument, _ in pickletools.genops(data):
        if code.name in TEXTS:
            last = str(argument)
            found.append(last)
        elif code.name in RECALL:
            if (last := memo[int(argument)]) is None:
                raise ValueError("it holds a list in a list")
            found.append(last)
        elif code.name == NOTE:
            memo[len(memo)] = last
        elif code.name in NOTE_AT:
            memo[int(argument)] = last
        elif code.name in LISTS:
            lists, last = lists + 1, None
        elif code.name not in PLAIN:
            raise ValueError(f"it holds more than texts: {code.name}")
    if lists != 1:
        raise ValueError(f"it holds {lists} lists")
    return found


def _refused(path: Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The list of pictures is refused: {why}.",
        where=str(path),
        instead="a pickled or JSON list of names, or a text file with one per line",
    )
