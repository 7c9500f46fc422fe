import itertools

import numpy as np
import pytest

from vlmscope.mm_neurons.measures import invariance, sets
from vlmscope.mm_neurons.measures.invariance import Shuffled
from vlmscope.mm_neurons.measures.sets import Sets
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.stats import Draws

DRAWS = Draws(300, 0)
KIND = ("act_fn", "contribution")


def shown(rows):
    """(image, noun) -> neurons."""
    return Sets(tuple(rows), np.array(list(rows.values())))


# ---- region ------------------------------------------------------------------------------------------------------

ORIGINAL = shown({("a", "dog"): [1, 2, 3, 4], ("a", "cat"): [5, 6, 7, 8], ("b", "dog"): [1, 2, 9, 8]})
SHUFFLED = Shuffled(
    [("a", 0), ("a", 1), ("b", 0)],
    {
        ("a", "dog", 0): np.array([2, 1, 8, 9]),
        ("a", "dog", 1): np.array([1, 2, 3, 4]),
        ("a", "cat", 0): np.array([0, 11, 12, 13]),
        ("b", "bird", 0): np.array([1, 2, 9, 8]),
    },
)


def by_k(rows, method, k):
    return next(row for row in rows if (row["method"], row["k"]) == (method, k))


def test_region_invariance_by_hand():
    rows = invariance.region_rows(KIND, "free", ORIGINAL, SHUFFLED, sizes=[1, 2, 4], neurons=100, draws=DRAWS)
    # Image a: dog in both orders, cat in one; image b has lost its dog.
    assert by_k(rows, "contribution", 2)["overlap"] == pytest.approx((1 + 1 + 0) / 3)
    assert by_k(rows, "contribution", 1)["overlap"] == pytest.approx((0 + 1 + 0) / 3)
    assert by_k(rows, "contribution", 4)["overlap"] == pytest.approx((0.5 + 1 + 0) / 3)
    row = by_k(rows, "contribution", 2)
    # Wanted: dog and cat of a in two orders, dog of b in one; cat in order 1 and dog of b are not there.
    assert row["lost_nouns"] == pytest.approx(2 / 5)
    assert (row["n"], row["nouns"], row["permutations"], row["chance"]) == (1, 3, 2, 0.02)


def test_images_weigh_the_same_whatever_their_nouns():
    again = Shuffled([("a", 0), ("b", 0)], {**SHUFFLED.found, ("b", "dog", 0): np.array([50, 51, 52, 53])})
    rows = invariance.region_rows(KIND, "forced", ORIGINAL, again, sizes=[2], neurons=100, draws=DRAWS)
    assert by_k(rows, "contribution", 2)["overlap"] == pytest.approx(((1 + 0) / 2 + 0) / 2)
    assert by_k(rows, "contribution", 2)["lost_nouns"] == 0


def test_random_sets_share_what_chance_gives():
    keys = {(f"x{k}", "dog"): list(range(20)) for k in range(400)}
    again = Shuffled([(image, 0) for image, _ in keys], {(image, "dog", 0): np.arange(20) for image, _ in keys})
    rows = invariance.region_rows(KIND, "free", shown(keys), again, sizes=[20], neurons=100, draws=DRAWS)
    assert by_k(rows, "contribution", 20)["overlap"] == 1
    row = by_k(rows, "random", 20)
    assert row["ci_low"] < row["chance"] == 0.2 < row["ci_high"]
    assert row["ci_high"] - row["ci_low"] < 0.03
    assert row["n"] == 400


def test_other_methods_bring_no_random_rows_and_short_lists_no_numbers():
    rows = invariance.region_rows(
        ("act_fn", "gradient"), "free", ORIGINAL, SHUFFLED, sizes=[4, 5], neurons=9, draws=DRAWS
    )
    assert [row["method"] for row in rows] == ["gradient", "gradient"]
    frame = sets.frame(rows, invariance.REGION)
    assert frame.filter(k=5).select("overlap", "ci_low", "lost_nouns", "n").row(0) == (None, None, None, 0)


def test_nothing_shuffled_is_an_empty_row():
    rows = invariance.region_rows(KIND, "free", ORIGINAL, Shuffled([], {}), sizes=[2], neurons=9, draws=DRAWS)
    assert sets.frame(rows, invariance.REGION)["overlap"].to_list() == [None, None]
    assert [row["n"] for row in rows] == [0, 0]


# ---- other images ------------------------------------------------------------------------------------------------


def random_sets(seed=0, images=9, keep=8):
    generator, rows = np.random.default_rng(seed), {}
    for image in range(images):
        for noun in generator.permutation(["dog", "cat", "bird", "cup"])[: generator.integers(1, 4)]:
            rows[f"x{image}", str(noun)] = generator.permutation(20)[:keep]
    return shown(rows)


