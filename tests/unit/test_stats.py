"""Intervals against published or closed-form values."""

import math

import numpy as np
import pytest

from vlmscope import stats


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        # Newcombe 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(successes, n, low, high):
    assert stats.wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 7, 1001])
def test_the_bounds_of_wilson_solve_the_score_equation(n):
    for successes in range(0, n + 1, max(1, n // 7)):
        share = successes / n
        for bound in stats.wilson(successes, n):
            if 0 < bound < 1:
                assert abs(share - bound) == pytest.approx(
                    1.959963984540054 * math.sqrt(bound * (1 - bound) / n), abs=1e-12
                )


@pytest.mark.parametrize("n", range(1, 60))
def test_a_wilson_interval_stays_between_nothing_and_all_and_holds_the_share(n):
    for successes in (0, n // 2, n):
        low, high = stats.wilson(successes, n)
        assert 0.0 <= low <= successes / n <= high <= 1.0


def test_nothing_has_no_interval():
    assert all(map(math.isnan, stats.wilson(0, 0)))
    assert all(map(math.isnan, stats.bootstrap_mean(np.array([]), 100, 0)))
    assert all(map(math.isnan, stats.mean_interval(np.array([]), 100, 0)))


def test_a_bootstrap_interval_is_near_the_normal_one_for_many_rows():
    values = np.random.default_rng(5).normal(3.0, 2.0, 4000)
    low, high = stats.bootstrap_mean(values, 2000, 0)
    half = 1.96 * values.std() / math.sqrt(4000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_a_bootstrap_interval_of_two_values_is_known():
    # Means of two draws from {0, 1} are 0, 1/2, 1 with chances 1/4, 1/2, 1/4: both tails lie beyond 2.5 %.
    assert stats.bootstrap_mean(np.array([0.0, 1.0]), 2000, 0) == (0.0, 1.0)


def test_rows_without_spread_have_no_width():
    assert stats.bootstrap_mean(np.full(9, 0.3), 100, 0) == pytest.approx((0.3, 0.3))


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(0).random(30)
    assert stats.bootstrap_mean(values, 100, 1) == stats.bootstrap_mean(values, 100, 1)
    assert stats.bootstrap_mean(values, 100, 1) != stats.bootstrap_mean(values, 100, 2)


def test_zeros_and_ones_get_wilson_and_everything_else_the_bootstrap():
    assert stats.mean_interval(np.array([1.0] * 8 + [0.0] * 2), 100, 0) == pytest.approx(
        (0.8, 0.4902, 0.9433), abs=5e-5
    )
    mean, low, high = stats.mean_interval(np.array([1.0, 0.5, 0.0, 0.5]), 500, 0)
    assert mean == 0.5 and (low, high) == stats.bootstrap_mean(np.array([1.0, 0.5, 0.0, 0.5]), 500, 0)


def test_a_bootstrap_covers_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = stats.bootstrap_mean(generator.exponential(1.0, 80), 400, 0)
        hits += low <= 1.0 <= high
    # 95 % of 200 are 190; exponential rows cover a little less.
    assert 178 <= hits <= 198


@pytest.mark.parametrize(
    ("lost", "gained", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 1, 1.0), (10, 0, 2 / 1024), (1, 7, 2 * 9 / 256)]
)
def test_mcnemar_is_the_exact_sign_test_of_changed_rows(lost, gained, p):
    assert stats.mcnemar(lost, gained) == stats.mcnemar(gained, lost) == pytest.approx(p)


def test_mcnemar_bears_many_rows():
    assert 0 < stats.mcnemar(400, 700) < 1e-12
    assert stats.mcnemar(2000, 2001) == pytest.approx(1.0, abs=0.02)


def test_sign_flips_tell_a_shift_from_noise():
    drawn = np.random.default_rng(0)
    assert stats.sign_flip(np.zeros(9), 100, 0) == 1.0
    assert stats.sign_flip(drawn.normal(0.5, 1, 200), 999, 0) == pytest.approx(1 / 1000)
    noise = [stats.sign_flip(drawn.normal(0, 1, 50), 200, seed) for seed in range(200)]
    # Uniform under no shift: 5 % below 0.05, within four standard deviations.
    assert np.mean(np.array(noise) <= 0.05) < 0.05 + 4 * 0.0155


def test_the_test_fits_the_score():
    assert stats.paired(np.array([1, 1, 0]), np.array([0, 0, 0]), 99, 0) == ("mcnemar", 0.5)
    name, p = stats.paired(np.array([1, 0.5, 0]), np.array([0.9, 0.5, 0]), 99, 0)
    assert name == "sign_flip" and p == 1.0


def test_weights_of_draws_are_the_rows_that_a_bootstrap_takes():
    draws = stats.Draws(500, 3)
    weights, values = draws.weights(4), np.array([1.0, 2.0, 4.0, 8.0])
    assert weights.shape == (501, 4)
    assert weights[0].tolist() == [1, 1, 1, 1]
    assert (weights.sum(axis=1) == 4).all()
    low, high = stats.interval((weights[1:] @ values) / 4)
    middle, *ends = stats.Draws(20_000, 0).mean(values)
    assert middle == values.mean()
    assert (low, high) == pytest.approx(ends, abs=0.6)
    assert draws.weights(0).shape == (501, 0)


def test_an_interval_leaves_out_resamples_without_a_value():
    assert stats.interval(np.array([np.nan, 1.0, np.nan, 1.0])) == (1.0, 1.0)
    assert all(math.isnan(one) for one in stats.interval(np.array([np.nan])))
    assert all(math.isnan(one) for one in stats.Draws(10, 0).mean(np.zeros(0)))
