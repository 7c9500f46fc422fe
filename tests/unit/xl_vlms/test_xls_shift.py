"""Concept shift against a formulation of its own, sample by sample, and against what must hold (xl_vlms.md 2.9, 11)."""

import itertools
import math

import numpy as np
import pytest
from sklearn.cluster import KMeans

from vlmscope.errors import VlmscopeError
from vlmscope.stats import Draws
from vlmscope.xl_vlms.sets.vectors import VectorSet
from vlmscope.xl_vlms.shift import held_out as shift_held_out
from vlmscope.xl_vlms.shift import moves as shift
from vlmscope.xl_vlms.shift import study as shift_study
from vlmscope.xl_vlms.words import grounding

D, K, PIECES = 12, 4, [f"word{number % 37}" for number in range(60)]
UNEMBEDDING = np.random.default_rng(9).standard_normal((60, D)).astype(np.float32)
SETTINGS = {
    **{"method": "kmeans", "k": K, "seed": 0, "sparsity": 1.0, "association": "activation", "mean": "mean"},
    **{"alpha": 1.0, "normalise_shifts": False, "normalise_concepts": False, "words": 8, "tokens": 40},
    **{"vector_words": 12, "vector_tokens": 30, "images": 7, "halves": 4, "resamples": 20},
}


def read(concepts, tokens, keep):
    return grounding.words(concepts, UNEMBEDDING, PIECES, lambda piece: piece != "word3", tokens=tokens, keep=keep)


def vector_set(values, mask, names=None):
    rows = np.flatnonzero(mask)
    names = names or [f"s{row}" for row in range(len(mask))]
    own = [names[row] for row in rows]
    return VectorSet(own, [f"{one}.jpg" for one in own], own, values[rows].astype(np.float32), rows, len(mask))


@pytest.fixture
def world():
    """60 samples in four clusters that each move their own way; both models miss some samples."""
    rng = np.random.default_rng(4)
    centres, moves = 6 * rng.standard_normal((K, D)), 2 * rng.standard_normal((K, D))
    labels = rng.integers(0, K, 60)
    before = centres[labels] + 0.5 * rng.standard_normal((60, D))
    after = before + moves[labels] + 0.3 * rng.standard_normal((60, D))
    return before, after, rng.random(60) < 0.8, rng.random(60) < 0.8


