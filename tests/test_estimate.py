"""Estimates: the arithmetic by hand, and the biases they exist to remove."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import average_precision_score

from tuner import tune
from tuner._claims.claims import Build
from tuner._claims.estimate import Elected, crossfit, judge_tuning, nested, plan_outer
from tuner._finals.together import together_values
from tuner._folds.splits import Fold, FoldPlan, plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._options.config import TuningConfig
from tuner._process.deadline import Deadline
from tuner._rows.data import make_dataset
from tuner._statistics.intervals import Interval
from tuner.exceptions import InputError


class Constant:
    """Stands for a delivered model: predicts one value."""

    threshold = None
    n_averaged = 5

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, table):
        """Return the value for every row."""
        return np.full(table.n_rows, self.value)


def test_nested_scores_what_is_delivered_on_rows_it_never_saw(make_settings):
    """Outer losses, corrected t and the paired verdict follow by hand from two constant models."""
    y = np.arange(20.0)
    dataset = make_dataset(np.column_stack([y, y % 3]), y)
    metric = resolve_metric("mae", "regression")
    seen = []

    def choose(rows, seed, deadline, outer):  # noqa: ARG001
        seen.append(set(rows.y))
        return Elected(Constant(9.5), Constant(0.0), 12.0)

    estimates = nested(dataset, metric, make_settings(outer_folds=4), choose, Deadline())
    held_out = [set(y) - rows for rows in seen]
    tuned = [np.mean([abs(v - 9.5) for v in fold]) for fold in held_out]
    default = [np.mean(list(fold)) for fold in held_out]
    assert sorted(v for fold in held_out for v in fold) == sorted(y)
    assert estimates.tuned.fold_losses == pytest.approx(tuned)
    assert estimates.tuned.value == pytest.approx(np.mean(tuned))
    # 4 folds of 5 rows, 15 to train on: 1/J + n_test/n_train = 1/4 + 1/3
    half = student.ppf(0.975, 3) * np.std(tuned, ddof=1) * np.sqrt(1 / 4 + 1 / 3)
    assert estimates.tuned.high - estimates.tuned.value == pytest.approx(half)
    assert estimates.paid.difference == pytest.approx(np.mean(np.subtract(tuned, default)))
    assert estimates.build == Build(12.0, 5.0)


def test_outer_folds_share_half_of_the_budget_at_most(make_settings):
    """Of 60 s, 1,000 left: 30 for four folds; 12 left: 3 each. That is what is stated."""
    y = np.arange(20.0)
    dataset = make_dataset(np.column_stack([y, y % 3]), y)
    metric = resolve_metric("mae", "regression")
    for left, share, stated in ((1000.0, 7.5, "4 outer folds, 7.5 s a fold"), (12.0, 3.0, "3 s a fold")):
        given = []

        def choose(rows, seed, deadline, outer, given=given):  # noqa: ARG001
            given.append(deadline.left)
            return Elected(Constant(9.5), Constant(0.0), 12.0)

        settings = replace(make_settings(outer_folds=4), time_budget=60.0, max_trials=None)
        estimates = nested(dataset, metric, settings, choose, Deadline.after(left))
        assert given[0] == pytest.approx(share, abs=0.1)
        assert estimates.tuned.estimand.endswith(stated)


def test_outer_folds_too_small_to_choose_on_are_dropped(make_settings):
    """Four distinct times make three forward windows; before the first lies but one time."""
    y = np.arange(40.0)
    dataset = make_dataset(np.column_stack([y % 7, y % 3]), y, time=np.repeat(np.arange(4), 10))
    plan = plan_outer(dataset, make_settings(outer_folds=5))
    assert [len(fold.train) for fold in plan.folds] == [20, 30]
    assert plan.notes[-1] == "1 of 3 outer folds dropped: too little in their training part."


def test_two_times_allow_no_nested_estimate():
    """The only window would train on one time: refused before any fit, with the cure."""
    y = np.arange(40.0)
    X, time = np.column_stack([y % 7, y % 3]), np.repeat([0, 1], 20)
    with pytest.raises(InputError, match=r"choose on.*distinct times.*estimate=None"):
        tune(X, y, time=time, config=TuningConfig(task="regression", max_trials=2, tracking=False, verbose=0))


def test_nested_scores_the_worst_slice(make_settings):
    """Targets 0 (80 rows) and 1 (40): .25 loses .25 and .75, .6 .6 and .4; the mean prefers .25."""
    site = np.repeat([0.0, 1.0], [80, 40])
    dataset = make_dataset(np.column_stack([site, np.arange(120.0)]), site)
    dataset = replace(dataset, slice_masks=np.array([site == 0, site == 1]))

    def choose(rows, seed, deadline, outer):  # noqa: ARG001
        assert rows.slice_masks.shape == (2, 60)
        return Elected(Constant(0.25), Constant(0.6), 48.0)

    metric = resolve_metric("mae", "regression")
    estimates = nested(dataset, metric, make_settings(outer_folds=2), choose, Deadline())
    assert estimates.tuned.fold_losses == pytest.approx((0.75, 0.75))
    assert estimates.default.fold_losses == pytest.approx((0.6, 0.6))
    assert estimates.paid.verdict == "did not pay"
    assert estimates.tuned.estimand.startswith(
        "the procedure's worst slice, trained on about 60 rows, judged on new rows"
    )


def test_crossfit_scores_each_fold_by_what_was_elected_without_it():
    """Losses on the folds of the search, in their order; a fold without a model is left out and noted."""
    y = np.arange(20.0)
    dataset = make_dataset(np.column_stack([y, y % 3]), y)
    plan = plan_choosing(dataset, n_folds=4, n_repeats=1, seed=0)

    def elect(outer, deadline):
        assert not deadline.reached
        return None if outer == 2 else Elected(Constant(outer + 1.0), Constant(0.0), 10.0 + outer)

    estimates = crossfit(dataset, resolve_metric("mae", "regression"), plan, elect, Deadline())
    expected = [np.mean(np.abs(y[plan.folds[outer].test] - outer - 1)) for outer in (0, 1, 3)]
    got = np.array(estimates.tuned.fold_losses)
    np.testing.assert_allclose(got[[0, 1, 3]], expected)
    assert np.isnan(got[2])
    assert estimates.tuned.method == "crossfit"
    # Fits without fold 0, 1 and 3 saw 10, 11 and 13 rows.
    assert (estimates.build.rows, estimates.build.models) == (pytest.approx(34 / 3), 5.0)
    assert estimates.notes == ("1 outer fold(s) could not be scored.",)


def test_tuning_is_not_judged_where_only_the_default_had_time():
    """Equal losses on every fold are no evidence against tuning: the verdict stays open, with a note."""
    y = np.arange(20.0)
    dataset = make_dataset(np.column_stack([y, y % 3]), y)
    plan = plan_choosing(dataset, n_folds=4, n_repeats=1, seed=0)
    same = Elected(Constant(9.5), Constant(9.5), 10.0)
    estimates = crossfit(dataset, resolve_metric("mae", "regression"), plan, lambda *_: same, Deadline())
    assert estimates.paid.verdict == "not judged"
    assert "4 outer fold(s) delivered the default itself" in estimates.notes[0]


def test_rmse_is_judged_on_squares(make_settings):
    """The value is the root of the mean squared loss, and so is the scale of the paired difference."""
    y = np.array([0.0, 0, 0, 0, 3, 3, 3, 3])
    dataset = make_dataset(np.column_stack([np.arange(8.0), y]), y)
    estimates = nested(
        dataset,
        resolve_metric("rmse", "regression"),
        make_settings(outer_folds=2),
        lambda *_: Elected(Constant(0.0), Constant(3.0), 3.0),
        Deadline(),
    )
    squares = np.square(estimates.tuned.fold_losses)
    assert estimates.tuned.value == pytest.approx(np.sqrt(squares.mean()))
    assert estimates.paid.scale == "squared loss"
    expected = squares - np.square(estimates.default.fold_losses)
    assert estimates.paid.difference == pytest.approx(expected.mean())


class Given:
    """Stands for a model that says what it is told."""

    n_averaged = 5

    def __init__(self, predictions, threshold=None) -> None:
        self.predictions, self.threshold = predictions, threshold

    def predict(self, table):
        """Return what was given, a value a row."""
        assert len(self.predictions) == table.n_rows
        return self.predictions


def crossfit_of(name, y, predictions, plan, *, thresholds=(None, None, None)):
    """Return the estimates of models with the given predictions, each fold's with its threshold."""
    dataset = make_dataset(np.column_stack([np.arange(len(y)) * 1.0]), y)

    def elect(outer, deadline):  # noqa: ARG001
        rows = plan.folds[outer].test
        model = Given(predictions[rows], thresholds[outer])
        return Elected(model, Given(np.zeros(len(rows)), 0.5), 10.0)

    return crossfit(dataset, resolve_metric(name, "binary"), plan, elect, Deadline())


