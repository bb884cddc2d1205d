"""What is claimed of a choice: estimated in the way asked for, or why that is not possible."""

from __future__ import annotations

import math
from dataclasses import replace

from tuner._claims.bbc import bbc
from tuner._claims.claims import Paid
from tuner._claims.delivered import Averaged, as_delivered
from tuner._claims.estimate import Elected, Estimates, crossfit, nested
from tuner._finals.finals import Finals
from tuner._finals.pace import crossfit_passes
from tuner._folds.splits import tested_share
from tuner._line.checked import Checked
from tuner._line.choice import Choice, choose, choosing_plan, elect_without
from tuner._line.election import Turn
from tuner._options.settings import LEAST_CROSSFIT_FOLDS, Settings
from tuner._process.deadline import Deadline
from tuner._rows.data import Dataset
from tuner.exceptions import TrialsFailedError

Claim = tuple[Estimates | None, tuple[str, ...]]  # and notes


def claim(checked: Checked, choice: Choice, turn: Turn, *, bootstraps: Deadline) -> Claim:
    """Estimate in the way asked for: outer folds in the time of the main run's turn, bootstraps in theirs."""
    estimates, notes = _estimated(checked, choice, turn, bootstraps)
    if estimates is not None and choice.is_default_alone:
        estimates = estimates.of_default()
    return estimates, notes


def _estimated(checked: Checked, choice: Choice, turn: Turn, bootstraps: Deadline) -> Claim:
    settings = checked.settings
    if settings.estimate == "bbc":
        return _by_bootstraps(choice, settings, bootstraps)
    if not settings.outer_share:
        return None, ()
    estimates, notes = _by_outer_folds(checked, choice, turn)
    if estimates is None and settings.or_bbc:
        estimates, more = _by_bootstraps(choice, settings, bootstraps)
        notes = (*notes, "bbc estimates instead, which flatters this metric on few rows.", *more)
    return estimates, notes


def _by_bootstraps(choice: Choice, settings: Settings, deadline: Deadline) -> Claim:
    """Estimate over the search's predictions, the default's among them."""
    search = choice.search
    if search.default not in search.predictions:  # of an interrupted run, without time to fit it again
        return None, ("No estimate: no time was left to predict with the default again.",)
    estimates = bbc(
        search.trials,
        search.predictions,
        choice.bench,
        settings,
        default=search.default,
        deadline=deadline,
    )
    estimates = replace(estimates, paid=_as_delivered(estimates, choice.finals))
    if {each.number for each in choice.finals.nominations} <= search.predictions.keys():
        return estimates, ()
    note = f"The estimate is of a choice among {len(search.predictions)} trials"
    return estimates, (f"{note}: no time was left to predict with the other stored ones again.",)


def _as_delivered(estimates: Estimates, finals: Finals) -> Paid:
    """Return the verdict of single fits carried over to the averages that are delivered."""
    tuned, default = (Averaged(each.model.n_averaged, each.bag) for each in (finals.tuned, finals.default))
    share = tested_share(finals.plan.folds)
    return as_delivered(estimates.paid, estimates.build.models, tuned, default, test_share=share)


def _by_outer_folds(checked: Checked, choice: Choice, turn: Turn) -> Claim:
    """Estimate by folds around the procedure, where the default alone has time on them."""
    settings = checked.settings
    default = choice.search.trials[choice.search.default]
    is_nested = settings.estimate == "nested"
    n_outer = settings.outer_folds if is_nested else settings.n_folds
    passes = 1.0 if is_nested else crossfit_passes(n_outer) / settings.n_repeats
    needed = n_outer * passes * default.fit_seconds
    if default.shortened or needed > turn.deadline.left:
        return None, (_no_time_for_outer_folds(needed, settings.outer_share),)
    return _nested(checked, turn) if is_nested else _crossfit(checked, choice, turn)


def _nested(checked: Checked, turn: Turn) -> Claim:
    def choose_without(rows: Dataset, seed: int, deadline: Deadline, outer: int) -> Elected | None:
        """Repeat the choice on the rows of an outer fold; None where its own folds cannot be scored."""
        settings = replace(checked.settings, seed=seed)
        plan = choosing_plan(rows, settings)
        try:
            choice = choose(rows, checked.metric, settings, plan, turn=turn.of_fold(outer, deadline))
        except TrialsFailedError:
            return None
        return _delivered(choice.finals, rows.n_rows)

    return _if_scored(
        nested(checked.dataset, checked.metric, checked.settings, choose_without, turn.deadline)
    )


def _crossfit(checked: Checked, choice: Choice, turn: Turn) -> Claim:
    plan = replace(choice.bench.plan, folds=choice.bench.plan.first_folds, notes=())
    if len(plan.folds) < LEAST_CROSSFIT_FOLDS:
        return None, (f"No estimate: crossfit needs at least 3 folds, and there were {len(plan.folds)}.",)

    def elect(outer: int, deadline: Deadline) -> Elected | None:
        finals = elect_without(choice, checked.settings, outer, turn=turn.of_fold(outer, deadline))
        return None if finals is None else _delivered(finals, len(plan.folds[outer].train))

    return _if_scored(crossfit(checked.dataset, checked.metric, plan, elect, turn.deadline))


def _if_scored(estimates: Estimates) -> Claim:
    """Return the estimates, or none with a note where no outer fold has a loss."""
    if math.isfinite(estimates.tuned.value):
        return estimates, ()
    return None, (*estimates.notes, "No estimate: no outer fold could be scored.")


def _delivered(finals: Finals, n_rows: int) -> Elected:
    return Elected(finals.tuned.model, finals.default.model, finals.fit_rows(n_rows))


def _no_time_for_outer_folds(needed: float, share: float) -> str:
    return (
        f"No time was left for an estimate: its outer folds need {needed:.1f} s or more for the default "
        f"alone. Set `time_budget` to at least {math.ceil(2 * needed / share)}."
    )
