import logging
import math

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import captions

# The set itself, and the first image alone.
DRAWS = np.array([[1.0, 1.0], [2.0, 0.0]])
ONE = np.ones((1, 1))


def split(*texts):
    return [text.split() for text in texts]


# --- by hand


def test_cider_of_two_images_by_hand():
    # Each word is in one image of two: its weight is log 2, one minus the log of one image that has it.
    said, given = split("red dog", "blue cat"), [split("red dog"), split("blue bird")]
    # One- and two-grams agree fully, three- and four-grams do not exist: (1 + 1) / 4, times ten.
    assert captions.cider(said, given)[0] == pytest.approx(5.0)
    # "blue" alone agrees: cosine 1 / 2 of one-grams, 0 of two-grams.
    assert captions.cider(said, given)[1] == pytest.approx(10 * 0.5 / 4)


def test_cider_punishes_other_lengths_and_repeated_words():
    given = [split("red dog"), split("blue cat")]
    # Three bigrams against one: exp(-2^2 / 72); "red dog" thrice is clipped to once.
    said = split("red dog red dog", "blue cat")
    one = captions.cider(said, given)[0]
    weight = math.log(2)
    unseen = weight  # "dog red" is in no reference: log of two images, nothing taken off
    ones = 2 * weight**2 / (math.sqrt(8) * weight * math.sqrt(2) * weight)
    twos = weight**2 / (math.sqrt(4 * weight**2 + unseen**2) * weight)
    assert one == pytest.approx(10 * math.exp(-4 / 72) * (ones + twos) / 4)


def test_cider_of_a_single_image_is_nothing():
    assert captions.cider(split("red dog"), [split("red dog")])[0] == 0


def test_bleu_by_hand_with_the_closest_reference():
    parts = captions.bleu_parts(split("the the cat"), [split("the cat sat on", "a the")])
    # Lengths 4 and 2 are equally close to 3: the shorter one counts. "the" is clipped to once.
    assert parts[0, :2].tolist() == [3, 2]
    assert parts[0, 2:4].tolist() == [2, 1]
    assert parts[0, 6:8].tolist() == [3, 2]
    assert captions.bleu(parts[0], 1) == pytest.approx(2 / 3, abs=1e-6)
    assert captions.bleu(parts[0], 2) == pytest.approx(math.sqrt(2 / 3 * 1 / 2), abs=1e-6)


def test_bleu_of_a_short_caption_pays_for_brevity():
    parts = captions.bleu_parts(split("the cat"), [split("the cat sat on")])
    assert captions.bleu(parts[0], 1) == pytest.approx(math.exp(1 - 2), abs=1e-6)


def test_rouge_takes_precision_and_recall_from_whatever_reference_is_best():
    # Common parts 2 of 3 said, 2 of 4 meant; and 1 of 3 said, 1 of 1 meant.
    found = captions.rouge_l(split("the red cat"), [split("the big red dog", "cat")])
    precision, recall = 2 / 3, 1.0
    assert found[0] == pytest.approx((1 + 1.44) * precision * recall / (recall + 1.44 * precision))


def test_the_longest_common_part_may_have_gaps():
    assert captions.longest_common(list("abcd"), list("bxd")) == 2
    assert captions.longest_common([], ["a"]) == 0


# --- as a whole


def test_the_list_of_scores_decides_what_is_computed():
    found = captions.scores(["a dog.", "a cat"], [["a dog"], ["the cat"]], ["rouge_l", "bleu1"], DRAWS)
    assert list(found) == ["rouge_l", "bleu1"]
    assert found["rouge_l"].rows[0] == found["rouge_l"].values[1] == 1
    assert found["rouge_l"].values[0] == pytest.approx(found["rouge_l"].rows.mean())
    # BLEU of the set is made of sums: 3 of 4 words; the first image alone has 2 of 2.
    np.testing.assert_allclose(found["bleu1"].values, [3 / 4, 1], atol=1e-6)


def test_a_score_that_does_not_exist_is_refused():
    with pytest.raises(VlmscopeError, match="no caption score 'c'"):
        captions.scores(["a"], [["a"]], list("cider"), ONE)


def test_scores_of_a_package_that_is_missing_are_empty_and_say_why(monkeypatch, caplog):
    monkeypatch.setattr(captions.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        found = captions.scores(["a"], [["a"]], ["meteor"], ONE)["meteor"]
    assert np.isnan(found.values).all()
    assert "METEOR is left empty: the Python package pycocoevalcap is not installed" in caplog.text


def test_scores_of_a_package_are_asked_with_joined_tokens(monkeypatch):
    asked = {}

    class Meteor:
        def compute_score(self, given, said):
            asked.update(given=given, said=said)
            return 0.6, [0.25, 0.75]

    module = type("module", (), {"Meteor": Meteor})
    monkeypatch.setattr(captions.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(captions.shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(captions.importlib, "import_module", lambda name: module)
    found = captions.scores(["A dog.", "b"], [["a dog"], ["c", "d"]], ["meteor"], DRAWS)["meteor"]
    # That of the set as the package has it, that of a resample as the mean of its images.
    assert found.values.tolist() == [0.6, 0.25]
    assert asked == {"given": {0: ["a dog"], 1: ["c", "d"]}, "said": {0: ["a dog"], 1: ["b"]}}


def test_an_image_without_references_is_refused():
    with pytest.raises(VlmscopeError, match="1 with references"):
        captions.cider(split("a", "b"), [split("a"), []])


def test_better_captions_score_higher_in_every_measure():
    given = [["a red dog in the park", "red dog in a park"], ["two cats on the beach", "cats on a beach"]]
    right = captions.scores(["a red dog in the park", "two cats on the beach"], given, captions.NAMES[:6], DRAWS)
    wrong = captions.scores(["a red dog on the beach", "two dogs in a room"], given, captions.NAMES[:6], DRAWS)
    assert all(right[name].values[0] > wrong[name].values[0] for name in captions.NAMES[:6])
    assert np.isfinite([right[name].values for name in captions.NAMES[:6]]).all()
