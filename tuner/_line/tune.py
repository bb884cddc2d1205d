"""The straight line: rows, choice, estimate, result; listeners hear of every record."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from tuner._claims.learning import Probe
from tuner._decisions.edges import reaching
from tuner._line.checked import Checked, check_run
from tuner._line.choice import choose
from tuner._line.claim import claim
from tuner._line.clock import Clock
from tuner._line.election import Turn
from tuner._line.listeners import Listeners, RunContext, parent_of
from tuner._line.outcome import Probed, conclude, ship
from tuner._line.progress import say
from tuner._line.study import begun, check_same, held, study_hash, to_go_on_with
from tuner._options.config import TuningConfig, check_config
from tuner._options.settings import Settings
from tuner._process.threads import one_thread_a_fit
from tuner._records import Configuration
from tuner._report.result import TuningResult
from tuner._rows.data import Dataset, make_dataset
from tuner._search.interrupted import KILLS_BEFORE_ALONE, Interrupted
from tuner._search.search import LAG
from tuner._store import TrialStore
from tuner._trials.trials import Place

# Outer folds of "nested" begin without it.
ONE_AT_A_TIME = "Memory may be short: fits run one at a time now."
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
    with held(config, context, study_name) as store:
        earlier = _Earlier(context.begin_with)
        if store is not None:
            checked, earlier = _gone_on_with(store, checked, config, context)
        parent = parent_of(checked.dataset, context, study_name, checked.plan.hash)
        if store is not None and context.job_key:
            store.keep(begun(context.job_key), parent.to_json())
        listeners = Listeners(checked.dataset, checked.metric, config, context, parent, store, started)
        counted = nullcontext(0) if store is None else store.counted()
        with counted as n_kills, one_thread_a_fit(), listeners:
            if n_kills >= KILLS_BEFORE_ALONE:
                say(f"The last {n_kills} runs were killed before another trial was stored. {ONE_AT_A_TIME}")
                checked = checked.on_one_thread()
            earlier = replace(earlier, interrupted=replace(earlier.interrupted, n_kills=n_kills))
            clock = Clock(started, checked.settings, tracking=config.tracking)
            turn = Turn(Place(study_name, "search"), clock.choice, listeners.notify)
            return listeners.finish(_line(checked, earlier, clock, turn))


@dataclass(frozen=True)
class _Earlier:
    """What the search begins with: what earlier studies of the job have elected, what is left of this one."""

    winners: Sequence[Configuration]
    interrupted: Interrupted = field(default_factory=Interrupted)


def _gone_on_with(
    store: TrialStore, checked: Checked, config: TuningConfig, context: RunContext
) -> tuple[Checked, _Earlier]:
    """Open the study; one that was begun before has its own seed, and trials."""
    seed = store.open(seed=checked.settings.seed, spaces=checked.settings.spaces, lag=LAG)
    if seed != checked.settings.seed:
        checked = checked.seeded(seed)
    check_same(store, study_hash(checked.dataset, config))
    winners = context.begin_with
    if not winners and context.job_key:
        winner = store.old_winner(context.name)
        winners = () if winner is None else (winner,)
    return checked, _Earlier(winners, Interrupted(to_go_on_with(store.load())))


def _line(checked: Checked, earlier: _Earlier, clock: Clock, turn: Turn) -> TuningResult:
    """Choose, estimate, ship, conclude."""
    choice = choose(
        checked.dataset,
        checked.metric,
        _begun_with(checked.settings, earlier.winners),
        checked.plan,
        turn=turn,
        interrupted=earlier.interrupted,
    )
    if earlier.winners and checked.settings.estimate in ("bbc", "crossfit"):
        choice = replace(choice, notes=(*choice.notes, OLD_WINNER))
    estimates, notes = claim(checked, choice, replace(turn, deadline=clock.end), bootstraps=clock.bootstraps)
    shipped = ship(replace(choice, notes=choice.notes + notes), estimates)
    probe = Probe(shipped.winner, choice.finals, shipped.model, choice.bench, checked.settings, clock.probes)
    probed = Probed(probe.learning_curve(), probe.groups())
    return conclude(checked, turn.place.study, shipped, probed)


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
