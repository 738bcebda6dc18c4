"""Intervals: against SciPy's, against large samples, and where they must not pretend."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from firstsight.evaluation.bounds import (
    Interval,
    binomial_interval,
    binomial_upper_bound,
    cluster_bootstrap,
    largest_mean,
    mean_interval,
    mean_upper_bound,
    percentile_interval,
    resampled_identities,
    share_interval,
    trials_needed,
    widened_where_few_differ,
)


@given(trials=st.integers(1, 5000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95, 0.99]))
def test_binomial_interval_is_that_of_scipy(trials: int, share: float, confidence: float) -> None:
    successes = round(share * trials)
    expected = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    interval = binomial_interval(successes, trials, confidence=confidence)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval.method == "exact binomial"


def test_zero_errors_in_412_people_bound_the_rate_at_072_percent() -> None:
    assert binomial_upper_bound(0, 412) == pytest.approx(1 - 0.05 ** (1 / 412), rel=1e-9)
    assert f"{binomial_upper_bound(0, 412):.2%}" == "0.72%"


@given(trials=st.integers(1, 5000), confidence=st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bound_of_a_mean_without_an_error_is_the_exact_binomial(trials: int, confidence: float) -> None:
    expected = binomial_upper_bound(0, trials, confidence=confidence)
    assert mean_upper_bound(0.0, trials, confidence=confidence) == pytest.approx(expected, rel=1e-9)


@given(trials=st.integers(1, 500), share=st.floats(0, 1))
def test_the_bound_of_a_mean_is_never_below_the_exact_binomial(trials: int, share: float) -> None:
    """Chernoff's bound holds for all numbers in 0 ... 1, of which errors and none are the most spread."""
    errors = round(share * trials)
    assert mean_upper_bound(errors / trials, trials) >= binomial_upper_bound(errors, trials) - 1e-9


@given(trials=st.integers(1, 5000), target=st.floats(1e-4, 0.9))
def test_the_largest_mean_is_the_one_whose_bound_is_the_target(trials: int, target: float) -> None:
    allowed = largest_mean(target, trials)
    if allowed is None:
        assert mean_upper_bound(0.0, trials) > target
        assert trials < trials_needed(target)
    else:
        assert mean_upper_bound(allowed, trials) == pytest.approx(target, rel=1e-6)
        assert trials >= trials_needed(target)


def test_the_interval_of_a_mean_holds_it_and_shrinks() -> None:
    few, many = mean_interval(0.2, 20), mean_interval(0.2, 2000)
    assert 0 < few.low < many.low < 0.2 < many.high < few.high < 1
    assert mean_interval(0.0, 50).low == 0
    assert mean_interval(1.0, 50).high == 1


def test_the_bootstrap_of_many_identities_is_the_normal_interval_over_identities() -> None:
    rng = np.random.default_rng(1)
    identities, pictures = 400, 10
    share_I = rng.uniform(0.6, 1.0, identities)
    identity_N = np.repeat(np.arange(identities), pictures)
    successes_N = (rng.random(len(identity_N)) < share_I[identity_N]).astype(int)
    means_I = successes_N.reshape(identities, pictures).mean(1)
    half = 1.96 * means_I.std() / np.sqrt(identities)
    interval = cluster_bootstrap(successes_N, np.ones_like(successes_N), identity_N)
    assert interval.low == pytest.approx(means_I.mean() - half, abs=0.15 * half)
    assert interval.high == pytest.approx(means_I.mean() + half, abs=0.15 * half)


def test_pictures_that_fail_together_are_not_taken_for_independent() -> None:
    """20 identities, each with 100 pictures all right or all wrong: 20 pieces of evidence, not 2,000."""
    successes_N = np.repeat(np.arange(20) < 15, 100).astype(int)
    interval = share_interval(successes_N, np.ones(2000, int), np.repeat(np.arange(20), 100))
    by_pictures = binomial_interval(1500, 2000)
    assert interval.method == "bootstrap over identities"
    assert interval.high - interval.low > 5 * (by_pictures.high - by_pictures.low)
    assert interval.low < 0.6 < 0.9 < interval.high


def test_no_mistake_at_all_is_not_certainty() -> None:
    interval = share_interval(np.full(50, 200), np.full(50, 200), np.repeat(np.arange(5), 10))
    assert interval.high == 1
    assert interval.low == binomial_interval(50, 50).low == pytest.approx(0.025 ** (1 / 50))


def test_pictures_that_were_never_tried_are_no_evidence() -> None:
    tried = share_interval(np.array([1, 0, 1, 1]), np.array([1, 1, 1, 1]), np.array([0, 0, 1, 1]))
    more = share_interval(np.array([1, 0, 1, 1, 0]), np.array([1, 1, 1, 1, 0]), np.array([0, 0, 1, 1, 1]))
    assert tried == more


def test_resampling_draws_as_many_identities_as_there_are_and_repeats_itself() -> None:
    draws = list(resampled_identities(7, draws=100))
    assert all(weight_I.sum() == 7 and len(weight_I) == 7 for weight_I in draws)
    np.testing.assert_array_equal(draws, list(resampled_identities(7, draws=100)))
    assert np.mean(draws, axis=0) == pytest.approx(np.ones(7), abs=0.35)


def test_an_interval_holds_its_own_value() -> None:
    """Resampling two identities leaves few values, and the value itself may lie outside them all."""
    interval = percentile_interval(0.5, np.array([0.6, 0.6, 0.7]))
    assert (interval.low, interval.high) == (0.5, pytest.approx(0.695))


@pytest.mark.parametrize(("clusters", "told"), [(2, False), (5, False), (6, True), (40, True)])
def test_few_clusters_that_all_gain_are_no_certain_win(clusters: int, told: bool) -> None:
    """As a sign test would have it: 2 / 2^5 is more than 5 %, 2 / 2^6 is less."""
    gain_I = np.concatenate([np.ones(clusters), np.zeros(3)])
    bootstrap = cluster_bootstrap(np.ones(clusters), np.ones(clusters, int), np.arange(clusters))
    assert bootstrap.low == 1.0, "it has no width"
    interval = widened_where_few_differ(bootstrap, gain_I)
    assert (interval.low > 0) == told
    assert interval.high >= bootstrap.high * clusters / (clusters + 3)
    turned = widened_where_few_differ(Interval(-1.0, -1.0, "bootstrap"), -gain_I)
    assert (turned.high < 0) == told


def test_where_nothing_differs_the_interval_stays() -> None:
    nothing = Interval(0.0, 0.0, "bootstrap")
    assert widened_where_few_differ(nothing, np.zeros(4)) == nothing
