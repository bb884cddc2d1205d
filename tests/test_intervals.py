"""Intervals by hand against table values, and the coverage that their corrections buy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner._statistics.intervals import corrected_t, percentile, prediction_t, wilson

# Student's t, from tables: two-sided 95% and 90% with 4 degrees of freedom, 95% with 1.
T_4, T_4_AT_90, T_1 = 2.776445, 2.131847, 12.706205
FIVE = (0.1, 0.2, 0.3, 0.4, 0.5)  # mean .3, sd = sqrt(.1 / 4) = .15811388
LOSSES = st.lists(st.floats(0, 10), min_size=2, max_size=8)


def ends(interval):
    """Value, low and high."""
    return interval.value, interval.low, interval.high


def test_corrected_t_by_hand():
    """The mean plus and minus t * sd * sqrt(1/J + n_test/n_train)."""
    # 5 folds of 5: sqrt(1/5 + 1/4) = .67082039; half = 2.776445 * .15811388 * .67082039 = .294486
    half = T_4 * 0.15811388 * 0.67082039
    assert half == pytest.approx(0.294486, abs=1e-6)
    assert ends(corrected_t(FIVE, test_share=0.25)) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-6)


def test_level_by_hand():
    """At 90% the interval uses t = 2.131847."""
    half = T_4_AT_90 * 0.15811388 * 0.67082039
    interval = corrected_t(FIVE, test_share=0.25, level=0.9)
    assert ends(interval) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-6)


def test_prediction_t_by_hand():
    """One further window: t * sd * sqrt(1 + 1/J)."""
    # sqrt(1.2) = 1.09544512
    half = T_4 * 0.15811388 * 1.09544512
    assert ends(prediction_t(FIVE)) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-6)


def test_squared_scale_by_hand():
    """RMSE: the interval of the mean square, then the root."""
    # losses 3, 4, 5: squares 9, 16, 25; mean 50/3 = 16.666667; deviations -7.666667 -.666667 8.333333;
    # sd = sqrt(128.666667 / 2) = 8.020806; t_2 = 4.302653; sqrt(1/3 + 0) = .577350; half = 19.9249
    value, low, high = ends(corrected_t([3.0, 4.0, 5.0], test_share=0.0, squared=True))
    assert value == pytest.approx(math.sqrt(50 / 3))
    assert low == 0.0  # 16.67 - 19.92 < 0: a mean square is never negative
    assert high == pytest.approx(math.sqrt(16.666667 + 19.924883), rel=1e-5)


def test_squared_scale_with_a_positive_low_end():
    """The low end is a root as well: squares 100, 121 with t_1."""
    # mean 110.5, sd = 21 / sqrt(2) = 14.849242; level .5: t_1 = 1 exactly; sqrt(1/2) -> half = 10.5
    interval = corrected_t([10.0, 11.0], test_share=0.0, level=0.5, squared=True)
    assert ends(interval) == pytest.approx((math.sqrt(110.5), 10.0, 11.0))


def test_two_folds_by_hand():
    """One degree of freedom: t = 12.706205."""
    # mean .3, sd = .2 / sqrt(2); sqrt(1/2 + 1): half = t * .2 * sqrt(1.5 / 2)
    half = T_1 * 0.2 * math.sqrt(0.75)
    assert ends(corrected_t([0.2, 0.4], test_share=1.0)) == pytest.approx(
        (0.3, 0.3 - half, 0.3 + half), abs=1e-6
    )


@pytest.mark.parametrize("interval", [lambda x: corrected_t(x, test_share=0.25), prediction_t])
def test_one_fold_says_nothing_of_the_noise(interval):
    """A value without bounds."""
    assert ends(interval([0.3])) == (0.3, -math.inf, math.inf)
    assert ends(interval([0.3, math.nan])) == (0.3, -math.inf, math.inf)


@pytest.mark.parametrize("interval", [lambda x: corrected_t(x, test_share=0.25), prediction_t, percentile])
@pytest.mark.parametrize("losses", [[], [math.nan, math.nan]])
def test_no_fold_gives_no_value(interval, losses):
    """NaN without bounds."""
    value, low, high = ends(interval(losses))
    assert math.isnan(value)
    assert (low, high) == (-math.inf, math.inf)


def test_folds_without_a_score_are_left_out():
    """NaN folds count neither in the mean nor in J nor in the degrees of freedom."""
    with_nan = (0.1, math.nan, *FIVE[1:], math.nan)
    assert corrected_t(with_nan, test_share=0.25) == corrected_t(FIVE, test_share=0.25)
    assert percentile(with_nan) == percentile(FIVE)


def test_percentile_by_hand():
    """The central 95% of 0, 1, ..., 100 is [2.5, 97.5]."""
    assert ends(percentile(list(range(101)))) == pytest.approx((50.0, 2.5, 97.5))
    # squares 9 and 16: 9 + .025 * 7 = 9.175 and 9 + .975 * 7 = 15.825
    squared = (math.sqrt(12.5), math.sqrt(9.175), math.sqrt(15.825))
    assert ends(percentile([3.0, 4.0], squared=True)) == pytest.approx(squared)


def test_percentile_holds_its_mean():
    """A mean outside the central 95%, pulled there by one bad bootstrap in a hundred, becomes an end."""
    interval = percentile([0.0] * 99 + [100.0])
    assert ends(interval) == (1.0, 0.0, 1.0)
    assert ends(percentile([100.0] * 99 + [0.0])) == (99.0, 99.0, 100.0)


@given(LOSSES, st.floats(0, 1), st.booleans())
def test_low_value_high_are_in_order(losses, share, squared):
    """The value lies inside every interval; on the squared scale nothing is negative."""
    for interval in (
        corrected_t(losses, test_share=share, squared=squared),
        prediction_t(losses, squared=squared),
        percentile(losses, squared=squared),
    ):
        assert interval.low <= interval.value <= interval.high
        assert not squared or interval.low >= 0


@given(LOSSES, st.floats(0, 1), st.sampled_from([0.5, 2.0, 4.0]), st.booleans())
def test_intervals_scale_with_the_loss(losses, share, scale, squared):
    """In other units the interval is the same one."""
    before = corrected_t(losses, test_share=share, squared=squared)
    after = corrected_t([scale * loss for loss in losses], test_share=share, squared=squared)
    assert ends(after) == pytest.approx(tuple(scale * end for end in ends(before)), abs=1e-9)


@given(LOSSES, st.floats(0, 1), st.floats(0, 1))
def test_larger_test_share_never_narrows(losses, left, right):
    """The correction only widens, and the prediction interval is the widest."""
    narrow, wide = (corrected_t(losses, test_share=share) for share in sorted((left, right)))
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high <= prediction_t(losses).high


def covered(interval, truth):
    """Whether the truth lies inside."""
    return interval.low <= truth <= interval.high


def test_corrected_t_covers_what_the_naive_t_misses():
    """With the correlation that overlapping training sets give, corrected t covers 95%, naive t 86%."""
    # Fold losses of 5 folds, each pair correlated by n_test / (n_test + n_train) = .2 (Nadeau and Bengio):
    # a shared part of variance .2, own parts of variance .8. The mean has variance .2 + .8 / 5 = .36, and
    # .8 * (1/5 + 1/4) = .36 is what the correction says; the naive t says .8 / 5 = .16. So it covers
    # P(|t_4| < 2.776 * sqrt(.16 / .36)) = P(|t_4| < 1.851) = .862.
    rng = np.random.default_rng(0)
    runs = [math.sqrt(0.2) * rng.normal() + math.sqrt(0.8) * rng.normal(size=5) for _ in range(3000)]
    corrected = np.mean([covered(corrected_t(losses, test_share=0.25), 0.0) for losses in runs])
    naive = np.mean([covered(corrected_t(losses, test_share=0.0), 0.0) for losses in runs])
    # three simulation errors: 3 * sqrt(.95 * .05 / 3000) = .012, 3 * sqrt(.862 * .138 / 3000) = .019
    assert corrected == pytest.approx(0.95, abs=0.012)
    assert naive == pytest.approx(0.862, abs=0.019)


def test_prediction_t_covers_the_next_window():
    """After five windows it holds the sixth in 95%; an interval of the mean holds it far less often."""
    rng = np.random.default_rng(1)
    runs = rng.normal(size=(3000, 6))
    predicted = np.mean([covered(prediction_t(run[:5]), run[5]) for run in runs])
    of_the_mean = np.mean([covered(corrected_t(run[:5], test_share=0.0), run[5]) for run in runs])
    assert predicted == pytest.approx(0.95, abs=0.012)
    assert of_the_mean < 0.8


def test_coverage_over_folds_of_a_real_learner():
    """Least squares on 50 rows, 5 folds: the corrected interval holds the expected loss more often."""
    rng = np.random.default_rng(2)
    n_rows, n_columns, n_folds = 50, 8, 5
    runs = []
    for _ in range(600):
        X, y = rng.normal(size=(n_rows, n_columns)), rng.normal(size=n_rows)
        folds = np.array_split(np.arange(n_rows), n_folds)
        losses = []
        for test in folds:
            train = np.setdiff1d(np.arange(n_rows), test)
            coefficients = np.linalg.lstsq(X[train], y[train])[0]
            losses.append(float(np.mean((y[test] - X[test] @ coefficients) ** 2)))
        runs.append(losses)
    # y is pure noise of variance 1: E(loss) = 1 + p / (n_train - p - 1) = 1 + 8 / 31, for normal columns
    truth = 1 + 8 / 31
    assert np.mean(runs) == pytest.approx(truth, abs=0.04)
    corrected = np.mean([covered(corrected_t(losses, test_share=0.25), truth) for losses in runs])
    naive = np.mean([covered(corrected_t(losses, test_share=0.0), truth) for losses in runs])
    assert naive < corrected
    assert corrected >= 0.93


def test_a_share_of_rows_has_wilsons_interval():
    """5 of 50: centre (.1 + 3.8415 / 100) / (1 + 3.8415 / 50) = .1286, half .0851 (Wilson's formula)."""
    interval = wilson(0.1, 50)
    assert (interval.low, interval.high) == pytest.approx((0.0435, 0.2137), abs=2e-4)
    assert wilson(0.0, 50).low == 0.0
