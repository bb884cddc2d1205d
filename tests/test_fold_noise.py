"""The noise of fold differences: by hand, and how often nothing is called something."""

from __future__ import annotations

import numpy as np
import pytest

from tuner._statistics.fold_noise import as_good, noise, surely_positive

ONE, TWO = np.array([0, 0, 0]), np.array([0, 0, 1, 1])


def test_one_repeat_by_hand():
    """.01 .02 .03: mean .02, sd .01, noise .01 / sqrt(3) = .0058; t = 3.46, over 2.92 with two degrees."""
    differences = np.array([0.01, 0.02, 0.03])
    assert noise(differences) == noise(differences, ONE) == pytest.approx(0.01 / np.sqrt(3))
    assert surely_positive(differences)
    assert not surely_positive(differences, level=0.97)  # 3.90
    assert not surely_positive(-differences)


def test_two_repeats_have_the_noise_of_one():
    """.02 .004 | .004 .02: sd .0113 within each, noise .0113 / sqrt(2) = .008; t = 1.5 < 2.92 (df 1 + 1).

    Four folds as if of one give .0046, t = 2.6 > 2.35; places averaged first .012 .012, no noise at all.
    """
    differences = np.array([0.02, 0.004, 0.004, 0.02])
    assert noise(differences, TWO) == pytest.approx(0.008)
    assert noise(differences) == pytest.approx(0.0046, abs=1e-4)
    assert surely_positive(differences)
    assert not surely_positive(differences, TWO)


def test_two_repeats_know_their_noise_better():
    """.02 .01 | .02 .01: noise .005, t = 3; over 2.92 with two degrees, where one repeat needs 6.31."""
    differences = np.array([0.02, 0.01, 0.02, 0.01])
    assert surely_positive(differences, TWO)
    assert not surely_positive(differences[:2])


def test_folds_without_a_score_have_no_say():
    """NaN drops out; a repeat with one fold left adds to the mean only, and one fold alone has no noise."""
    differences = np.array([0.01, 0.03, np.nan, 0.05])
    assert noise(differences, TWO) == pytest.approx(0.01)  # sd .01414 / sqrt(2), of the first repeat
    assert noise(np.array([0.01, np.nan]), np.array([0, 1])) == np.inf
    assert not surely_positive(np.array([0.01, np.nan]))


def test_as_good_is_judged_by_the_noise_of_one_repeat(make_trial, make_scores, make_curves):
    """Worse by .035 -.005 | -.005 .035: mean .015 within .02; by .03 .01 | .01 .03: .02 beyond .01."""
    curves = make_curves(np.zeros((4, 1)), repeats=TWO)
    winner = make_trial(0, scores=make_scores([0.5] * 4), curves=curves)
    near, far = (
        make_trial(1, scores=make_scores(0.5 + np.array(worse)), curves=curves)
        for worse in ([0.035, -0.005, -0.005, 0.035], [0.03, 0.01, 0.01, 0.03])
    )
    assert as_good(near, winner)
    assert not as_good(far, winner)


@pytest.mark.parametrize("n_repeats", [1, 2, 3])
def test_rows_divided_again_and_again_raise_no_false_alarms(n_repeats):
    """100 rows that differ by noise alone: five folds of theirs are called better in 5% of 2,000 tables."""
    rng = np.random.default_rng(0)
    repeats = np.repeat(np.arange(n_repeats), 5)
    alarms = 0
    for _ in range(2000):
        rows = rng.normal(size=100)
        folds = [rng.permutation(rows).reshape(5, 20).mean(axis=1) for _ in range(n_repeats)]
        alarms += surely_positive(np.concatenate(folds), repeats)
    assert alarms / 2000 == pytest.approx(0.05, abs=0.015)  # three simulation errors
