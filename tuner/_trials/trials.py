"""The trial boundary: one configuration on one bench becomes one record, whatever happens."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

from sklearn import config_context

from tuner._records import TIME_BUDGET, Configuration, TrialRecord
from tuner._trials.bench import Bench
from tuner._trials.evaluation import FULL, Effort, Evaluation, evaluate
from tuner._types import Phase, State
from tuner.exceptions import DeadlineReachedError, RaceLostError


@dataclass(frozen=True)
class Place:
    """Where in the run a trial belongs.

    Attributes
    ----------
    study : str
    phase : {"search", "finalist", "outer_fold"}
    outer : int
        Outer fold; 0 in the main run.
    """

    study: str
    phase: Phase
    outer: int = 0

    def record(
        self,
        number: int,
        configuration: Configuration,
        state: State,
        reason: str | None = None,
        *,
        started: float,
    ) -> TrialRecord:
        """Return the record of a trial that ends now, without what it was judged by."""
        completed = time.time()
        return TrialRecord(
            study=self.study,
            phase=self.phase,
            outer=self.outer,
            number=number,
            state=state,
            configuration=configuration,
            fit_seconds=completed - started,
            started=started,
            completed=completed,
            reason=reason,
        )


@dataclass(frozen=True, eq=False)
class Trial:
    """A record and, where the trial completed, the arrays and models behind it."""

    record: TrialRecord
    evaluation: Evaluation | None


def run_trial(
    configuration: Configuration,
    bench: Bench,
    effort: Effort = FULL,
    *,
    place: Place,
    number: int,
) -> Trial:
    """Judge a configuration; a failure becomes a FAIL record, a lost race or too little time a PRUNED one."""
    ended = partial(place.record, number, configuration, started=time.time())
    try:
        # Rows and parameters were checked at the door; scikit-learn's own checks are 5% of a short trial.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            evaluation = evaluate(configuration, bench, effort)
    except DeadlineReachedError as reached:
        return Trial(ended("PRUNED", f"{TIME_BUDGET} {reached}"), None)
    except RaceLostError as lost:
        return Trial(replace(ended("PRUNED", f"racing: {lost}"), partial_losses=lost.losses), None)
    # The one broad except: a configuration may fail in any way a library can; the search goes on.
    except Exception as error:  # noqa: BLE001
        return Trial(ended("FAIL", f"{type(error).__name__}: {error}"), None)
    record = replace(
        ended("COMPLETE"),
        scores=evaluation.scores,
        curves=evaluation.curves,
        fit_seconds=evaluation.fit_seconds,
        shortened=evaluation.shortened,
    )
    return Trial(record, evaluation)
