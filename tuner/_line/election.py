"""The election: the nominated of a search judged on folds, one of them elected, the final model assembled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuner._decisions.selection import N_FINALISTS, Nomination, nominate
from tuner._finals.finals import Finals, assemble, rescore
from tuner._finals.pace import ASSEMBLY_SECONDS, Pace
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline
from tuner._records import TrialRecord
from tuner._search.search import Notify, SearchOutcome
from tuner._trials.bench import Bench
from tuner._trials.trials import Place, Trial
from tuner.exceptions import TrialsFailedError


@dataclass(frozen=True)
class Turn:
    """Whose choice it is: the main run's, or that of an outer fold.

    Attributes
    ----------
    place : Place
        Phase "search" in the main run, "outer_fold" inside the estimate.
    deadline : Deadline
        When the model must be there, and in the main run an estimate by crossfit.
    notify : callable
        Hears every judged record.
    """

    place: Place
    deadline: Deadline
    notify: Notify

    @property
    def is_main(self) -> bool:
        """Whether it is the main run's."""
        return self.place.phase == "search"

    def of_fold(self, outer: int, deadline: Deadline) -> Turn:
        """Return an outer fold's turn in the same study."""
        return Turn(Place(self.place.study, "outer_fold", outer), deadline, self.notify)


def nominations_of(search: SearchOutcome, settings: Settings) -> tuple[Nomination, ...]:
    """Nominate search trials, the default first."""
    return nominate(
        search.trials,
        weights=settings.nominating_weights,
        cap=search.cap,
        n_finalists=N_FINALISTS,
        default=search.default,
    )


@dataclass(frozen=True, eq=False)
class Scored:
    """The nominated, judged on one bench; the first is the default."""

    nominations: Sequence[Nomination]
    trials: Sequence[Trial]
    bench: Bench

    @property
    def has_default(self) -> bool:
        """Whether the default is among those that could be scored."""
        return self.trials[0].evaluation is not None


def elected(
    search: SearchOutcome,
    nominated: Sequence[Nomination],
    benches: Sequence[tuple[Bench, float]],
    pace: Pace,
    turn: Turn,
) -> tuple[Finals, tuple[str, ...]]:
    """Elect on the first bench that can score the default: the fresh folds, else the search folds."""
    search_bench, _ = benches[-1]
    scored = _scored_first(search, nominated, benches, pace, turn)
    if scored is not None:
        finals = assembled(scored, pace, n_nominated=len(nominated))
        return finals, _notes(finals, is_fresh=scored.bench is not search_bench)
    default = search.default_trial
    if default is None:
        raise TrialsFailedError("The default could be scored once but not again: its fits do not repeat.")
    finals = assemble(
        [default], [Nomination(search.default, ())], search_bench, pace.settings, deadline=pace.deadline
    )
    return finals, ("No time was left for fresh folds: the default is delivered as it was searched.",)


def _scored_first(
    search: SearchOutcome,
    nominated: Sequence[Nomination],
    benches: Sequence[tuple[Bench, float]],
    pace: Pace,
    turn: Turn,
) -> Scored | None:
    """Judge the nominated on the first bench that can score the default; None where none can in time."""
    default = search.default_trial
    heard: dict[str, TrialRecord] = {}  # on both benches a trial has one key: of two records the later
    try:
        for bench, passes in benches:
            if default is not None and not pace.has_time_for(default.record):
                return None
            nominations = pace.affordable(nominated, search.trials, passes)
            scored = rescored(search, nominations, bench, pace, turn)
            heard |= {trial.record.trial_key: trial.record for trial in scored.trials}
            if scored.has_default:
                return scored
        return None
    finally:  # of a run that is stopped on the second bench, what the first one said
        for record in heard.values():
            turn.notify(record)


def rescored(
    search: SearchOutcome, nominations: Sequence[Nomination], bench: Bench, pace: Pace, turn: Turn
) -> Scored:
    """Re-score the nominated; the default, the first, may fail or miss the deadline."""
    trials = rescore(
        nominations,
        search.trials,
        bench,
        pace.settings,
        place=Place(turn.place.study, "finalist") if turn.is_main else turn.place,
        cap=search.cap,
        first_number=None if turn.is_main else len(search.trials),
        may_cut_default=search.default_trial is not None,
        deadline=pace.deadline.earlier(
            pace.assembly_seconds([search.trials[each.number] for each in nominations])
        ),
    )
    return Scored(nominations, trials, bench)


def assembled(scored: Scored, pace: Pace, *, n_nominated: int) -> Finals:
    """Elect and assemble; those for whom no time was reserved count as missed."""
    deadline = pace.deadline.earlier(ASSEMBLY_SECONDS)
    finals = assemble(scored.trials, scored.nominations, scored.bench, pace.settings, deadline=deadline)
    return replace(finals, n_missed=finals.n_missed + n_nominated - len(scored.nominations))


def _notes(finals: Finals, *, is_fresh: bool) -> tuple[str, ...]:
    notes = []
    if not is_fresh:
        notes.append("Fresh folds could not be used here: finalists were re-scored on the search folds.")
    if finals.n_missed:
        missed = f"{finals.n_missed} nominated trial(s)"
        notes.append(f"{missed} had no time left for the fresh folds, or failed on them.")
    if finals.refit_failure:
        notes.append(f"Fold models are delivered: a fit on all rows failed ({finals.refit_failure}).")
    return tuple(notes)
