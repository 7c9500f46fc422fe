"""Which pictures an edit is made from and tested on, and the places at which it has to work (mm_neurons.md 2.11, 6.8).

A place is an occurrence of the source word in a caption, with the target word in the places of earlier ones: this is
what the edited model would have written before it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.models.answer import seed_of
from vlmscope.store.spelling import Spelling


class Words(NamedTuple):
    """Source and target with the ways to spell them, in the same order: within a text, at its beginning."""

    source: str
    target: str
    sources: tuple[tuple[int, ...], ...]
    targets: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> tuple[int, int]:
        """First tokens of both within a text."""
        return self.sources[0][0], self.targets[0][0]


class Case(NamedTuple):
    """An occurrence of the source word.

    before   tokens of the caption before it
    source   tokens of the source word
    target   tokens that shall stand there
    """

    sample: str
    before: tuple[int, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]


class Chosen(NamedTuple):
    """Samples by what they are for.

    made      the edit is made from them: their captions have the source word
    kept      without it; the edit is made to leave them as they are
    aims      with the target word and without the source word
    general   with the source word, none of `made`
    local     without it, none of `kept` or `aims`
    """

    made: list[str]
    kept: list[str]
    aims: list[str]
    general: list[str]
    local: list[str]


def words(spelled: Spelling, source: str, target: str) -> Words:
    """Both words as a tokenizer spells them."""
    found = Words(source, target, *(tuple(map(tuple, spelled.spellings(word))) for word in (source, target)))
    if found.tokens[0] == found.tokens[1]:
        raise VlmscopeError(
            f"'{source}' and '{target}' begin with the same token: no edit of its logit can tell them apart.",
            where="mm_neurons.edit.pairs",
            instead="two words whose first tokens differ",
        )
    return found


def has(text: str, word: str) -> bool:
    """Whether a text has a whole word, in any case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, flags=re.IGNORECASE) is not None


def choose(
    captions: pl.DataFrame, source: str, target: str, *, images: int, kept: int, tested: int, seed: int
) -> Chosen:
    """Samples in an order that the seed decides.

    captions   `schemas.CAPTIONS`
    images     most samples of `made` and of `aims`
    tested     most samples of `general` and of `local`
    """
    told = dict(captions.select("sample", "caption").iter_rows())
    order = sorted(told, key=lambda sample: seed_of(seed, sample))
    having = [sample for sample in order if has(told[sample], source)]
    free = [sample for sample in order if not has(told[sample], source)]
    # Half of the pictures without the word are left for the test, however few there are.
    stay = free[: min(kept, len(free) // 2)]
    aims = [sample for sample in free if has(told[sample], target)][:images]
    used = {*stay, *aims}
    return Chosen(
        having[:images],
        stay,
        aims,
        having[images : images + tested],
        [sample for sample in free if sample not in used][:tested],
    )


def cases(sample: str, tokens: Sequence[int], both: Words, spelled: Spelling) -> Iterator[Case]:
    """Occurrences of the source word in a caption, in order.

    tokens   of the caption; words spelled otherwise (capitals, say) are no occurrences
    """
    done: list[int] = []
    place = 0
    while place < len(tokens):
        form = next((one for one, form in enumerate(both.sources) if _stands(form, place, tokens, spelled)), None)
        if form is None:
            done.append(tokens[place])
            place += 1
            continue
        yield Case(sample, tuple(done), both.sources[form], both.targets[form])
        done += both.targets[form]
        place += len(both.sources[form])


def _stands(form: Sequence[int], place: int, tokens: Sequence[int], spelled: Spelling) -> bool:
    """Whether a word in this spelling begins here and is whole: what follows does not go on with it."""
    end = place + len(form)
    if tuple(tokens[place:end]) != tuple(form):
        return False
    before, upto = spelled.text(tokens[:place]), spelled.text(tokens[:end])
    after = spelled.text(tokens[: end + 1])[len(upto) :]
    word = upto[len(before) :]
    return (not before or not word[:1].isalnum() or not before[-1:].isalnum()) and not after[:1].isalnum()


def without_end(tokens: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    """Tokens of a caption without the one that ended it."""
    return tuple(token for token in tokens if token not in ends)


def summary(chosen: Chosen) -> Mapping[str, Any]:
    """How many samples there are of each kind."""
    return {name: len(part) for name, part in chosen._asdict().items()}
