"""The trial boundary: one configuration on one bench becomes one record, whatever happens."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from sklearn import config_context

from tuner._decisions.racing import Race
from tuner._process.deadline import Stop, never
from tuner._records import TIME_BUDGET, Configuration, TrialRecord
from tuner._trials.bench import Bench
from tuner._trials.evaluation import Evaluation, Shorten, evaluate
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


@dataclass(frozen=True, eq=False)
class Trial:
    """A record and, where the trial completed, the arrays and models behind it."""

    record: TrialRecord
    evaluation: Evaluation | None


def run_trial(
    configuration: Configuration,
    bench: Bench,
    *,
    place: Place,
    number: int,
    stop: Stop = never,
    race: Race | None = None,
    keep_models: bool = False,
    shorten: Shorten = "never",
    n_points: int | None = None,
) -> Trial:
    """Judge a configuration; a failure becomes a FAIL record, a lost race or too little time a PRUNED one."""
    started = time.time()
    blank = TrialRecord(
        study=place.study,
        phase=place.phase,
        outer=place.outer,
        number=number,
        state="FAIL",
        configuration=configuration,
        scores=None,
        curves=None,
        gap_weight=None,
        penalty_cap=None,
        gap_penalty=None,
        objective=None,
        fit_seconds=0.0,
        started=started,
        completed=started,
    )
    try:
        # Rows and parameters were checked at the door; scikit-learn's own checks are 5% of a short trial.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            evaluation = evaluate(
                configuration,
                bench,
                stop=stop,
                race=race,
                keep_models=keep_models,
                shorten=shorten,
                n_points=n_points,
            )
    except DeadlineReachedError as reached:
        return Trial(_ended(blank, reason=f"{TIME_BUDGET} {reached}", pruned=True), None)
    except RaceLostError as lost:
        pruned = _ended(blank, reason=f"racing: {lost}", pruned=True)
        return Trial(replace(pruned, partial_losses=lost.losses), None)
    # The one broad except: a configuration may fail in any way a library can; the search goes on.
    except Exception as error:  # noqa: BLE001
        return Trial(_ended(blank, reason=f"{type(error).__name__}: {error}", pruned=False), None)
    record = replace(
        _ended(blank, reason=None, pruned=False),
        state="COMPLETE",
        scores=evaluation.scores,
        curves=evaluation.curves,
        fit_seconds=evaluation.fit_seconds,
        shortened=evaluation.shortened,
    )
    return Trial(record, evaluation)


def _ended(blank: TrialRecord, *, reason: str | None, pruned: bool) -> TrialRecord:
    now = time.time()
    state: State = "PRUNED" if pruned else "FAIL"
    return replace(blank, state=state, reason=reason, completed=now, fit_seconds=now - blank.started)
