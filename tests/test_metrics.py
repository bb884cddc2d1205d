"""Metrics by name: resolution, natural units, scorers, callables and errors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

from tuner._metrics.metrics import BALANCING_THRESHOLDS, DECISION_THRESHOLDS, METRICS, resolve_metric
from tuner._metrics.scorers import ScorerKernel
from tuner.exceptions import InputError

Y = np.array([0, 1, 0, 1, 1, 0])
P = np.array([0.2, 0.9, 0.6, 0.4, 0.8, 0.1])
LABELS = ("no", "yes")


def accuracy_callable(estimator, X, y):
    """Score without weights."""
    return (estimator.predict(X) == y).mean()


def weighted_callable(estimator, X, y, sample_weight=None):
    """Score with weights."""
    return np.average(estimator.predict(X) == y, weights=sample_weight)


# Resolution and natural units


def test_defaults():
    """Without a metric: log loss for classes, root mean squared error for numbers."""
    assert [resolve_metric(None, task).name for task in ("binary", "multiclass", "regression")] == [
        "log_loss",
        "log_loss",
        "rmse",
    ]


def test_table_says_what_the_design_says():
    """Which losses are row means, which live on the squared scale, which train on log1p."""
    assert {n for n, m in METRICS.items() if m.row_mean} == {"log_loss", "brier", "accuracy", "mae"}
    assert {n for n, m in METRICS.items() if m.squared_scale} == {"rmse", "rmsle"}
    assert {n for n, m in METRICS.items() if m.log_target} == {"rmsle"}
    assert {n for n, m in METRICS.items() if m.value == "one_minus_loss"} == {
        "roc_auc",
        "average_precision",
        "accuracy",
        "balanced_accuracy",
        "f1",
        "r2",
    }


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1"])
def test_thresholds_only_in_a_binary_task(name):
    """Binary decisions have a grid that starts at 0.5 and moves away from it; argmax has none."""
    thresholds = resolve_metric(name, "binary").thresholds
    assert thresholds == (BALANCING_THRESHOLDS if name == "balanced_accuracy" else DECISION_THRESHOLDS)
    distances = [round(abs(threshold - 0.5), 9) for threshold in thresholds]
    assert distances == sorted(distances)
    assert distances[0] == 0
    assert resolve_metric(name, "multiclass").thresholds is None


@pytest.mark.parametrize("name", METRICS)
def test_natural_value_of_a_loss_and_back(name):
    """1 - loss for scores, the loss itself for errors."""
    metric = METRICS[name]
    assert metric.natural(0.25) == (0.75 if metric.value == "one_minus_loss" else 0.25)
    assert metric.natural(metric.natural(0.25)) == 0.25


@pytest.mark.parametrize("metric", ["f1", "neg_log_loss", accuracy_callable])
def test_resolved_metric_survives_pickling(metric):
    """A worker process computes the same loss."""
    resolved = resolve_metric(metric, "binary", classes=LABELS)
    again = pickle.loads(pickle.dumps(resolved))
    assert (again.losses(Y, P) == resolved.losses(Y, P)).all()


def test_the_worst_loss_is_the_largest_over_weightings():
    """Absolute errors 1, 3 | 2, 0: means 2 and 1, so 2; a weighting without weight is skipped."""
    metric = resolve_metric("mae", "regression")
    y, prediction = np.zeros(4), np.array([1.0, 3.0, 2.0, 0.0])
    halves = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=bool)
    assert metric.worst_loss(y, prediction, halves).tolist() == [2.0]
    assert metric.worst_loss(y, prediction).tolist() == [1.5]
    assert np.isnan(metric.worst_loss(y, prediction, halves[2:])).all()


def test_the_worst_loss_is_taken_at_each_threshold():
    """At .5 the first half errs on 1 of 2 rows, at .4 the second; beyond all predictions one errs on both."""
    metric = resolve_metric("accuracy", "binary")
    halves = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    worst = metric.worst_loss(np.array([1, 1, 0, 0]), np.array([0.45, 0.92, 0.45, 0.12]), halves)
    assert dict(zip(metric.thresholds, worst, strict=True)) == {
        0.5: 0.5, 0.4: 0.5, 0.6: 0.5, 0.3: 0.5, 0.7: 0.5, 0.2: 0.5, 0.8: 0.5, 0.1: 1.0, 0.9: 0.5,
        0.05: 1.0, 0.95: 1.0,
    }  # fmt: skip


# Scorers by name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # positives .9 .4 .8, negatives .2 .6 .1; at .5: hits .9 .8, false alarm .6
        ("recall", 2 / 3),
        ("precision", 2 / 3),
        ("jaccard", 2 / 4),
        ("neg_brier_score", -sk.brier_score_loss(Y, P)),
        ("neg_log_loss", -sk.log_loss(Y, P)),
        ("matthews_corrcoef", sk.matthews_corrcoef(Y, P > 0.5)),
    ],
)
def test_scorer_name_with_string_labels(name, expected):
    """Loss = -score, with `classes[1]` as the positive class whatever the labels are."""
    metric = resolve_metric(name, "binary", classes=LABELS)
    loss = metric.losses(Y, P)[0, 0]
    assert loss == pytest.approx(-expected)
    assert metric.natural(loss) == pytest.approx(expected)
    assert metric.thresholds is None


@pytest.mark.parametrize(
    ("name", "task", "ours"),
    [
        ("neg_log_loss", "binary", "log_loss"),
        ("neg_log_loss", "multiclass", "log_loss"),
        ("neg_brier_score", "binary", "brier"),
        ("neg_brier_score", "multiclass", "brier"),
        ("neg_root_mean_squared_error", "regression", "rmse"),
        ("neg_mean_absolute_error", "regression", "mae"),
    ],
)
def test_scikit_learns_name_of_a_metric_of_ours_is_no_scorer(name, task, ours):
    """Equal to scikit-learn's scorer under weights and shown with its sign, but as fast as under our name."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=40) if task == "regression" else np.arange(40) % (2 if task == "binary" else 3)
    p = rng.dirichlet(np.ones(3), 40) if task == "multiclass" else rng.random(40)
    weights = rng.random((3, 40))
    metric = resolve_metric(name, task, weighted=True)
    kernel = ScorerKernel(get_scorer(name), task, None, takes_weight=True)
    assert metric.losses(y, p, weights) == pytest.approx(kernel(y, p, None)(weights))
    assert (metric.name, metric.is_scorer) == (name, False)
    assert metric.judges_rows == METRICS[ours].judges_rows
    assert metric.is_same_as(ours)
    assert metric.natural(0.25) == -0.25
    assert metric.natural_ends(-0.1, 0.25) == (-0.25, 0.0)


