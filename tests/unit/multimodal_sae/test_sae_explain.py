"""Names for latents: who is asked what, what is read of answers, what a broken run keeps."""

import json

import numpy as np
import pytest
from PIL import Image

from vlmscope.multimodal_sae.explain import naming as explain_naming
from vlmscope.multimodal_sae.explain import oracle
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain import shown as explain_shown
from vlmscope.multimodal_sae.score.consistency import Asked, Match
from vlmscope.samples import Sample

GRID, SIZE = 8, 64
RED, BLUE = (214, 40, 40), (44, 84, 214)


def runs(mask):
    """COCO's run lengths of a mask."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def scene(number, things):
    """A sample and its picture; things are (class, color, columns)."""
    pixels, objects = np.full((SIZE, SIZE, 3), 120, np.uint8), []
    for name, paint, columns in things:
        mask = np.zeros((SIZE, SIZE), bool)
        mask[16:32, columns] = True
        pixels[mask] = paint
        objects.append({"class": name, "crowd": False, "segmentation": runs(mask)})
    answer = json.dumps({"image_id": number, "objects": objects})
    sample = Sample(f"s{number}", "d", "train", number, "g", (str(number),), SIZE, SIZE, "", (), answer)
    return sample, Image.fromarray(pixels)


LEFT, RIGHT = slice(0, 16), slice(48, 64)


@pytest.fixture
def truth():
    made = [scene(0, [("car", RED, LEFT), ("dog", BLUE, RIGHT)]), scene(1, [("car", RED, RIGHT), ("car", BLUE, LEFT)])]
    return oracle.Truth([one for one, _ in made], lambda number: made[number][1])


def shown(truth, *columns):
    """A latent that fires over given patch columns of the rows of the things."""
    maps = np.zeros((len(columns), GRID, GRID), np.float32)
    for place, some in enumerate(columns):
        maps[place, 2:4, some] = 1.0
    return explain_shown.Shown(3, tuple(range(len(columns))), maps, truth.picture, SIZE)


class Echo:
    """Answers in turn, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def say(self, system, parts, most=0):
        self.asked.append((system, list(parts), most))
        return self.answers.pop(0)


# ---- the explainer that knows -----------------------------------------------------------------------------------


def test_words_of_instances_are_class_color_and_place(truth):
    assert truth.of(0)[0].words == ("car", "red", "left")
    assert truth.words == {
        "car": "object",
        "dog": "object",
        "blue": "color",
        "red": "color",
        "left": "place",
        "right": "place",
    }


def test_a_region_is_that_of_the_instances_of_which_all_words_are_true(truth):
    assert truth.region(1, frozenset(["car"]), SIZE).sum() == 2 * 16 * 16
    assert truth.region(1, frozenset(["car", "red"]), SIZE)[20, 50]
    assert truth.region(1, frozenset(["dog"]), SIZE) is None
    assert truth.region(1, frozenset(), SIZE) is None


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ((slice(0, 2), [0, 1, 6, 7]), "car"),
        ((slice(0, 2), slice(6, 8)), "red"),
        ((slice(0, 2), slice(0, 2)), "left"),
        ((slice(3, 5), slice(3, 5)), explain_prompts.REFUSAL),
    ],
)
def test_the_word_that_agrees_best_is_given(truth, columns, wanted):
    assert oracle.Oracle(truth).explain(shown(truth, *columns)) == wanted


def test_pairs_are_tried_behind_single_words():
    made = [scene(0, [("car", RED, LEFT), ("dog", RED, RIGHT), ("car", BLUE, slice(24, 40))])]
    own = oracle.Truth([made[0][0]], lambda number: made[0][1])
    maps = np.zeros((1, GRID, GRID), np.float32)
    maps[0, 2:4, 0:2] = 1.0
    found = explain_shown.Shown(0, (0,), maps, own.picture, SIZE)
    # `left` says the same and is simpler.
    assert oracle.Oracle(own).explain(found) == "left"
    assert oracle.Oracle(own).phrases(found)[-3:] == ["blue car", "red car", "red dog"]


def test_samples_without_masks_are_refused():
    sample = Sample("s", "d", "train", 0, "g", ("0",), SIZE, SIZE, "", (), "{}")
    with pytest.raises(explain_naming.VlmscopeError, match="no masks"):
        oracle.Truth([sample], lambda number: None).of(0)


