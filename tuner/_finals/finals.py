"""Finalists and the final model: re-score the nominated on fresh folds, elect, and assemble what predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

import numpy as np

from tuner._decisions.objective import judged
from tuner._decisions.selection import Nomination, elect
from tuner._decisions.shares import Blend, blend
from tuner._finals.held_out import FoldScorer, fits_on
from tuner._folds.splits import FoldPlan
from tuner._model import Blended, Member
from tuner._options.settings import Settings
from tuner._process.deadline import NO_DEADLINE, Deadline
from tuner._process.pool import cancellable_pool
from tuner._records import BagLosses, TrialRecord
from tuner._rows.data import Dataset
from tuner._statistics.calibration import tempered
from tuner._statistics.reliability import Reliability
from tuner._trials.bench import Bench, all_rows
from tuner._trials.evaluation import Effort, evaluate
from tuner._trials.trials import Place, Trial, run_trial
from tuner._trials.whole import Refit, refits
from tuner._types import FloatArray
from tuner.families import Predictor

N_REFITS = 3  # on all rows, with different seeds, where members are refitted; six were no better
REFITTED_TASKS = ("regression",)  # whose ensembles are of fits on all rows


@dataclass(frozen=True, eq=False)
class Assembled:
    """A final model, and what the folds that elected say of it.

    Attributes
    ----------
    model : Blended
    shares : mapping
        Of the finalists in it, by position.
    loss : float
        On these folds.
    held_out : tuple of arrays
        Predictions of each fold's test rows, mixed and tempered as the model's, by models that did not train
        on them.
    reliability : Reliability or None
        Of what its fold models say of rows they did not see; None on few rows, and for MAE and RMSLE.
    bag : BagLosses or None
        What averaging its fits over the repeats gains; None where that cannot be told.
    calibration_gains : callable
        Tells the log loss that recalibration would gain on each fold; asked of what is shipped alone, as it
        takes a second.
    """

    model: Blended
    shares: Mapping[int, float]
    loss: float
    held_out: tuple[FloatArray, ...]
    reliability: Reliability | None
    bag: BagLosses | None
    calibration_gains: Callable[[], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Finals:
    """The finalists that completed, the elected one, and the models.

    Attributes
    ----------
    finalists : tuple of TrialRecord
        On the fresh folds; same order as ``nominations``.
    nominations : tuple of Nomination
        The search trials they come from.
    winner : int
        Position of the elected finalist.
    blend : Blend or None
        Ensemble weights, where the final form is an ensemble.
    tuned, default : Assembled
        The tuned model, and the named default in the same final form.
    plan : FoldPlan
        The folds that elected.
    n_missed : int
        Nominated trials that missed the deadline or failed on the fresh folds.
    refit_failure : str or None
        Why fold models stand in for fits on all rows.
    """

    finalists: tuple[TrialRecord, ...]
    nominations: tuple[Nomination, ...]
    winner: int
    blend: Blend | None
    tuned: Assembled
    default: Assembled
    plan: FoldPlan
    n_missed: int
    refit_failure: str | None = None

    def fit_rows(self, n_rows: int) -> float:
        """Return how many of ``n_rows`` each fit of the models saw: all where it was fitted once more."""
        return float(n_rows) if self.tuned.model.is_refitted else self.plan.train_rows


def rescore(
    nominations: Sequence[Nomination],
    trials: Sequence[TrialRecord],
    bench: Bench,
    settings: Settings,
    *,
    place: Place,
    cap: float,
    first_number: int | None,
    may_cut_default: bool,
    deadline: Deadline,
) -> list[Trial]:
    """Judge the nominated on the bench's fresh folds, side by side; fold models are kept for members.

    They walk as far as the search did: a plateau that a fresh division happens to prolong must not cost ten
    times what was reserved. Those that miss the deadline come back PRUNED.

    Parameters
    ----------
    first_number : int or None
        Number of the first finalist in an outer fold; None: each keeps its search trial's number.
    may_cut_default : bool
        Whether the first nomination, the default, may miss the deadline: there is another model of it.
    """
    cancelled = Event()

    def judge(order: int) -> Trial:
        number = nominations[order].number
        trial = run_trial(
            trials[number].configuration,
            bench,
            Effort(
                stop=deadline.until(cancelled) if order or may_cut_default else cancelled.is_set,
                keep_models=not is_refitted(bench.dataset, settings),
                n_points=trials[number].n_points,
            ),
            place=place,
            number=number if first_number is None else first_number + order,
        )
        record = judged(trial.record, weight=settings.search_weight, cap=cap)
        return replace(trial, record=record)

    # The dearest begins first, after the default, which must be there: begun last, it would run alone.
    seconds = [trials[nomination.number].fit_seconds for nomination in nominations]
    begun = sorted(range(len(nominations)), key=lambda order: (order > 0, -seconds[order]))
    with cancellable_pool(settings.n_jobs // bench.n_threads, "finalist", cancelled) as pool:
        running = {order: pool.submit(judge, order) for order in begun}
        return [running[order].result() for order in range(len(nominations))]


def assemble(
    trials: Sequence[Trial],
    nominations: Sequence[Nomination],
    bench: Bench,
    settings: Settings,
    *,
    deadline: Deadline = NO_DEADLINE,
) -> Finals:
    """Elect among the completed finalists and build the final model in the asked form.

    Parameters
    ----------
    deadline : Deadline
        When refits must be there: each is done once, whatever the time, then again while there is some.
    """
    done = [i for i, trial in enumerate(trials) if trial.evaluation is not None]
    finalists = [trials[i] for i in done]
    winner = elect([trial.record for trial in finalists])

    on_all_rows, failure = is_refitted(bench.dataset, settings), None
    scorer = FoldScorer(bench, n_averaged=1 if on_all_rows else bench.plan.n_repeats)
    scores, default = (finalists[each].record.known_scores for each in (winner, 0))
    if settings.final == "ensemble":
        shares, mixed = _shares(finalists, winner, bench, settings.max_members)
        weights = {position: weight for position, weight in enumerate(shares.weights) if weight > 0}
        threshold, fold_losses = scorer.threshold(mixed), scorer.fold_losses(mixed)
    else:
        shares, mixed, weights = None, _predictions(finalists[winner]), {winner: 1.0}
        threshold, fold_losses = scores.threshold, scores.fold_losses
    positions = list(dict.fromkeys([*weights, 0]))  # the default is often a member, or the winner
    models: dict[int, tuple[Predictor, ...]] = {}
    if on_all_rows:
        try:
            models = _refitted(finalists, positions, bench, settings, deadline)
        except Exception as error:  # noqa: BLE001 - what a fit raises; the run is not lost by it
            on_all_rows, failure = False, f"{type(error).__name__}: {error}"
    if not on_all_rows:
        models = {position: _fold_models(finalists[position], bench) for position in positions}

    def assembled(
        weights: Mapping[int, float],
        held_out: tuple[FloatArray, ...],
        threshold: float | None,
        fold_losses: Sequence[float],
    ) -> Assembled:
        members = tuple(
            Member(weight, finalists[position].record.configuration.family, models[position])
            for position, weight in weights.items()
        )
        temperature = scorer.temperature(held_out)
        return Assembled(
            model=Blended(members, bench.dataset.schema, threshold, temperature, on_all_rows),
            shares=weights,
            loss=scorer.loss(held_out, fold_losses, threshold),
            held_out=tuple(tempered(fold, temperature) for fold in held_out),
            reliability=scorer.reliability(held_out, temperature),
            bag=scorer.bag(held_out),
            calibration_gains=partial(scorer.calibration_gains, held_out, temperature),
        )

    return Finals(
        finalists=tuple(trial.record for trial in finalists),
        nominations=tuple(nominations[i] for i in done),
        winner=winner,
        blend=shares,
        tuned=assembled(weights, mixed, threshold, fold_losses),
        default=assembled({0: 1.0}, _predictions(finalists[0]), default.threshold, default.fold_losses),
        plan=bench.plan,
        n_missed=len(trials) - len(done),
        refit_failure=failure,
    )


def _shares(
    finalists: Sequence[Trial], winner: int, bench: Bench, max_members: int | None
) -> tuple[Blend, tuple[FloatArray, ...]]:
    """Return the ensemble's shares, and its held-out predictions fold by fold."""
    predictions = [_predictions(trial) for trial in finalists]
    families = [trial.record.configuration.family for trial in finalists]
    shares = blend(fits_on(bench), predictions, families, elected=winner, max_members=max_members)
    mixed = tuple(
        np.asarray(sum(weight * fold for weight, fold in zip(shares.weights, folds, strict=True)))
        for folds in zip(*predictions, strict=True)
    )
    return shares, mixed


