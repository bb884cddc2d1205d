"""Racing: a trial that is clearly behind on its first folds is stopped; a pure function of records.

Folds are shared by all trials, so a trial is compared pairwise, fold by fold, with the best known trials of
its own family: which folds are hard depends on the family. What is expected of it on all folds is their mean
loss plus how far it is behind them so far; that is compared with the best known trial of any family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner._decisions.objective import best_first
from tuner._records import TrialRecord

RIVALS = 3  # of the family; the mean of a few is a steadier opponent than the luckiest one
LEAST_KNOWN = 4  # complete trials before the first race
MARGIN = 0.35  # of the penalty cap, were all folds seen ...
FORGIVENESS = 0.75  # ... times (folds in all / folds seen) to this power


@dataclass(frozen=True)
class Race:
    """What a trial runs against.

    After m of J folds a trial has lost when the loss that is expected of it on all folds is above the best
    known by more than ``MARGIN * cap * (J / m) ** FORGIVENESS``. Its path point may be chosen on the fold
    that scores it, the rivals' may not: the comparison flatters the trial.

    What it misses: a trial whose first folds are unlucky by more than the margin. The constants were settled
    by replaying recorded searches from every first fold (`examples/benchmarks/racing.py`).

    Attributes
    ----------
    fold_losses : tuple of float
        Mean loss of the rivals on every fold (lower is better); NaN where a fold cannot be scored.
    best : float
        Mean fold loss of the best known trial.
    cap : float
        The study's penalty cap: one standard error of the best default.
    """

    fold_losses: tuple[float, ...]
    best: float
    cap: float

    def margin(self, n_seen: int) -> float:
        """Return how far behind a trial may be after so many folds."""
        return float(MARGIN * self.cap * (len(self.fold_losses) / n_seen) ** FORGIVENESS)

    def lost(self, losses: Sequence[float]) -> bool:
        """Return whether a trial with these losses on the first folds is clearly behind."""
        behind = np.asarray(losses) - self.fold_losses[: len(losses)]
        known = behind[np.isfinite(behind)]
        if not len(known):
            return False
        expected = np.nanmean(self.fold_losses) + known.mean()
        return bool(expected - self.best > self.margin(len(known)))


def make_race(known: Sequence[TrialRecord], cap: float, *, family: str) -> Race | None:
    """Return the race of a trial of a family; None while too few trials are complete.

    While the family has fewer than three complete trials, its rivals are the best of all families.
    """
    ranked = best_first(known)
    if len(ranked) < LEAST_KNOWN:
        return None
    relatives = [trial for trial in ranked if trial.configuration.family == family]
    rivals = (relatives if len(relatives) >= RIVALS else ranked)[:RIVALS]
    fold_losses = np.mean([trial.known_scores.fold_losses for trial in rivals], axis=0)
    best = float(np.nanmean(ranked[0].known_scores.fold_losses))
    return Race(tuple(map(float, fold_losses)), best, cap)
