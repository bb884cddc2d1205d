"""The numpy losses: against hand counts, against scikit-learn, and under weightings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tuner._metrics.losses import decide
from tuner._metrics.metrics import BALANCING_THRESHOLDS, DECISION_THRESHOLDS, METRICS, resolve_metric

BINARY = [name for name, metric in METRICS.items() if "binary" in metric.tasks]
REGRESSION = [name for name, metric in METRICS.items() if "regression" in metric.tasks]
PAIRS = [(task, name) for name, metric in METRICS.items() for task in sorted(metric.tasks)]


def loss(name, task, y, prediction, weights=None):
    """Loss of one weighting at the first threshold."""
    return resolve_metric(name, task).losses(np.array(y), np.array(prediction), weights)[0, 0]


# Hand-counted


def test_auc_loss_counts_misordered_pairs_and_half_of_ties():
    """Of 2 x 3 pairs one is in the wrong order and one is tied: (1 + 0.5) / 6 = 0.25."""
    # positives 0.8, 0.4; negatives 0.4 (tie with the second), 0.6 (above the second), 0.1
    assert loss("roc_auc", "binary", [1, 1, 0, 0, 0], [0.8, 0.4, 0.4, 0.6, 0.1]) == pytest.approx(0.25)


def test_weighted_auc_loss_weights_pairs_by_the_product():
    """Pair weights 2*1, 2*3, 1*1, 1*3 = 12; wrong is (positive .3, negative .5): 1*1 = 1."""
    y, p, w = [1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], np.array([2.0, 1.0, 1.0, 3.0])
    assert loss("roc_auc", "binary", y, p, w) == pytest.approx(1 / 12)


def test_average_precision_by_hand():
    """Ranks + - +: 1/2 * 1/1 + 1/2 * 2/3 = 5/6."""
    assert loss("average_precision", "binary", [1, 0, 1], [0.9, 0.8, 0.7]) == pytest.approx(1 / 6)


def test_average_precision_pools_ties():
    """All tied: one step of recall 1 at precision 1/4."""
    assert loss("average_precision", "binary", [1, 0, 0, 0], [0.5] * 4) == pytest.approx(3 / 4)


def test_log_loss_by_hand_and_clipped():
    """(-log .8 - log .6) / 2; a certain mistake costs -log(2.2e-16), not infinity."""
    assert loss("log_loss", "binary", [1, 0], [0.8, 0.4]) == pytest.approx(-np.log(0.8 * 0.6) / 2)
    assert loss("log_loss", "binary", [1], [0.0]) == pytest.approx(-np.log(np.finfo(float).eps))


def test_brier_by_hand():
    """Binary (.2^2 + .4^2) / 2 = .1; multiclass .3^2 + .2^2 + .1^2 = .14 for one row."""
    assert loss("brier", "binary", [1, 0], [0.8, 0.4]) == pytest.approx(0.1)
    assert loss("brier", "multiclass", [0], [[0.7, 0.2, 0.1]]) == pytest.approx(0.14)


def test_decisions_by_hand_at_every_threshold():
    """Y = 1 1 0 0, p = .9 .45 .55 .2: at .5 one hit of two called; at .4 both hits of three called."""
    y, p = np.array([1, 1, 0, 0]), np.array([0.9, 0.45, 0.55, 0.2])
    at = {t: i for i, t in enumerate(DECISION_THRESHOLDS)}
    f1 = resolve_metric("f1", "binary").losses(y, p)[0]
    assert f1.shape == (11,)
    assert f1[at[0.5]] == pytest.approx(1 - 2 * 1 / (2 + 2))
    assert f1[at[0.4]] == pytest.approx(1 - 2 * 2 / (2 + 3))
    assert f1[at[0.95]] == 1.0  # nothing called, nothing hit: F1 is 0
    accuracy = resolve_metric("accuracy", "binary").losses(y, p)[0]
    assert accuracy[at[0.5]] == pytest.approx(2 / 4)
    assert accuracy[at[0.6]] == pytest.approx(1 / 4)
    balanced = resolve_metric("balanced_accuracy", "binary").losses(y, p)[0]
    assert balanced[at[0.4]] == pytest.approx(1 - (2 / 2 + 1 / 2) / 2)


def test_a_rare_class_is_told_at_a_threshold_near_its_share():
    """One row in a thousand, said to be .004 where others are .0005: all are told apart at .002."""
    y = np.arange(1000) == 0
    losses = resolve_metric("balanced_accuracy", "binary").losses(y, np.where(y, 0.004, 0.0005))[0]
    assert losses[BALANCING_THRESHOLDS.index(0.05)] == 0.5
    assert BALANCING_THRESHOLDS[int(np.argmin(losses))] == 0.002
    assert losses.min() == 0


def test_regression_losses_by_hand():
    """Errors 0, 1, 2 of y = 1 2 3: mae 1, mse 5/3, variance 2/3, so 1 - R2 = 2.5."""
    y, p = [1.0, 2.0, 3.0], [1.0, 3.0, 5.0]
    assert loss("mae", "regression", y, p) == pytest.approx(1)
    assert loss("rmse", "regression", y, p) == pytest.approx(np.sqrt(5 / 3))
    assert loss("r2", "regression", y, p) == pytest.approx(2.5)


def test_decide_gives_ties_to_the_first_class():
    """A probability of exactly the threshold is class 0, as for argmax."""
    assert decide(np.array([0.5, 0.5001, 0.4])).tolist() == [0, 1, 0]
    assert decide(np.array([0.5, 0.3, 0.2]), 0.2).tolist() == [1, 1, 0]
    assert decide(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])).tolist() == [0, 2]


# Against scikit-learn


@st.composite
def samples(draw, task):
    """Draw (y, prediction, weights) with many ties, every class present, positive weights."""
    seed, n = draw(st.integers(0, 2**32 - 1)), draw(st.integers(8, 40))
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 5, n) * draw(st.sampled_from([1.0, 0.37]))
    grid = draw(st.sampled_from([4, 100]))
    if task == "regression":
        return rng.normal(size=n).round(1) + 5, rng.normal(size=n).round(1) + 5, weights
    n_classes = 2 if task == "binary" else 3
    y = rng.permutation(np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]))
    if task == "binary":
        return y, rng.integers(0, grid + 1, n) / grid, weights
    raw = rng.integers(1, grid + 1, (n, 3))
    return y, raw / raw.sum(axis=1, keepdims=True), weights


def _macro(function, y, p, w):
    return np.mean([function(y == k, p[:, k], sample_weight=w) for k in range(p.shape[1])])


REFERENCES = {
    ("binary", "log_loss"): lambda y, p, w: sk.log_loss(y, p, sample_weight=w),
    ("binary", "roc_auc"): lambda y, p, w: 1 - sk.roc_auc_score(y, p, sample_weight=w),
    ("binary", "average_precision"): lambda y, p, w: 1 - sk.average_precision_score(y, p, sample_weight=w),
    ("binary", "accuracy"): lambda y, p, w: 1 - sk.accuracy_score(y, p > 0.5, sample_weight=w),
    ("binary", "balanced_accuracy"): lambda y, p, w: (
        1 - sk.balanced_accuracy_score(y, p > 0.5, sample_weight=w)
    ),
    ("binary", "f1"): lambda y, p, w: 1 - sk.f1_score(y, p > 0.5, sample_weight=w, zero_division=0),
    ("binary", "brier"): lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w),
    ("multiclass", "log_loss"): lambda y, p, w: sk.log_loss(y, p, sample_weight=w),
    ("multiclass", "roc_auc"): lambda y, p, w: 1 - _macro(sk.roc_auc_score, y, p, w),
    ("multiclass", "average_precision"): lambda y, p, w: 1 - _macro(sk.average_precision_score, y, p, w),
    ("multiclass", "accuracy"): lambda y, p, w: 1 - sk.accuracy_score(y, p.argmax(1), sample_weight=w),
    ("multiclass", "balanced_accuracy"): lambda y, p, w: (
        1 - sk.balanced_accuracy_score(y, p.argmax(1), sample_weight=w)
    ),
    ("multiclass", "f1"): lambda y, p, w: (
        1 - sk.f1_score(y, p.argmax(1), sample_weight=w, average="macro", zero_division=0)
    ),
    ("multiclass", "brier"): lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w),
    ("regression", "rmse"): lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    ("regression", "mae"): lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    ("regression", "r2"): lambda y, p, w: 1 - sk.r2_score(y, p, sample_weight=w),
    ("regression", "rmsle"): lambda y, p, w: sk.root_mean_squared_log_error(
        np.expm1(y), np.expm1(p), sample_weight=w
    ),
}


def test_every_metric_has_a_reference():
    """No metric of the table escapes the comparison below."""
    assert set(REFERENCES) == set(PAIRS)


@pytest.mark.parametrize(("task", "name"), PAIRS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_equals_scikit_learn(task, name, data):
    """Equal to scikit-learn's function, without weights and with, one weighting or several."""
    y, p, w = data.draw(samples(task))
    metric, reference = resolve_metric(name, task), REFERENCES[task, name]
    assert metric.losses(y, p)[0, 0] == pytest.approx(reference(y, p, None), abs=1e-9)
    assert metric.losses(y, p, w)[0, 0] == pytest.approx(reference(y, p, w), abs=1e-9)
    both = metric.losses(y, p, np.stack([np.ones(len(y)), w]))
    assert both[:, 0] == pytest.approx([reference(y, p, None), reference(y, p, w)], abs=1e-9)


