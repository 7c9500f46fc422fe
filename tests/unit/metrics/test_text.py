import random

import pytest

from vlmscope.metrics.text import collapsed, edit_distance, forms, token_f1, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("  A\tB \n c ", "a b c"), ("É", "é"), ("\u00a0x\u00a0", "x"), ("a  b", "a b")],
)
def test_collapsing_keeps_one_blank_and_no_case(text, expected):
    assert collapsed(text) == expected


def test_words_lose_case_punctuation_and_articles_but_not_accents():
    assert words("The Café, a well-lit ONE!") == ["café", "well", "lit", "one"]
    assert words("¿«Straße»?") == ["strasse"]
    assert words("...") == []


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("", "", 1.0),
        ("the", "", 1.0),
        ("", "yes", 0.0),
        ("yes", "Yes.", 1.0),
        ("red red", "red", 2 / 3),
        ("a red car", "the car is red", 2 * 2 / 5),
        ("no", "yes", 0.0),
    ],
)
def test_token_f1(prediction, reference, expected):
    assert token_f1(prediction, reference) == pytest.approx(expected)
    assert token_f1(reference, prediction) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("é", "e", 1), ("ab", "ba", 2)],
)
def test_edit_distance_of_known_pairs(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_edit_distance_agrees_with_its_recursive_definition():
    def slow(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    rng = random.Random(0)
    for _ in range(60):
        one, other = ("".join(rng.choices("ab ", k=rng.randrange(6))) for _ in range(2))
        assert edit_distance(one, other) == slow(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dog", "dogs"),
        ("bus", "buses"),
        ("horse", "horses"),
        ("box", "boxes"),
        ("church", "churches"),
        ("tree", "trees"),
        ("berry", "berries"),
        ("cookie", "cookies"),
        ("knife", "knives"),
        ("wave", "waves"),
        ("woman", "women"),
        ("children", "child"),
        ("glass", "glasses"),
        (" car", "CARS"),
    ],
)
def test_singular_and_plural_are_the_same_noun(one, other):
    assert forms(one) & forms(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("car", "care"), ("plane", "plan"), ("planes", "plans"), ("dog", "cat"), ("glas", "glass"), ("", "s")],
)
def test_other_nouns_stay_apart(one, other):
    assert not forms(one) & forms(other)