def test_positive_class_of_a_named_scorer_is_the_second_label():
    """With labels 1 and 2 scikit-learn's `recall` would take 1; ours takes classes[1] = 2."""
    metric = resolve_metric("recall", "binary", classes=[1, 2])
    y = np.array([1, 1, 1, 0])
    assert metric.losses(y, np.array([0.9, 0.1, 0.2, 0.3]))[0, 0] == pytest.approx(-1 / 3)


def test_multiclass_and_regression_scorers():
    """Probabilities by column reach the scorer; float32 rows that miss 1 by 1e-7 do not warn."""
    rng = np.random.default_rng(0)
    y, p = np.arange(30) % 3, rng.dirichlet(np.ones(3), 30).astype(np.float32)
    metric = resolve_metric("neg_log_loss", "multiclass", classes=list("abc"))
    assert metric.losses(y, p)[0, 0] == pytest.approx(
        resolve_metric("log_loss", "multiclass").losses(y, p)[0, 0]
    )
    regression = resolve_metric("neg_median_absolute_error", "regression")
    assert regression.losses(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 6.0]))[0, 0] == 2.0


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_scorer_name_scores_or_is_refused(task):
    """A name resolves and gives a loss on a fold of every class, or raises InputError; never a warning."""
    rng = np.random.default_rng(0)
    y = rng.random(30) + 1 if task == "regression" else np.arange(30) % (2 if task == "binary" else 3)
    p = rng.dirichlet(np.ones(3), 30) if task == "multiclass" else rng.random(30)
    resolved = {}
    for name in get_scorer_names():
        try:
            resolved[name] = resolve_metric(name, task)
        except InputError:
            continue
        assert np.isfinite(resolved[name].losses(y, p)).all()
    assert ("neg_mean_squared_error" in resolved) == (task == "regression")
    assert ("f1_macro" in resolved) == (task != "regression")
    assert ("rand_score" in resolved) == (task != "regression")


