"""Which positions of an answer make a vector: spans of states, and samples that count (xl_vlms.md 2.2, 2.3).

A state belongs to the token that it predicted. States of a sample are numbered from 0: those that predicted what was
written, or all of them where the whole sequence is looked at.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from vlmscope import selection
from vlmscope.store.spelling import Spelling, word_starts

# First state and the one after the last; a vector is the mean over them.
Span = tuple[int, int]
Chosen = Mapping[str, Any]


class Written(NamedTuple):
    """What was written after a prompt.

    prompt   tokens in front of it; empty where only what was written is looked at
    tokens   what was written
    end      id of the token that ended it, -1 where the limit did
    """

    prompt: list[int]
    tokens: list[int]
    end: int

    @property
    def predicted(self) -> list[int]:
        """The token that each state predicted, the end token left out where nothing else is looked at."""
        if not self.prompt:
            return self.tokens
        return (self.prompt + self.tokens)[1:] + [self.end] * (self.end >= 0)


def spans(chosen: Chosen, said: Written, spelled: Spelling) -> list[Span]:
    """Spans of states that make the vectors of one sample; none where there is nothing of the kind.

    chosen   a set as the configuration has it
    """
    rule, count = chosen["rule"], len(said.predicted)
    if rule == "word":
        starts = word_starts(spelled.raw, said.tokens, chosen["words"])
        return [(starts[0], starts[0] + 1)] if starts else []
    if rule == "word_official":
        place = first_of(said.predicted, official_ids(chosen, spelled))
        return [] if place is None else [(place, place + 1)]
    if rule == "before_end":
        return _some((0, before_end(count, said.end)))
    if rule == "range":
        bounds = range(count)[chosen["start"] : chosen["end"] or None]
        places = [(place, place + 1) for place in bounds]
        return places if chosen["keep"] == "all" else _some((bounds.start, bounds.stop))
    return _numbered(rule, chosen["index"], count)


def _numbered(rule: str, index: int, count: int) -> list[Span]:
    """The span of mean, index or prompt_end."""
    if rule == "mean":
        return _some((0, count))
    place = 0 if rule == "prompt_end" else index % count if count and -count <= index < count else count
    return [(place, place + 1)] if place < count else []


def _some(span: Span) -> list[Span]:
    return [span] if span[0] < span[1] else []


def first_of(predicted: Sequence[int], wanted: Collection[int]) -> int | None:
    """The first state that predicted one of the ids."""
    return next((place for place, token in enumerate(predicted) if token in wanted), None)


def before_end(count: int, end: int) -> int:
    """How many states the released mean takes: those before the end token, all but the last where there is none.

    count   states that predicted what was written, without the one that predicted the end
    """
    # [differs: xl_vlms.md 2.2] any id at which the model stops is an end, not the first piece of a text such as `</s>`.
    return count if end >= 0 else max(0, count - 1)


def official_ids(chosen: Chosen, spelled: Spelling) -> set[int]:
    """First pieces of the words and their variants, as the released code encodes them."""
    if chosen["ids"]:
        return set(chosen["ids"])
    variants = {form for word in chosen["words"] for form in _variants(word, chosen["spellings"])}
    encoded = [spelled.tokenizer.encode(form, add_special_tokens=False).ids for form in sorted(variants)]
    return {ids[0] for ids in encoded if ids}


def _variants(word: str, spellings: str) -> list[str]:
    # The released code adds to the list that it goes through, without end [differs: xl_vlms.md 8 #6].
    return [word, word.capitalize(), word.lower(), *([f" {word}"] if spellings == "word" else [])]


def references(answer: Any) -> list[str]:
    """Texts that a sample is compared with, the usual one first: captions, or the usual answer and all others."""
    if isinstance(answer, str):
        return [answer]
    if isinstance(answer, list):
        return [one["answer"] if isinstance(one, dict) else str(one) for one in answer]
    if "choice" in answer:
        return [answer["choice"], *answer["answers"]]
    single = [answer[key] for key in ("caption", "answer") if answer.get(key) is not None]
    return answer.get("captions", single)


def counts(chosen: Chosen) -> Callable[[Any], bool]:
    """Tells whether a sample with this answer counts for a set."""
    match = chosen["match"]
    fits = {
        is_answer: selection.matcher(chosen["has"], _usual(is_answer) if match == "auto" else match)
        for is_answer in (True, False)
    }

    def passes(answer: Any) -> bool:
        table = answer if isinstance(answer, dict) else {}
        if chosen["answer_type"] and table.get("answer_type") != chosen["answer_type"]:
            return False
        # The released code asks the first caption alone; any of them is an option [differs: xl_vlms.md 8 #5].
        texts = references(answer)[: None if chosen["of"] == "any" else 1]
        is_answer = not {"caption", "captions"} & set(table)
        return not chosen["has"] or any(map(fits[is_answer], texts))

    return passes


def _usual(is_answer: bool) -> str:
    return "exact" if is_answer else "word"
