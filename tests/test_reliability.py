"""Held-out predictions in bins, against what happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner._statistics.reliability import N_BINS, reliability


def test_binary_bins_by_hand():
    """40 rows: 20 said .2 of which 5 came true, 20 said .9 of which 18 did."""
    prediction = np.repeat([0.2, 0.9], 20)
    y = np.r_[np.repeat([1, 0], [5, 15]), np.repeat([1, 0], [18, 2])]
    found = reliability(y, prediction, classes=True)
    assert found.kind == "probability"
    assert [(each.n_rows, each.predicted, each.observed) for each in found.bins] == [
        (20, pytest.approx(0.2), 0.25),
        (20, pytest.approx(0.9), 0.9),
    ]
    assert found.error == pytest.approx(0.025)  # (20 * .05 + 20 * 0) / 40
    assert found.n_apart == 0
    # Wilson, 5 of 20, z = 1.96, z2 = 3.8415: middle (.25 + .09604) / 1.19207 = .2903,
    # half 1.96 / 1.19207 * sqrt(.25 * .75 / 20 + 3.8415 / 1600) = .1784
    assert found.bins[0].low == pytest.approx(0.1119, abs=2e-4)
    assert found.bins[0].high == pytest.approx(0.4687, abs=2e-4)


def test_many_classes_are_judged_by_the_predicted_one():
    """40 rows sure of class 0 at .6 or .8: right in 10 of 20 and 20 of 20."""
    prediction = np.repeat([[0.6, 0.3, 0.1], [0.8, 0.1, 0.1]], 20, axis=0)
    y = np.r_[np.repeat([0, 1], 10), np.zeros(20, int)]
    found = reliability(y, prediction, classes=True)
    assert found.kind == "confidence"
    assert [(each.predicted, each.observed) for each in found.bins] == [
        (pytest.approx(0.6), 0.5),
        (pytest.approx(0.8), 1.0),
    ]
    assert found.bins[1].low < 0.85  # 20 of 20 does not make it certain
    assert found.n_apart == 1  # and yet: Wilson's lower end of 20 of 20 is 1 / (1 + z2 / 20) = .839 > .8


def test_regression_bins_by_hand():
    """20 rows said 1, ten 0 and ten 2; 20 rows said 5, all 6: the second bin is apart."""
    found = reliability(
        np.r_[np.repeat([0.0, 2.0], 10), np.full(20, 6.0)], np.repeat([1.0, 5.0], 20), classes=False
    )
    first, second = found.bins
    assert (found.kind, first.observed, second.observed) == ("value", 1.0, 6.0)
    assert first.high - first.observed == pytest.approx(1.96 / np.sqrt(19), rel=1e-3)  # sd with ddof 0 is 1
    assert (second.low, second.high) == (6.0, 6.0)
    assert found.n_apart == 1
    assert found.error == pytest.approx(0.5)


def test_weights_weigh_and_zero_weight_is_no_row():
    """A row that counts nothing is as good as absent; one that counts double moves the mean."""
    prediction = np.repeat([0.2, 0.9], 20)
    y = np.tile([0, 1], 20)
    weights = np.ones(40)
    weights[y == 1] = 2.0
    found = reliability(y, prediction, weights, classes=True)
    assert [each.observed for each in found.bins] == [pytest.approx(2 / 3)] * 2
    extended = reliability(np.r_[y, 1], np.r_[prediction, 0.5], np.r_[weights, 0.0], classes=True)
    assert extended == found


def test_few_rows_or_one_prediction_are_not_judged():
    """Two bins of 20 rows are the least; equal predictions make one bin."""
    assert reliability(np.zeros(39), np.linspace(0, 1, 39), classes=True) is None
    assert reliability(np.zeros(40), np.full(40, 0.3), classes=True) is None


@given(st.integers(0, 2**32 - 1), st.integers(40, 400), st.integers(1, 6))
def test_bins_hold_every_row_once_in_order(seed, n_rows, digits):
    """Every row is in one bin, predictions rise, intervals hold what happened, and order is no matter."""
    generator = np.random.default_rng(seed)
    prediction = generator.random(n_rows).round(digits)
    y = (generator.random(n_rows) < prediction).astype(int)
    found = reliability(y, prediction, classes=True)
    if found is None:
        return
    assert sum(each.n_rows for each in found.bins) == n_rows
    assert len(found.bins) <= N_BINS
    assert np.all(np.diff([each.predicted for each in found.bins]) > 0)
    assert all(0 <= each.low <= each.observed <= each.high <= 1 for each in found.bins)
    shuffled = generator.permutation(n_rows)
    again = reliability(y[shuffled], prediction[shuffled], classes=True)
    assert [each.n_rows for each in again.bins] == [each.n_rows for each in found.bins]
    assert [each.observed for each in again.bins] == pytest.approx([each.observed for each in found.bins])
