"""What fold noise says of paired differences: the measure of every diagnosis."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from tuner._records import TrialRecord
from tuner._types import FloatArray

LEVEL = 0.95


def gaps(trial: TrialRecord) -> FloatArray:
    """Return the held-out minus the training loss of every fold."""
    assert trial.scores is not None  # complete trials only
    return np.subtract(trial.scores.fold_losses, trial.scores.fold_train_losses)


def losses(trial: TrialRecord) -> FloatArray:
    """Return the held-out loss of every fold."""
    assert trial.scores is not None  # complete trials only
    return np.asarray(trial.scores.fold_losses)


def noise(differences: FloatArray) -> float:
    """Return the standard error of the mean of differences; infinite where fewer than two are known."""
    known = differences[np.isfinite(differences)]
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else np.inf


def surely_positive(differences: FloatArray, *, level: float = LEVEL) -> bool:
    """Whether the mean of paired fold differences exceeds 0 beyond their noise (one-sided t)."""
    known = differences[np.isfinite(differences)]
    if len(known) < 2:
        return False
    return bool(known.mean() > student.ppf(level, len(known) - 1) * noise(known))


def as_good(trial: TrialRecord, winner: TrialRecord) -> bool:
    """Whether the trial's mean loss exceeds the winner's by at most one standard error of the difference."""
    differences = losses(trial) - losses(winner)
    known = differences[np.isfinite(differences)]
    return len(known) > 1 and bool(known.mean() <= noise(known))


def by_repeat(differences: FloatArray, trial: TrialRecord) -> FloatArray:
    """Return the folds of one repeat; of several, averaged place by place, as repeats share rows."""
    repeats = np.asarray(trial.curves.repeats) if trial.curves is not None else np.zeros(len(differences))
    parts: list[FloatArray] = [differences[repeats == repeat] for repeat in np.unique(repeats)]
    if len({len(part) for part in parts}) > 1:
        return parts[0]
    return np.asarray(np.mean(parts, axis=0))
