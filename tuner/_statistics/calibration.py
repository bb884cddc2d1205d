"""Sharpen or soften probabilities by one number, where held-out rows say that it helps.

A bag is less sharp than its members. One temperature, fitted on held-out predictions averaged over repeats,
puts the average right; the order of rows and decisions at one half stay. With one repeat it sees single
models, which are sharper than the bag that is delivered.

References
----------
Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit, softmax

from tuner._types import FloatArray, IntArray

LOG_RANGE = 1.5  # of the temperature: from .22 to 4.5
SMALLEST = 1e-12  # probability; a certain one has no logit


def tempered(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities with their logits divided by the temperature.

    Parameters
    ----------
    probabilities : array of shape (n_rows,) of class 1, or (n_rows, n_classes)
    temperature : float
        Above 1: softer; below 1: sharper; 1: as they are.
    """
    if temperature == 1.0:
        return probabilities
    clipped = np.clip(probabilities, SMALLEST, 1.0 - SMALLEST)
    if clipped.ndim == 1:
        return np.asarray(expit(logit(clipped) / temperature))
    return np.asarray(softmax(np.log(clipped) / temperature, axis=1))


def fit_temperature(y: IntArray, probabilities: FloatArray, weights: FloatArray | None) -> float:
    """Return the temperature with the smallest weighted log loss."""

    def loss(log_temperature: float) -> float:
        losses = row_losses(y, tempered(probabilities, float(np.exp(log_temperature))))
        return float(np.average(losses, weights=weights))

    found = minimize_scalar(loss, bounds=(-LOG_RANGE, LOG_RANGE), method="bounded")
    return float(np.exp(found.x))


def choose_temperature(
    y: IntArray,
    probabilities: FloatArray,
    weights: FloatArray | None,
    folds: Sequence[IntArray],
    *,
    groups: IntArray | None = None,
) -> float:
    """Return a temperature if it lowers the log loss of rows it was not fitted on, else 1.

    Parameters
    ----------
    y : int array of shape (n_rows,)
    probabilities : array of shape (n_rows,) or (n_rows, n_classes)
        Held-out predictions, averaged over repeats.
    weights : array of shape (n_rows,) or None
    folds : sequence of int arrays
        Rows of each fold: for each, a temperature is fitted on all other rows. The gain over the rows of all
        folds must exceed its standard error.
    groups : int array of shape (n_rows,) or None
        Rows of one group gain or lose together: the standard error is that over groups.
    """
    gains, scored = [], []
    for rows in folds:
        others = np.setdiff1d(np.arange(len(y)), rows)
        temperature = fit_temperature(y[others], probabilities[others], _of(weights, others))
        before = row_losses(y[rows], probabilities[rows])
        after = row_losses(y[rows], tempered(probabilities[rows], temperature))
        gains.append(before - after)
        scored.append(rows)
    gain = np.concatenate(gains)
    shares = np.ones(len(gain)) if weights is None else weights[np.concatenate(scored)]
    mean = float(np.average(gain, weights=shares))
    deviations = shares * (gain - mean)
    if groups is not None:
        deviations = np.bincount(groups[np.concatenate(scored)], weights=deviations)
    noise = float(np.sqrt(np.sum(deviations**2)) / shares.sum())
    return fit_temperature(y, probabilities, weights) if mean > noise else 1.0


def recalibration_gains(parts: Sequence[tuple[IntArray, FloatArray, FloatArray | None]]) -> tuple[float, ...]:
    """Return by how much the log loss of each fold falls once the other folds have put probabilities right.

    NaN for a fold whose rows have no weight.

    Probabilities of two classes get a slope and an intercept of their logits, those of more a temperature.

    Parameters
    ----------
    parts : sequence of (y, probabilities, weights)
        The folds of one repeat.
    """
    gains = []
    for index, (y, probabilities, weights) in enumerate(parts):
        others = [part for place, part in enumerate(parts) if place != index]
        rest = np.concatenate([part[0] for part in others]), np.concatenate([part[1] for part in others])
        known = [part[2] for part in others if part[2] is not None]
        corrected = _recalibrated(rest, np.concatenate(known) if known else None, probabilities)
        gain = row_losses(y, probabilities) - row_losses(y, corrected)
        is_weightless = weights is not None and not weights.any()
        gains.append(float("nan") if is_weightless else float(np.average(gain, weights=weights)))
    return tuple(gains)


def _recalibrated(
    fitted_on: tuple[IntArray, FloatArray], weights: FloatArray | None, probabilities: FloatArray
) -> FloatArray:
    y, seen = fitted_on
    if seen.ndim > 1:
        return tempered(probabilities, fit_temperature(y, seen, weights))
    scores = logit(np.clip(seen, SMALLEST, 1 - SMALLEST))

    def loss(parameters: FloatArray) -> float:
        slope, intercept = parameters
        return float(np.average(row_losses(y, expit(slope * scores + intercept)), weights=weights))

    slope, intercept = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return np.asarray(expit(slope * logit(np.clip(probabilities, SMALLEST, 1 - SMALLEST)) + intercept))


def occurred(y: IntArray, probabilities: FloatArray) -> FloatArray:
    """Return the probability that was given to what occurred, row by row."""
    if probabilities.ndim == 1:
        return np.where(y == 1, probabilities, 1.0 - probabilities)
    return np.asarray(probabilities[np.arange(len(y)), y.astype(int)])


def row_losses(y: IntArray, probabilities: FloatArray) -> FloatArray:
    """Return -log of the probability of what occurred, row by row."""
    return np.asarray(-np.log(np.clip(occurred(y, probabilities), SMALLEST, None)))


def _of(weights: FloatArray | None, rows: IntArray) -> FloatArray | None:
    return None if weights is None else weights[rows]
