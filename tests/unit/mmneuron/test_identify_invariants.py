"""Invariants of the selection (mmneuron.md 11, checks 7 to 9) and cells that can be computed by hand."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import identify
from vlmscope.mmneuron.identify import select
from vlmscope.store.shards import DomainCounts

SEEN = np.array([1000, 900, 1100, 800, 1000])
RATES = {"top_rate": 0.1, "filter_rate": 0.9, "bar_rate": 0.9}


def counts(seed=0, layers=3, units=80):
    """Most neurons fire everywhere alike; some fire in one or two domains."""
    generator = np.random.default_rng(seed)
    share = generator.beta(1, 6, (1, layers, units)) * generator.uniform(0.6, 1.4, (5, layers, units))
    special = generator.random((layers, units)) < 0.15
    share[:, special] *= generator.random((5, special.sum())) < 0.35
    share[:, generator.random((layers, units)) < 0.03] = 0
    return generator.binomial(SEEN[:, None, None], np.clip(share, 0, 1))


def by_hand(fired, seen, top, rank):
    """The published rule in exact fractions, neuron by neuron: selected flat indices and members."""
    domains, layers, units = fired.shape
    p = {
        (place, d): Fraction(int(fired[d].ravel()[place]), int(seen[d]))
        for place in range(layers * units)
        for d in range(domains)
    }
    bar = sorted(p.values())[rank - 1]
    entropy = {}
    for place in range(layers * units):
        row = [p[place, d] for d in range(domains)]
        shares = [float(one / sum(row)) for one in row if one] if any(row) else []
        passes = any(one > bar for one in row)
        entropy[place] = -sum(q * math.log(q) for q in shares) if passes else math.inf
    chosen = sorted(entropy, key=lambda place: (round(entropy[place], 12), place))[:top]
    return chosen, {(d, place) for place in chosen for d in range(domains) if p[place, d] > bar}


@pytest.mark.parametrize("seed", range(4))
def test_the_selection_is_the_published_rule_in_exact_arithmetic(seed):
    fired = counts(seed)
    selection = select(fired, SEEN, **RATES)
    chosen, members = by_hand(fired, SEEN, top=24, rank=1080)
    assert selection.selected.tolist() == chosen
    assert {tuple(one) for one in np.argwhere(selection.members.reshape(5, -1)).tolist()} == members
    assert members


def test_a_case_done_by_hand():
    # Four neurons, two domains of ten positions: p = (.9 .0) (.5 .5) (.0 .2) (.8 .1)
    fired = np.array([[[9, 5, 0, 8]], [[0, 5, 2, 1]]])
    selection = select(fired, np.array([10, 10]), top_rate=0.5, filter_rate=0.5, bar_rate=0.5)
    # Eight values: 0 0 .1 .2 .5 .5 .8 .9; the fourth smallest is .2, and the third neuron does not exceed it.
    assert selection.threshold == selection.bar == 0.2
    h = -(8 / 9 * math.log(8 / 9) + 1 / 9 * math.log(1 / 9))
    np.testing.assert_allclose(selection.entropy, [[0, math.log(2), math.inf, h]], atol=1e-12)
    assert selection.selected.tolist() == [0, 3]
    assert selection.members[:, 0].tolist() == [[True, False, False, True], [False, False, False, False]]


@pytest.mark.parametrize("seed", range(6))
def test_members_exceed_the_bar_and_no_passing_neuron_outside_is_more_specific(seed):
    selection = select(counts(seed), SEEN, **RATES)
    union = selection.members.any(axis=0)
    assert 0 < union.sum() <= len(selection.selected) == 24
    domain, layer, unit = np.nonzero(selection.members)
    assert (selection.probability[layer, unit, domain] > selection.bar).all()
    outside = np.ones(240, dtype=bool)
    outside[selection.selected] = False
    passing = outside & np.isfinite(selection.entropy.ravel())
    assert selection.entropy.ravel()[passing].min() >= selection.entropy.ravel()[selection.selected].max()
    finite = selection.entropy[np.isfinite(selection.entropy)]
    assert finite.min() >= 0 and finite.max() <= math.log(5) + 1e-12


def test_the_union_has_all_selected_neurons_when_enough_pass_and_the_bar_is_the_threshold():
    fired = counts(3)
    passing = np.isfinite(select(fired, SEEN, **RATES).entropy).sum()
    enough = select(fired, SEEN, top_rate=(passing - 1) / 240, filter_rate=0.9, bar_rate=0.9)
    assert enough.members.any(axis=0).sum() == len(enough.selected) == passing - 1
    more = select(fired, SEEN, top_rate=(passing + 9) / 240, filter_rate=0.9, bar_rate=0.9)
    assert more.members.any(axis=0).sum() == passing < len(more.selected)


@pytest.mark.parametrize("assign", ["bar", "highest"])
def test_permuting_domains_permutes_the_lists(assign):
    fired, order = counts(1), [3, 0, 4, 1, 2]
    plain = select(fired, SEEN, **RATES, assign=assign)
    turned = select(fired[order], SEEN[order], **RATES, assign=assign)
    np.testing.assert_array_equal(turned.members, plain.members[order])


def test_scaling_counts_and_positions_of_a_domain_together_changes_nothing():
    fired, scale = counts(2), np.array([1, 4, 1, 8, 2])
    plain = select(fired, SEEN, **RATES)
    scaled = select(fired * scale[:, None, None], SEEN * scale, **RATES)
    np.testing.assert_array_equal(scaled.members, plain.members)
    np.testing.assert_array_equal(scaled.selected, plain.selected)


def test_a_neuron_that_never_fires_changes_only_the_sizes():
    fired = counts(4)
    fired = np.concatenate([fired, np.zeros((5, 3, 1), int)], axis=2)
    # Ranks that stay in place although N grows: the dead neurons are the smallest values.
    dead, alive = 3 * 5, 240 * 5
    plain = select(fired[:, :, :80], SEEN, top_rate=24 / 240, filter_rate=1080 / alive, bar_rate=1080 / alive)
    rate = (1080 + dead) / (alive + dead)
    more = select(fired, SEEN, top_rate=24 / 243, filter_rate=rate, bar_rate=rate)
    assert more.threshold == plain.threshold
    np.testing.assert_array_equal(more.members[:, :, :80], plain.members)
    assert not more.members[:, :, 80].any()
    np.testing.assert_allclose(more.entropy[:, :80], plain.entropy)


@pytest.mark.parametrize("seed", range(4))
def test_assign_highest_leaves_each_neuron_its_strongest_domain(seed):
    fired = counts(seed)
    bar, highest = (select(fired, SEEN, **RATES, assign=one) for one in ("bar", "highest"))
    assert (highest.members <= bar.members).all()
    assert (highest.members.sum(axis=0) == bar.members.any(axis=0)).all()
    domain, layer, unit = np.nonzero(highest.members)
    np.testing.assert_array_equal(
        highest.probability[layer, unit].max(axis=1), highest.probability[layer, unit, domain]
    )


def test_order_and_ties_go_to_the_lower_index():
    fired = np.zeros((2, 1, 6), int)
    fired[0] = [[5, 5, 5, 5, 5, 0]]
    selection = select(fired, np.array([10, 10]), top_rate=0.5, filter_rate=0.5, bar_rate=0.5)
    assert selection.selected.tolist() == [0, 1, 2]


def test_many_ties_at_the_cut_go_to_the_lower_index_too():
    # Alternating entropies, hundreds of neurons each: sorting algorithms that are not stable mix these up.
    fired = np.zeros((2, 1, 1000), int)
    fired[0], fired[1, 0, ::2] = 5, 2
    selection = select(fired, np.array([10, 10]), top_rate=0.7, filter_rate=0.4, bar_rate=0.4)
    assert selection.selected.tolist() == [*range(1, 1000, 2), *range(0, 400, 2)]


def test_a_tie_at_the_threshold_passes_nobody():
    fired = np.full((2, 1, 4), 10)
    selection = select(fired, np.array([10, 10]), top_rate=0.5)
    assert selection.threshold == 1.0
    assert not selection.members.any() and np.isinf(selection.entropy).all()


def test_a_rate_too_small_for_the_module_selects_nobody():
    selection = select(counts(0, layers=1, units=40), SEEN, top_rate=0.01)
    assert len(selection.selected) == 0 and not selection.members.any()


@pytest.mark.parametrize(
    ("size", "count"), [(352256, 3523), (98304, 983), (4096, 41), (239616, 2396), (36864, 369), (50, 0), (150, 2)]
)
def test_the_number_selected_is_the_published_one(size, count):
    fired = np.random.default_rng(0).integers(0, 100, (2, 1, size))
    assert len(select(fired, np.array([100, 100])).selected) == count


@pytest.mark.parametrize(("rate", "value"), [(0.5, 2), (0.3, 2), (1.0, 5), (0.0, 1), (0.7, 4), (0.1, 1)])
def test_the_threshold_is_an_order_statistic_with_halves_rounded_to_even(rate, value):
    # Ranks 2.5, 1.5, 5, 0, 3.5 and .5 of five values.
    assert identify.order_statistic(np.array([5, 3, 1, 4, 2]), rate) == value


@pytest.mark.parametrize("empty", [0, -1])
def test_a_domain_without_positions_is_refused(empty):
    seen = SEEN.copy()
    seen[2] = empty
    with pytest.raises(VlmscopeError, match="no counted positions"):
        select(counts(), seen)


def test_single_precision_gives_the_same_sets_here():
    single, double = (select(counts(5), SEEN, **RATES, compat_float32=one) for one in (True, False))
    assert single.probability.dtype == np.float32
    np.testing.assert_array_equal(single.members, double.members)


def described(assign="bar"):
    fired = counts(1)
    found = DomainCounts(("ad", "med", "rs", "com", "doc"), fired, fired * 0.5, SEEN, (9, 8, 7, 6, 5))
    return found, select(fired, SEEN, **RATES, assign=assign)


def test_the_neuron_table_lists_every_member_with_all_its_probabilities():
    found, selection = described()
    table = identify.neuron_table(found, selection, "lang")
    assert table.columns == ["module", "layer", "index", "domain", "p_ad", "p_med", "p_rs", "p_com", "p_doc", "entropy"]
    assert len(table) == selection.members.sum()
    for row in table.iter_rows(named=True):
        place = found.domains.index(row["domain"])
        assert selection.members[place, row["layer"], row["index"]]
        for d, name in enumerate(found.domains):
            assert row[f"p_{name}"] == found.fired[d, row["layer"], row["index"]] / SEEN[d]
    keys = list(zip(map(found.domains.index, table["domain"]), table["layer"], table["index"], strict=True))
    assert keys == sorted(set(keys))


def test_the_summary_counts_what_the_table_holds():
    found, selection = described()
    told = identify.summary(dataclasses.replace(found, inert=frozenset({2})), selection, "vision")
    per_neuron = selection.members.sum(axis=0)
    assert told["members"] == {name: int(selection.members[d].sum()) for d, name in enumerate(found.domains)}
    assert told["effective"] == {name: int(selection.members[d, :2].sum()) for d, name in enumerate(found.domains)}
    assert (told["union"], told["shared_ge2"]) == ((per_neuron > 0).sum(), (per_neuron > 1).sum())
    assert (told["n_neurons"], told["n_selected"], told["shape"]) == (240, 24, [3, 80])
    assert told["positions"]["med"] == 900 and told["samples"]["doc"] == 5


def test_the_name_of_a_set_changes_with_the_set_alone():
    found, selection = described()
    _, narrower = described("highest")
    name = identify.summary(found, selection, "lang")["set"]
    assert identify.summary(dataclasses.replace(found, inert=frozenset({1})), selection, "other")["set"] == name
    assert identify.summary(found, narrower, "lang")["set"] != name