def plan_of(n_rows, n_folds, kind="stratified"):
    """Return the rows in their order as folds of one size."""
    rows = np.arange(n_rows)
    tests = np.split(rows, n_folds)
    folds = tuple(Fold(0, i, np.setdiff1d(rows, test), test) for i, test in enumerate(tests))
    return FoldPlan(kind, folds, ())


def two_folds(n_rows):
    """Return the first half of the rows and the second as two folds."""
    return plan_of(n_rows, 2)


def test_average_precision_is_claimed_over_all_folds_together():
    """Each fold ranks its positive first; together two negatives lie between them: (1 + 2/4) / 2 = .75."""
    y = np.array([1, 0, 0, 1, 0, 0])
    predictions = np.array([0.4, 0.1, 0.2, 0.9, 0.5, 0.6])
    estimates = crossfit_of("average_precision", y, predictions, two_folds(6))
    assert estimates.tuned.fold_losses == pytest.approx((0.0, 0.0))
    assert estimates.tuned.value == pytest.approx(0.75)
    assert estimates.tuned.loss == pytest.approx(0.25)
    # The default says 0 of all rows: precision 1/3, in a fold and together.
    assert estimates.default.loss == pytest.approx(2 / 3)
    assert estimates.paid.difference == pytest.approx(0.25 - 2 / 3)
    assert "2 outer folds together" in estimates.tuned.estimand