def test_scorer_weights_equal_repeated_rows():
    """With `sample_weight` in the scorer or without, one row of losses a weighting."""
    counts = np.array([[1, 2, 0, 3, 1, 1], [1, 1, 1, 1, 1, 1], [0, 2, 2, 2, 0, 0]])
    for metric in ("matthews_corrcoef", "adjusted_rand_score", accuracy_callable, weighted_callable):
        resolved = resolve_metric(metric, "binary", classes=LABELS)
        repeated = [resolved.losses(np.repeat(Y, c), np.repeat(P, c))[0, 0] for c in counts]
        assert resolved.losses(Y, P, counts)[:, 0] == pytest.approx(repeated)


def test_one_class_is_nan_for_a_scorer():
    """A fold with one class is skipped, not scored by a convention."""
    metric = resolve_metric("precision", "binary")
    losses = metric.losses(Y, P, np.array([Y == 0, Y == 1, Y >= 0]).astype(float))
    assert np.isnan(losses[:2, 0]).all()
    assert np.isfinite(losses[2, 0])


def test_scorer_that_refuses_a_fold_is_nan():
    """scikit-learn's one-vs-rest AUC raises ValueError when a class is absent."""
    metric = resolve_metric("roc_auc_ovr", "multiclass", classes=list("abc"))
    assert np.isnan(metric.losses(np.array([0, 1, 0, 1]), np.full((4, 3), 1 / 3))).all()


def test_predictions_are_refused_where_others_of_the_same_rows_are_not():
    """A deviance of counts takes no prediction below 0; rows without a count it can score by none."""
    metric = resolve_metric("neg_mean_poisson_deviance", "regression")
    counts = np.array([0.0, 1.0, 3.0])
    assert "strictly positive" in metric.refusal(counts, np.array([0.5, -0.1, 2.0]))
    assert metric.refusal(counts, np.array([0.5, 0.1, 2.0])) == ""
    assert metric.refusal(np.zeros(3), np.array([0.5, -0.1, 2.0])) == ""
    ranked = resolve_metric("roc_auc_ovr", "multiclass", classes=list("abc"))
    assert ranked.refusal(np.array([0, 1, 0, 1]), np.full((4, 3), 1 / 3)) == ""


def test_no_predicted_positive_is_a_silent_zero():
    """Precision is then 0 by convention; the warning would come once a fold."""
    assert resolve_metric("precision", "binary").losses(Y, np.full(6, 0.1))[0, 0] == 0


# Callables


def test_callable_sees_original_labels_and_given_predictions():
    """The stub passes for a fitted classifier, X holds row indices, y the user's labels."""
    seen = {}

    def scorer(estimator, X, y):
        seen.update(estimator=estimator, X=X, y=y, proba=estimator.predict_proba(X))
        return 0.5

    metric = resolve_metric(scorer, "binary", classes=LABELS)
    assert metric.name == "scorer"
    assert metric.losses(Y, P)[0, 0] == -0.5
    assert is_classifier(seen["estimator"])
    assert seen["estimator"].classes_.tolist() == ["no", "yes"]
    assert seen["X"].tolist() == [[0], [1], [2], [3], [4], [5]]
    assert seen["y"].tolist() == ["no", "yes", "no", "yes", "yes", "no"]
    assert seen["proba"] == pytest.approx(np.column_stack([1 - P, P]))
    assert seen["estimator"].predict(seen["X"]).tolist() == ["no", "yes", "yes", "no", "yes", "no"]


def test_callable_of_a_regression():
    """The stub passes for a fitted regressor."""

    def scorer(estimator, X, y):
        assert is_regressor(estimator)
        return -np.abs(estimator.predict(X) - y).max()

    losses = resolve_metric(scorer, "regression").losses(np.array([1.0, 2.0]), np.array([1.5, 5.0]))
    assert losses.tolist() == [[3.0]]


