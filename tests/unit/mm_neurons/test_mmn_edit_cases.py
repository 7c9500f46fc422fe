"""Which pictures an edit is made from and tested on, and where the source word stands in their captions."""

import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.edit import cases as edit_cases
from vlmscope.mm_neurons.edit.cases import Case
from vlmscope.mm_neurons.schemas import CAPTIONS
from vlmscope.store.spelling import spelling


@pytest.fixture(scope="module")
def spelled(manifest):
    return spelling(manifest("llava-llama2"))


def ids(spelled, text):
    return tuple(spelled.tokenizer.encode(text, add_special_tokens=False).ids)


def told(*texts):
    return pl.DataFrame([(f"s{k}", text, [1], None, 0) for k, text in enumerate(texts)], schema=CAPTIONS, orient="row")


def test_a_word_counts_as_a_whole_in_any_case():
    assert edit_cases.has("A Red dog.", "red") and edit_cases.has("dog-red", "red")
    assert not edit_cases.has("a colored dog", "red") and not edit_cases.has("redder", "red")
    assert edit_cases.has("a hot dog.", "hot dog")


def test_occurrences_see_the_target_in_the_places_of_earlier_ones(spelled):
    both = edit_cases.words(spelled, "red", "blue")
    caption = ids(spelled, " a red dog and a red cup")
    found = list(edit_cases.cases("s", caption, both, spelled))
    red, blue = ids(spelled, " red"), ids(spelled, " blue")
    assert found == [
        Case("s", ids(spelled, " a"), red, blue),
        Case("s", ids(spelled, " a blue dog and a"), red, blue),
    ]
    assert both.tokens == (red[0], blue[0])
    assert not list(edit_cases.cases("s", ids(spelled, " a blue dog"), both, spelled))


def test_a_word_of_several_tokens_and_one_at_the_beginning_are_found(spelled):
    both = edit_cases.words(spelled, "zebra", "dog")
    assert len(both.sources[0]) > 1
    for text, before in ((" a zebra runs", " a"), ("zebra runs", "")):
        (found,) = edit_cases.cases("s", ids(spelled, text), both, spelled)
        assert found.before == (ids(spelled, before) if before else ())
        assert found.source == ids(spelled, " zebra" if before else "zebra")
        assert found.target == ids(spelled, " dog" if before else "dog")


def test_a_piece_of_a_longer_word_is_no_occurrence(spelled):
    both = edit_cases.words(spelled, "red", "blue")
    longer = (*ids(spelled, " a"), *both.sources[0], *ids(spelled, "dish"))
    assert spelled.text(longer) == "a reddish"
    assert not list(edit_cases.cases("s", longer, both, spelled))


def test_words_with_the_same_first_token_are_refused(spelled):
    with pytest.raises(VlmscopeError, match="begin with the same token"):
        edit_cases.words(spelled, "dog", "dog")


def test_every_sample_has_one_purpose_and_the_seed_decides_which():
    captions = told(*[f"a {word} {thing}" for thing in "abcdefgh" for word in ("red", "blue", "green")])
    sizes = {"images": 3, "kept": 4, "tested": 5}
    chosen = edit_cases.choose(captions, "red", "blue", **sizes, seed=1)
    text = dict(captions.select("sample", "caption").iter_rows())
    assert {name: len(part) for name, part in chosen._asdict().items()} == {
        "made": 3,
        "kept": 4,
        "aims": 3,
        "general": 5,
        "local": 5,
    }
    assert all("red" in text[sample] for sample in chosen.made + chosen.general)
    assert all("red" not in text[sample] for sample in chosen.kept + chosen.local + chosen.aims)
    assert all("blue" in text[sample] for sample in chosen.aims)
    for one, other in (("made", "general"), ("kept", "local"), ("aims", "local")):
        assert not set(getattr(chosen, one)) & set(getattr(chosen, other))
    assert edit_cases.choose(captions.reverse(), "red", "blue", **sizes, seed=1) == chosen
    assert edit_cases.choose(captions, "red", "blue", **sizes, seed=2) != chosen


def test_half_of_the_other_pictures_are_left_for_the_test():
    chosen = edit_cases.choose(told("red", "a", "b", "c", "d"), "red", "blue", images=9, kept=9, tested=9, seed=0)
    assert len(chosen.kept) == 2 and len(chosen.local) == 2 and chosen.general == [] and chosen.aims == []


def test_without_the_source_word_there_is_nothing_to_make_an_edit_from():
    chosen = edit_cases.choose(told("a dog", "a cat"), "red", "blue", images=1, kept=1, tested=1, seed=0)
    assert chosen.made == chosen.general == [] and len(chosen.local) == 1
