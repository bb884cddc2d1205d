"""How much a score shrinks from the search to rows never seen: one small table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuner._metrics.metrics import Metric
from tuner._rows.data import Dataset
from tuner._types import FloatArray

LEAST_DECIMAL = 0.01  # of smaller scores four decimals would hide the digits


@dataclass(frozen=True)
class ScoreRow:
    """One line of the table, in the metric's natural units.

    Attributes
    ----------
    label : str
    value : float
    low, high : float or None
        Ends of the interval, where it is a claim.
    loss : float
        The value as a loss (lower is better).
    """

    label: str
    value: float
    loss: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class OptimismTable:
    """The scores of one run side by side, from the most flattering to what guessing gets.

    Attributes
    ----------
    metric : str
    rows : tuple of ScoreRow
        The winner on the folds of the search, a mean over them; what is shipped on fresh folds; the
        estimate; the default's; the best constant prediction. What was not measured is left out.
    """

    metric: str
    rows: tuple[ScoreRow, ...]

    def line(self) -> str:
        """Return the table in one line."""
        return "; ".join(f"{row.label} {score_texts(row.value)[0]}" for row in self.rows)

    def __str__(self) -> str:
        width = max(len(row.label) for row in self.rows)
        lines = [f"{'':<{width}}  {self.metric}"]
        for row in self.rows:
            ends = [] if row.low is None or row.high is None else [row.low, row.high]
            value, *texts = score_texts(row.value, *ends)
            lines.append(f"{row.label:<{width}}  {value}" + (f"  [{', '.join(texts)}]" if texts else ""))
        return "\n".join(lines)


def score_texts(value: float, *ends: float) -> list[str]:
    """Return a score and the ends of its interval with four decimals, tiny ones with four digits."""
    style = ".4g" if 0 < abs(value) < LEAST_DECIMAL else ".4f"
    return [f"{each:{style}}" for each in (value, *ends)]


def score_row(
    label: str, metric: Metric, loss: float, interval: tuple[float, float] | None = None
) -> ScoreRow:
    """Return a line from a loss and, in natural units, its interval."""
    low, high = interval or (None, None)
    return ScoreRow(label, metric.natural(loss), float(loss), low, high)


def chance_loss(dataset: Dataset, metric: Metric) -> float:
    """Return the loss of the best constant: class shares, the mean or, for absolute errors, the median.

    It is fitted and scored on the same rows; with one number, or one a class, that flatters next to nothing.
    NaN where the metric cannot be computed.
    """
    constant = _constant(dataset, metric)
    prediction = np.broadcast_to(constant, (dataset.n_rows, *np.shape(constant)))
    y, weights = dataset.judged(np.arange(dataset.n_rows))
    losses = metric.worst_loss(y, prediction, weights)
    known = losses[np.isfinite(losses)]
    return float(known.min()) if len(known) else np.nan


def _constant(dataset: Dataset, metric: Metric) -> FloatArray:
    weights = np.ones(dataset.n_rows) if dataset.weights is None else dataset.weights
    if dataset.task == "regression":
        if not metric.is_same_as("mae"):
            return np.asarray(np.average(dataset.y, weights=weights))
        order = np.argsort(dataset.y)
        half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
        return np.asarray(dataset.y[order[half]])
    shares = np.bincount(dataset.y, weights=weights, minlength=dataset.n_classes) / weights.sum()
    return np.asarray(shares[1] if dataset.task == "binary" else shares)
