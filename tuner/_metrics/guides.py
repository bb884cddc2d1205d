"""Losses that choose where a metric is too coarse to: same kernels as in :mod:`tuner._metrics.losses`."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from tuner._metrics.losses import Thresholds, Weigh
from tuner._types import FloatArray

SMALLEST = 1e-6  # probability; forests say 0, whose logit would bend the fit
PRIOR_ROWS = 1.0  # at one half, which know as much of the slope as the prior does
N_STEPS, TOLERANCE = 50, 1e-5


def recalibrated_log_loss(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Log loss of two classes after a slope and a level of the logits are fitted to the same rows.

    As for AUC and average precision it does not count how sharp probabilities are, or how many rows are of
    class 1, only how well they tell rows apart; but every row moves it a little, where ranks have steps. 1 is
    what the classes' shares alone reach. The slope is not negative: what ranks backwards is worth nothing.
    That it is 1 weighs as much as ``PRIOR_ROWS`` rows do: a few rows that happen to be divided without an
    error do not reach loss 0.
    """
    logits = logit(np.clip(prediction, SMALLEST, 1.0 - SMALLEST))

    def weigh(weights: FloatArray) -> FloatArray:
        return np.array([[_fitted_loss(y, logits, each)] for each in weights])

    return weigh


def _fitted_loss(y: FloatArray, logits: FloatArray, weights: FloatArray) -> float:
    """Return it, by Newton's method from slope 0 on; NaN where a class has no weight.

    Asked at every point of every path, so written out for two numbers.
    """
    if not weights.all():
        y, logits, weights = y[weights > 0], logits[weights > 0], weights[weights > 0]
    if not len(y) or y.min() == y.max():
        return np.nan
    shares = weights / weights.sum()
    prior = 0.25 * PRIOR_ROWS * float(shares @ shares)  # over the number of rows that count
    share, total = float(shares @ y), float((shares * y) @ logits)
    chance = -share * np.log(share) - (1.0 - share) * np.log1p(-share)
    if share * float(shares @ logits) - total >= prior:  # the loss rises from slope 0 on, and it is convex
        return 1.0
    slope, level, slope_step, level_step = 0.0, float(logit(share)), 0.0, 0.0
    best, loss = np.inf, np.nan
    for _ in range(N_STEPS):
        tried_slope, tried_level = slope + slope_step, level + level_step
        linear = tried_slope * logits + tried_level
        tails = np.exp(-np.abs(linear))
        mean = float(shares @ (np.maximum(linear, 0.0) + np.log1p(tails)))
        log_loss = mean - tried_slope * total - tried_level * share
        value = log_loss + 0.5 * prior * (tried_slope - 1.0) ** 2
        if value > best:  # too far
            slope_step, level_step = slope_step / 4, level_step / 4
            continue
        gained, slope, level, best, loss = best - value, tried_slope, tried_level, value, log_loss
        if gained < TOLERANCE * chance:
            break
        chances = np.where(linear > 0, 1.0, tails) / (1.0 + tails)
        said = shares * chances
        curvature = said * (1.0 - chances)
        bent = curvature * logits
        by_slope = float(said @ logits) - total + prior * (slope - 1.0)
        by_level = float(said.sum()) - share
        mixed, level_twice = float(bent.sum()), float(curvature.sum())
        slope_twice = float(bent @ logits) + prior
        determinant = slope_twice * level_twice - mixed**2
        if determinant <= 0:  # every row is certain
            break
        slope_step = (mixed * by_level - level_twice * by_slope) / determinant
        level_step = (mixed * by_slope - slope_twice * by_level) / determinant
    return float(loss / chance)