def test_f1_is_claimed_over_all_folds_together_each_at_its_own_threshold():
    """Fold 1 decides 1 0 1, fold 2 1 1 1: F1 of 2/4 and 4/5; in all 3 hits, 2 false, 1 missed."""
    y = np.array([1, 1, 0, 1, 1, 0])
    predictions = np.array([0.8, 0.6, 0.9, 0.3, 0.4, 0.25])
    estimates = crossfit_of("f1", y, predictions, two_folds(6), thresholds=(0.7, 0.2))
    assert estimates.tuned.fold_losses == pytest.approx((1 - 2 / 4, 1 - 4 / 5))
    assert estimates.tuned.value == pytest.approx(6 / (6 + 2 + 1))


def test_folds_without_a_positive_count_together():
    """Groups 0 and 1 of five have all positives, each first in its group, all rows of the others above."""
    y = np.zeros(20, dtype=int)
    y[[0, 4]] = 1
    predictions = np.concatenate([np.tile([0.4, 0.1, 0.1, 0.1], 2), np.full(12, 0.5)])
    estimate = crossfit_of(
        "average_precision", y, predictions, plan_of(20, 5, "group"), thresholds=[None] * 5
    ).tuned
    assert estimate.fold_losses[:2] == pytest.approx((0.0, 0.0))
    assert np.isnan(estimate.fold_losses[2:]).all()
    assert estimate.value == pytest.approx(2 / 14)


