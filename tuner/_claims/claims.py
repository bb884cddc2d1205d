"""What is claimed of new rows: an estimate with its interval, and whether tuning paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuner._metrics.metrics import Metric
from tuner._statistics.intervals import Interval

Scale = Literal["loss", "squared loss"]
Verdict = Literal["paid", "not shown", "did not pay", "not judged"]


@dataclass(frozen=True)
class Build:
    """What the members of a model are made of.

    Attributes
    ----------
    rows : float
        A fit was trained on; a mean over folds.
    models : float
        Fits a member averages; a mean over folds.
    """

    rows: float
    models: float


@dataclass(frozen=True)
class Step:
    """One correction on the way from the procedure's estimate to that of the delivered model.

    Attributes
    ----------
    what : {"rows", "models"}
        The part of `Build` that differs.
    before, after : float
        In the models behind the procedure's estimate, and in the delivered one.
    change : float
        Of the loss (RMSE and RMSLE: the squared one); negative: the delivered model does better.
    half_width : float
        Of the change's interval, corrected t over folds.
    """

    what: str
    before: float
    after: float
    change: float
    half_width: float


@dataclass(frozen=True)
class Estimate:
    """Expected metric on new rows, in natural units, with its interval.

    Attributes
    ----------
    value, low, high : float
        ``low <= value <= high``.
    level : float
        Nominal level of the interval.
    method : {"nested", "crossfit", "bbc"}
    loss : float
        The same value as a loss (lower is better).
    fold_losses : tuple of float
        Losses of the outer folds (crossfit: of the folds left out); empty for bbc. Not on average ``loss``
        where the metric is a ratio, such as average precision: see `tuner._finals.together`.
    estimand : str
        What exactly is estimated, at which number of rows and which budget.
    steps : tuple of Step
        From the procedure's estimate to this one; none where this is the procedure's.
    """

    value: float
    low: float
    high: float
    level: float
    method: str
    loss: float
    fold_losses: tuple[float, ...]
    estimand: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Paid:
    """Did tuning pay: tuned loss minus the default's on the same held-out rows (negative: tuning is better).

    For RMSE and RMSLE the losses are squared, the scale on which they average.
    """

    verdict: Verdict
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    scale: Scale = "loss"


def natural_estimate(
    metric: Metric,
    interval: Interval,
    *,
    level: float,
    method: str,
    fold_losses: Sequence[float],
    estimand: str,
) -> Estimate:
    """Turn a loss with its interval into natural units, clipped to what the metric can be."""
    ends = metric.natural_ends(interval.low, interval.high)
    loss = metric.bounded(interval.value)
    return Estimate(
        value=metric.natural(loss),
        low=ends[0],
        high=ends[1],
        level=level,
        method=method,
        loss=float(loss),
        fold_losses=tuple(float(np.float64(value)) for value in fold_losses),
        estimand=estimand,
    )
