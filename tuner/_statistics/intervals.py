"""Intervals from a few dependent losses: the arithmetic behind every estimate; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from tuner._types import FloatArray


@dataclass(frozen=True)
class Interval:
    """A mean with its interval (low <= value <= high); of losses, on the loss scale."""

    value: float
    low: float
    high: float


def corrected_t(
    losses: Sequence[float], *, test_share: float, level: float = 0.95, squared: bool = False
) -> Interval:
    """Corrected resampled t interval of the mean of fold losses.

    mean +- t_{J-1} * sd * sqrt(1/J + n_test/n_train), sd with ddof 1.

    What it estimates: the expected loss of the procedure at the training size of the folds. It assumes
    roughly normal fold losses whose correlation is that of overlapping training sets. It misleads with very
    few folds of unequal difficulty, and says nothing about a future that differs from the rows.

    Parameters
    ----------
    losses : sequence of float
        One loss a fold; NaN where a fold could not be scored.
    test_share : float
        n_test / n_train of a fold.
    level : float
        Nominal coverage.
    squared : bool
        Work on squared losses and transform back (RMSE, RMSLE).

    Returns
    -------
    Interval
        From minus to plus infinity with fewer than two scorable folds.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error.
    """
    values = np.asarray(losses, dtype=float)
    values = values[np.isfinite(values)]
    if squared:
        values = values**2
    count = len(values)
    if count == 0:
        return Interval(np.nan, -np.inf, np.inf)
    mean = float(values.mean())
    if count == 1:
        return Interval(_back(mean, squared=squared), -np.inf, np.inf)
    spread = float(values.std(ddof=1) * np.sqrt(1.0 / count + test_share))
    half = float(student.ppf(0.5 + level / 2, count - 1)) * spread
    return _interval(mean, mean - half, mean + half, squared=squared)


def pooled(losses: Sequence[float], *, squared: bool) -> float:
    """Return the mean of fold losses on the scale on which the metric averages (see `corrected_t`)."""
    values = np.asarray(losses, dtype=float)
    values = values[np.isfinite(values)]
    return _back(float(np.mean(values**2 if squared else values)), squared=squared)


def prediction_t(losses: Sequence[float], *, level: float = 0.95, squared: bool = False) -> Interval:
    """Prediction interval for the loss on the next window: mean +- t_{J-1} * sd * sqrt(1 + 1/J).

    It assumes that the next window resembles the past ones; no coverage is promised when it drifts.
    """
    return corrected_t(losses, test_share=1.0, level=level, squared=squared)


def percentile(losses: Sequence[float], *, level: float = 0.95, squared: bool = False) -> Interval:
    """Mean and central percentile interval of bootstrap losses."""
    values = np.asarray(losses, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Interval(np.nan, -np.inf, np.inf)
    if squared:
        values = values**2
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    mean = float(values.mean())
    return _interval(mean, min(float(low), mean), max(float(high), mean), squared=squared)


def pseudo_values(statistics: FloatArray) -> FloatArray:
    """Return the jackknife's pseudo-values K T - (K - 1) T_k, of shape (n_blocks,).

    Their mean and spread are about those of T, a mean over rows or not.

    Parameters
    ----------
    statistics : array of shape (1 + n_blocks,)
        T of all rows, then T_k without each of the K blocks.

    References
    ----------
    Tukey (1958), Bias and confidence in not quite large samples.
    """
    n_blocks = len(statistics) - 1
    return np.asarray(n_blocks * statistics[0] - (n_blocks - 1) * statistics[1:])


def wilson(share: float, count: float, *, level: float = 0.95) -> Interval:
    """Return a share of ``count`` rows with Wilson's interval: not empty where none or all have it.

    Examples
    --------
    >>> wilson(0.0, 96).high < 0.04
    True
    """
    if count == 0:
        return Interval(share, 0.0, 1.0)
    z = float(norm.ppf(0.5 + level / 2))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    # Rounding must not keep an end off the share of no row, or of all.
    low, high = max(0.0, float(middle - half)), min(1.0, float(middle + half))
    return Interval(share, min(share, low), max(share, high))


def _interval(mean: float, low: float, high: float, *, squared: bool) -> Interval:
    return Interval(_back(mean, squared=squared), _back(low, squared=squared), _back(high, squared=squared))


def _back(value: float, *, squared: bool) -> float:
    return float(np.sqrt(max(value, 0.0))) if squared else value