def by_hand(a, b, ma, mb):
    """Steps 1 to 9 with loops, from the text."""
    za, zb = a[ma].astype(np.float32), b[mb].astype(np.float32)
    ua = KMeans(K, n_init=1, max_iter=5000, random_state=0).fit(za).cluster_centers_
    ub = KMeans(K, n_init=1, max_iter=5000, random_state=0).fit(zb).cluster_centers_
    own = [
        min(range(K), key=lambda k: np.linalg.norm(a[m].astype(np.float32) - ua[k])) if ma[m] and mb[m] else None
        for m in range(len(a))
    ]
    members = [[m for m in range(len(a)) if own[m] == k] for k in range(K)]
    deltas = np.array([np.mean([b[m] for m in one], axis=0) - np.mean([a[m] for m in one], axis=0) for one in members])
    moved = ua + deltas

    def cos(u, v):
        return float(u @ v / math.sqrt((u @ u) * (v @ v)))

    best = max(itertools.permutations(range(K)), key=lambda order: sum(cos(ua[k], ub[order[k]]) for k in range(K)))
    goal = ub[list(best)]

    def words(u):
        found = []
        for token in sorted(range(60), key=lambda token: -float(u.astype(np.float32) @ UNEMBEDDING[token]))[:40]:
            if PIECES[token] != "word3" and len(found) < 8:
                found.append(PIECES[token])
        return found

    told = {"n": [len(one) for one in members], "matched": list(best), "deltas": deltas}
    told["orig_count"] = [len(set(words(goal[k])) & set(words(ua[k]))) for k in range(K)]
    told["shifted_count"] = [len(set(words(goal[k])) & set(words(moved[k]))) for k in range(K)]
    told["orig_pct"] = [100 * told["orig_count"][k] / len(set(words(goal[k]))) for k in range(K)]
    far = [np.linalg.norm(goal[k] - ua[k]) for k in range(K)]
    near = [np.linalg.norm(goal[k] - moved[k]) for k in range(K)]
    told["improved_distance"] = [x - y for x, y in zip(far, near, strict=True)]
    told["normalised_improved_distance"] = [(x - y) / x for x, y in zip(far, near, strict=True)]
    told["improved_cosine"] = [cos(goal[k], moved[k]) - cos(goal[k], ua[k]) for k in range(K)]
    told["normalised_improved_cosine"] = [told["improved_cosine"][k] / cos(goal[k], ua[k]) for k in range(K)]
    each = [[b[m] - a[m] for m in one] for one in members]
    pairs = [list(itertools.combinations(one, 2)) for one in each]
    told["consistency"] = [np.mean([cos(u, v) for u, v in one]) for one in pairs]
    told["consistency_dot"] = [np.mean([u @ v for u, v in one]) for one in pairs]
    told["consistency_mean"] = [np.mean([cos(u, np.mean(one, axis=0)) for u in one]) for one in each]
    told["consistency_mean_dot"] = [np.mean([u @ np.mean(one, axis=0) for u in one]) for one in each]
    told["magnitude"] = [np.linalg.norm(np.mean(one, axis=0)) for one in each]

    def activating(u, values, mask):
        rows = [m for m in range(len(values)) if mask[m]]
        return set(sorted(rows, key=lambda m: np.linalg.norm(values[m].astype(np.float32) - u))[:7])

    tuned = [activating(goal[k], b, mb) for k in range(K)]
    told["orig_images"] = [len(tuned[k] & activating(ua[k], a, ma)) for k in range(K)]
    told["shifted_images"] = [len(tuned[k] & activating(moved[k], b, mb)) for k in range(K)]
    return told


def test_every_measure_is_that_of_the_text(world):
    a, b, ma, mb = world
    one = shift_study.study(vector_set(a, ma), vector_set(b, mb), SETTINGS, read)
    wanted, found = by_hand(a, b, ma, mb), shift_study.measures(one)
    np.testing.assert_allclose(one.shifts.deltas, wanted.pop("deltas"), atol=1e-5)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
    assert sum(found["shifted_count"]) > sum(found["orig_count"])
    assert (found["improved_cosine"] > 0).all()