def test_multiclass_auc_equals_scikit_learns_macro_one_versus_rest():
    """The same definition as `roc_auc_score(multi_class="ovr", average="macro")`."""
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 4, 60), rng.dirichlet(np.ones(4), 60)
    expected = 1 - sk.roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert loss("roc_auc", "multiclass", y, p) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1"])
@settings(max_examples=40, deadline=None)
@given(sample=samples("binary"))
def test_every_threshold_equals_scikit_learn(name, sample):
    """Column j holds the loss of the decisions at threshold j."""
    y, p, w = sample
    function = getattr(sk, f"{name}_score")
    options = {"zero_division": 0} if name == "f1" else {}
    metric = resolve_metric(name, "binary")
    expected = [
        1 - function(y, decide(p, threshold), sample_weight=w, **options) for threshold in metric.thresholds
    ]
    assert metric.losses(y, p, w)[0] == pytest.approx(expected, abs=1e-9)


# Weightings


@pytest.mark.parametrize(("task", "name"), PAIRS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_weighting_equals_repeating_rows(task, name, data):
    """A row of weight 3 counts as three rows, one of weight 0 as none (undefined in both, too)."""
    y, p, _ = data.draw(samples(task))
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(y), max_size=len(y))))
    metric = resolve_metric(name, task)
    rows = np.repeat(np.arange(len(y)), counts)
    np.testing.assert_allclose(
        metric.losses(y, p, counts), metric.losses(y[rows], p[rows]), atol=1e-9, equal_nan=True
    )


