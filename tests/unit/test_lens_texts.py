"""Tokens as text, with the tokenizer of the embedded model."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from vlmscope import lens

WEIGHTS = Path(__file__).parents[2] / "weights" / "llava"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(WEIGHTS)


def test_a_blank_in_front_is_kept(tokenizer):
    tokens = tokenizer.encode("what color is the", add_special_tokens=False)
    found = lens.texts(tokenizer, tokens)
    assert "".join(found[token] for token in tokens[1:]) == " color is the"


def test_every_token_of_the_vocabulary_has_a_text(tokenizer):
    found = lens.texts(tokenizer, range(len(tokenizer)))
    assert len(found) == len(tokenizer) and all(found.values())
    assert found[tokenizer.bos_token_id] == tokenizer.bos_token
    assert not [text for text in found.values() if "\ufffd" in text]


def test_an_id_beyond_the_vocabulary_is_named(tokenizer):
    assert lens.texts(tokenizer, [len(tokenizer) + 3]) == {len(tokenizer) + 3: f"<id {len(tokenizer) + 3}>"}


@pytest.mark.parametrize(
    ("text", "word"), [(" cat", True), (" a", False), ("cat", False), (" 12", False), (" é", False)]
)
def test_a_whole_word_begins_with_a_blank_and_has_letters_alone(text, word):
    assert lens.is_word(text) is word
    assert not lens.is_word("</s>") and not lens.is_word(" x-y")
