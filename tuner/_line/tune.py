"""The straight line: rows, choice, estimate, result; listeners hear of every record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from tuner._claims.bbc import bbc, flatters
from tuner._claims.estimate import Elected, Estimates, crossfit, nested, plan_outer
from tuner._claims.learning import Probe
from tuner._decisions.edges import reaching
from tuner._finals.finals import Finals
from tuner._finals.pace import crossfit_passes
from tuner._folds.splits import FoldPlan
from tuner._line.choice import Choice, Turn, choose, choosing_plan, elect_without
from tuner._line.listeners import Listeners, RunContext, parent_of
from tuner._line.outcome import Probed, conclude, ship
from tuner._line.study import begun, check_same, held, study_hash, to_go_on_with
from tuner._metrics.metrics import Metric, resolve_metric
from tuner._options.config import TuningConfig, check_config
from tuner._options.settings import LEAST_CROSSFIT_FOLDS, Settings, resolve
from tuner._process.deadline import Deadline
from tuner._process.threads import one_thread_a_fit
from tuner._records import Configuration, Finding, TrialRecord
from tuner._report.result import TuningResult
from tuner._rows.data import Dataset, make_dataset, with_log_target
from tuner._rows.memory import check_memory
from tuner._rows.slices import check_slices, with_slices
from tuner._search.search import LAG, Notify
from tuner._trials.bench import is_large
from tuner._trials.trials import Place
from tuner.checks import check_dataset, refuse, with_copies
from tuner.exceptions import TrialsFailedError

TRACKING_RESERVE = 5.0  # seconds to log the model and the last trials
TRACKING_SHARE = 0.15  # of the budget, at most
BBC_SHARE = 0.05  # of the budget: bootstraps of the stored predictions
PROBE_SHARE = 0.03  # of the budget: a learning curve of what is shipped
CONCLUSION_SHARE = 0.03  # of the budget: what is delivered is loaded and timed
# Outer folds of "nested" begin without it.
OLD_WINNER = (
    "The search began with the winner of an earlier study of this job, which may have been chosen on rows "
    'that score it here: this estimate may flatter. estimate="nested" does not.'
)


def tune(
    X: Any,
    y: Any,
    *,
    config: TuningConfig | None = None,
    groups: Any = None,
    time: Any = None,
    sample_weight: Any = None,
) -> TuningResult:
    """Search, choose, deliver and estimate a model for a table.

    Parameters
    ----------
    X : pandas or polars frame, array, sparse matrix or images, of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    config : TuningConfig or None
        How to tune; None: the defaults, task by the target.
    groups, time, sample_weight : array-like of shape (n_samples,) or None
        Roles of the rows; they reach folds, fits, scores and outer folds.

    Returns
    -------
    TuningResult

    Raises
    ------
    InputError
        On bad input, before any fit: rule, value, cure.
    ChecksFailedError
        If a check of the data ends in an error that is not allowed, before any fit.
    TrialsFailedError
        If no default configuration can be scored.
    """
    started = monotonic()
    config = config or TuningConfig()
    check_config(config)
    dataset = make_dataset(X, y, task=config.task, groups=groups, time=time, sample_weight=sample_weight)
    return tune_dataset(dataset, config, RunContext(), started=started)


@dataclass(frozen=True, eq=False)
class Checked:
    """What a run needs beside its options, checked and resolved; nothing is opened or fitted yet.

    Attributes
    ----------
    dataset : Dataset
        With the metric's target, copies of rows marked, and slices where the worst one counts.
    metric : Metric
    settings : Settings
    plan : FoldPlan
        The folds that choose.
    findings : tuple of Finding
        What the checks of the data say.
    """

    dataset: Dataset
    metric: Metric
    settings: Settings
    plan: FoldPlan
    findings: tuple[Finding, ...]

    def seeded(self, seed: int) -> Checked:
        """Return the same with another seed, and the folds that it draws."""
        settings = replace(self.settings, seed=seed)
        return replace(self, settings=settings, plan=choosing_plan(self.dataset, settings))


def check_run(dataset: Dataset, config: TuningConfig) -> Checked:
    """Check the rows against the options, and draw the folds that choose.

    Raises
    ------
    InputError
        If the metric does not fit, or the rows cannot be divided into folds; `ChecksFailedError` if a check
        ends in an error that is not allowed.
    """
    check_memory(dataset.table, config.max_memory)
    metric, dataset = with_metric(dataset, config)
    settings = resolve(
        config,
        task=dataset.task,
        has_time=dataset.time is not None,
        bbc_flatters=flatters(metric, dataset.n_rows),
        bbc_is_slow=metric.is_scorer,
        has_categories=dataset.table.has_categories,
        has_images=dataset.schema.image_shape is not None,
        is_sparse=dataset.table.is_sparse,
        is_large=is_large(dataset),
        n_rows=dataset.n_rows,
    )
    dataset, findings = gate(dataset, config)
    if settings.aggregate == "worst_slice":
        dataset = with_slices(dataset, settings.slices, n_folds=settings.n_folds)
    if settings.estimate == "nested":
        plan_outer(dataset, settings)  # raises before any fit where none can be drawn
    return Checked(dataset, metric, settings, choosing_plan(dataset, settings), findings)


def with_metric(dataset: Dataset, config: TuningConfig) -> tuple[Metric, Dataset]:
    """Return the metric, and the rows with the target as it wants it."""
    metric = resolve_metric(
        config.metric, dataset.task, classes=dataset.classes, weighted=dataset.weights is not None
    )
    return metric, with_log_target(dataset) if metric.log_target else dataset


def tune_dataset(
    dataset: Dataset, config: TuningConfig, context: RunContext, *, started: float | None = None
) -> TuningResult:
    """Tune on a validated dataset; the clock began at ``started`` (``time.monotonic()``), or begins now."""
    started = monotonic() if started is None else started
    study_name = context.study_name or config.study_name or f"{context.name}-{study_hash(dataset, config)}"
    checked = check_run(dataset, config)
    return tune_checked(checked, config, replace(context, study_name=study_name), started=started)


def tune_checked(
    checked: Checked, config: TuningConfig, context: RunContext, *, started: float
) -> TuningResult:
    """Tune on checked rows, in the study that the context names."""
    study_name = context.study_name
    assert study_name is not None  # the caller names it
    dataset, metric = checked.dataset, checked.metric
    with held(config, context, study_name) as store:
        known: Mapping[int, TrialRecord] = {}
        begin_with = context.begin_with
        if store is not None:
            seed = store.open(seed=checked.settings.seed, spaces=checked.settings.spaces, lag=LAG)
            if seed != checked.settings.seed:  # the study's own
                checked = checked.seeded(seed)
            check_same(store, study_hash(dataset, config))
            if not begin_with and context.job_key:
                winner = store.old_winner(context.name)
                begin_with = () if winner is None else (winner,)
            known = to_go_on_with(store.load())
        parent = parent_of(dataset, context, study_name, checked.plan.hash)
        if store is not None and context.job_key:
            store.keep(begun(context.job_key), parent.to_json())
        listeners = Listeners(dataset, metric, config, context, parent, store, started)
        with one_thread_a_fit(), listeners:
            line = _Line(
                dataset, metric, checked.settings, checked.plan, study_name, listeners.notify, begin_with
            )
            result = line.run(_Clock(started, checked.settings, tracking=config.tracking), known)
            return listeners.finish(replace(result, checks=checked.findings))


def _begun_with(settings: Settings, configurations: Sequence[Configuration]) -> Settings:
    """Return the settings with these configurations first among the known-good ones of their families.

    With `widen`, a range reaches as far as what was elected beyond it.
    """
    portfolios = dict(settings.portfolios)
    spaces = {space.family: space for space in settings.spaces}
    for each in reversed(configurations):
        if each.family not in portfolios:
            continue
        space = spaces[each.family]
        known = {name: value for name, value in each.params.items() if name in space.dimensions}
        with suppress(ValueError):  # what was a choice is a range now
            if settings.widen:
                space = reaching(space, known)
            portfolios[each.family] = (space.complete(known), *portfolios[each.family])
            spaces[each.family] = space
    return replace(settings, portfolios=portfolios, spaces=tuple(spaces.values()))


def gate(dataset: Dataset, config: TuningConfig) -> tuple[Dataset, tuple[Finding, ...]]:
    """Return the rows with copies of each other marked, and what the checks say of them.

    Raises
    ------
    ChecksFailedError
        If a check ends in an error that is not allowed.
    """
    marked = with_copies(dataset, config.allow)
    check_slices(marked, config.slices)
    checks = check_dataset(marked, allow=config.allow, slices=tuple(config.slices))
    refuse(checks, config.allow)
    return marked, checks


@dataclass(frozen=True)
class _Clock:
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


@dataclass(frozen=True, eq=False)
class _Line:
    dataset: Dataset
    metric: Metric
    settings: Settings
    plan: FoldPlan
    study_name: str
    notify: Notify
    begin_with: Sequence[Configuration] = ()  # what earlier studies of the job have elected

    def run(self, clock: _Clock, known: Mapping[int, TrialRecord]) -> TuningResult:
        """Choose, estimate, conclude."""
        choice = choose(
            self.dataset,
            self.metric,
            _begun_with(self.settings, self.begin_with),
            self.plan,
            turn=Turn(Place(self.study_name, "search"), clock.choice, self.notify),
            known=known,
        )
        if self.begin_with and self.settings.estimate in ("bbc", "crossfit"):
            choice = replace(choice, notes=(*choice.notes, OLD_WINNER))
        estimates, notes = self._estimates(choice, clock.end)
        choice = replace(choice, notes=choice.notes + notes)
        if estimates is not None and choice.is_default_alone:
            estimates = estimates.of_default()
        shipped = ship(choice, estimates)
        probe = Probe(shipped.winner, choice.finals, shipped.model, choice.bench, self.settings, clock.probes)
        probed = Probed(probe.learning_curve(), probe.groups())
        return conclude(self.dataset, self.metric, self.settings, self.study_name, shipped, probed)

    def _estimates(self, choice: Choice, end: Deadline) -> tuple[Estimates | None, tuple[str, ...]]:
        """Estimate in the way asked for, or say why that is not possible."""
        if self.settings.estimate == "bbc":
            return self._bootstrapped(choice)
        if not self.settings.outer_share:
            return None, ()
        estimates, notes = self._outer_estimates(choice, end)
        if estimates is None and self.settings.or_bbc:
            estimates, more = self._bootstrapped(choice)
            notes = (*notes, "bbc estimates instead, which flatters this metric on few rows.", *more)
        return estimates, notes

    def _bootstrapped(self, choice: Choice) -> tuple[Estimates | None, tuple[str, ...]]:
        """Estimate by bootstraps over the search's predictions, the default's among them."""
        search = choice.search
        if search.default not in search.predictions:  # of an interrupted run, without time to fit it again
            return None, ("No estimate: no time was left to predict with the default again.",)
        estimates = bbc(
            search.trials, search.predictions, choice.bench, self.settings, default=search.default
        )
        if {each.number for each in choice.finals.nominations} <= search.predictions.keys():
            return estimates, ()
        note = f"The estimate is of a choice among {len(search.predictions)} trials"
        return estimates, (f"{note}: no time was left to predict with the other stored ones again.",)

    def _outer_estimates(self, choice: Choice, end: Deadline) -> tuple[Estimates | None, tuple[str, ...]]:
        """Estimate by folds around the procedure, or say why that is not possible."""
        default = choice.search.trials[choice.search.default]
        is_nested = self.settings.estimate == "nested"
        n_outer = self.settings.outer_folds if is_nested else self.settings.n_folds
        passes = 1.0 if is_nested else crossfit_passes(n_outer) / self.settings.n_repeats
        needed = n_outer * passes * default.fit_seconds
        if default.shortened or needed > end.left:
            return None, (_no_time_for_outer_folds(needed, self.settings.outer_share),)
        if is_nested:
            return _if_scored(nested(self.dataset, self.metric, self.settings, self._choose_outer, end))
        plan = choice.bench.plan
        plan = replace(plan, folds=tuple(plan.folds[position] for position in plan.first_repeat), notes=())
        if len(plan.folds) < LEAST_CROSSFIT_FOLDS:
            return None, (f"No estimate: crossfit needs at least 3 folds, and there were {len(plan.folds)}.",)

        def elect(outer: int, deadline: Deadline) -> Elected | None:
            turn = Turn(Place(self.study_name, "outer_fold", outer), deadline, self.notify)
            finals = elect_without(choice, self.settings, outer, turn=turn)
            return None if finals is None else _elected(finals, len(plan.folds[outer].train))

        return _if_scored(crossfit(self.dataset, self.metric, plan, elect, end))

    def _choose_outer(self, rows: Dataset, seed: int, deadline: Deadline, outer: int) -> Elected | None:
        """Repeat the choice on the rows of an outer fold; None where its own folds cannot be scored."""
        settings = replace(self.settings, seed=seed)
        try:
            choice = choose(
                rows,
                self.metric,
                settings,
                choosing_plan(rows, settings),
                turn=Turn(Place(self.study_name, "outer_fold", outer), deadline, self.notify),
            )
        except TrialsFailedError:
            return None
        return _elected(choice.finals, rows.n_rows)


def _if_scored(estimates: Estimates) -> tuple[Estimates | None, tuple[str, ...]]:
    """Return the estimates, or none with a note where no outer fold has a loss."""
    if math.isfinite(estimates.tuned.value):
        return estimates, ()
    return None, (*estimates.notes, "No estimate: no outer fold could be scored.")


def _elected(finals: Finals, n_rows: int) -> Elected:
    return Elected(finals.tuned.model, finals.default.model, finals.fit_rows(n_rows))


def _no_time_for_outer_folds(needed: float, share: float) -> str:
    return (
        f"No time was left for an estimate: its outer folds need {needed:.1f} s or more for the default "
        f"alone. Set `time_budget` to at least {math.ceil(2 * needed / share)}."
    )
