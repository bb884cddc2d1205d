"""When further search cannot be told from noise; a pure function of records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner._records import TrialRecord

LEAST_TRIALS = 40  # for each family, before anything is said about the search
SHARE_OF_NOISE = 0.1


def is_settled(trials: Sequence[TrialRecord], *, n_families: int) -> bool:
    """Return whether the later half of the search has brought nothing that counts.

    True when the best objective of all trials is below that of the first half by less than a tenth of the
    best trial's standard error over folds. What follows the search, fresh folds and averaging, moves the
    loss by more than that. What it misses: a search that is stuck and would get free much later.

    Parameters
    ----------
    trials : sequence of TrialRecord
        Judged trials in trial order; pruned and failed ones count as tries.
    n_families : int
        Families searched: 40 trials for each are always run.
    """
    if len(trials) < LEAST_TRIALS * n_families:
        return False
    objectives = [np.inf if trial.objective is None else trial.objective for trial in trials]
    best = int(np.argmin(objectives))
    scores = trials[best].scores
    if scores is None:
        return False
    gained = min(objectives[: len(trials) // 2]) - objectives[best]
    return bool(gained <= SHARE_OF_NOISE * scores.standard_error)
