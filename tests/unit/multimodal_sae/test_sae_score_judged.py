"""What a judge makes of names: detection, fuzzing, simulation."""

import numpy as np
import pytest

from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain import shown as explain_shown
from vlmscope.multimodal_sae.score import judged as score_judged

GRID, SIZE, PICTURES = 4, 64, 12
# Held out are odd pictures; latent 0 fires in these, ever more of it.
FIRES = (1, 3, 5, 7)


class Judge:
    """Answers as it is told to, and remembers of which pictures it was asked."""

    def __init__(self, shows=None, judge=None, grade=None):
        self.given, self.asked = {"shows": shows, "judge": judge, "grade": grade}, []

    def shows(self, text, image, picture):
        return self.given["shows"](image)

    def judge(self, text, shown):
        return self.given["judge"](shown)

    def grade(self, text, image, picture):
        self.asked.append(image)
        return self.given["grade"](image)


@pytest.fixture
def cache(tmp_path):
    shape = {"latents": 1, "k": 1, "base": GRID * GRID, "dtype": "float32"}
    names = [str(number) for number in range(PICTURES)]
    with cache_files.published(tmp_path / "c.h5", "h", names, {"model": "m"}, **shape) as writer:
        for number in range(PICTURES):
            value = np.zeros((GRID * GRID, 1), np.float32)
            value[:2] = number * (number in FIRES)
            writer.add(np.zeros((GRID * GRID, 1), int), value, look=str(number))
    with cache_files.opened(tmp_path / "c.h5") as found:
        yield found


def judged(cache, wanted=score_judged.FOUND, **told):
    chooser = explain_shown.Chooser(cache, lambda number: None, most=4, size=SIZE)
    judge = Judge(**told)
    return score_judged.Judged(chooser, judge, wanted, seed=0), chooser.shown(0, "held_out"), judge


def test_detection_is_the_mean_of_both_shares_of_right_answers(cache):
    own, shown, _ = judged(cache, shows=lambda image: -1 if image == 3 else int(image % 4 == 1))
    # 1, 3, 5, 7 fire, of which 3 is unclear and 7 missed; 9 and 11 are silent, and 9 is a false alarm.
    assert own.detection(shown, "x") == pytest.approx((2 / 3 + 1 / 2) / 2)
    own, shown, _ = judged(cache, shows=lambda image: -1)
    assert own.detection(shown, "x") is None


def test_fuzzing_asks_about_the_same_regions_in_their_place_and_moved(cache):
    seen = []

    def judge(shown):
        values = shown.maps[0]
        seen.append((shown.images, np.count_nonzero(values), float(values.max())))
        return int(values[0, 0] > 0 and values[0, 1] > 0)

    own, shown, _ = judged(cache, judge=judge)
    assert own.fuzzing(shown, "x") == 1.0
    assert len(seen) == 8 and all(count == 2 for _, count, _ in seen)
    assert {images for images, _, _ in seen} == {(one,) for one in FIRES}
    own, shown, _ = judged(cache, judge=lambda shown: 1)
    assert own.fuzzing(shown, "x") == 0.5


@pytest.mark.parametrize(("rows", "columns"), [(slice(0, 2), slice(0, 2)), (slice(3, 4), slice(0, 4)), (1, 1)])
def test_a_moved_region_keeps_its_shape_and_leaves_its_place(rows, columns):
    values = np.zeros((4, 4), np.float32)
    values[rows, columns] = 1
    for seed in range(5):
        found = score_judged.moved(values, np.random.default_rng(seed))
        assert found.sum() == values.sum() and not (found * values).any()
        assert any(np.array_equal(np.roll(values, (r, c), (0, 1)), found) for r in range(4) for c in range(4))


def test_a_region_without_another_place_is_left_out(cache):
    full = np.ones((4, 4), np.float32)
    assert score_judged.moved(full, np.random.default_rng(0)) is None
    assert score_judged.moved(np.zeros((4, 4), np.float32), np.random.default_rng(0)) is None
    own, _, _ = judged(cache, judge=lambda shown: pytest.fail("there is nothing to ask"))
    assert own.fuzzing(explain_shown.Shown(0, (1,), full[None], None, SIZE), "x") is None


def test_simulation_correlates_expected_with_true_activation(cache):
    own, shown, judge = judged(cache, grade=lambda image: float(image * (image in FIRES)))
    assert own.simulation(shown, "x") == pytest.approx(1.0)
    assert set(judge.asked) == {*FIRES, 9, 11}
    own, shown, _ = judged(cache, grade=lambda image: -float(image * (image in FIRES)) + 10)
    assert own.simulation(shown, "x") == pytest.approx(-1.0)
    own, shown, _ = judged(cache, grade=lambda image: 3.0)
    assert own.simulation(shown, "x") == 0.0
    own, shown, _ = judged(cache, grade=lambda image: 3.0 if image < 4 else -1)
    assert own.simulation(shown, "x") is None


def test_only_what_is_wanted_is_asked(cache):
    own, shown, _ = judged(cache, ["simulation"], grade=lambda image: float(image))
    found = own.of(shown, "x", "")
    assert set(found) == {name + end for name in score_judged.FOUND for end in ("", "_shuffled")}
    assert [name for name, value in found.items() if value is not None] == ["simulation"]


@pytest.mark.parametrize(
    ("said", "wanted"), [("7", 7), (" 10.", 10), ("3/10", 3), ("2 out of 10", 2), ("11", -1), ("0.5", -1), ("much", -1)]
)
def test_a_grade_is_a_whole_number_up_to_ten(said, wanted):
    assert explain_prompts.grade(said) == wanted