def test_what_folds_hide_together_is_in_the_interval():
    """Every fold ranks its positives first; one of five lies higher as a whole: together it is far from 1.

    From the folds alone the interval would have no width, and the difference would be beyond doubt.
    """
    y = np.tile(np.arange(100) < 4, 5).astype(int)
    predictions = np.where(y == 1, 0.5, np.tile(np.linspace(0.1, 0.4, 100), 5)) + 0.35 * (
        np.arange(500) >= 400
    )
    parts = np.split(np.arange(500), 5)
    plan = plan_of(500, 5)
    estimate = crossfit_of("average_precision", y, predictions, plan, thresholds=[None] * 5).tuned
    assert estimate.fold_losses == pytest.approx([0.0] * 5)
    assert estimate.value < 0.5
    assert estimate.low == 0.0
    assert estimate.high == 1.0
    values = together_values(
        make_dataset(np.arange(500.0)[:, None], y),
        resolve_metric("average_precision", "binary"),
        parts,
        [predictions[part] for part in parts],
    )
    assert np.mean(values) == pytest.approx(estimate.loss)
    without_the_last = np.mean(values) + np.array([-1, -1, -1, -1, 4]) * (values[4] - np.mean(values)) / 4
    np.testing.assert_allclose(values, without_the_last)  # the four others owe the same


@pytest.mark.parametrize("name", ["roc_auc", "balanced_accuracy"])
def test_what_few_rows_do_not_bend_is_the_mean_of_the_folds(name):
    """AUC of a fold is right on average; together, models on different scales would spoil the ranks."""
    y = np.array([1, 0, 0, 1, 0, 0])
    predictions = np.array([0.4, 0.1, 0.2, 0.9, 0.5, 0.6])
    estimates = crossfit_of(name, y, predictions, two_folds(6), thresholds=(0.3, 0.7))
    assert estimates.tuned.loss == pytest.approx(np.mean(estimates.tuned.fold_losses))
    assert "together" not in estimates.tuned.estimand


def test_few_positives_do_not_flatter_average_precision():
    """Normal scores, positives 1.5 higher, four of 130 rows a fold: .25 is true; folds alone say .35."""
    n_folds, n_rows = 5, 130
    y = np.tile(np.arange(n_rows) < 4, n_folds).astype(int)
    plan = plan_of(n_folds * n_rows, n_folds)
    generator = np.random.default_rng(0)
    claims, means = [], []
    for _ in range(200):
        predictions = generator.normal(size=len(y)) + 1.5 * y
        estimate = crossfit_of("average_precision", y, predictions, plan, thresholds=[None] * 5).tuned
        claims.append(estimate.value)
        means.append(1 - np.mean(estimate.fold_losses))
    many = np.arange(400_000) < 4 / 130 * 400_000
    truth = average_precision_score(many, generator.normal(size=len(many)) + 1.5 * many)
    assert np.mean(means) > truth + 0.08  # the standard error is .006
    assert np.mean(claims) == pytest.approx(truth, abs=0.045)  # twenty positives are still few


def test_another_model_that_is_no_better_did_not_pay():
    """Both are constants, of AUC .5 on every fold: it is the tuned model that has to be better."""
    y = np.tile([1, 0], 10)
    dataset = make_dataset(np.column_stack([np.arange(20.0), y]), y)
    plan = plan_choosing(dataset, n_folds=4, n_repeats=1, seed=0)
    elected = Elected(Constant(0.6), Constant(0.9), 10.0)
    metric = resolve_metric("roc_auc", "binary")
    estimates = crossfit(dataset, metric, plan, lambda *_: elected, Deadline())
    assert estimates.tuned.fold_losses == estimates.default.fold_losses
    assert (estimates.paid.verdict, estimates.paid.difference) == ("did not pay", 0.0)


