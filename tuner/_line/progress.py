"""Progress on stderr: trials so far, the current best, the time left."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tuner._metrics.metrics import Metric
from tuner._records import TrialRecord

EVERY_SECONDS = 2.0


def say(text: str) -> None:
    """Write one line to stderr; where nobody can read it, a closed pipe or a full disk, the run goes on."""
    with suppress(AttributeError, OSError):  # closed
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@dataclass
class Progress:
    """Listens to records and says every other second where the run stands.

    Parameters
    ----------
    metric : Metric
        To show losses in the metric's own sign.
    time_budget : float or None
        Seconds of the whole run.
    max_trials : int or None
    started : float
        ``time.monotonic()`` at the start of the run.
    """

    metric: Metric
    time_budget: float | None
    max_trials: int | None
    started: float
    _last: float = field(default=-EVERY_SECONDS, init=False)
    _count: int = field(default=0, init=False)
    _best: TrialRecord | None = field(default=None, init=False)

    def trial(self, record: TrialRecord) -> None:
        """Hear of a judged trial."""
        if record.phase == "search":
            self._count = record.number + 1
            if record.scores and (
                self._best is None or (record.objective or 0.0) < (self._best.objective or 0.0)
            ):
                self._best = record
        now = time.monotonic()
        if now - self._last >= EVERY_SECONDS:
            self._last = now
            say(self._line(record, now - self.started))

    def _line(self, record: TrialRecord, elapsed: float) -> str:
        stage = {
            "search": f"search, trial {record.number + 1}",
            "finalist": f"finalists, trial {record.number + 1} on fresh folds",
            "outer_fold": f"estimate, outer fold {record.outer + 1}, trial {record.number + 1}",
        }[record.phase]
        best = ""
        if self._best is not None and self._best.scores is not None:
            value = self.metric.natural(self._best.scores.nested_loss)
            best = f" | best {self.metric.name} {value:.4f} ({self._best.configuration.family})"
        return f"[{elapsed:6.1f} s] {stage}{best} | {self._left(record, elapsed)}"

    def _left(self, record: TrialRecord, elapsed: float) -> str:
        if self.time_budget is not None:
            return f"at most {max(0.0, self.time_budget - elapsed):.0f} s left"
        if self.max_trials is not None and record.phase == "search":
            left = max(0, self.max_trials - self._count)
            return f"{left} trials left, about {left * elapsed / max(self._count, 1):.0f} s"
        return "finishing"
