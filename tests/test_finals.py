from __future__ import annotations

import math

import numpy as np
import pytest

from tuner._data import make_dataset
from tuner._evaluation import Bench
from tuner._finals import STEPPED_METRICS, BlendLoss
from tuner._metrics import METRICS, resolve_metric
from tuner._splits import Fold, FoldPlan


def scorer_of(metric, y=(0, 1, 0, 1)):
    """Return the loss of blends on two folds of two rows."""
    rows = np.arange(4)
    data = make_dataset(rows[:, None].astype(float), np.array(y), task="classification")
    folds = tuple(
        Fold(0, index, np.setdiff1d(rows, test), np.array(test))
        for index, test in enumerate(([0, 1], [2, 3]))
    )
    bench = Bench(
        data, FoldPlan("stratified", folds, ()), resolve_metric(metric, "binary", weighted=False), 0
    )
    return BlendLoss(bench, n_averaged=1)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "accuracy"])
def test_steps_are_blended_by_log_loss(metric):
    """Both folds rank their rows rightly, so AUC sees no difference; log loss sees how surely.

    Rows 0 and 2 are of class 0, rows 1 and 3 of class 1. With .2 and .8 everywhere the log loss is
    -log .8 = .2231; with .4 and .6 it is -log .6 = .5108.
    """
    scorer = scorer_of(metric)
    sure, unsure = [np.array([0.2, 0.8])] * 2, [np.array([0.4, 0.6])] * 2
    assert scorer.fold_losses(sure) == scorer.fold_losses(unsure) == pytest.approx([0.0, 0.0])
    assert scorer.blend_loss(sure) == pytest.approx(-math.log(0.8))
    assert scorer.blend_loss(unsure) == pytest.approx(-math.log(0.6))
    assert not scorer.blends_by_metric


def test_smooth_metrics_are_blended_by_themselves():
    """Brier's loss of .2 and .8 is .2 squared, in the blend as in the folds."""
    scorer = scorer_of("brier")
    folds = [np.array([0.2, 0.8])] * 2
    assert scorer.blends_by_metric
    assert scorer.blend_loss(folds) == pytest.approx(0.04)
    assert scorer.fold_losses(folds) == pytest.approx([0.04, 0.04])


def test_stepped_metrics_exist():
    """The names are those of metrics: a renamed one would silently be blended by itself."""
    assert set(METRICS) >= STEPPED_METRICS