def test_no_outer_fold_leaves_nothing_to_score_together():
    """Where time made no model of any fold there is no claim, and no warning."""
    y = np.tile([1, 0], 6)
    dataset = make_dataset(np.arange(12.0)[:, None], y)
    metric = resolve_metric("average_precision", "binary")
    estimates = crossfit(dataset, metric, plan_of(12, 3), lambda *_: None, Deadline())
    assert np.isnan(estimates.tuned.value)
    assert estimates.paid.verdict == "not judged"
    assert "3 outer fold(s) could not be scored." in estimates.notes


def test_one_fold_with_all_positives_tells_no_interval():
    """Without it there is no loss at all: the value stands, between everything."""
    y = np.array([1, 1, 0, 0, 0, 0])
    predictions = np.array([0.4, 0.3, 0.2, 0.5, 0.1, 0.1])
    estimates = crossfit_of("average_precision", y, predictions, two_folds(6))
    assert estimates.tuned.value == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert (estimates.tuned.low, estimates.tuned.high) == (0.0, 1.0)
    assert estimates.paid.verdict != "paid"
    assert not any("could not be scored" in note for note in estimates.notes)  # its negatives count


@pytest.mark.parametrize("name", ["average_precision", "f1"])
def test_a_fold_that_predicts_no_numbers_is_left_out_of_both_arms(name):
    """The first of three folds has a NaN: the others, ranked and decided right, make the value."""
    y = np.tile([1, 0], 6)
    predictions = np.where(y == 1, 0.9, 0.1)
    predictions[0] = np.nan
    thresholds = (0.5, 0.5, 0.5) if name == "f1" else (None, None, None)
    estimates = crossfit_of(name, y, predictions, plan_of(12, 3), thresholds=thresholds)
    assert estimates.tuned.value == pytest.approx(1.0)
    assert estimates.default.value == pytest.approx(0.5 if name == "average_precision" else 0.0)
    assert estimates.paid.difference == pytest.approx(estimates.tuned.loss - estimates.default.loss)
    assert "1 outer fold(s) could not be scored." in estimates.notes


class Shifted(Constant):
    """Stands for a model whose scores lie higher than another's: together they would not be ranked."""

    def predict(self, table):
        """Return a wave above the value."""
        return self.value + np.sin(np.arange(table.n_rows))


def test_windows_of_time_and_worst_slices_are_scored_one_by_one(make_settings):
    """The next window has few positives, too; and a worst slice is one of a fold."""
    y = np.tile([1, 0, 0], 20)
    metric = resolve_metric("average_precision", "binary")

    def choose(rows, seed, deadline, outer):  # noqa: ARG001
        return Elected(Shifted(10.0 * outer), Constant(0.6), 48.0)

    X = np.column_stack([np.arange(60.0), np.arange(60.0) % 7])
    in_time = make_dataset(X, y, time=np.arange(60))
    sliced = replace(make_dataset(X, y), slice_masks=np.ones((1, 60), dtype=bool))
    for dataset in (in_time, sliced):
        estimates = nested(dataset, metric, make_settings(outer_folds=2), choose, Deadline())
        assert "together" not in estimates.tuned.estimand
        assert len(set(estimates.tuned.fold_losses)) > 1
        assert estimates.tuned.loss == pytest.approx(np.nanmean(estimates.tuned.fold_losses))


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(-0.2, -0.3, -0.1), "paid"),
        (Interval(-0.2, -0.5, 0.1), "not shown"),
        (Interval(-0.2, -0.4, 0.0), "not shown"),
        (Interval(0.0, -0.1, 0.1), "did not pay"),
        (Interval(0.2, 0.1, 0.3), "did not pay"),
        (Interval(np.nan, -np.inf, np.inf), "not judged"),
    ],
)
def test_tuning_paid_only_if_the_whole_interval_is_below_zero(interval, verdict):
    """The verdict follows the design's rule; a mean of zero does not pay."""
    assert judge_tuning(interval).verdict == verdict
