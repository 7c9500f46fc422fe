"""Nouns and their tokens against the released code on four captions, its bug of shifted tokens included."""

import json
from pathlib import Path

import pytest

from vlmscope.mm_neurons.text import nouns

CASES = json.loads((Path(__file__).parent / "mm_neurons" / "nouns.json").read_text(encoding="utf-8"))


def found(case):
    """Nouns with one spelling each, of one token."""
    spellings = [(noun, [[token]]) for noun, token in zip(case["candidates"], case["noun_tokens"], strict=True)]
    return [one for one in nouns.found(spellings, case["output_tokens"]) if one.position is not None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"])
def test_noun_token_and_position_belong_together(case):
    assert [one.noun for one in found(case)] == case["nouns_kept"]
    assert [[one.tokens[0], one.noun, one.position] for one in found(case)] == case["correct_triples"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"])
def test_the_token_that_the_released_code_takes_is_told(case):
    assert [[one.official_token, one.noun, one.position] for one in found(case)] == case["official_triples"]


def test_tokens_are_shifted_only_behind_a_dropped_noun():
    for case in CASES:
        dropped = [noun for noun in case["candidates"] if noun not in case["nouns_kept"]]
        shifted = [one.noun for one in found(case) if one.official_token != one.tokens[0]]
        assert shifted == [noun for noun in case["nouns_kept"] if dropped and noun > dropped[0]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"])
def test_nouns_come_in_the_released_order(case):
    def tag(text):
        return [[nouns.taggers.Word(word, "NN" if word in case["candidates"] else "X") for word in text.split()]]

    assert nouns.nouns_of(case["caption"], tag, "first") == case["candidates"]
