"""The loss that chooses where the metric ranks: by hand, against scikit-learn, and what it must not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tuner._metrics.guides import PRIOR_ROWS
from tuner._metrics.metrics import METRICS, resolve_metric

GUIDE = METRICS["roc_auc"].guide


def guiding_loss(y, prediction, weights=None):
    """Return the guide's loss as a number."""
    return float(GUIDE.losses(np.asarray(y), np.asarray(prediction, dtype=float), weights)[0, 0])


def entropy(p):
    """Return the smallest mean log loss where a share p of rows is of class 1."""
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def noisy(n, seed=0):
    """Return labels and probabilities that are three times too sharp."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.3
    return y.astype(float), expit(3 * (1.5 * y + rng.normal(size=n)) - 1)


def test_two_probabilities_by_hand():
    """Said .1 and .9, came .4 and .7: two numbers put both right, whatever was said; 55% are of class 1."""
    y = np.repeat([1, 0, 1, 0], [4000, 6000, 7000, 3000])
    said = np.repeat([0.1, 0.9], 10_000)
    expected = (entropy(0.4) + entropy(0.7)) / 2 / entropy(0.55)
    assert guiding_loss(y, said) == pytest.approx(expected, abs=1e-4)


def test_many_rows_agree_with_a_logistic_regression():
    """The prior of a row is nothing among ten thousand."""
    y, said = noisy(10_000)
    logits = logit(said)[:, None]
    fitted = LogisticRegression(C=np.inf).fit(logits, y)
    expected = log_loss(y, fitted.predict_proba(logits)) / entropy(y.mean())
    assert guiding_loss(y, said) == pytest.approx(expected, abs=1e-4)


def test_sharpness_and_level_do_not_count():
    """What ranks alike by another slope and level costs nearly the same, though its log loss is far off."""
    y, said = noisy(400)
    other = expit(logit(said) / 2 - 3)
    assert log_loss(y, said) > 1.5 * log_loss(y, other)
    assert guiding_loss(y, other) == pytest.approx(guiding_loss(y, said), rel=0.01)


def test_rows_divided_without_an_error_by_luck_do_not_cost_nothing():
    """Six rows in perfect order: the prior keeps the slope finite; smaller margins cost more."""
    y = [0, 0, 0, 1, 1, 1]
    narrow = guiding_loss(y, [0.44, 0.45, 0.46, 0.54, 0.55, 0.56])
    wide = guiding_loss(y, [0.04, 0.05, 0.06, 0.94, 0.95, 0.96])
    assert 0.001 < wide < narrow < 1


def test_it_moves_where_ranks_stand_still():
    """The same order, so the same AUC; the pair in the wrong order is further apart, and costs more."""
    y = [0, 1, 0, 1]
    near, far = [0.2, 0.49, 0.51, 0.8], [0.2, 0.3, 0.7, 0.8]
    auc = METRICS["roc_auc"]
    assert auc.losses(np.array(y), np.array(near)) == auc.losses(np.array(y), np.array(far))
    assert guiding_loss(y, near) < guiding_loss(y, far)


@pytest.mark.parametrize("n", [6, 50, 400])
@pytest.mark.parametrize("share", [0.03, 0.5])
def test_certain_probabilities_are_no_worse_than_chance(n, share):
    """A tree says 0 and 1, right or wrong: slope 0 was to be had, for half a row's prior."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = rng.permutation(np.arange(n) < max(1, round(n * share))).astype(float)
        for said in (rng.random(n) < 0.5, rng.random(n) < share, y == 1, rng.permutation(y)):
            loss = guiding_loss(y, said)
            assert 0 < loss <= 1 + 0.125 / n / entropy(y.mean()) + 1e-12


def test_what_ranks_backwards_is_worth_nothing():
    """Turned round, a good ranking is as good as none; the metric would call it a disaster."""
    y, said = noisy(200)
    assert guiding_loss(y, said) < 0.9
    assert guiding_loss(y, 1 - said) == 1.0
    assert guiding_loss(y, np.full(200, 0.3)) == pytest.approx(1.0, abs=0.01)


def test_slices_of_other_shares_are_on_one_scale():
    """The worst slice is the one whose rows are told apart least, though its class 1 is rare."""
    rng = np.random.default_rng(0)
    common, rare = (rng.random(500) < 0.5).astype(float), (rng.random(500) < 0.05).astype(float)
    y = np.concatenate([common, rare])
    said = expit(np.concatenate([3 * common + rng.normal(size=500), rng.normal(size=500)]))
    slices = np.repeat(np.eye(2), 500, axis=1)
    by_slice = GUIDE.losses(y, said, slices)[:, 0]
    assert by_slice[0] < 0.7 < 0.95 < by_slice[1]
    assert float(GUIDE.worst_loss(y, said, slices)[0]) == by_slice[1]


def test_heavy_classes_keep_the_order():
    """AUC does not see the weight of a class; a good ranking stays ahead of noise at any."""
    y, said = noisy(300)
    noise = np.random.default_rng(1).random(300)
    for weight in (1e-4, 1.0, 1e4, 1e6):
        weights = np.where(y == 1, weight, 1.0)
        assert guiding_loss(y, said, weights) < guiding_loss(y, noise, weights) - 0.05


def test_rows_without_weight_are_not_there():
    """Weight 0 leaves a row out, of the prior's count too; doubling all weights changes nothing."""
    y, said = noisy(60)
    weights = np.ones(60)
    weights[40:] = 0
    some = guiding_loss(y[:40], said[:40])
    assert guiding_loss(y, said, weights) == pytest.approx(some, abs=1e-12)
    assert guiding_loss(y, said, 2 * weights) == pytest.approx(some, abs=1e-12)


@pytest.mark.parametrize("y", [[0, 0, 0], [1, 1, 1]])
def test_one_class_has_no_loss(y):
    """As for the metrics it stands in for."""
    assert math.isnan(guiding_loss(y, [0.2, 0.4, 0.6]))


def test_no_other_slope_and_level_do_better():
    """Against a fine grid around and far from the minimum, prior included."""
    slopes, levels = (each.ravel() for each in np.meshgrid(np.linspace(0, 3, 121), np.linspace(-5, 5, 201)))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        y, said = noisy(int(rng.integers(8, 300)), seed)
        if seed % 3 == 0:
            said = np.round(said)  # certain, and often wrong
        logits = logit(np.clip(said, 1e-6, 1 - 1e-6))
        linear = slopes[:, None] * logits + levels[:, None]
        values = np.mean(np.logaddexp(0, linear) - y * linear, axis=1)
        values += 0.125 * PRIOR_ROWS / len(y) * (slopes - 1) ** 2
        found = guiding_loss(y, said) * entropy(y.mean())
        assert found <= values.min() + 1e-4


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_only_ranks_of_two_classes_are_guided(name):
    """Other metrics, and more classes, choose by themselves."""
    assert resolve_metric(name, "binary").guide is GUIDE
    if "multiclass" in METRICS[name].tasks:
        assert resolve_metric(name, "multiclass").guide is None
    guided = {each.name for each in METRICS.values() if each.guide is not None}
    assert guided == {"roc_auc", "average_precision"}
