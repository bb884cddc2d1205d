"""The delivered model's estimate: steps counted by hand, and an interval that never shrinks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from tuner._claims.claims import Build, Paid, natural_estimate
from tuner._claims.delivered import Averaged, as_delivered, delivered_estimate, model_steps
from tuner._metrics.metrics import resolve_metric
from tuner._records import BagLosses, LearningCurve
from tuner._statistics.intervals import Interval
from tuner._statistics.learning_curve import row_steps

# Folds lose 1 + 80 / n and 2 + 160 / n after training on n rows.
CURVE = LearningCurve((100, 200, 400), ((1.8, 3.6), (1.4, 2.8), (1.2, 2.4)))
# Three models alone lose 6 and 8, their average 4 and 7: 2 and 1 less, with all there are 3 and 1.5 less.
BAG = BagLosses(3, (6.0, 8.0), (4.0, 7.0))


def claim(name="mae", task="regression", loss=5.0, low=4.0, high=6.0):
    """Return a procedure's estimate from a loss and its ends."""
    return natural_estimate(
        resolve_metric(name, task),
        Interval(loss, low, high),
        level=0.95,
        method="crossfit",
        fold_losses=(),
        estimand="the procedure",
    )


def delivered(estimate, *, name="mae", task="regression", before, after, learning=CURVE, bag=BAG):
    """Return the delivered model's estimate with a test fold half as large as its training part."""
    return delivered_estimate(
        estimate,
        resolve_metric(name, task),
        before=Build(*before),
        after=Build(*after),
        learning=learning,
        bag=bag,
        test_share=0.5,
    )


def test_more_rows_by_hand():
    """From 100 to 400 rows the folds fall by 80 (1/100 - 1/400) = .6 and by twice that."""
    assert row_steps(CURVE, 100, 400, squared=False) == pytest.approx([-0.6, -1.2])
    # 500 rows were not measured: 80 (1/400 - 1/500)
    assert row_steps(CURVE, 400, 500, squared=False) == pytest.approx([-0.04, -0.08])


def test_a_steep_start_does_not_run_away():
    """Friedman's function, measured: 6.9, 4.7 and 2.2 squared at 40, 80, 160 rows; at 200 it was 2.0."""
    curve = LearningCurve((40, 80, 160), ((6.9,), (4.7,), (2.2,)))
    # by hand: 1/n = .025, .0125, .00625, mean .014583; slope = .035833 / .00018229 = 240.6
    assert row_steps(curve, 160, 200, squared=False) == pytest.approx([-240.6 * 0.00125], abs=0.001)


def test_larger_bags_by_hand():
    """A loss is that of endless bags plus D / B: D = (6 - 4) / (1 - 1/3) = 3 and 1.5, B from 4 to 15."""
    change = 1 / 15 - 1 / 4
    assert model_steps(BAG, 4, 15) == pytest.approx([3 * change, 1.5 * change])
    assert model_steps(BAG, 1, 3) == pytest.approx([-2.0, -1.0])  # what was measured


def test_estimate_by_hand():
    """Both steps are added; their intervals and the procedure's add up as independent errors do."""
    found = delivered(claim(), before=(100, 4), after=(400, 15))
    rows, models = found.steps
    assert (rows.what, rows.before, rows.after) == ("rows", 100, 400)
    assert rows.change == pytest.approx(-0.9)
    # corrected t over two folds: t(.975, 1) sd sqrt(1/2 + 1/2), sd of -.6 and -1.2
    half_rows = student.ppf(0.975, 1) * np.std([0.6, 1.2], ddof=1)
    assert rows.half_width == pytest.approx(half_rows)
    assert models.change == pytest.approx(2.25 * (1 / 15 - 1 / 4))
    half_models = student.ppf(0.975, 1) * np.std([3, 1.5], ddof=1) * (1 / 4 - 1 / 15)
    assert found.loss == pytest.approx(5 - 0.9 + models.change)
    assert found.high == pytest.approx(found.loss + np.sqrt(1 + half_rows**2 + half_models**2))
    assert found.estimand == (
        "the delivered model: fits on 400 instead of 100 rows change the loss by -0.9 +- 5.39, "
        "averages of 15 instead of 4 models by -0.4125 +- 2.47"
    )


def test_squared_losses_are_corrected_as_squares():
    """RMSE 5 in [4, 6], MSE 25: fold errors of 2 and 3 alone, sqrt(2) and 2 together, bags from 1 to 3."""
    bag = BagLosses(3, (4.0, 9.0), (2.0, 4.0))  # squares, as they are averaged
    found = delivered(claim("rmse"), name="rmse", before=(100, 1), after=(100, 3), bag=bag)
    assert found.loss == pytest.approx(np.sqrt(25 - (2 + 5) / 2))
    half = student.ppf(0.975, 1) * np.std([2, 5], ddof=1)
    wider = np.hypot(36 - 25, half)  # the larger side: the lower one may have been cut at 0
    assert found.high == pytest.approx(np.sqrt(21.5 + wider))
    assert "change the squared loss by -3.5" in found.estimand


def test_squares_of_fold_losses_follow_the_curve():
    """RMSE 1.8, 1.4 and 1.2 are squares 3.24, 1.96 and 1.44."""
    squares = LearningCurve(CURVE.rows, tuple(tuple(np.square(each)) for each in CURVE.losses))
    expected = row_steps(squares, 100, 400, squared=False)
    assert row_steps(CURVE, 100, 400, squared=True) == pytest.approx(expected)