def brute(chosen, k, least):
    """Both overlaps by their definition."""
    often = {noun for noun in chosen.nouns if (chosen.nouns == noun).sum() >= least}
    rows = [row for row in range(len(chosen)) if chosen.nouns[row] in often]
    same, diff = {noun: [] for noun in often}, []
    for a, b in itertools.combinations(rows, 2):
        if chosen.images[a] == chosen.images[b]:
            continue
        alike = len(set(chosen.neurons[a, :k].tolist()) & set(chosen.neurons[b, :k].tolist())) / k
        if chosen.nouns[a] == chosen.nouns[b]:
            same[chosen.nouns[a]].append(alike)
        else:
            diff.append(alike)
    return np.mean([np.mean(one) for one in same.values()]), np.mean(diff), len(often), sum(map(len, same.values()))


@pytest.mark.parametrize("least", [2, 4])
@pytest.mark.parametrize("k", [1, 5])
def test_both_overlaps_are_means_over_pairs_of_images(k, least):
    chosen = random_sets()
    (row,) = invariance.cross_rows(KIND, chosen, sizes=[k], m_images=[least], draws=DRAWS)
    same, diff, nouns, pairs = brute(chosen, k, least)
    assert row["overlap_same"] == pytest.approx(same)
    assert row["overlap_diff"] == pytest.approx(diff)
    assert row["gap"] == pytest.approx(same - diff)
    assert (row["n_nouns"], row["pairs_same"]) == (nouns, pairs)
    assert row["same_low"] <= row["overlap_same"] <= row["same_high"]
    assert row["diff_low"] <= row["overlap_diff"] <= row["diff_high"]


def test_an_interval_draws_images_and_never_compares_one_with_itself():
    """Every image has sets of its own: whatever is drawn, nothing is shared."""
    chosen = shown({(f"x{k}", "dog"): [2 * k, 2 * k + 1] for k in range(5)})
    (row,) = invariance.cross_rows(KIND, chosen, sizes=[2], m_images=[2], draws=DRAWS)
    assert (row["overlap_same"], row["same_low"], row["same_high"]) == (0, 0, 0)
    # One noun alone has no others to be compared with.
    frame = sets.frame([row], invariance.CROSS)
    assert frame.select("overlap_diff", "gap", "pairs_diff").row(0) == (None, None, 0)


def test_the_interval_of_the_gap_holds_it_where_nouns_have_their_own_neurons():
    generator, rows = np.random.default_rng(1), {}
    for image in range(30):
        for base, noun in ((0, "dog"), (100, "cat")):
            rows[f"x{image}", noun] = [*(base + generator.permutation(6)[:4]), *(200 + generator.permutation(9)[:4])]
    (row,) = invariance.cross_rows(KIND, shown(rows), sizes=[8], m_images=[5], draws=DRAWS)
    assert 0.2 < row["gap_low"] < row["gap"] < row["gap_high"] < 0.5


def test_stable_neurons_are_in_half_of_the_images_of_their_noun():
    chosen = shown({("a", "dog"): [1, 2], ("b", "dog"): [1, 3], ("c", "dog"): [4, 3], ("a", "cat"): [7, 8]})
    (row,) = invariance.cross_rows(KIND, chosen, sizes=[2], m_images=[2], draws=DRAWS)
    # 1 and 3 are in two of three images, 2 and 4 in one.
    assert row["stable"] == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert row["n_nouns"] == 1


def test_rare_nouns_and_short_lists_leave_empty_rows():
    chosen = shown({("a", "dog"): [1, 2], ("b", "cat"): [1, 3]})
    rows = invariance.cross_rows(KIND, chosen, sizes=[2, 9], m_images=[2], draws=DRAWS)
    frame = sets.frame(rows, invariance.CROSS)
    assert frame["overlap_same"].to_list() == [None, None]
    assert frame["n_nouns"].to_list() == [0, 0]


def test_no_list_at_all_leaves_empty_rows():
    rows = invariance.cross_rows(KIND, sets.of({}), sizes=[1], m_images=[2, 3], draws=DRAWS)
    assert sets.frame(rows, invariance.CROSS).select("overlap_same", "n_nouns", "n").rows() == [(None, 0, 0)] * 2


def test_the_table_is_made_from_files(tmp_path):
    path = tmp_path / "neurons.h5"
    chosen = random_sets(2)
    entries = [
        Entry("act_fn", method, *key, Neurons(row * 0, row, row.astype(np.float32)))
        for method in ("contribution", "random")
        for key, row in zip(chosen.keys, chosen.neurons, strict=True)
    ]
    lists.write(path, entries, {})
    options = {"m_images": [2, 3], "bootstrap": 50, "seed": 0}
    frame = invariance.cross_from_files([str(path)], k=[1, 8], **options)
    assert dict(frame.schema) == invariance.CROSS
    assert frame.select("method", "k", "m_images").rows() == [
        (method, k, least) for method in ("contribution", "random") for k in (1, 8) for least in (2, 3)
    ]
    assert frame["paper"].is_null().all()
    again = invariance.cross_from_files([str(path)], k=[1, 8], **options)
    assert frame.equals(again)
