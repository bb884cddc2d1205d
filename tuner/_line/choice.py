"""One choice: rows, fold plan, trials, finalists, final model. Outer folds repeat exactly this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from search_spaces import Float, Int, SearchSpace
from tuner._claims.slices import skipped_slices
from tuner._decisions.objective import nested_scores
from tuner._finals.finals import Finals, is_refitted
from tuner._finals.pace import Pace, crossfit_passes, finest_folds, wanted_repeats
from tuner._folds.splits import Fold, FoldPlan, can_train, plan_choosing, plan_fresh
from tuner._line.election import Turn, assembled, elected, nominations_of, rescored
from tuner._metrics.metrics import Metric
from tuner._options.settings import Settings
from tuner._process.failpoints import failpoint
from tuner._records import TrialRecord
from tuner._rows.data import Dataset
from tuner._search.interrupted import Interrupted
from tuner._search.search import Search, SearchOutcome
from tuner._seeds import child_seed
from tuner._trials.bench import Bench, threads_a_fit


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
    interrupted: Interrupted | None = None,
) -> Choice:
    """Search on the choosing folds, elect on fresh ones, assemble the final model.

    Parameters
    ----------
    plan : FoldPlan
        The folds that choose: `choosing_plan`.
    interrupted : Interrupted or None
        What earlier runs of the study have left.
    """
    bench = Bench(dataset, plan, metric, settings.seed, threads_a_fit(dataset, settings.n_jobs))
    pace = _pace(bench, settings, turn)
    search = _searched(bench, pace, turn, interrupted)
    nominated = nominations_of(search, settings)
    finalists = [search.trials[each.number] for each in nominated]
    pace = pace.before_crossfit(finalists)
    benches = _electing(bench, pace, finalists)
    failpoint("finals.before")
    finals, notes = elected(search, nominated, benches, pace, turn)
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


def _searched(bench: Bench, pace: Pace, turn: Turn, interrupted: Interrupted | None) -> SearchOutcome:
    settings = pace.settings
    return Search(
        bench,
        settings,
        turn.place,
        deadline=turn.deadline,
        reserve=pace.reserve,
        notify=turn.notify,
        interrupted=interrupted,
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
    nominated = nominations_of(search, settings)
    nominations = pace.affordable(nominated, trials, crossfit_passes(n_folds))
    scored = rescored(search, nominations, inner, pace, turn)
    for trial in scored.trials:
        turn.notify(trial.record)
    return assembled(scored, pace, n_nominated=len(nominated)) if scored.has_default else None


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
