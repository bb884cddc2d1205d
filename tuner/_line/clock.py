"""The clock of a run: a time budget shared among its stages."""

from __future__ import annotations

from dataclasses import dataclass

from tuner._options.settings import Settings
from tuner._process.deadline import Deadline

TRACKING_RESERVE = 5.0  # seconds to log the model and the last trials
TRACKING_SHARE = 0.15  # of the budget, at most
BBC_SHARE = 0.05  # of the budget: bootstraps of the stored predictions
PROBE_SHARE = 0.03  # of the budget: a learning curve of what is shipped
CONCLUSION_SHARE = 0.03  # of the budget: what is delivered is loaded and timed


@dataclass(frozen=True)
class Clock:
    """When the stages must end; every stage has a reserve."""

    started: float
    settings: Settings
    tracking: bool

    @property
    def end(self) -> Deadline:
        """The end of all fits that choose or claim."""
        budget = self.settings.time_budget
        if budget is None:
            return Deadline()
        reserve = PROBE_SHARE * budget
        if self.settings.estimate == "bbc":
            reserve += BBC_SHARE * budget
        return self.probes.earlier(reserve)

    @property
    def bootstraps(self) -> Deadline:
        """The end of bootstraps: of their reserve, or of the probes' where they stand in for outer folds."""
        budget, is_own = self.settings.time_budget, self.settings.estimate == "bbc"
        return self.probes.earlier(PROBE_SHARE * budget) if is_own and budget is not None else self.probes

    @property
    def probes(self) -> Deadline:
        """The end of the fits that only explain; what is left then is for the conclusion and for tracking."""
        budget = self.settings.time_budget
        if budget is None:
            return Deadline()
        reserve = CONCLUSION_SHARE * budget
        if self.tracking:
            reserve += min(TRACKING_RESERVE, TRACKING_SHARE * budget)
        return Deadline(self.started + budget - reserve)

    @property
    def choice(self) -> Deadline:
        """The end of the main choice, before the folds of "nested"; crossfit has a reserve of its own."""
        budget = self.settings.time_budget
        share = self.settings.outer_share if self.settings.estimate == "nested" else 0.0
        return self.end if budget is None or not share else Deadline(self.started + budget * (1 - share))
