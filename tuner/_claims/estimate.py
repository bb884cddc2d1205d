"""Estimates: how well the whole procedure does on rows it never saw, and whether tuning paid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from tuner._claims.claims import Build, Estimate, Paid, Scale, natural_estimate
from tuner._finals.together import is_together, scored, together_values
from tuner._folds.splits import FoldPlan, plan_choosing, plan_reporting, tested_share
from tuner._metrics.metrics import Metric
from tuner._model import Blended, HeldOut, score_held_out
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline
from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._statistics.intervals import Interval, corrected_t, prediction_t
from tuner.exceptions import InputError

LEVEL = 0.95
MAX_OUTER_SHARE = 0.5  # of the budget: the other half is for what is delivered


class Elected(NamedTuple):
    """What the procedure delivers without an outer fold: both models, and the rows each of their fits saw."""

    tuned: Blended
    default: Blended
    fit_rows: float


Chooser = Callable[[Dataset, int, Deadline, int], Elected | None]
Elector = Callable[[int, Deadline], Elected | None]


@dataclass(frozen=True)
class Estimates:
    """The tuned procedure's estimate, the default's beside it, and the verdict between them.

    Attributes
    ----------
    tuned, default : Estimate
    paid : Paid
    build : Build
        What the models that were scored are made of.
    notes : tuple of str
    apparent_loss, default_apparent_loss : float or None
        Loss of what bbc chose on the very rows that chose it; of the default on the same rows.
    """

    tuned: Estimate
    default: Estimate
    paid: Paid
    build: Build
    notes: tuple[str, ...] = ()
    apparent_loss: float | None = None
    default_apparent_loss: float | None = None

    def of_default(self) -> Estimates:
        """Return what is claimed where the default is delivered unjudged: no time was left for others."""
        return replace(
            self, tuned=self.default, paid=Paid("not judged"), apparent_loss=self.default_apparent_loss
        )


def nested(
    dataset: Dataset, metric: Metric, settings: Settings, choose: Chooser, deadline: Deadline
) -> Estimates:
    """Run the whole procedure inside outer folds and score what it delivers on the rows left out.

    What it estimates: the expected metric of the *procedure* (search, election, final form) trained on
    n(1 - 1/K) rows with the stated budget; with time, of the next window. Interval: corrected t over outer
    folds; with time, a prediction interval for the next window, with no promise of coverage.

    Average precision and F1 are scored on all outer folds together (`tuner._finals.together`), not with time.

    With ``dataset.slice_masks`` a fold's loss is the largest of its slices' losses. The largest of several
    noisy ones lies above the loss of the slice that is truly the worst: small slices make it pessimistic.

    Parameters
    ----------
    choose : callable
        ``choose(dataset, seed, deadline, outer)`` returns what is delivered, or None.
    deadline : Deadline
        The time left, at most half of the budget, is shared equally by the outer folds.
    """
    plan = plan_outer(dataset, settings)
    if settings.time_budget is not None:
        deadline = Deadline.after(min(deadline.left, MAX_OUTER_SHARE * settings.time_budget))
    budget = _budget(settings, deadline.left / len(plan.folds))

    def once(outer: int, end: Deadline) -> Elected | None:
        rows = dataset.take(plan.folds[outer].train)
        return choose(rows, child_seed(settings.seed, "outer", outer), end, outer)

    scores = _outer_scores(dataset, metric, plan, once, deadline)
    return _outer_estimates(scores, plan, dataset, metric, "nested", budget)


def plan_outer(dataset: Dataset, settings: Settings) -> FoldPlan:
    """Draw the outer folds of "nested": those on whose training part the procedure can draw its own folds.

    Raises
    ------
    InputError
        If there is none, such as with two distinct times.
    """
    plan = plan_reporting(dataset, n_folds=settings.outer_folds, seed=settings.seed)
    problems = {fold: _why_not_chosen(dataset.take(fold.train), settings) for fold in plan.folds}
    kept = tuple(fold for fold, problem in problems.items() if problem is None)
    if not kept:
        raise InputError(
            "The training part of an outer fold must be large enough to choose on.",
            next(problem for problem in problems.values() if problem),
            "Add rows, or set `estimate=None`.",
        )
    n_lost = len(plan.folds) - len(kept)
    lost = (f"{n_lost} of {len(plan.folds)} outer folds dropped: too little in their training part.",)
    return replace(plan, folds=kept, notes=plan.notes + (lost if n_lost else ()))


def _why_not_chosen(rows: Dataset, settings: Settings) -> str | None:
    """Return why no folds can be drawn from the rows of an outer fold; None if they can."""
    try:
        plan_choosing(rows, n_folds=settings.n_folds, n_repeats=1, seed=settings.seed)
    except InputError as error:
        return f"{error.rule} Got {error.value}"
    return None


def crossfit(
    dataset: Dataset, metric: Metric, plan: FoldPlan, elect: Elector, deadline: Deadline
) -> Estimates:
    """Repeat nomination, election and assembly without each fold of the search, and score on that fold.

    What it estimates: the expected metric of the procedure trained on n(1 - 1/K) rows. Nominations use stored
    losses of the other folds; who wins, the weights and the calibration use models trained without the fold
    that scores them and without the fold left out. Interval: corrected t over folds.

    It assumes that what the search proposed, and how far it walked the paths, depends little on any one fold:
    the search is not repeated. Its trials are not raced, as a race is lost on particular folds. It leans to
    the pessimistic side on small tables: models see n(1 - 2/K) rows, and the inner election one repeat.

    Parameters
    ----------
    plan : FoldPlan
        The folds of the search, of one repeat.
    elect : callable
        ``elect(outer, deadline)`` returns what is delivered without that fold, or None.
    """
    scores = _outer_scores(dataset, metric, plan, elect, deadline)
    return _outer_estimates(scores, plan, dataset, metric, "crossfit", "of one search")


@dataclass(frozen=True)
class _Judged:
    """What was delivered without an outer fold, on the rows of that fold."""

    tuned: HeldOut
    default: HeldOut
    fit_rows: float
    n_averaged: int

    @property
    def is_finite(self) -> bool:
        """Whether both predict numbers throughout."""
        return all(np.isfinite(each.prediction).all() for each in (self.tuned, self.default))

    @property
    def is_same(self) -> bool:
        """Whether both predict and decide alike."""
        same_numbers = np.array_equal(self.tuned.prediction, self.default.prediction)
        return same_numbers and self.tuned.threshold == self.default.threshold


def _outer_scores(
    dataset: Dataset, metric: Metric, plan: FoldPlan, elect: Elector, deadline: Deadline
) -> list[_Judged | None]:
    """Score every outer fold; None where there is no model."""
    scores: list[_Judged | None] = []
    for outer, fold in enumerate(plan.folds):
        share = deadline.left / (len(plan.folds) - outer)
        elected = elect(outer, Deadline.after(share if np.isfinite(share) else None))
        if elected is None:
            scores.append(None)
            continue
        held_out = dataset.take(fold.test)
        tuned, default = (score_held_out(model, held_out, metric) for model in elected[:2])
        scores.append(_Judged(tuned, default, elected.fit_rows, elected.tuned.n_averaged))
    return scores


def _outer_estimates(
    scores: Sequence[_Judged | None],
    plan: FoldPlan,
    dataset: Dataset,
    metric: Metric,
    method: str,
    budget: str,
) -> Estimates:
    share = tested_share(plan.folds)
    forward, together = dataset.time is not None, is_together(dataset, metric)

    def interval(losses: Sequence[float], *, squared: bool) -> Interval:
        if forward:
            return prediction_t(losses, level=LEVEL, squared=squared)
        return corrected_t(losses, test_share=share, level=LEVEL, squared=squared)

    made = [each for each in scores if each is not None]
    fit_rows, averaged = [each.fit_rows for each in made], [each.n_averaged for each in made]
    build = Build(float(np.mean(fit_rows)), float(np.mean(averaged))) if made else Build(np.nan, np.nan)
    rows = round(plan.train_rows)
    what = "the next window" if forward else "new rows"
    of_what = "" if dataset.slice_masks is None else "'s worst slice"
    folds = f"{len(plan.folds)} outer folds{' together' if together else ''}"
    terms = f"trained on about {rows} rows, judged on {what}: {folds}, {budget}"
    known = [(fold, each) for fold, each in zip(plan.folds, scores, strict=True) if each and each.is_finite]
    tests = [fold.test for fold, _ in known]

    def estimate(who: str, arm: Callable[[_Judged], HeldOut]) -> tuple[Estimate, list[float]]:
        losses = values = [np.nan if each is None else arm(each).loss for each in scores]
        if together:
            held_out = [arm(each) for _, each in known]
            judged = [scored(each.prediction, each.threshold) for each in held_out]
            values = together_values(dataset, metric, tests, judged)
        estimate = natural_estimate(
            metric,
            interval(values, squared=metric.squared_scale),
            level=LEVEL,
            method=method,
            fold_losses=losses,
            estimand=f"{who}{of_what}, {terms}",
        )
        return estimate, values

    tuned, values = estimate("the procedure", lambda each: each.tuned)
    default, default_values = estimate("the default", lambda each: each.default)
    skipped = len(scores) - len(known) if together else int((~np.isfinite(tuned.fold_losses)).sum())
    notes = plan.notes + ((f"{skipped} outer fold(s) could not be scored.",) if skipped else ())
    if same := sum(each.is_same for each in made):
        notes += (f"{same} outer fold(s) delivered the default itself: tuning is judged on the others.",)
    is_same = bool(made) and same == len(made)
    paid = compare(values, default_values, metric, partial(corrected_t, test_share=share), is_same=is_same)
    return Estimates(tuned, default, paid, build, notes)


def compare(
    tuned: Sequence[float],
    default: Sequence[float],
    metric: Metric,
    interval: Callable[..., Interval],
    *,
    is_same: bool,
) -> Paid:
    """Judge tuning by paired losses: of each outer fold, or each bootstrap (RMSE and RMSLE squared).

    Parameters
    ----------
    interval : callable
        Makes the interval of a mean from single values, at a ``level``.
    is_same : bool
        Nothing but the default was chosen: there is no verdict. Another model with equal losses has one.
    """
    scale: Scale = "squared loss" if metric.squared_scale else "loss"
    if is_same:
        return Paid("not judged", scale=scale)
    differences = np.power(tuned, metric.power) - np.power(default, metric.power)
    return replace(judge_tuning(interval(differences.tolist(), level=LEVEL)), scale=scale)


def judge_tuning(difference: Interval) -> Paid:
    """Turn the paired loss difference (tuned minus default; RMSE and RMSLE squared) into a verdict.

    "paid" only if the whole interval lies below 0; "did not pay" if the mean is not below 0.
    """
    if not np.isfinite(difference.value):
        return Paid("not judged")
    if difference.high < 0:
        return Paid("paid", difference.value, difference.low, difference.high)
    verdict = "not shown" if difference.value < 0 else "did not pay"
    return Paid(verdict, difference.value, difference.low, difference.high)  # type: ignore[arg-type]


def _budget(settings: Settings, seconds: float) -> str:
    limits = []
    if settings.time_budget is not None:
        limits.append(f"{seconds:.3g} s a fold")
    if settings.max_trials is not None:
        limits.append(f"{settings.max_trials} trials a fold")
    return " and ".join(limits)
