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
    """Said .1 and .9, came .4 and .7: two numbers put both right, whatever was said."""
    y = np.repeat([1, 0, 1, 0], [4000, 6000, 7000, 3000])
    said = np.repeat([0.1, 0.9], 10_000)
    assert guiding_loss(y, said) == pytest.approx((entropy(0.4) + entropy(0.7)) / 2, abs=1e-6)


def test_many_rows_agree_with_a_logistic_regression():
    """The prior of a row is nothing among ten thousand."""
    y, said = noisy(10_000)
    logits = logit(said)[:, None]
    fitted = LogisticRegression(C=np.inf).fit(logits, y)
    assert guiding_loss(y, said) == pytest.approx(log_loss(y, fitted.predict_proba(logits)), abs=1e-5)


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
    assert 0.001 < wide < narrow < math.log(2)


def test_it_moves_where_ranks_stand_still():
    """The same order, so the same AUC; the pair in the wrong order is further apart, and costs more."""
    y = [0, 1, 0, 1]
    near, far = [0.2, 0.49, 0.51, 0.8], [0.2, 0.3, 0.7, 0.8]
    auc = METRICS["roc_auc"]
    assert auc.losses(np.array(y), np.array(near)) == auc.losses(np.array(y), np.array(far))
    assert guiding_loss(y, near) < guiding_loss(y, far)


def test_certain_probabilities_have_a_loss():
    """A forest says 0 and 1; one row that it is wrong about does not make the loss infinite."""
    loss = guiding_loss([0, 0, 0, 1, 1, 1, 0], [0.0, 0.0, 0.1, 1.0, 0.9, 1.0, 1.0])
    assert 0 < loss < entropy(3 / 7)


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


def test_every_size_of_problem_converges():
    """The loss is at its minimum: no other slope and intercept do better, prior included."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y, said = noisy(int(rng.integers(6, 300)), seed)
        if y.min() == y.max():
            continue
        logits = logit(np.clip(said, 1e-6, 1 - 1e-6))
        prior = 0.25 * PRIOR_ROWS / len(y)

        def objective(slope, level, y=y, logits=logits, prior=prior):
            linear = slope * logits + level
            mean = float(np.mean(np.logaddexp(0, linear) - y * linear))
            return mean, mean + 0.5 * prior * (slope - 1) ** 2

        found = guiding_loss(y, said)
        slopes, levels = np.meshgrid(np.linspace(-1, 3, 81), np.linspace(-4, 4, 81))
        values = [objective(*pair) for pair in zip(slopes.ravel(), levels.ravel(), strict=True)]
        mean, _ = min(values, key=lambda value: value[1])
        assert found == pytest.approx(mean, abs=0.02)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_only_ranks_of_two_classes_are_guided(name):
    """Other metrics, and more classes, choose by themselves."""
    assert resolve_metric(name, "binary").guide is GUIDE
    if "multiclass" in METRICS[name].tasks:
        assert resolve_metric(name, "multiclass").guide is None
    guided = {each.name for each in METRICS.values() if each.guide is not None}
    assert guided == {"roc_auc", "average_precision"}
