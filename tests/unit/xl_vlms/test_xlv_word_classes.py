import json
from pathlib import Path

import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.world import everyday
from vlmscope.xl_vlms.words import classes as word_classes
from vlmscope.xl_vlms.words.filter import WordFilter

GOLDEN = Path(__file__).parents[2] / "golden" / "xl_vlms"


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "count"), [("colors", 30), ("places", 48), ("sentiments", 145)])
def test_released_classes_hold_the_known_words(name, count):
    words = word_classes.words_of(name)
    assert list(words) == list(golden("token_ids")["class_first_pieces_llama"][name])
    assert len(set(words)) == len(words) == count


def test_the_drawn_world_says_no_place_that_its_class_lacks():
    assert set(everyday._PLACES) == set(word_classes.words_of("drawn_places"))
    assert set(word_classes.words_of("drawn_places")) <= set(word_classes.words_of("places"))
    assert set(word_classes.words_of("drawn_colors")) <= set(word_classes.words_of("colors"))


def test_classes_whose_words_are_not_known_ask_for_a_file(tmp_path):
    with pytest.raises(VlmscopeError, match="not part of this software: positive_sentiments"):
        word_classes.words_of("positive_sentiments")
    with pytest.raises(VlmscopeError, match="no such class"):
        word_classes.words_of("moods")
    path = tmp_path / "words.txt"
    path.write_text("Happy\n\nfull of joy\nhappy\n")
    files = {"positive_sentiments": str(path)}
    assert word_classes.words_of("positive_sentiments", files) == ("happy", "full of joy")
    path.write_text("\n")
    with pytest.raises(VlmscopeError, match="empty"):
        word_classes.words_of("positive_sentiments", files)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("A Red dog.", True),
        ("a covered bridge", False),
        ("red", True),
        ("a bus   stop", False),
        ("the bus stop,", True),
    ],
)
def test_words_are_found_as_a_whole(text, there):
    assert word_classes.holding(["red", "bus stop"])(text) == there


def accept():
    told = golden("valid_word")
    return WordFilter(frozenset(told["corpus"]), frozenset(told["stopwords"]))


def test_words_of_captions_as_released():
    told = golden("caption_words")
    texts = [one for row in told["captions"] for one in row]
    assert dict(word_classes.frequency_as_official(texts, accept())) == told["words_frequency"]
    # The words before a comma or full stop are lost there, and found here.
    assert word_classes.frequency(texts, accept())["grass"] == 1
    assert word_classes.frequency(texts, accept())["dog"] == told["words_frequency"]["dog"] + 1


def test_every_word_counts_in_the_first_class_that_has_it():
    counted = {"red": 2, "park": 1, "dog": 4}
    found = word_classes.type_counts(counted, {"colors": ("red",), "all": ("red", "park")})
    assert found == {"colors": 2, "all": 1, "other": 4}