def test_masks_count_like_samples_taken_out_before(world):
    a, b, ma, mb = world
    both = ma & mb
    names = [f"s{row}" for row in np.flatnonzero(both)]
    inner = [vector_set(one[both], np.ones(both.sum(), bool), names) for one in (a, b)]
    pair = shift.common(vector_set(a, ma), vector_set(b, mb))
    assert pair.samples == names
    for one, other in zip(pair[1:3], shift.common(*inner)[1:3], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(pair.before, a[both].astype(np.float32))
    np.testing.assert_array_equal(vector_set(a, ma).values[pair.rows], pair.before)


def test_samples_are_matched_by_name_whatever_their_order(world):
    a, b, ma, mb = world
    straight = shift.common(vector_set(a, ma), vector_set(b, mb))
    turned = vector_set(b[::-1], mb[::-1], [f"s{row}" for row in range(60)][::-1])
    for one, other in zip(straight, shift.common(vector_set(a, ma), turned), strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_shift_for_all_is_found_and_recovers_everything(world):
    a, _, ma, _ = world
    c = np.linspace(-3, 4, D)
    one = shift_study.study(vector_set(a, ma), vector_set(a + c, ma), SETTINGS, read)
    found = shift_study.measures(one)
    np.testing.assert_allclose(one.shifts.deltas, np.tile(c, (K, 1)), atol=1e-5)
    np.testing.assert_allclose(one.concepts, one.tuned.concepts, atol=1e-4)
    np.testing.assert_allclose(found["consistency"], 1, atol=1e-6)
    np.testing.assert_allclose(found["consistency_mean"], 1, atol=1e-6)
    np.testing.assert_array_equal(found["shifted_count"], found["denom"])
    np.testing.assert_array_equal(found["shifted_pct"], 100)
    np.testing.assert_array_equal(found["shifted_images"], SETTINGS["images"])
    assert (found["improved_distance"] > 0).all()


def test_two_equal_models_have_no_shift(world):
    a, _, ma, _ = world
    one = shift_study.study(vector_set(a, ma), vector_set(a, ma), SETTINGS, read)
    found = shift_study.measures(one)
    np.testing.assert_array_equal(one.shifts.deltas, 0)
    np.testing.assert_array_equal(one.matched, range(K))
    for name in found:
        if "improved" in name:
            np.testing.assert_allclose(found[name], 0, atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(found["orig_pct"], 100)
    np.testing.assert_array_equal(found["magnitude"], 0)
    assert np.isnan(found["consistency"]).all()


def test_a_concept_without_a_sample_stays_and_one_sample_has_no_consistency():
    pair = shift.Common(["a", "b", "c"], np.eye(3), np.eye(3) * 2, np.arange(3))
    found = shift.shifts(pair, np.array([0, 0, 2]), 4)
    assert list(found.counts) == [2, 0, 1, 0]
    assert np.isnan(found.deltas[[1, 3]]).all() and not np.isnan(found.deltas[[0, 2]]).any()
    concepts = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(shift.moved(concepts, found.deltas, 3.0)[[1, 3]], concepts[[1, 3]])
    told = shift.statistics(pair, found)
    assert np.isnan(told.cosine).all() and np.isnan(told.magnitude[[1, 3]]).all()
    np.testing.assert_allclose(told.magnitude[[0, 2]], [math.sqrt(0.5), 1])
    # Shifts at right angles make no pair that counts.
    assert math.isnan(told.dot[0])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [60 / 11, 50.0]), ("median", [5, 50.0]), ("trimmed", [5, 50.0])],
)
def test_middles_by_coordinate(how, expected):
    values = np.stack([np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15.0]), np.full(11, 50.0)], axis=1)
    np.testing.assert_allclose(shift.middle(values, how), expected)


def test_middles_are_those_of_torch_and_scipy():
    import torch
    from scipy.stats import trim_mean

    for count in (1, 2, 9, 10, 11, 26):
        values = np.random.default_rng(count).standard_normal((count, 5))
        np.testing.assert_array_equal(shift.middle(values, "median"), torch.tensor(values).median(dim=0).values)
        np.testing.assert_allclose(shift.middle(values, "trimmed"), trim_mean(values, 0.1, axis=0), atol=1e-12)


def test_associations(world):
    a = world[0]
    concepts = a[:5]
    expected = {
        "cosine": [max(range(5), key=lambda k: one @ concepts[k] / np.linalg.norm(concepts[k])) for one in a],
        "l2": [min(range(5), key=lambda k: np.linalg.norm(one - concepts[k])) for one in a],
    }
    for how, wanted in expected.items():
        assert list(shift.associate(np.zeros((60, 5)), a, concepts, how)) == wanted
    activations = np.random.default_rng(0).random((60, 5))
    np.testing.assert_array_equal(shift.associate(activations, a, concepts, "activation"), activations.argmax(axis=1))


def test_normalisations():
    deltas = np.array([[3.0, 0], [0, 4], [np.nan, np.nan]])
    np.testing.assert_allclose(shift.normalised(deltas)[:2], deltas[:2] / 5)
    moved = shift.moved(np.ones((3, 2)), deltas, 2.0, unit=True)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1)
    np.testing.assert_allclose(moved[0], np.array([7, 1]) / math.sqrt(50))


def test_a_match_is_a_permutation_with_the_greatest_sum():
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other = rng.standard_normal((2, 5, 3))
        found = shift.match(one, other)
        assert sorted(found) == list(range(5))
        alike = shift.cosines(one, other)
        best = max(sum(alike[range(5), order]) for order in map(list, itertools.permutations(range(5))))
        assert alike[range(5), found].sum() == pytest.approx(best)


