"""Metrics that are ratios of sums over rows: what few rows bend, seen by scoring all folds together.

References
----------
Forman and Scholz (2010), Apples-to-apples in cross-validation studies: pitfalls in classifier performance
measurement.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner._metrics.metrics import Metric
from tuner._rows.data import Dataset
from tuner._types import FloatArray, IntArray


def bend(
    dataset: Dataset,
    metric: Metric,
    tests: Sequence[IntArray],
    predictions: Sequence[FloatArray],
    losses: Sequence[float],
) -> float:
    """Return what to add to the mean of the folds' losses where the metric is a ratio of sums over rows.

    Over few rows such a ratio is not on average what it is over many: with four positives a fold, average
    precision comes out at .35 where .25 is true, over five such folds together at .29; F1 and R2 come out
    too low. So the rows of all folds are scored together. A bias in proportion to 1 / rows is still
    1 / (K - 1) of the difference then, which is taken off, too: .27. Not with groups, whose folds differ by
    more than chance, nor of R2, which has no bound.

    Together, scores of one fold's model are ranked among those of another's: where these differ by more than
    noise, average precision is too low.

    Parameters
    ----------
    tests : sequence of int array, one a fold
        Its rows; none is in two folds.
    predictions : sequence of array, one a fold
        What is scored; where the metric has decision thresholds the decisions, 0 or 1.
    losses : sequence of float, one a fold
        Folds whose loss is NaN are left out.
    """
    known = [fold for fold, loss in enumerate(losses) if np.isfinite(loss)]
    if len(known) < 2:
        return 0.0
    mean = float(np.mean([losses[fold] for fold in known]))
    y, weights = dataset.targets(np.concatenate([tests[fold] for fold in known]))
    together = metric.losses(y, np.concatenate([predictions[fold] for fold in known]), weights)
    difference = float(together[0, 0]) - mean
    if dataset.task == "regression" or dataset.groups is not None:
        return difference
    return max(difference * len(known) / (len(known) - 1), -mean)
