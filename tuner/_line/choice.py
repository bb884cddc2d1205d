"""One choice: rows, fold plan, trials, finalists, final model. Outer folds repeat exactly this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from search_spaces import Float, Int, SearchSpace
from tuner._claims.slices import skipped_slices
from tuner._decisions.objective import nested_scores
from tuner._decisions.selection import N_FINALISTS, Nomination, nominate
from tuner._finals.finals import Finals, assemble, is_refitted, rescore
from tuner._finals.pace import ASSEMBLY_SECONDS, Pace, crossfit_passes, finest_folds, wanted_repeats
from tuner._folds.splits import Fold, FoldPlan, can_train, plan_choosing, plan_fresh
from tuner._metrics.metrics import Metric
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline
from tuner._process.failpoints import failpoint
from tuner._records import TrialRecord
from tuner._rows.data import Dataset
from tuner._search.search import Notify, Search, SearchOutcome
from tuner._seeds import child_seed
from tuner._trials.bench import Bench, threads_a_fit
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


@dataclass(frozen=True, eq=False)
class Choice:
    """The outcome of one choice.

    Attributes
    ----------
    bench : Bench
        The choosing folds.
    search : SearchOutcome
    finals : Finals
    notes : tuple of str
    """

    bench: Bench
    search: SearchOutcome
    finals: Finals
    notes: tuple[str, ...]

    @property
    def is_default_alone(self) -> bool:
        """Whether the default alone came to the finals: what an estimate says of a search is not about it."""
        return [each.number for each in self.finals.nominations] == [self.search.default]


def choosing_plan(dataset: Dataset, settings: Settings) -> FoldPlan:
    """Draw the folds that choose."""
    return plan_choosing(dataset, n_folds=settings.n_folds, n_repeats=settings.n_repeats, seed=settings.seed)


def choose(
    dataset: Dataset,
    metric: Metric,
    settings: Settings,
    plan: FoldPlan,
    *,
    turn: Turn,
    known: Mapping[int, TrialRecord] | None = None,
) -> Choice:
    """Search on the choosing folds, elect on fresh ones, assemble the final model.

    Parameters
    ----------
    plan : FoldPlan
        The folds that choose: `choosing_plan`.
    known : mapping or None
        Search trials of an interrupted run.
    """
    bench = Bench(dataset, plan, metric, settings.seed, threads_a_fit(dataset, settings.n_jobs))
    pace = _pace(bench, settings, turn)
    search = _searched(bench, pace, turn, known)
    nominated = _nominated(search, settings)
    finalists = [search.trials[each.number] for each in nominated]
    pace = pace.before_crossfit(finalists)
    benches = _electing(bench, pace, finalists)
    failpoint("finals.before")
    finals, notes = _elected(search, nominated, benches, pace, turn)
    failpoint("finals.after")
    bench.let_go()
    folds = tuple(dict.fromkeys(plan.notes + benches[0][0].plan.notes)) + skipped_slices(dataset, plan.folds)
    ended = _how_it_ended(search, finals) + _what_was_widened(settings.spaces, search.spaces)
    return Choice(bench, search, finals, folds + ended + notes)


def _pace(bench: Bench, settings: Settings, turn: Turn) -> Pace:
    dataset = bench.dataset
    return Pace(
        settings,
        turn.deadline,
        n_workers=settings.n_jobs // bench.n_threads,
        refits=is_refitted(dataset, settings),
        wanted_repeats=wanted_repeats(dataset.n_rows),
        finest=finest_folds(dataset, bench.metric, settings),
        crossfits=settings.estimate == "crossfit" and turn.is_main,
    )


def _searched(bench: Bench, pace: Pace, turn: Turn, known: Mapping[int, TrialRecord] | None) -> SearchOutcome:
    settings = pace.settings
    return Search(
        bench,
        settings,
        turn.place,
        deadline=turn.deadline,
        reserve=pace.reserve,
        notify=turn.notify,
        known=known,
        keep_predictions=(settings.estimate == "bbc" or settings.or_bbc) and turn.is_main,
    ).run()


def _electing(bench: Bench, pace: Pace, finalists: Sequence[TrialRecord]) -> list[tuple[Bench, float]]:
    """Return the benches to elect on, the fresh folds where they can be drawn, then the search folds.

    Each with how many times the work of one search repeat it is.
    """
    settings = pace.settings
    again = (bench, float(settings.n_repeats))
    n_folds, n_repeats = pace.fresh_folds(finalists)
    fresh = plan_fresh(
        bench.dataset,
        n_folds=n_folds,
        n_repeats=n_repeats,
        seed=settings.seed,
        n_choosing_folds=settings.n_folds,
        n_choosing_repeats=settings.n_repeats,
    )
    if fresh is None:
        return [again]
    bench.let_go()
    fresh_bench = Bench(bench.dataset, fresh, bench.metric, settings.seed, bench.n_threads)
    return [(fresh_bench, pace.passes(n_folds, n_repeats)), again]


def elect_without(choice: Choice, settings: Settings, outer: int, *, turn: Turn) -> Finals | None:
    """Nominate, elect and assemble as if the rows of one choosing fold did not exist; the search stays.

    Nominations are by the stored losses of the other folds of the first repeat. Their models have seen the
    rows left out, so nothing else is taken from them: the nominated are fitted again, without the fold that
    scores them and without the one left out.

    Parameters
    ----------
    outer : int
        Position of the fold in the first repeat of the choosing plan.

    Returns
    -------
    Finals or None
        None where the default cannot be scored on the remaining folds.
    """
    bench, search = choice.bench, choice.search
    positions = bench.plan.first_repeat
    n_folds = len(positions)
    left_out = bench.plan.folds[positions.pop(outer)]
    rows = bench.dataset.take(left_out.train)
    within = {position: _within(bench.plan.folds[position], left_out) for position in positions}
    positions = [position for position in positions if can_train(rows, within[position])]
    plan = FoldPlan(bench.plan.kind, tuple(within[position] for position in positions), ())
    seed = child_seed(settings.seed, "crossfit", outer)
    inner = Bench(rows, plan, bench.metric, seed, bench.n_threads)
    trials = tuple(_scored_on(trial, positions) for trial in search.trials)
    if trials[search.default].scores is None:
        return None
    pace = Pace(
        settings,
        turn.deadline,
        n_workers=settings.n_jobs // bench.n_threads,
        refits=is_refitted(rows, settings),
        wanted_repeats=1,
    )
    search = replace(search, trials=trials, default_trial=None)
    nominated = _nominated(search, settings)
    nominations = pace.affordable(nominated, trials, crossfit_passes(n_folds))
    scored = _rescored(search, nominations, inner, pace, turn)
    for trial in scored.trials:
        turn.notify(trial.record)
    return _assembled(scored, pace, n_nominated=len(nominated)) if scored.has_default else None


def _within(fold: Fold, left_out: Fold) -> Fold:
    """Return a fold of the rows that another one trains on, numbered among these."""
    rows = left_out.train
    train = np.intersect1d(fold.train, rows, assume_unique=True)
    test = np.intersect1d(fold.test, rows, assume_unique=True)
    return Fold(0, fold.index, np.searchsorted(rows, train), np.searchsorted(rows, test))


def _scored_on(trial: TrialRecord, positions: Sequence[int]) -> TrialRecord:
    """Return a search trial as some of its folds alone score it; pruned where they cannot."""
    curves = trial.curves
    if curves is None:
        return trial
    some = replace(
        curves,
        repeats=tuple(curves.repeats[i] for i in positions),
        train=tuple(curves.train[i] for i in positions),
        validation=tuple(curves.validation[i] for i in positions),
        guide=None if curves.guide is None else tuple(curves.guide[i] for i in positions),
    )
    try:
        return replace(trial, scores=nested_scores(some))
    except ValueError as error:
        return replace(trial, scores=None, state="PRUNED", reason=str(error))


@dataclass(frozen=True, eq=False)
class _Scored:
    """The nominated, judged on one bench; the first is the default."""

    nominations: Sequence[Nomination]
    trials: Sequence[Trial]
    bench: Bench

    @property
    def has_default(self) -> bool:
        return self.trials[0].evaluation is not None


def _elected(
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
        finals = _assembled(scored, pace, n_nominated=len(nominated))
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
) -> _Scored | None:
    """Judge the nominated on the first bench that can score the default; None where none can in time."""
    default = search.default_trial
    heard: dict[str, TrialRecord] = {}  # on both benches a trial has one key: of two records the later
    try:
        for bench, passes in benches:
            if default is not None and not pace.has_time_for(default.record):
                return None
            nominations = pace.affordable(nominated, search.trials, passes)
            scored = _rescored(search, nominations, bench, pace, turn)
            heard |= {trial.record.trial_key: trial.record for trial in scored.trials}
            if scored.has_default:
                return scored
        return None
    finally:  # of a run that is stopped on the second bench, what the first one said
        for record in heard.values():
            turn.notify(record)


def _rescored(
    search: SearchOutcome, nominations: Sequence[Nomination], bench: Bench, pace: Pace, turn: Turn
) -> _Scored:
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
    return _Scored(nominations, trials, bench)


def _assembled(scored: _Scored, pace: Pace, *, n_nominated: int) -> Finals:
    """Elect and assemble; those for whom no time was reserved count as missed."""
    deadline = pace.deadline.earlier(ASSEMBLY_SECONDS)
    finals = assemble(scored.trials, scored.nominations, scored.bench, pace.settings, deadline=deadline)
    return replace(finals, n_missed=finals.n_missed + n_nominated - len(scored.nominations))


def _nominated(search: SearchOutcome, settings: Settings) -> tuple[Nomination, ...]:
    return nominate(
        search.trials,
        weights=settings.nominating_weights,
        cap=search.cap,
        n_finalists=N_FINALISTS,
        default=search.default,
    )


def _how_it_ended(search: SearchOutcome, finals: Finals) -> tuple[str, ...]:
    default = search.trials[search.default]
    if default.shortened and default.curves is not None:
        reached = default.curves.path_values[-1]
        return (f"Time ended the default's path at {reached:g}: no model was fitted to its end.",)
    notes = []
    winner = search.trials[finals.nominations[finals.winner].number]
    if winner.shortened and winner.curves is not None:
        reached = winner.curves.path_values[-1]
        notes.append(f"Time ended the winner's path at {reached:g}: it may gain beyond.")
    if search.is_settled:
        n_trials = len(search.trials)
        notes.append(f"The search ended after {n_trials} trials: the later half brought only noise.")
    return tuple(notes)


def _what_was_widened(before: Sequence[SearchSpace], after: Sequence[SearchSpace]) -> tuple[str, ...]:
    return tuple(
        f"The search widened {new.family}.{name} to [{dimension.low:g}, {dimension.high:g}]: "
        "the best trial lay at its end."
        for old, new in zip(before, after, strict=True)
        for name, dimension in new.dimensions.items()
        if dimension != old.dimensions[name] and isinstance(dimension, Float | Int)
    )


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
