"""Metrics that are ratios of sums over rows, which few rows bend: claims score all folds together.

With four positives a fold, average precision comes out at .35 where .25 is true, over five such folds
together at .28; F1 comes out too low. Together, scores of one fold's model are ranked among those of
another's: where these differ by more than noise, average precision is too low.

References
----------
Forman and Scholz (2010), Apples-to-apples in cross-validation studies: pitfalls in classifier performance
measurement.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner._metrics.metrics import Metric, decide
from tuner._rows.data import Dataset
from tuner._statistics.intervals import pseudo_values
from tuner._types import FloatArray, IntArray


def is_together(dataset: Dataset, metric: Metric) -> bool:
    """Whether claims score the rows of all folds together.

    Not with `time`, where the next window is claimed, which has few rows too; nor where the worst slice of a
    fold counts.
    """
    return metric.is_ratio and dataset.time is None and dataset.slice_masks is None


def scored(prediction: FloatArray, threshold: float | None) -> FloatArray:
    """Return the decisions, 0 or 1, where the metric takes them at a threshold, else the prediction."""
    return prediction if threshold is None else decide(prediction, threshold).astype(float)


def together_loss(
    dataset: Dataset, metric: Metric, tests: Sequence[IntArray], judged: Sequence[FloatArray]
) -> float:
    """Return the loss of the rows of all folds.

    Parameters
    ----------
    tests : sequence of int array, one a fold
        Its rows; none is in two folds.
    judged : sequence of array, one a fold
        Predictions, finite, as `scored`.
    """
    y, weights = dataset.targets(np.concatenate(tests))
    return float(metric.losses(y, np.concatenate(judged), weights)[0, 0])


def together_values(
    dataset: Dataset, metric: Metric, tests: Sequence[IntArray], judged: Sequence[FloatArray]
) -> list[float]:
    """Return a value a fold: their mean is the loss of all folds together, their spread what it owes to each.

    Pseudo-values of the jackknife by folds, moved to have the loss as their mean. Folds whose loss alone is
    the same can be far from it together, and an interval from these would vanish.

    Parameters are those of `together_loss`. Where one fold is needed for a loss at all, as it has the only
    positives, there is no telling: one value and NaN.
    """
    if not tests:
        return []
    n_folds, sizes = len(tests), [len(test) for test in tests]
    y, weights = dataset.targets(np.concatenate(tests))
    kept = np.repeat(np.eye(n_folds) == 0, sizes, axis=1)  # all but one fold, one a row
    weightings = np.vstack([np.ones(len(y)), kept]) * (1.0 if weights is None else weights)
    losses = metric.losses(y, np.concatenate(judged), weightings)[:, 0]
    pseudo = pseudo_values(losses)
    if not np.isfinite(pseudo).all():
        return [float(losses[0]), *[np.nan] * (n_folds - 1)]
    return [float(each) for each in losses[0] + pseudo - pseudo.mean()]
