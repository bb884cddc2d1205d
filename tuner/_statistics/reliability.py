"""Does a prediction mean what it says: held-out predictions in bins against what happened; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from tuner._statistics.intervals import wilson
from tuner._types import FloatArray, IntArray

N_BINS = 10
LEAST_ROWS = 20  # in a bin; fewer say little
Z = float(norm.ppf(0.975))

Kind = Literal["probability", "confidence", "value"]


@dataclass(frozen=True)
class Bin:
    """Rows with similar predictions.

    Attributes
    ----------
    predicted, observed : float
        Mean prediction, and the mean of what happened.
    low, high : float
        95% interval of ``observed``, as if rows were independent.
    n_rows : int
    """

    predicted: float
    observed: float
    low: float
    high: float
    n_rows: int


@dataclass(frozen=True)
class Reliability:
    """Held-out predictions against what happened.

    Attributes
    ----------
    kind : {"probability", "confidence", "value"}
        Two classes: probability and share of the positive class. More classes: probability of the predicted
        class and share of rows where it is right. Regression: predicted and observed value.
    bins : tuple of Bin
        Of about as many rows each, by rising prediction.
    """

    kind: Kind
    bins: tuple[Bin, ...]

    @property
    def error(self) -> float:
        """Mean distance between prediction and what happened, bins weighted by rows.

        It is above 0 for a perfect model, too: bins hold few rows.
        """
        n_rows = [each.n_rows for each in self.bins]
        return float(np.average([abs(each.predicted - each.observed) for each in self.bins], weights=n_rows))

    @property
    def n_apart(self) -> int:
        """Bins whose interval does not hold their prediction; of a perfect model about one in twenty."""
        return sum(not each.low <= each.predicted <= each.high for each in self.bins)


def reliability(
    y: IntArray | FloatArray, prediction: FloatArray, weights: FloatArray | None = None, *, classes: bool
) -> Reliability | None:
    """Bin held-out predictions; None with fewer than two bins of ``LEAST_ROWS`` rows.

    Parameters
    ----------
    y : array of shape (n_rows,)
        Class codes, or values.
    prediction : array of shape (n_rows,) or (n_rows, n_classes)
        Probability of class 1, of every class, or the predicted value.
    weights : array of shape (n_rows,) or None
        They weigh the means; an interval counts the rows that equal weights would give the same certainty.
    classes : bool
        Whether ``y`` holds class codes.
    """
    kind: Kind = "value"
    happened = np.asarray(y, dtype=float)
    if classes and prediction.ndim == 2:
        kind, happened = "confidence", (np.argmax(prediction, axis=1) == y).astype(float)
        prediction = prediction.max(axis=1)
    elif classes:
        kind = "probability"
    w = np.ones(len(happened)) if weights is None else np.asarray(weights, dtype=float)
    rows = np.flatnonzero(w > 0)
    n_bins = min(N_BINS, len(rows) // LEAST_ROWS)
    if n_bins < 2:
        return None
    said = np.asarray(prediction, dtype=float)[rows]
    bins = tuple(_bins(happened[rows], said, w[rows], n_bins, shares=classes))
    return Reliability(kind, bins) if len(bins) > 1 else None


def _bins(
    happened: FloatArray, prediction: FloatArray, weights: FloatArray, n_bins: int, *, shares: bool
) -> Iterator[Bin]:
    """Yield bins of as many rows each; equal predictions stay together, in the later of two bins."""
    order = np.argsort(prediction, kind="stable")
    ranked = prediction[order]
    cuts = np.searchsorted(ranked, [part[0] for part in np.array_split(ranked, n_bins)[1:]], side="left")
    for part in np.split(order, np.unique(cuts[cuts > 0])):
        w = weights[part]
        observed = float(np.average(happened[part], weights=w))
        count = float(w.sum() ** 2 / (w**2).sum())  # rows of equal weight that would be as certain
        if shares:
            interval = wilson(observed, count)
            low, high = interval.low, interval.high
        else:
            spread = float(np.average((happened[part] - observed) ** 2, weights=w))
            half = Z * np.sqrt(spread / max(count - 1, 1.0))
            low, high = observed - half, observed + half
        predicted = float(np.average(prediction[part], weights=w))
        yield Bin(predicted, observed, float(low), float(high), len(part))