@given(st.floats(0.001, 0.4), st.floats(0.0, 0.2), st.integers(1, 20), st.integers(1, 20))
def test_the_interval_is_never_narrower_than_the_procedures(half, spread, before, after):
    """Correcting adds uncertainty, whatever is corrected; the value stays inside."""
    curve = LearningCurve((50, 100, 200), ((0.6, 0.6 + spread), (0.55, 0.55), (0.5, 0.5 - spread / 2)))
    estimate = claim("log_loss", "binary", 5.0, 5.0 - half, 5.0 + half)
    found = delivered(
        estimate, name="log_loss", task="binary", before=(128, before), after=(160, after), learning=curve
    )
    assert found.high - found.low >= estimate.high - estimate.low - 1e-9
    assert found.low <= found.value <= found.high


def test_natural_units_stay_in_range():
    """An AUC of .98 in [.9, 1] that would gain .1 is 1 at most, and still .08 less is possible."""
    curve = LearningCurve((100, 400), ((0.1, 0.1), (0.0, 0.0)))
    estimate = claim("roc_auc", "binary", 0.02, 0.0, 0.1)
    found = delivered(
        estimate, name="roc_auc", task="binary", before=(100, 5), after=(400, 5), learning=curve, bag=None
    )
    assert found.low == pytest.approx(0.92)
    assert found.value == found.high == 1.0
    assert found.loss == 0.0


def test_noise_moves_the_claim_both_ways():
    """A curve that rises by chance is not cut off: mirrored curves give mirrored steps, so noise cancels."""
    losses = np.array([[0.5, 0.4], [0.45, 0.5], [0.48, 0.42]])
    up, down = (
        LearningCurve((40, 80, 120), tuple(map(tuple, 0.5 + sign * (losses - 0.5)))) for sign in (1, -1)
    )
    steps = row_steps(up, 96, 120, squared=False)
    assert np.any(steps)
    assert row_steps(down, 96, 120, squared=False) == pytest.approx(-steps)


def test_what_was_not_measured_is_not_claimed():
    """Without a curve more rows cannot be judged; without repeats a larger bag is named, not corrected."""
    assert delivered(claim(), before=(100, 5), after=(120, 5), learning=None) is None
    assert delivered(claim(), before=(100, 1), after=(100, 15), bag=None) is None  # nothing left to correct
    found = delivered(claim(), before=(100, 4), after=(400, 15), bag=None)
    assert [step.what for step in found.steps] == ["rows"]
    assert found.estimand.endswith("; averages of 15 instead of 4 models are not corrected for")
    nothing = replace(claim(), value=np.nan, loss=np.nan)
    assert delivered(nothing, before=(100, 4), after=(400, 15)) is None


def test_a_fold_that_cannot_be_scored_is_left_out():
    """NaN at any number of rows takes the fold out of the step."""
    curve = replace(CURVE, losses=((1.8, np.nan), (1.4, 2.8), (1.2, 2.4)))
    assert row_steps(curve, 100, 400, squared=False) == pytest.approx([-0.6])


def test_the_verdict_on_tuning_is_about_what_is_delivered():
    """By single fits tuning gains 1, beyond noise; ten averaged gain the default 1.8 more: it does not pay.

    Two repeats: the default loses 8 alone and 6 on average, so 4 less with all, and 3.6 less with ten fits;
    the tuned mixture loses 6 and 5, so 2, and 1.8. The folds agree: the interval moves and is as wide.
    """
    alone = Paid("paid", -1.0, -1.5, -0.5)
    tuned, default = BagLosses(2, (6.0, 6.0), (5.0, 5.0)), BagLosses(2, (8.0, 8.0), (6.0, 6.0))
    found = as_delivered(alone, 1, Averaged(10, tuned), Averaged(10, default), test_share=0.25)
    assert found.verdict == "did not pay"
    assert (found.difference, found.low, found.high) == pytest.approx((0.8, 0.3, 1.3))
    same = as_delivered(alone, 1, Averaged(10, tuned), Averaged(10, tuned), test_share=0.25)
    assert (same.verdict, same.difference) == ("paid", -1.0)
    unknown = Averaged(10, None)
    assert as_delivered(alone, 1, Averaged(10, tuned), unknown, test_share=0.25) == alone
    nothing = Paid("not judged")
    assert as_delivered(nothing, 1, Averaged(10, tuned), Averaged(10, default), test_share=0.25) == nothing


def test_a_verdict_carried_over_is_as_uncertain_as_both_parts():
    """Half-widths of 3 and of the folds' own add in squares."""
    tuned, default = BagLosses(2, (6.0, 7.0), (5.0, 6.5)), BagLosses(2, (8.0, 8.0), (6.0, 6.5))
    found = as_delivered(
        Paid("not shown", -1.0, -4.0, 2.0), 1, Averaged(2, tuned), Averaged(2, default), test_share=0.5
    )
    steps = model_steps(tuned, 1, 2) - model_steps(default, 1, 2)
    half = student.ppf(0.975, 1) * steps.std(ddof=1) * np.sqrt(1 / 2 + 0.5)
    assert found.difference == pytest.approx(-1.0 + steps.mean())
    assert found.high - found.difference == pytest.approx(np.hypot(3.0, half))
    assert found.difference - found.low == pytest.approx(np.hypot(3.0, half))
