"""Which positions a take looks at: words of the answer, numbered positions, first ones."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vlmscope.capture import places
from vlmscope.capture.plan import Take
from vlmscope.models.base import family
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded

WEIGHTS = Path(__file__).parents[3] / "weights" / "llava"


class Pieces:
    """A tokenizer of listed pieces; like those of Llama it drops the space in front of a text."""

    def __init__(self, *pieces):
        self.pieces = pieces

    def decode(self, tokens, skip_special_tokens, clean_up_tokenization_spaces):
        assert not skip_special_tokens and not clean_up_tokenization_spaces
        return "".join(self.pieces[token] for token in tokens).removeprefix(" ")


class Bytes:
    """A tokenizer of single bytes."""

    def decode(self, tokens, **options):
        return bytes(tokens).decode("utf-8", errors="replace")


def starts(pieces, *words):
    return places.word_starts(Pieces(*pieces), range(len(pieces)), words)


@pytest.mark.parametrize(
    ("pieces", "words", "expected"),
    [
        ((" a", " dog", " runs"), ("dog",), [1]),
        ((" A", " Dog", "."), ("dog",), [1]),
        ((" a", " dog"), ("DOG",), [1]),
        # A word of several pieces begins where its first letter is.
        ((" a", " d", "og", " and", " a", " dog"), ("dog",), [1, 5]),
        # No part of a word, at either end.
        ((" hot", "dog", " dogs", " dog", "ma"), ("dog",), []),
        ((" snow", " none", " no"), ("no",), [2]),
        ((" black-and-white", " dog"), ("white", "dog"), [0, 1]),
        # A piece that is a space alone is no beginning; "1" is not "10".
        ((" ", "1", " ", "1", "0"), ("1",), [1]),
        ((" It", "'s", " a", " bus", " stop"), ("bus stop", "bus"), [3]),
        ((" bus", " stops"), ("bus stop", "bus"), [0]),
        ((" dog", "dog"), ("dog",), []),
        ((" a",), ("dog",), []),
        ((), ("dog",), []),
    ],
)
def test_whole_words_are_found_where_their_first_letter_is(pieces, words, expected):
    assert starts(pieces, *words) == expected


@pytest.mark.parametrize("word", ["é", "Ö", "日本", "naïve"])
def test_letters_of_several_bytes_are_found_at_their_first_byte(word):
    text = f"x {word} y"
    (found,) = places.word_starts(Bytes(), list(text.encode()), [word])
    # Half a letter reads as a mark of its own: the first byte already counts as the letter's place.
    assert found == len(b"x ")


@pytest.mark.parametrize("word", ["There", "is", "a", "red", "car", "the", "left", "2", "trucks", "snow", "no", "stop"])
def test_words_are_found_in_the_pieces_of_a_real_tokenizer(word):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    tokens = tokenizer.encode("There is a red car on the left, and 2 trucks: snow, no stop.", add_special_tokens=False)
    (start,) = places.word_starts(tokenizer, tokens, [word.upper()])
    rest = tokenizer.decode(tokens[start:]).strip()
    assert re.match(rf"{word}\b", rest)


def test_signs_in_a_word_are_not_patterns():
    assert starts((" what", " is", " it"), "i.") == []
    assert starts((" it", "'s"), "it's") == [0]


def batch():
    """Two right-padded rows whose answers begin at 2 and 3: [0 1 | 2 3 4] and [0 1 2 | 3]."""
    return Batch(
        (0, 1),
        {
            "input_ids": torch.tensor([[9, 9, 0, 1, 0], [9, 9, 1, 0, 9]]),
            "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
        },
        (2, 3),
    )


def loaded():
    model = SimpleNamespace(config=SimpleNamespace(image_token_id=9))
    return Loaded(model, SimpleNamespace(tokenizer=Pieces(" dog", " cat")), family("llava"), {})


def chosen(where, keep="values", **lists):
    return places.chosen(loaded(), Take("resid_post", where, keep, (0,), **lists), batch()).int().tolist()


def test_a_word_is_looked_at_where_the_state_predicted_it():
    assert chosen("word", words=("dog",)) == [[0, 1, 0, 1, 0], [0, 0, 1, 0, 0]]
    assert chosen("word", words=("cat",)) == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert chosen("word", words=("cat", "dog")) == chosen("emitting")


def test_the_prompt_is_not_searched():
    # Token 1 of the second row's prompt reads " cat".
    assert chosen("word", words=("cat",))[1] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ((0,), [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]),
        ((-1,), [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]),
        ((1, -2), [[0, 1, 0, 1, 0], [0, 1, 1, 0, 0]]),
        ((4, -5), [[1, 0, 0, 0, 1], [0, 0, 0, 0, 0]]),
        ((7, -9), [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]),
    ],
)
def test_numbered_positions_leave_padding_out_and_may_be_missing(at, expected):
    assert chosen("at", at=at) == expected


def test_numbers_count_from_the_first_token_behind_padding_on_the_left():
    one = Batch((0,), {"attention_mask": torch.tensor([[0, 0, 1, 1]]), "input_ids": torch.tensor([[9, 9, 0, 1]])})
    take = Take("resid_post", "at", "values", (0,), at=(0, -1))
    assert places.chosen(loaded(), take, one).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("where", ["all", "image", "text", "last", "answer", "emitting"])
def test_first_is_the_first_of_the_positions_in_every_row(where):
    every, first = chosen(where), chosen(where, "first")
    for row, one in zip(every, first, strict=True):
        assert sum(one) == int(any(row))
        assert not any(row) or one.index(1) == row.index(1)


def test_a_row_without_such_a_position_has_no_first_one():
    assert chosen("word", "first", words=("cat",)) == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