def _refitted(
    finalists: Sequence[Trial], positions: Sequence[int], bench: Bench, settings: Settings, deadline: Deadline
) -> dict[int, tuple[Predictor, ...]]:
    """Return fits of the finalists on all rows."""
    bench.let_go()  # what folds were prepared for is over
    rows = all_rows(bench.dataset, bench.metric, n_threads=bench.n_threads)
    records = [finalists[position].record for position in positions]
    wanted = [
        Refit(record.configuration, record.known_scores.path_value, rows, bench.seed) for record in records
    ]
    n_workers = settings.n_jobs // bench.n_threads
    made = refits(wanted, n_fits=n_refits(settings), n_workers=n_workers, deadline=deadline)
    return dict(zip(positions, made, strict=True))


def n_refits(settings: Settings) -> int:
    """Return how many fits on all rows a refitted member averages."""
    return 1 if settings.final == "refit" else N_REFITS


def is_refitted(dataset: Dataset, settings: Settings) -> bool:
    """Return whether members are fitted once more, on all rows, instead of averaged over their folds.

    With `time`: a model that lacks a block lacks a season or the latest rows, and on drifting tables the
    average of such models lost up to a quarter against one fit on everything (hotel_rates). An ensemble of
    regressions: three fits on all rows beat twenty on nine tenths of them on nine of eleven tables, by 0.1%
    to 1.2%, and lost 0.1% and 0.2% on two where noise is nearly all. Classes of few rows are noise in that
    sense: there the fold models were as good or better. Groups: not measured.
    """
    if settings.final == "refit" or dataset.time is not None:
        return True
    return settings.final == "ensemble" and dataset.task in REFITTED_TASKS and dataset.groups is None


def _fold_models(trial: Trial, bench: Bench) -> tuple[Predictor, ...]:
    """Return a finalist's models; they are made again where fits on all rows were to replace them."""
    evaluation = trial.evaluation
    assert evaluation is not None  # finalists are complete
    if not evaluation.models:
        effort = Effort(keep_models=True, n_points=trial.record.n_points)
        evaluation = evaluate(trial.record.configuration, bench, effort)
    return evaluation.models


def _predictions(trial: Trial) -> tuple[FloatArray, ...]:
    assert trial.evaluation is not None  # finalists are complete
    return trial.evaluation.predictions
