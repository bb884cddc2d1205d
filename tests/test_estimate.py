"""Estimates: the arithmetic by hand, and the biases they exist to remove."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import t as student

from tuner import _bbc, tune
from tuner._bbc import _bootstrap_counts, bbc, within_reach
from tuner._bench import Bench
from tuner._config import TuningConfig
from tuner._data import make_dataset
from tuner._deadline import Deadline
from tuner._estimate import Elected, crossfit, judge_tuning, nested, plan_outer
from tuner._intervals import Interval
from tuner._metrics import resolve_metric
from tuner._result import Build
from tuner._settings import resolve
from tuner._splits import plan_choosing
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


def settings(task="regression", **options):
    """Return settings without a clock."""
    config = TuningConfig(**{"max_trials": 5, "time_budget": None, "random_state": 0, **options})
    return resolve(config, task=task, has_time=False)


def test_nested_scores_what_is_delivered_on_rows_it_never_saw():
    """Outer losses, corrected t and the paired verdict follow by hand from two constant models."""
    y = np.arange(20.0)
    dataset = make_dataset(np.column_stack([y, y % 3]), y)
    metric = resolve_metric("mae", "regression")
    seen = []

    def choose(rows, seed, deadline, outer):  # noqa: ARG001
        seen.append(set(rows.y))
        return Elected(Constant(9.5), Constant(0.0), 12.0)

    estimates = nested(dataset, metric, settings(outer_folds=4), choose, Deadline())
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


def test_outer_folds_too_small_to_choose_on_are_dropped():
    """Four distinct times make three forward windows; before the first lies but one time."""
    y = np.arange(40.0)
    dataset = make_dataset(np.column_stack([y % 7, y % 3]), y, time=np.repeat(np.arange(4), 10))
    plan = plan_outer(dataset, settings(outer_folds=5))
    assert [len(fold.train) for fold in plan.folds] == [20, 30]
    assert plan.notes[-1] == "1 of 3 outer folds dropped: too little in their training part."


def test_two_times_allow_no_nested_estimate():
    """The only window would train on one time: refused before any fit, with the cure."""
    y = np.arange(40.0)
    X, time = np.column_stack([y % 7, y % 3]), np.repeat([0, 1], 20)
    with pytest.raises(InputError, match=r"choose on.*distinct times.*estimate=None"):
        tune(X, y, time=time, config=TuningConfig(task="regression", max_trials=2, tracking=False, verbose=0))


def test_nested_scores_the_worst_slice():
    """Targets 0 (80 rows) and 1 (40): .25 loses .25 and .75, .6 .6 and .4; the mean prefers .25."""
    site = np.repeat([0.0, 1.0], [80, 40])
    dataset = make_dataset(np.column_stack([site, np.arange(120.0)]), site)
    dataset = replace(dataset, slice_masks=np.array([site == 0, site == 1]))

    def choose(rows, seed, deadline, outer):  # noqa: ARG001
        assert rows.slice_masks.shape == (2, 60)
        return Elected(Constant(0.25), Constant(0.6), 48.0)

    metric = resolve_metric("mae", "regression")
    estimates = nested(dataset, metric, settings(outer_folds=2), choose, Deadline())
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


def test_rmse_is_judged_on_squares():
    """The value is the root of the mean squared loss, and so is the scale of the paired difference."""
    y = np.array([0.0, 0, 0, 0, 3, 3, 3, 3])
    dataset = make_dataset(np.column_stack([np.arange(8.0), y]), y)
    estimates = nested(
        dataset,
        resolve_metric("rmse", "regression"),
        settings(outer_folds=2),
        lambda *_: Elected(Constant(0.0), Constant(3.0), 3.0),
        Deadline(),
    )
    squares = np.square(estimates.tuned.fold_losses)
    assert estimates.tuned.value == pytest.approx(np.sqrt(squares.mean()))
    assert estimates.paid.scale == "squared loss"
    expected = squares - np.square(estimates.default.fold_losses)
    assert estimates.paid.difference == pytest.approx(expected.mean())


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


@pytest.fixture
def noise(make_trial, make_scores):
    """Return a bench of random labels and 40 trials that predict at random."""
    rng = np.random.default_rng(0)
    dataset = make_dataset(rng.normal(size=(100, 3)), np.arange(100) % 2)
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric("brier", "binary"), 0)
    trials, predictions, losses = [], {}, []
    for number in range(40):
        guesses = rng.uniform(0, 1, 100)
        predictions[number] = tuple(guesses[fold.test] for fold in plan.folds)
        folds = [np.mean((dataset.y[fold.test] - guesses[fold.test]) ** 2) for fold in plan.folds]
        losses.append(np.mean(folds))
        trials.append(make_trial(number, scores=make_scores(folds, [0.1] * 5)))
    return bench, trials, predictions, losses


def test_bbc_takes_the_luck_out_of_the_luckiest_trial(noise):
    """Forty random guessers: the smallest loss flatters, bbc comes back to the expected 1/3."""
    bench, trials, predictions, losses = noise
    estimates = bbc(trials, predictions, bench, settings("binary", final="refit"), default=0)
    expected = 1 / 3  # E (y - u)^2 for u uniform
    assert min(losses) < expected - 0.03
    assert abs(estimates.tuned.value - expected) < abs(min(losses) - expected) / 2
    assert estimates.tuned.low <= estimates.tuned.value <= estimates.tuned.high
    assert estimates.default.value == pytest.approx(losses[0], abs=0.02)
    assert estimates.paid.difference == pytest.approx(estimates.tuned.loss - estimates.default.loss)
    assert estimates.build == Build(80.0, 1.0)
    assert estimates.apparent_loss == pytest.approx(min(losses))


def test_bbc_ships_no_luck(noise):
    """The luckiest of 39 guessers beats the default on the rows that chose it, and loses on the others.

    The default says 1/2 + d of every row, d^2 = .04: it loses (1/2 - d)^2 and (1/2 + d)^2 on half of the rows
    each, 1/4 + d^2 = .29 in the mean; a guesser is expected to lose 1/3.
    """
    bench, trials, predictions, losses = noise
    constant = {0: tuple(np.full(len(fold.test), 0.7) for fold in bench.plan.folds)}
    estimates = bbc(trials, predictions | constant, bench, settings("binary", final="refit"), default=0)
    assert min(losses[1:]) < 0.29
    assert estimates.default_apparent_loss == pytest.approx(0.29)
    assert estimates.paid.verdict == "did not pay"
    assert estimates.paid.difference == pytest.approx(1 / 3 - 0.29, abs=0.02)


def test_bbc_takes_the_luck_out_of_the_ensemble(noise):
    """Four of forty guessers averaged are expected to lose 1/4 + 1/12/4; on the rows that chose them less."""
    bench, trials, predictions, _ = noise
    estimates = bbc(trials, predictions, bench, settings("binary"), default=0)
    expected = 1 / 4 + 1 / 48
    assert estimates.apparent_loss is not None
    assert estimates.apparent_loss < expected - 0.03
    assert abs(estimates.tuned.value - expected) < abs(estimates.apparent_loss - expected) / 2
    assert estimates.tuned.estimand.startswith("the procedure, trained on about 80 rows")


def test_bbc_estimates_what_members_bring_together(make_trial, make_scores):
    """Opposite errors of +1 and -1 cancel in an ensemble of both; alone each loses 1."""
    y = np.random.default_rng(0).normal(size=60)
    dataset = make_dataset(y[:, None], y)
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric("rmse", "regression"), 0)
    predictions = {
        number: tuple(y[fold.test] + error for fold in plan.folds) for number, error in enumerate((1, -1))
    }
    trials = [make_trial(number, scores=make_scores([1.0] * 5, [0.1] * 5)) for number in predictions]
    together = bbc(trials, predictions, bench, settings(), default=0)
    assert together.tuned.loss == pytest.approx(0.0, abs=1e-3)
    assert together.default.loss == pytest.approx(1.0)
    assert together.paid.verdict == "paid"
    assert together.paid.scale == "squared loss"
    assert together.paid.difference == pytest.approx(-1.0, abs=1e-3)
    assert together.default_apparent_loss == pytest.approx(1.0)
    alone = bbc(trials, predictions, bench, settings(final="bag"), default=0)
    assert alone.tuned.loss == pytest.approx(1.0)
    assert alone.paid.verdict == "not judged"  # squares of +1 and -1: no difference anywhere
    assert alone.tuned.estimand.startswith("the selected configuration")


def test_bbc_chooses_the_threshold_on_other_rows_than_it_scores(make_trial, make_scores):
    """Accuracy of random probabilities: the best of many thresholds flatters, out of bag it is 1/2."""
    rng = np.random.default_rng(3)
    y = rng.permutation(np.arange(60) % 2)
    dataset = make_dataset(rng.normal(size=(60, 1)), y)
    plan = plan_choosing(dataset, n_folds=2, n_repeats=1, seed=0)
    metric = resolve_metric("accuracy", "binary")
    guesses = rng.uniform(size=60)
    trials = [make_trial(0, scores=make_scores([0.5, 0.5], [0.1] * 2))]
    predictions = {0: tuple(guesses[fold.test] for fold in plan.folds)}
    estimates = bbc(trials, predictions, Bench(dataset, plan, metric, 0), settings("binary"), default=0)
    assert estimates.apparent_loss is not None
    assert estimates.apparent_loss < 0.5
    assert estimates.tuned.loss > estimates.apparent_loss + 0.05


def test_bbc_does_not_flatter_by_scoring_few_positives(make_trial, make_scores):
    """Average precision of one fixed model, 22 positives in 740 rows: most of the flattery is taken off.

    Scores are normal, those of positives higher by 2.5: on 200,000 rows the loss is .353, on folds with four
    or five positives .29, on the one or two left out of a bootstrap .24 (means over many tables).
    """
    metric = resolve_metric("average_precision", "binary")
    y = np.zeros(740, dtype=int)
    y[:22] = 1
    claims, folds_alone = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = expit(rng.normal(size=740) + 2.5 * y)
        dataset = make_dataset(rng.normal(size=(740, 1)), y)
        plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=seed)
        predictions = {0: tuple(scores[fold.test] for fold in plan.folds)}
        losses = [metric.losses(y[fold.test], scores[fold.test])[0, 0] for fold in plan.folds]
        trials = [make_trial(0, scores=make_scores(losses, [0.1] * 5))]
        claims.append(
            bbc(trials, predictions, Bench(dataset, plan, metric, 0), settings("binary"), default=0)
        )
        folds_alone.append(np.mean(losses))
    expected = 0.353
    claimed = np.mean([1 - claim.tuned.value for claim in claims])
    assert np.mean(folds_alone) < expected - 0.04
    assert abs(claimed - expected) < abs(np.mean(folds_alone) - expected)
    assert claimed > np.mean(folds_alone) + 0.02


def test_bbc_is_the_same_in_blocks(noise, monkeypatch):
    """On large tables a few bootstraps are drawn at a time; which does not show."""
    bench, trials, predictions, _ = noise
    whole = bbc(trials, predictions, bench, settings("binary"), default=0)
    monkeypatch.setattr(_bbc, "MAX_CELLS", 700)  # seven bootstraps of 100 rows; 300 is no multiple
    assert len(list(_bootstrap_counts(bench.dataset, seed=0))) == 43
    blocks = bbc(trials, predictions, bench, settings("binary"), default=0)
    assert (blocks.tuned, blocks.default) == (whole.tuned, whole.default)
    assert blocks.paid.difference == pytest.approx(whole.paid.difference)  # sums in another order


def test_trials_beyond_reach_are_those_behind_in_every_bootstrap():
    """Means above the best's .2 by .1, .2 and .2; differences spread by 0, .1 * sqrt(2) and .02 * sqrt(2)."""
    best = [0.1, 0.3]
    always = [0.2, 0.4]  # .1 above, without a spread
    at_times = [0.2, 0.6]  # .1 and .3 above: 1.4 standard deviations
    hardly = [0.28, 0.52]  # .18 and .22 above: 7 standard deviations
    unknown = [np.inf, np.inf]
    assert within_reach(np.array([best, always, at_times, hardly, unknown])) == [0, 2, 4]


def test_bbc_is_the_same_without_trials_beyond_reach(noise, monkeypatch):
    """Trials that no bootstrap elects are not scored in them."""
    bench, trials, predictions, _ = noise
    for number in range(20, 40):
        predictions[number] = tuple(1.0 - bench.dataset.y[fold.test] for fold in bench.plan.folds)
    scored: list[int] = []
    monkeypatch.setattr(
        _bbc, "within_reach", lambda each: scored.append(len(within_reach(each))) or within_reach(each)
    )
    short = bbc(trials, predictions, bench, settings("binary", final="refit"), default=0)
    assert scored == [20]
    monkeypatch.setattr(_bbc, "within_reach", lambda each: list(range(len(each))))
    assert bbc(trials, predictions, bench, settings("binary", final="refit"), default=0) == short


def test_bbc_draws_groups_whole():
    """Rows of one group are drawn equally often in every bootstrap."""
    groups = np.repeat(np.arange(10), 3)
    dataset = make_dataset(np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2, groups=groups)
    (counts,) = _bootstrap_counts(dataset, seed=0)
    for group in range(10):
        drawn = counts[:, groups == group]
        assert (drawn == drawn[:, :1]).all()
    assert (counts.sum(axis=1) == 30).all()
