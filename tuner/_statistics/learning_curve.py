"""A learning curve as a power law of the number of rows, and what it says of more rows than there are."""

from __future__ import annotations

import numpy as np

from tuner._records import LearningCurve

EXPONENTS = np.arange(0.1, 2.01, 0.05)  # 1/2 and 1 are those of theory


def loss_at(curve: LearningCurve, n_rows: float) -> float:
    """Return the mean loss at a number of rows by the best power law a + b n^-c, a and b at least 0.

    It assumes that the curve goes on as it began; beyond twice the rows seen it is a guess.

    References
    ----------
    Hestness et al. (2017), Deep learning scaling is predictable, empirically.
    """
    sizes = np.asarray(curve.rows, dtype=float)
    means = np.nanmean(np.asarray(curve.losses), axis=1)
    best, value = np.inf, float(means[-1])
    for exponent in EXPONENTS:
        design = sizes**-exponent
        slope = max(0.0, float(np.cov(design, means, ddof=0)[0, 1] / design.var()))
        level = float(means.mean() - slope * design.mean())
        if level < 0:  # a loss has its floor at 0
            level, slope = 0.0, float(design @ means / (design @ design))
        error = float(((level + slope * design - means) ** 2).sum())
        if error < best:
            best, value = error, level + slope * n_rows**-exponent
    return value
