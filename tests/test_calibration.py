from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from tuner._statistics.calibration import choose_temperature, fit_temperature, row_losses, tempered


def rows(n_rows, temperature, seed=0):
    """Return labels drawn from true probabilities, and what a model of that temperature says instead."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=n_rows)
    y = (rng.random(n_rows) < expit(logits)).astype(int)
    return y, expit(logits * temperature)


def folds_of(n_rows):
    """Deal rows to five folds."""
    return [np.arange(start, n_rows, 5) for start in range(5)]


def test_a_temperature_divides_the_logit():
    """A probability of .8 has the logit log 4; halved it is log 2, the probability 2 / 3."""
    assert tempered(np.array([0.8]), 2.0)[0] == pytest.approx(2 / 3)
    # Of three classes: square roots of .64, .32, .04 are .8, .566, .2, over their sum of 1.566.
    two = tempered(np.array([[0.64, 0.32, 0.04]]), 2.0)[0]
    np.testing.assert_allclose(two, np.array([0.8, 0.32**0.5, 0.2]) / (1.0 + 0.32**0.5), rtol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0.25, 4))
def test_order_and_halves_stay(probabilities, temperature):
    """Tempering never swaps two rows and never crosses one half."""
    before = np.array(probabilities)
    after = tempered(before, temperature)
    order = np.argsort(before, kind="stable")
    assert (np.diff(after[order]) >= -1e-12).all()
    assert (np.abs(before - 0.5) < 1e-9).any() or ((before > 0.5) == (after > 0.5)).all()


def test_one_changes_nothing():
    """Not even the last bit."""
    values = np.array([0.0, 0.3, 1.0])
    assert tempered(values, 1.0) is values


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_dull_or_brash_model_is_put_right(temperature):
    """Logits that were multiplied by t are divided by about t, and held-out losses fall."""
    y, said = rows(2000, temperature)
    found = choose_temperature(y, said, None, folds_of(2000))
    assert found == pytest.approx(temperature, rel=0.15)
    assert row_losses(y, tempered(said, found)).mean() < row_losses(y, said).mean()


def test_a_calibrated_model_is_mostly_left_alone():
    """Where there is nothing to gain, at most one in five tables is touched, and then a little."""
    found = [choose_temperature(*rows(300, 1.0, seed), None, folds_of(300)) for seed in range(20)]
    assert sum(temperature != 1.0 for temperature in found) <= 4
    assert all(0.7 < temperature < 1.4 for temperature in found)


def test_a_weight_counts_as_so_many_rows():
    """Weights of two are rows given twice."""
    y, said = rows(200, 2.0)
    weights = np.where(np.arange(200) < 100, 2.0, 1.0)
    doubled = fit_temperature(np.concatenate([y, y[:100]]), np.concatenate([said, said[:100]]), None)
    assert fit_temperature(y, said, weights) == pytest.approx(doubled, rel=1e-4)


def test_rows_of_one_group_are_one_piece_of_evidence():
    """Ten copies of forty rows make a chance gain look sure; as forty groups they show what they are."""
    y, said = rows(40, 1.6, seed=5)
    y, said, groups = np.tile(y, 10), np.tile(said, 10), np.tile(np.arange(40), 10)
    assert choose_temperature(y, said, None, folds_of(400)) != 1.0
    assert choose_temperature(y, said, None, folds_of(400), groups=groups) == 1.0
