"""Racing: a trial that is clearly behind on its first folds is stopped; a pure function of records.

Folds are shared by all trials, so a trial is compared pairwise: its smallest loss on the path, fold by fold,
with the mean of the best known trials on the same folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner._records import TrialRecord

RIVALS = 3  # the mean of a few is a steadier opponent than the luckiest one
LEAST_KNOWN = 4  # complete trials before the first race
MARGIN = 0.3  # of the penalty cap, when only one fold is missing or none ...
FORGIVENESS = 0.75  # ... times (folds in all / folds seen) to this power


@dataclass(frozen=True)
class Race:
    """What a trial runs against.

    A trial that has seen m of J folds has lost when, on average over them, its best loss on the path is above
    the rivals' by more than ``MARGIN * cap * (J / m) ** FORGIVENESS``. Its own path point may be chosen on
    the very fold it is scored on, the rivals' may not: the comparison flatters the trial.

    What it misses: a trial whose first folds are unlucky by more than the margin. Both constants were settled
    by replaying recorded searches with every fold as the first (`examples/benchmarks/racing.py`).

    Attributes
    ----------
    fold_losses : tuple of float
        Mean loss of the rivals on every fold (lower is better); NaN where a fold cannot be scored.
    cap : float
        The study's penalty cap: one standard error of the best default.
    """

    fold_losses: tuple[float, ...]
    cap: float

    @property
    def n_folds(self) -> int:
        """Number of folds of a whole trial."""
        return len(self.fold_losses)

    def margin(self, n_seen: int) -> float:
        """Return how far behind a trial may be after so many folds."""
        return float(MARGIN * self.cap * (self.n_folds / n_seen) ** FORGIVENESS)

    def lost(self, losses: Sequence[float]) -> bool:
        """Return whether a trial with these losses on the first folds is clearly behind."""
        behind = np.asarray(losses) - self.fold_losses[: len(losses)]
        known = behind[np.isfinite(behind)]
        return bool(len(known) and known.mean() > self.margin(len(known)))


def make_race(known: Sequence[TrialRecord], cap: float) -> Race | None:
    """Return the race against the best known trials by objective; None while too few are complete."""
    complete = [trial for trial in known if trial.objective is not None and trial.scores is not None]
    if len(complete) < LEAST_KNOWN:
        return None
    rivals = sorted(complete, key=lambda trial: (trial.objective, trial.number))[:RIVALS]
    losses = np.array([trial.scores.fold_losses for trial in rivals if trial.scores is not None])
    return Race(tuple(map(float, losses.mean(axis=0))), cap)