def test_make_scorer_with_options():
    """A scorer of make_scorer keeps its options, such as its own positive label."""
    scorer = make_scorer(sk.recall_score, pos_label="no")
    metric = resolve_metric(scorer, "binary", classes=LABELS, weighted=True)
    # negatives .2 .6 .1 with weights 1 2 1: decided "no" at .5 are the first and the last: 2 / 4
    weights = np.array([1.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    assert metric.losses(Y, P, weights)[0, 0] == pytest.approx(-0.5)
    assert "recall_score" in metric.name


def test_a_bug_in_a_callable_is_not_hidden():
    """Only ValueError and what arithmetic raises mean `cannot score this fold`."""

    def scorer(estimator, X, y):  # noqa: ARG001
        return 1.0 if len(y) == 4 else y[len(y)]

    with pytest.raises(IndexError):
        resolve_metric(scorer, "binary").losses(Y, P)


def test_a_share_of_nothing_is_no_score():
    """A precision by hand divides by 0 where no row is predicted positive: no score there, and no refusal."""

    def precision(estimator, X, y):
        predicted = estimator.predict(X) == 1
        return int((predicted & (y == 1)).sum()) / int(predicted.sum())

    metric = resolve_metric(precision, "binary")
    assert metric.losses(Y, P)[0, 0] == pytest.approx(-2 / 3)
    assert np.isnan(metric.losses(Y, P / 10)).all()
    assert metric.refusal(Y, P / 10) == ""


# Errors


def test_unknown_name_suggests_the_nearest():
    """The message names the nearest metric and those that fit the target."""
    with pytest.raises(
        InputError, match=r"Got 'roc_acu'. Did you mean 'roc_auc'\? Names for this target: log"
    ):
        resolve_metric("roc_acu", "binary")
    with pytest.raises(InputError, match=r"Did you mean 'neg_mean_squared_error'"):
        resolve_metric("neg_mean_square_error", "regression")


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "roc_auc",
            "regression",
            r"`roc_auc` needs a classification target. Got a regression target. Use one of: rmse, mae, r2, "
            r'rmsle; or task="classification" / TunedClassifier.',
        ),
        ("rmse", "binary", r"`rmse` needs a regression target. Got a binary target. Use one of: log_loss"),
        ("neg_mean_squared_error", "multiclass", r"needs a regression target. Got a multiclass target"),
        ("neg_mean_absolute_error", "binary", r'or task="regression" / TunedRegressor.'),
        ("f1_macro", "regression", r"needs a classification target. Got a regression target"),
        ("precision", "multiclass", r"`precision` must be able to score a multiclass target. Got ValueError"),
    ],
)
def test_metric_that_does_not_fit_the_task(name, task, message):
    """Found before any fit, with the names that would fit."""
    with pytest.raises(InputError, match=message):
        resolve_metric(name, task)


def test_weights_need_a_scorer_that_takes_them():
    """Weights are never dropped silently."""
    with pytest.raises(InputError, match=r"`accuracy_callable` without it. Add a `sample_weight` parameter"):
        resolve_metric(accuracy_callable, "binary", weighted=True)
    with pytest.raises(InputError, match=r"`adjusted_rand_score` without it"):
        resolve_metric("adjusted_rand_score", "binary", weighted=True)
    assert resolve_metric(weighted_callable, "binary", weighted=True).name == "weighted_callable"


def test_fractional_weights_cannot_repeat_rows():
    """A scorer without `sample_weight` refuses weights that are not whole numbers."""
    metric = resolve_metric(accuracy_callable, "binary")
    with pytest.raises(InputError, match=r"Got weights such as 0.5"):
        metric.losses(Y, P, np.full(6, 0.5))


@pytest.mark.parametrize("error", [ValueError, TypeError, AttributeError, KeyError])
def test_callable_that_fails_on_the_probe(error):
    """A scorer that needs features, for one, fails at the door with its own reason."""

    def scorer(estimator, X, y):  # noqa: ARG001
        raise error("column `age`")

    with pytest.raises(InputError, match=r"column `age`.* Scorers see predictions, not features"):
        resolve_metric(scorer, "binary")


def test_something_else_is_no_metric():
    """Neither a name nor a callable."""
    with pytest.raises(InputError, match=r"`metric` must be a name, a scorer or None. Got 3"):
        resolve_metric(3, "binary")