def test_overlap_of_words():
    lists = [["a", "b", "b"], ["c"], []]
    found = shift.overlap(lists, lists)
    np.testing.assert_array_equal(found[:2], 100)
    assert np.isnan(found[2])
    np.testing.assert_array_equal(shift.overlap([["a", "b"], ["c"], ["d"]], [["b", "x"], ["y"], ["d"]]), [50, 0, 100])


def test_without_a_common_sample_nothing_is_compared(world):
    a = world[0]
    half = np.arange(60) < 30
    with pytest.raises(VlmscopeError, match="no sample in common"):
        shift.common(vector_set(a, half), vector_set(a, ~half))


# ---- controls ----------------------------------------------------------------------------------------------------


def test_controls_are_as_long_as_the_shifts_and_never_the_own_one():
    rng = np.random.default_rng(0)
    deltas = rng.standard_normal((6, 40)) * np.arange(1, 7)[:, None]
    deltas[2] = np.nan
    for control in (shift_study.random_like, shift_study.others_like):
        found = control(deltas, rng)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(deltas, axis=1))
        assert np.isnan(found[2]).all()
        kept = [0, 1, 3, 4, 5]
        assert (np.abs(shift.cosine(found[kept], deltas[kept])) < 0.9).all()
    donors = np.abs(shift.cosines(found[kept], deltas[kept])).argmax(axis=1)
    assert sorted(donors) == list(range(5))
    assert np.isnan(shift_study.others_like(deltas[:1], rng)).all()


def test_held_out_shifts_lead_every_control(world):
    """Clusters move their own ways: what one half shows brings the other there, and nothing else does."""
    a, b, _, _ = world
    everyone = np.ones(60, bool)
    rows = shift_held_out.rows(shift.common(vector_set(a, everyone), vector_set(b, everyone)), SETTINGS, read)
    assert [(row["goal"], row["arm"]) for row in rows] == list(
        itertools.product(shift_held_out.GOALS, shift_held_out.ARMS)
    )
    for row in rows:
        assert row["cosine_low"] <= row["cosine"] <= row["cosine_high"] <= 1
        assert 0 <= row["t_overlap_low"] <= row["t_overlap"] <= row["t_overlap_high"] <= 100
        assert row["cosine_gain"] == pytest.approx(row["cosine"] - rows[0 if row["goal"] == "matched" else 5]["cosine"])
        if row["arm"] == "shift":
            assert row["cosine_gain_low"] > 0 and row["cosine_lead"] == 0 and row["cosine"] > 0.99
        else:
            assert row["cosine_lead_low"] > 0


def test_held_out_shifts_of_equal_models_gain_nothing(world):
    a = world[0]
    noise = a + np.random.default_rng(3).standard_normal(a.shape)
    everyone = np.ones(60, bool)
    rows = shift_held_out.rows(shift.common(vector_set(a, everyone), vector_set(noise, everyone)), SETTINGS, read)
    gain = next(row for row in rows if (row["goal"], row["arm"]) == ("centroid", "shift"))
    assert gain["cosine_gain"] < 0.02
    assert shift_held_out.rows(shift.common(*[vector_set(a[:15], everyone[:15])] * 2), SETTINGS, read) == []


def test_arms_of_a_strength(world):
    a, b, ma, mb = world
    one = shift_study.study(vector_set(a, ma), vector_set(b, mb), SETTINGS, read)
    found, draws = shift_study.measures(one), Draws(50, 0)
    none, _ = shift_study.arms(one, SETTINGS, 0.0, draws, read)
    assert none["t_overlap"] == pytest.approx(found["orig_pct"].mean())
    whole, other = shift_study.arms(one, SETTINGS, 1.0, draws, read)
    assert whole["t_overlap"] == pytest.approx(found["shifted_pct"].mean())
    assert whole["cosine"] == pytest.approx(found["shifted_cosine"].mean())
    assert whole["cosine"] > none["cosine"] > other["cosine"]
    assert whole["cosine_low"] <= whole["cosine"] <= whole["cosine_high"]
