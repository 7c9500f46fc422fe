"""Nouns of captions, and where their tokens were written (mm_neurons.md 2.5).

A noun is looked at by the first of its tokens: the one that begins it when it is spelled by itself. The noun is kept
where the caption holds this token; its position is the first one there.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from vlmscope import samples as table
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUN_COUNTS, NOUNS
from vlmscope.mm_neurons.text import taggers
from vlmscope.mm_neurons.text.taggers import Tagger
from vlmscope.store import tables
from vlmscope.store.spelling import Spelling, spelling

log = logging.getLogger(__name__)

KEPT = "kept"
# The caption holds the noun, but spells it otherwise: behind a hyphen, a quote, a slash.
SPELLED = "spelled otherwise"
# The released code stops at such a caption [differs: mm_neurons.md 8 B14].
NONE = "no noun"


class Found(NamedTuple):
    """A noun of a caption.

    position         of its first token among the caption's, None where it is not there
    official_token   token that the released code scores it with, None where it drops the noun
    """

    noun: str
    tokens: list[int]
    position: int | None
    official_token: int | None


def nouns_of(caption: str, tag: Tagger, sentences: str) -> list[str]:
    """Different nouns of a caption in the order of their letters' numbers, capitals first.

    sentences   all, or `first` as in the released code, which takes points for spaces and goes no further than the
                first question or exclamation mark [differs: mm_neurons.md 8 B17]
    """
    parts = tag(caption.replace(".", " "))[:1] if sentences == "first" else tag(caption)
    return sorted({word.text for part in parts for word in part if word.tag.startswith("N")})


def found(spellings: Sequence[tuple[str, Sequence[Sequence[int]]]], written: Sequence[int]) -> list[Found]:
    """Where the nouns of a caption are.

    spellings   nouns in order, each with the ways to spell it; the first one that is there counts
    written     tokens of the caption

    The released code drops nouns that are not there from its list of nouns, but not from that of their tokens: every
    noun behind a dropped one gets the token of another [differs: mm_neurons.md 8 B9].
    """
    told = []
    for noun, forms in spellings:
        form = next((one for one in forms if one[0] in written), forms[0])
        told.append((noun, list(form), list(written).index(form[0]) if form[0] in written else None))
    firsts = iter([form[0] for _, form, _ in told])
    return [Found(*one, None if one[2] is None else next(firsts)) for one in told]


def starts_word(noun: str, position: int, written: Sequence[int], spelled: Spelling) -> bool:
    """Whether the noun, as a whole word, begins with the token at this position."""
    before, whole = spelled.text(written[:position]), spelled.text(written)
    rest = whole[len(before) :]
    word = rest.lstrip()
    is_begun = not before or not (before + rest)[len(before) - 1 : len(before) + 1].isalnum()
    return is_begun and word.startswith(noun) and not word[len(noun) :][:1].isalnum()


def in_picture(noun: str, truth: Sequence[str] | None) -> bool | None:
    """Whether a picture shows what a noun says; None where nobody knows: photographs, words beyond the drawn world."""
    if truth is None or not taggers.singular(noun, taggers.WORLD):
        return None
    return bool(taggers.singular(noun, truth))


def rows(
    caption: dict[str, Any], truth: Sequence[str] | None, spelled: Spelling, tag: Tagger, sentences: str
) -> Iterator[dict[str, Any]]:
    """Rows of one caption (`schemas.NOUNS`); a caption without nouns has one row, which says so.

    caption   row of `schemas.CAPTIONS`
    truth     what is in the picture
    """
    nouns = nouns_of(caption["caption"], tag, sentences)
    written = caption["tokens"]
    for one in found([(noun, spelled.spellings(noun)) for noun in nouns], written):
        is_there = one.position is not None
        yield {
            "sample": caption["sample"],
            **one._asdict(),
            "token": one.tokens[0],
            "n_subtokens": len(one.tokens),
            "starts_word": starts_word(one.noun, one.position, written, spelled) if is_there else None,
            "status": KEPT if is_there else SPELLED,
            "in_picture": in_picture(one.noun, truth),
        }
    if not nouns:
        yield {"sample": caption["sample"], "status": NONE}


def counts(nouns: pl.DataFrame) -> pl.DataFrame:
    """One row that sums up a table of nouns (`schemas.NOUN_COUNTS`)."""
    statuses = Counter(nouns["status"])
    kept = nouns.filter(status=KEPT)
    wrong = kept.filter(pl.col("official_token") != pl.col("token"))
    row = {
        "captions": nouns["sample"].n_unique(),
        "without_noun": statuses[NONE],
        "nouns": len(nouns) - statuses[NONE],
        "different": kept["noun"].n_unique(),
        "kept": statuses[KEPT],
        "spelled_otherwise": statuses[SPELLED],
        "several_tokens": kept.filter(pl.col("n_subtokens") > 1).height,
        "starts_no_word": kept.filter(~pl.col("starts_word")).height,
        "official_wrong_token": len(wrong),
        "official_wrong_captions": wrong["sample"].n_unique(),
        "not_in_picture": kept.filter(~pl.col("in_picture")).height,
    }
    return pl.DataFrame([row], schema=NOUN_COUNTS)


def from_files(
    *, model: str, captions: str, samples: str, settings: dict[str, Any], remote: taggers.Remote
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Nouns of all captions, and the row that sums them up.

    settings   `mm_neurons.nouns`
    remote     asks a CoreNLP server
    """
    truths = {one.sample: truth_of(one) for one in table.read(samples)}
    tag, spelled = taggers.tagger(settings, remote), spelling(model)
    told = tables.read(captions, CAPTIONS)
    parts = [
        row
        for one in told.iter_rows(named=True)
        for row in rows(one, truths.get(one["sample"]), spelled, tag, settings["sentences"])
    ]
    nouns = pl.DataFrame(parts, schema=NOUNS)
    summed = counts(nouns)
    log.info("%s", ", ".join(f"{key} {value}" for key, value in summed.row(0, named=True).items()))
    return nouns, summed


def truth_of(sample: table.Sample) -> list[str] | None:
    """What is in a drawn picture; None for photographs."""
    answer = json.loads(sample.answer)
    return answer.get("in_picture") if isinstance(answer, dict) else None
