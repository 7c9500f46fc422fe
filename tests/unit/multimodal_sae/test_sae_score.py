"""Scores of names: arithmetic of masks, candidates of a segmenter, tables."""

import math

import numpy as np
import pytest
from PIL import Image

from vlmscope.multimodal_sae import schemas
from vlmscope.multimodal_sae.cache import examples
from vlmscope.multimodal_sae.explain import iou
from vlmscope.multimodal_sae.score import fit, segment
from vlmscope.multimodal_sae.score import tables as score_tables
from vlmscope.stats import Draws

DRAWS = Draws(50, 0)


def box(side, rows, columns):
    found = np.zeros((side, side), bool)
    found[rows, columns] = True
    return found


# ---- IoU --------------------------------------------------------------------------------------------------------


def test_iou_is_intersection_over_union():
    left, right = box(4, slice(0, 2), slice(0, 2)), box(4, slice(1, 3), slice(0, 2))
    assert iou.iou(left, right) == 2 / 6
    assert iou.iou(left, left) == 1
    assert math.isnan(iou.iou(left & False, right & False))


def test_pictures_in_which_nothing_was_found_are_bad_and_count_as_zero():
    region = box(4, slice(0, 2), slice(0, 2))
    scores = iou.scored([region, region, region], [region, None, box(4, slice(0, 1), slice(0, 2))])
    assert scores == [1.0, -1.0, 0.5]
    assert iou.average(scores) == 0.5
    assert iou.average([math.nan, 1.0]) == 1.0 and math.isnan(iou.average([]))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (4, 6), (10, 10)])
def test_a_rectangle_grows_by_half_a_patch_per_side(rows, columns):
    """multimodal_sae.md 11.5: sides of 14 r + 14 pixels dilated, 14 r undilated."""
    values = np.zeros((24, 24), np.float32)
    values[5 : 5 + rows, 7 : 7 + columns] = 1
    dilated, exact = examples.active(values, 336), examples.active(values, 336, dilated=False)
    for region, more in ((dilated, 14), (exact, 0)):
        sides = [int(region.any(axis).sum()) for axis in (1, 0)]
        assert sides == [14 * rows + more, 14 * columns + more]
    assert iou.iou(exact, exact) == 1


@pytest.mark.parametrize(("rows", "columns", "wanted"), [(1, 1, 0.25), (2, 2, 0.45), (4, 6, 0.69), (10, 10, 0.83)])
def test_the_ceiling_of_interpolated_masks_is_the_published_one(rows, columns, wanted):
    values = np.zeros((24, 24), np.float32)
    values[5 : 5 + rows, 7 : 7 + columns] = 1
    regions = [examples.active(values, 336, dilated) for dilated in (True, False)]
    assert iou.ceiling([regions[0]], [regions[1]]) == pytest.approx(wanted, abs=0.01)


# ---- segmenters -------------------------------------------------------------------------------------------------


def test_all_candidates_of_all_boxes_count():
    candidates = np.zeros((2, 3, 4, 4), bool)
    candidates[0, 0, 0, 0] = candidates[0, 2, 1, 1] = candidates[1, 1, 3, 3] = True
    assert np.argwhere(segment.joined(candidates)).tolist() == [[0, 0], [1, 1], [3, 3]]


def test_boxes_are_asked_for_a_text_with_a_full_stop(monkeypatch):
    asked = []

    def boxes(self, picture, text):
        asked.append((picture.size, text))
        return [[0, 0, 1, 1]] if text == "car." else []

    monkeypatch.setattr(segment.Grounded, "_boxes", boxes)
    monkeypatch.setattr(
        segment.Grounded, "_candidates", lambda self, image, picture, boxes: np.ones((1, 3, 8, 8), bool)
    )
    finder = segment.Grounded("a", "b", size=8, threshold=0.3, device="cpu")
    assert finder.find(0, Image.new("RGB", (20, 10)), "car.").all()
    assert finder.find(0, Image.new("RGB", (20, 10)), "dog") is None
    assert asked == [((8, 8), "car."), ((8, 8), "dog.")]


# ---- tables -----------------------------------------------------------------------------------------------------


def one(concept, value, coder="trained", text="car", consistency=1):
    row = dict.fromkeys(schemas.SCORED) | {"coder": coder, "explainer": "oracle", "latent": 0, "refined": text}
    row |= {"concept": concept, "iou": value, "iou_shuffled": 0.0, "ceiling": 0.5, "clip": 20.0}
    runs = {"iou": np.array([0.0, 0.1]), "clip": np.array([1.0, 1.0])}
    refused = "Unable" in text
    return fit.Scored(row | {"consistency": None if refused else consistency}, {} if refused else runs)


def test_table_1_has_means_per_class_controls_and_published_numbers():
    scored = [
        one("object", 0.2),
        one("object", 0.4),
        one("color", 0.9),
        one("", None, text="Unable to produce descriptions"),
    ]
    rows = {(row["concept"], row["metric"]): row for row in score_tables.table1(scored, DRAWS).to_dicts()}
    assert rows["object", "iou"]["value"] == pytest.approx(0.3) and rows["total", "iou"]["value"] == pytest.approx(0.5)
    assert (rows["total", "iou"]["n_features"], rows["total", "iou"]["n_refused"]) == (3, 1)
    assert rows["object", "iou"]["random_mean"] == pytest.approx(0.05)
    # t of 0.995 with one degree of freedom is 63.657; the deviation over runs is 0.0707.
    assert rows["object", "iou"]["random_ci99"] == pytest.approx(63.657 * 0.1 / 2, rel=1e-3)
    assert rows["object", "iou"]["published"] == 0.19 and rows["object", "iou_undilated"]["published"] is None
    assert rows["scene", "iou"]["value"] is None and rows["scene", "iou"]["published"] == 0.20
    assert rows["other", "iou"]["published"] is None and rows["other", "iou"]["source"] is None


def test_published_numbers_stand_beside_the_trained_one_alone():
    found = score_tables.table1([one("object", 0.2, coder="untrained")], DRAWS)
    assert found["published"].null_count() == len(found)


def test_table_2_leaves_out_what_nobody_could_tell():
    found = score_tables.table2([one("object", 0.2), one("object", 0.2, consistency=-1)], "match").to_dicts()
    assert (found[0]["object"], found[0]["total"], found[0]["n"], found[0]["n_unclear"]) == (1.0, 1.0, 1, 1)
    assert {row["judge"]: row["total"] for row in found[1:]} == {"GPT-4o": 0.89, "human": 0.75}
    assert all(row["source"] for row in found[1:])


def test_shuffled_names_are_others_of_those_that_are_not_refused():
    texts = ["a", "b", "Unable to produce descriptions", "a"]
    found = fit.shuffled(texts, 0)
    assert all(other in "ab" and other != text for text, other in zip(texts, found, strict=True))
    assert fit.shuffled(["a", "a"], 0) == ["", ""]


def test_what_was_seen_is_made_once_and_read_back_as_it_was(tmp_path):
    seen, made = segment.Seen(str(tmp_path)), []

    def make(number):
        made.append(number)
        return np.full((1, 2, number + 1), number + 0.5, np.float32)

    for number in (3, 0, 3, 1, 0):
        found = seen.of(number, lambda number=number: make(number))
        assert found.shape == (1, 2, number + 1) and (found == number + 0.5).all()
    assert made == [3, 0, 1] and not list(tmp_path.iterdir())
