"""What fold noise says of paired differences: the measure of every diagnosis."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from tuner._records import TrialRecord
from tuner._types import FloatArray, IntArray

LEVEL = 0.95


def gaps(trial: TrialRecord) -> FloatArray:
    """Return the held-out minus the training loss of every fold."""
    return np.subtract(trial.known_scores.fold_losses, trial.known_scores.fold_train_losses)


def losses(trial: TrialRecord) -> FloatArray:
    """Return the held-out loss of every fold."""
    return np.asarray(trial.known_scores.fold_losses)


def repeats_of(trial: TrialRecord) -> IntArray | None:
    """Return the repeat of every fold; None where only the losses are known."""
    return None if trial.curves is None else np.asarray(trial.curves.repeats)


def noise(differences: FloatArray, repeats: IntArray | None = None) -> float:
    """Return the standard error of the mean of differences; infinite where fewer than two are known.

    Repeats divide the same rows, whose noise is in all of them: the error of the mean of several is that of
    one. It is a little too large, as the noise of divisions alone would average out.

    Parameters
    ----------
    differences : array of shape (n_folds,)
        NaN where a fold cannot be scored.
    repeats : int array of shape (n_folds,) or None
        The repeat of each fold; None: all of one.
    """
    return _standard_error(differences, repeats)[0]


def surely_positive(
    differences: FloatArray, repeats: IntArray | None = None, *, level: float = LEVEL
) -> bool:
    """Whether the mean of paired fold differences exceeds 0 beyond their noise (one-sided t).

    Parameters are those of `noise`. Several repeats make the noise no smaller, but better known: each of n
    folds adds n - 1 degrees of freedom.
    """
    error, freedom = _standard_error(differences, repeats)
    if not freedom:
        return False
    known = differences[np.isfinite(differences)]
    return bool(known.mean() > student.ppf(level, freedom) * error)


def as_good(trial: TrialRecord, winner: TrialRecord) -> bool:
    """Whether the trial's mean loss exceeds the winner's by at most one standard error of the difference."""
    differences = losses(trial) - losses(winner)
    known = differences[np.isfinite(differences)]
    return len(known) > 1 and bool(known.mean() <= noise(differences, repeats_of(winner)))


def _standard_error(differences: FloatArray, repeats: IntArray | None) -> tuple[float, int]:
    """Return the error from the variance within repeats, of so many folds as one has; degrees of freedom."""
    known = np.isfinite(differences)
    of_one = np.zeros(len(differences), dtype=int) if repeats is None else repeats
    parts: list[FloatArray] = [differences[known & (of_one == each)] for each in np.unique(of_one)]
    parts = [part for part in parts if len(part) > 1]
    freedom = sum(len(part) - 1 for part in parts)
    if not freedom:
        return np.inf, 0
    variance = sum(part.var(ddof=1) * (len(part) - 1) for part in parts) / freedom
    return float(np.sqrt(variance / np.mean([len(part) for part in parts]))), freedom
