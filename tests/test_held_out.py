"""What averaging the fits of several repeats gains, on rows that none of them trained on."""

from __future__ import annotations

import numpy as np
import pytest

from tuner import TuningConfig, tune
from tuner._finals.held_out import FoldScorer
from tuner._folds.splits import Fold, FoldPlan
from tuner._metrics.metrics import resolve_metric
from tuner._records import BagLosses
from tuner._rows.data import make_dataset
from tuner._trials.bench import Bench


def scorer(metric, task="regression", y=(0.0, 1.0, 2.0, 3.0), n_repeats=2):
    """Return the scorer of four rows, halved along and across."""
    halves = [(0, 1), (2, 3), (0, 2), (1, 3)][: 2 * n_repeats]
    folds = tuple(
        Fold(place // 2, place % 2, np.setdiff1d(range(4), test), np.array(test))
        for place, test in enumerate(halves)
    )
    dataset = make_dataset(np.column_stack([np.arange(4.0), [0.0, 1.0, 1.0, 0.0]]), np.array(y))
    bench = Bench(dataset, FoldPlan("iid", folds, ()), resolve_metric(metric, task), 0)
    return FoldScorer(bench, n_averaged=n_repeats)


# Held-out predictions of rows (0, 1), (2, 3), then of (0, 2), (1, 3).
PREDICTIONS = [np.array([2.0, 1.0]), np.array([2.0, 1.0]), np.array([-2.0, 2.0]), np.array([3.0, 3.0])]


def test_alone_and_averaged_by_hand():
    """Rows 0 and 1 are missed by 2, 0, then 2, 2 (means 1 and 2); averages 0 and 2 miss by 0 and 1.

    Rows 2 and 3 by 0, 2, then 0, 0 (means 1 and 0); averages 2 and 2 by 0 and 1.
    """
    assert scorer("mae").bag(PREDICTIONS) == BagLosses(2, (1.5, 0.5), (0.5, 0.5))
    # Squares: (4 + 0) / 2 and (4 + 4) / 2, averages 1/2; (0 + 4) / 2 and 0, averages 1/2
    found = scorer("rmse").bag(PREDICTIONS)
    assert found.alone == pytest.approx((3.0, 1.0))
    assert found.averaged == pytest.approx((0.5, 0.5))


def test_nothing_is_said_where_it_cannot_be_told():
    """Not with one repeat, nor for orders and decisions, which are no means over rows or have thresholds."""
    assert scorer("mae", n_repeats=1).bag(PREDICTIONS[:2]) is None
    labels = (0, 1, 0, 1)
    guesses = [np.array([0.2, 0.7])] * 4
    assert scorer("log_loss", "binary", labels).bag(guesses) is not None
    for metric in ("roc_auc", "accuracy"):
        assert scorer(metric, "binary", labels).bag(guesses) is None


def test_ratios_are_scored_over_all_folds_of_a_repeat():
    """First .9 and .7 are positive, .8 lies between: (1 + 2/3) / 2; then both positives come first.

    Fold by fold the first repeat would be 1, and the second has no fold with both classes.
    """
    guesses = [np.array([0.2, 0.7]), np.array([0.8, 0.9]), np.array([0.1, 0.2]), np.array([0.6, 0.7])]
    found = scorer("average_precision", "binary", (0, 1, 0, 1)).loss(guesses, [0.0, 0.0], None)
    assert found == pytest.approx((1 / 6 + 0) / 2)
    # Above .65: a hit, a false call and a hit, 2 / (2 + 1/2); then one hit, one missed, 1 / (1 + 1/2).
    found = scorer("f1", "binary", (0, 1, 0, 1)).loss(guesses, [0.0, 0.0], 0.65)
    assert found == pytest.approx(1 - (4 / 5 + 2 / 3) / 2)
    assert scorer("roc_auc", "binary", (0, 1, 0, 1)).loss(guesses, [0.1, 0.3], None) == pytest.approx(0.2)


def test_few_positives_alone_are_no_optimism():
    """One configuration on 30 positives among 300 rows: nothing was chosen, and nothing is said to flatter.

    The mean average precision of folds lies .08 higher, which was reported as optimism.
    """
    config = TuningConfig(
        metric="average_precision",
        families=["linear"],
        max_trials=1,
        time_budget=None,
        estimate="crossfit",
        tracking=False,
        random_state=0,
        verbose=0,
    )
    optimism, by_folds = [], []
    for seed in range(4):  # one table alone moves by .05
        generator = np.random.default_rng(seed)
        y = (np.arange(300) < 30).astype(int)
        X = generator.normal(size=(300, 3)) + 0.8 * y[:, None]
        result = tune(X, y, config=config)
        optimism.append(result.optimism)
        by_folds.append(np.mean(result.estimate.fold_losses) - result.selection_loss)
    assert abs(np.mean(optimism)) < 0.03
    assert np.mean(by_folds) < -0.05


def test_calibration_is_judged_of_what_is_averaged():
    """Labels are noise; one repeat says .9 or .1 at random, the other the opposite: .5 on average."""
    rng = np.random.default_rng(0)
    rows = np.arange(400)
    folds = tuple(
        Fold(repeat, place, rows[rows % 2 != place], rows[rows % 2 == place])
        for repeat in range(2)
        for place in range(2)
    )
    dataset = make_dataset(rng.normal(size=(400, 2)), rng.integers(0, 2, 400))
    bench = Bench(dataset, FoldPlan("iid", folds, ()), resolve_metric("log_loss", "binary"), 0)
    guess = rng.choice([0.1, 0.9], 400)
    predictions = [(1 - guess if fold.repeat else guess)[fold.test] for fold in folds]
    gains = {n: FoldScorer(bench, n_averaged=n).calibration_gains(predictions, 1.0) for n in (1, 2)}
    assert min(gains[1]) > 0.3  # a loss of 1.2 becomes one of .69
    assert max(np.abs(gains[2])) < 0.01
    assert scorer("mae").calibration_gains(PREDICTIONS, 1.0) == ()


@pytest.mark.parametrize(("metric", "is_judged"), [("rmse", True), ("mae", False)])
def test_means_are_not_compared_with_predictions_of_medians(metric, is_judged):
    """Of a skewed target the median lies below the mean, bin by bin: that is no lack of calibration."""
    rng = np.random.default_rng(0)
    rows = np.arange(400)
    folds = tuple(Fold(0, place, rows[rows % 2 != place], rows[rows % 2 == place]) for place in range(2))
    y = np.exp(rng.normal(size=400))
    dataset = make_dataset(rng.normal(size=(400, 2)), y)
    bench = Bench(dataset, FoldPlan("iid", folds, ()), resolve_metric(metric, "regression"), 0)
    predictions = [y[fold.test] * 0.9 for fold in folds]
    assert (FoldScorer(bench, n_averaged=1).reliability(predictions, 1.0) is not None) == is_judged