def test_what_words_name_decides_the_class():
    words = {"car": "object", "red": "color", "left": "place"}
    found = [oracle.concept(text, words) for text in ("two Cars", "red car", "red", "left", "sky")]
    assert found == ["object", "object", "color", "other", "other"]


# ---- those that are asked ---------------------------------------------------------------------------------------


def test_the_released_way_shows_all_pictures_behind_one_text(truth):
    echo = Echo("Well.\n[EXPLANATION]: red things")
    seen = shown(truth, slice(0, 2), slice(6, 8))
    assert explain_naming.Together(echo, 9).explain(seen) == "red things"
    [(system, parts, most)] = echo.asked
    assert (system, most) == (explain_prompts.SYSTEM, 9)
    assert explain_prompts.TAG in parts[0] and explain_prompts.REFUSAL in parts[0]
    assert [np.array_equal(one, other) for one, other in zip(parts[1:], seen.masked, strict=True)] == [True, True]


def test_one_by_one_the_words_of_most_answers_count(truth):
    echo = Echo("a red car", "the car on a road")
    assert explain_naming.OneByOne(echo, "what?", 5).explain(shown(truth, slice(0, 2), slice(6, 8))) == "car"
    assert [parts[1] for _, parts, _ in echo.asked] == ["what?", "what?"]
    assert explain_naming.shared(["a dog", "a cat"]) == explain_prompts.REFUSAL
    assert explain_naming.shared(["red dog", "dog red", "dog"]) == "dog red"


def test_refusals_are_neither_refined_nor_labelled():
    refusal = explain_prompts.parsed("no idea")
    assert explain_prompts.refused(refusal) and explain_prompts.refused(f"{explain_prompts.REFUSAL}.")
    assert explain_naming.refined(Echo(), refusal) == refusal
    assert explain_naming.labelled(Echo(), refusal, dict) == ""


def test_descriptions_are_refined_and_labelled():
    refiner, labeller = Echo("[ANSWER] phone"), Echo("Colour.")
    assert explain_naming.refined(refiner, "a phone in a hand") == "phone"
    assert refiner.asked[0][1][0].endswith("a phone in a hand")
    assert explain_naming.labelled(labeller, "red", dict) == "color"
    assert explain_prompts.concept("a thing") == explain_prompts.OTHER


@pytest.mark.parametrize(("said", "wanted"), [("1", 1), ("Answer: 0.", 0), ("10", -1), ("yes", -1), ("", -1)])
def test_a_judge_says_one_or_zero(truth, said, wanted):
    assert Asked(Echo(said)).judge("red", shown(truth, slice(0, 2))) == wanted


def test_words_are_compared_with_the_object_that_is_covered(truth):
    seen = shown(truth, slice(0, 2), slice(6, 8))
    found = [Match(truth).judge(text, seen) for text in ("red", "red cars", "blue", "left", "sky")]
    assert found == [1, 1, 0, 0, 0]


def test_a_picture_shows_what_is_true_of_one_object_in_it(truth):
    found = [Match(truth).shows(text, 1, truth.picture(1)) for text in ("car", "red cars", "dog", "sky")]
    assert found == [1, 1, 0, 0]
    echo = Echo("1")
    assert Asked(echo).shows("red", 0, truth.picture(0)) == 1 and echo.asked[0][1][1].endswith("red")


# ---- what is kept -----------------------------------------------------------------------------------------------


def test_a_broken_run_goes_on_where_it_stopped(tmp_path):
    path, made = tmp_path / "state/labels.jsonl", []

    def make(name):
        made.append(name)
        return [name]

    first = explain_naming.Kept(path, "one")
    assert first.get("a", lambda: make("a")) == ["a"]
    with pytest.raises(OSError, match="gone"):
        first.get("b", lambda: (_ for _ in ()).throw(OSError("gone")))
    with open(path, "a", encoding="utf-8") as handle:
        handle.write('["c", ["cut sh')
    again = explain_naming.Kept(path, "one")
    assert again.get("a", lambda: make("again")) == ["a"] and again.get("b", lambda: make("b")) == ["b"]
    assert made == ["a", "b"]
    assert explain_naming.Kept(path, "one").known == {"a": ["a"], "b": ["b"]}
    assert explain_naming.Kept(path, "two").known == {}
    again.clear()
    assert not path.exists()


def test_pictures_that_look_the_same_share_a_half():
    assert explain_shown.halves(["x", "y", "x", "z", "y"]).tolist() == [0, 1, 0, 0, 1]
