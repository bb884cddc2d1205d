"""What interrupted runs of a study leave for the next one: trials, and how often the process was killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from tuner._records import TrialRecord

# Runs in a row that were killed before another trial was stored, as where memory is short: then fits run one
# at a time (the line sees to it), so that the next trial is the cause; and in the end that one has failed.
KILLS_BEFORE_ALONE, KILLS_BEFORE_FAILED = 2, 5


@dataclass(frozen=True)
class Interrupted:
    """What earlier runs of a study have left.

    Attributes
    ----------
    trials : mapping of int to TrialRecord
        Their judged search trials.
    n_kills : int
        How many of the last runs in a row were killed before they had stored another record.
    """

    trials: Mapping[int, TrialRecord] = field(default_factory=dict)
    n_kills: int = 0

    @property
    def fails(self) -> int | None:
        """Number of the trial that they were killed over, where they were too often."""
        if self.n_kills < KILLS_BEFORE_FAILED:
            return None
        return next(number for number in count() if number not in self.trials)
