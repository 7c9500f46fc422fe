"""Words and pictures of concepts."""

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.dictionaries import overlap
from vlmscope.xl_vlms.words import filter as filters
from vlmscope.xl_vlms.words import grounding

PIECES = ["", " Dog", "dog", " the", "red", "7", " xq", "Blue"]


def accept(words=("dog", "red", "blue", "the"), stops=("the",)):
    return filters.WordFilter(frozenset(words), frozenset(stops))


def test_words_stand_in_the_order_of_their_tokens_and_may_repeat():
    rows = np.eye(8, dtype=np.float32)
    concept = np.array([[9, 8, 7, 6, 5, 4, 3, 2]], np.float32)
    assert grounding.words(concept, rows, PIECES, accept(), tokens=8, keep=4) == [["dog", "dog", "red", "7"]]
    assert grounding.words(concept, rows, PIECES, accept(), tokens=3, keep=4) == [["dog", "dog"]]
    assert grounding.words(-concept, rows, PIECES, accept(), tokens=2, keep=4) == [["blue"]]


def test_rows_of_the_unembedding_beyond_the_pieces_belong_to_no_word():
    rows = np.eye(8, dtype=np.float32)
    concept = np.array([[1, 0, 0, 0, 0, 0, 0, 9]], np.float32)
    assert grounding.words(concept, rows, PIECES[:7], accept(), tokens=1, keep=1) == [[]]


def test_of_equal_tokens_and_samples_the_first_comes_first():
    assert grounding.top_tokens(np.zeros((1, 2)), np.ones((4, 2)), 3).tolist() == [[0, 1, 2]]
    assert grounding.images(np.array([[1.0], [2.0], [2.0], [-5.0]]), 3).tolist() == [[1, 2, 0]]


def test_the_default_filter_knows_what_is_drawn_and_no_function_words():
    known = filters.word_filter()
    assert all(known(word) for word in (" Dog", "dogs", "red", "park", "left", "3"))
    assert not any(known(word) for word in (" the", "is", "on", "yes", "no", "qqq", ""))


def test_lists_of_words_are_read_from_files(tmp_path):
    (tmp_path / "en").write_text("dog\nParis\nof\n")
    (tmp_path / "stops").write_text("of, the,zz\n")
    known = filters.word_filter(str(tmp_path / "en"), str(tmp_path / "stops"))
    assert known == filters.WordFilter(frozenset({"dog", "Paris", "of"}), frozenset({"of", "the", "zz"}))


@pytest.mark.parametrize("text", [None, " \n"])
def test_a_list_without_words_is_refused(tmp_path, text):
    path = tmp_path / "en"
    if text is not None:
        path.write_text(text)
    with pytest.raises(VlmscopeError, match="list of words"):
        filters.word_filter(str(path))


def test_overlap_as_sets_counts_a_word_once():
    words = [["dog", "dog", "cat"], ["dog"]]
    assert overlap.overlap(words) == pytest.approx((2 / 3 + 1) / 2)
    assert overlap.overlap(words, as_sets=True) == pytest.approx((1 / 2 + 1) / 2)


def test_the_diagonal_of_overlap_is_one_where_there_are_words():
    assert np.diag(overlap.matrix([["a"], [], ["b", "c"]])).tolist() == [1, 0, 1]
    assert np.isnan(overlap.overlap([["a"]]))