@pytest.mark.parametrize(("task", "name"), PAIRS)
@settings(max_examples=20, deadline=None)
@given(data=st.data(), scale=st.floats(1e-3, 1e3))
def test_order_of_rows_and_scale_of_weights_do_not_matter(task, name, data, scale):
    """Permuting rows or multiplying all weights changes nothing."""
    y, p, w = data.draw(samples(task))
    order = np.random.default_rng(0).permutation(len(y))
    metric = resolve_metric(name, task)
    assert metric.losses(y[order], p[order], scale * w[order]) == pytest.approx(
        metric.losses(y, p, w), abs=1e-9
    )


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_chunks_do_not_show(task, name, monkeypatch):
    """Weightings taken two at a time give what they give together."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=30) if task == "regression" else np.arange(30) % (2 if task == "binary" else 3)
    p = rng.dirichlet(np.ones(3), 30) if task == "multiclass" else rng.random(30)
    weights = rng.integers(0, 4, (7, 30))
    metric = resolve_metric(name, task)
    together = metric.losses(y, p, weights)
    monkeypatch.setattr("tuner._metrics.metrics._CHUNK_ELEMENTS", 60)
    assert together.shape == (7, len(metric.thresholds or (None,)))
    assert metric.losses(y, p, weights) == pytest.approx(together, abs=1e-12)


# Where no loss is defined


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "balanced_accuracy", "f1"])
@pytest.mark.parametrize("only", [0, 1])
def test_one_class_is_nan(name, only):
    """Without a second class there is nothing to rank or balance."""
    metric = resolve_metric(name, "binary")
    assert np.isnan(metric.losses(np.full(3, only), np.array([0.2, 0.5, 0.7]))).all()
    # The second weighting has both classes and is not harmed by the first.
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    losses = metric.losses(np.array([only, only, 1 - only]), np.array([0.2, 0.5, 0.7]), weights)
    assert np.isnan(losses[0]).all()
    assert np.isfinite(losses[1]).all()
    multiclass = resolve_metric(name, "multiclass")
    assert np.isnan(multiclass.losses(np.full(3, only), np.full((3, 3), 1 / 3))).all()


def test_absent_class_is_left_out_of_macro_averages():
    """With class 2 absent, the macro AUC averages classes 0 and 1 only."""
    y = np.array([0, 1, 0, 1])
    p = np.array([[0.5, 0.3, 0.2], [0.4, 0.5, 0.1], [0.3, 0.5, 0.2], [0.2, 0.6, 0.2]])
    # class 0: positives .5 .3, negatives .4 .2: one of four pairs wrong; class 1: .5 .6 over .3 .5: tie
    assert loss("roc_auc", "multiclass", y, p) == pytest.approx((1 / 4 + 0.5 / 4) / 2)
    # recalls 1/2 and 2/2, class 2 not counted
    assert loss("balanced_accuracy", "multiclass", y, p) == pytest.approx(1 / 4)


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_not_finite_predictions_and_no_weight_are_nan(task, name):
    """One NaN or inf makes the loss NaN, as do weights of zero and no rows; without a warning."""
    metric = resolve_metric(name, task)
    y = np.array([0, 1, 0, 1])
    good = np.full((4, 3), 1 / 3) if task == "multiclass" else np.array([0.2, 0.4, 0.6, 0.8])
    for value in (np.nan, np.inf, -np.inf):
        bad = good.copy()
        bad[1] = value
        assert np.isnan(metric.losses(y, bad, np.ones((2, 4)))).all()
    assert np.isnan(metric.losses(y, good, np.zeros(4))).all()
    assert np.isnan(metric.losses(y[:0], good[:0])).all()


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 / 3])
def test_r2_of_a_constant_target_is_nan(constant):
    """Also where rounding leaves the variance just above zero, and under one weighting only."""
    y = np.append(np.full(9, constant), constant + 1)
    weights = np.ones((2, 10))
    weights[0, 9] = 0
    losses = resolve_metric("r2", "regression").losses(y, np.arange(10.0), weights)
    assert np.isnan(losses[0, 0])
    assert np.isfinite(losses[1, 0])


def test_overflow_is_nan():
    """A squared error beyond the range of float64 is a failure, not a loss."""
    assert np.isnan(loss("rmse", "regression", [0.0], [1e200]))


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_float32_predictions_are_scored_in_float64(task, name):
    """Stored as float32, the same numbers give the same float64 loss."""
    rng = np.random.default_rng(2)
    y = rng.normal(size=30) if task == "regression" else np.arange(30) % (2 if task == "binary" else 3)
    p = (rng.dirichlet(np.ones(3), 30) if task == "multiclass" else rng.random(30)).astype(np.float32)
    losses = resolve_metric(name, task).losses(y, p)
    assert losses.dtype == np.float64
    assert (losses == resolve_metric(name, task).losses(y, p.astype(float))).all()
