"""Finalists and the final model: re-score the nominated on fresh folds, elect, and assemble what predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from tuner._bench import Bench, all_rows
from tuner._calibration import choose_temperature, tempered
from tuner._data import Dataset
from tuner._deadline import Deadline, never
from tuner._evaluation import evaluate
from tuner._intervals import pooled
from tuner._metrics import Metric
from tuner._model import Blended, Member
from tuner._objective import fold_mean, judged
from tuner._records import BagLosses, Scores, TrialRecord
from tuner._reliability import Reliability, reliability
from tuner._seeds import child_seed
from tuner._selection import Nomination, elect
from tuner._settings import Settings
from tuner._shares import Blend, Fits, Kind, blend
from tuner._splits import Fold
from tuner._trials import Place, Trial, run_trial
from tuner._types import FloatArray, IntArray
from tuner._whole import NO_DEADLINE, Refit, refits
from tuner.families import Predictor

LOG_LOSS = "log_loss"  # what a temperature is fitted to; other metrics need not gain by it
CALIBRATION_ROWS = 20_000  # know a single number well enough
N_REFITS = 3  # on all rows, with different seeds, where members are refitted; six were no better
REFITTED_TASKS = ("regression",)  # whose ensembles are of fits on all rows


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
    model, default_model : Blended
        The tuned model, and the named default in the same final form.
    selection_loss : float
        Loss on the fresh folds that elected the winner.
    default_loss : float
        The same of the default.
    folds : tuple of Fold
        Those that elected.
    held_out, default_held_out : tuple of arrays
        Predictions of each fold's test rows, mixed and tempered as the model's, by models that did not train
        on them; of the default alone.
    reliability, default_reliability : Reliability or None
        Of what the two models' fold models say of rows they did not see; None on few rows.
    bag, default_bag : BagLosses or None
        What averaging the two models' fits over the repeats gains; None where that cannot be told.
    n_missed : int
        Nominated trials that missed the deadline or failed on the fresh folds.
    refit_failure : str or None
        Why fold models stand in for fits on all rows.
    """

    finalists: tuple[TrialRecord, ...]
    nominations: tuple[Nomination, ...]
    winner: int
    blend: Blend | None
    model: Blended
    default_model: Blended
    selection_loss: float
    default_loss: float
    folds: tuple[Fold, ...]
    held_out: tuple[FloatArray, ...]
    default_held_out: tuple[FloatArray, ...]
    reliability: Reliability | None
    default_reliability: Reliability | None
    bag: BagLosses | None
    default_bag: BagLosses | None
    n_missed: int
    refit_failure: str | None = None

    def fit_rows(self, n_rows: int) -> float:
        """Return how many of ``n_rows`` each fit of the models saw: all where it was fitted once more."""
        seen = float(np.mean([len(fold.train) for fold in self.folds]))
        return float(n_rows) if self.model.is_refitted else seen


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

    def judge(order: int) -> Trial:
        number = nominations[order].number
        curves = trials[number].curves
        trial = run_trial(
            trials[number].configuration,
            bench,
            place=place,
            number=number if first_number is None else first_number + order,
            stop=deadline.stop if order or may_cut_default else never,
            keep_models=not is_refitted(bench.dataset, settings),
            n_points=None if curves is None else len(curves.path_values),
        )
        record = judged(trial.record, weight=settings.search_weight, cap=cap)
        return replace(trial, record=record)

    # The dearest begins first, after the default, which must be there: begun last, it would run alone.
    seconds = [trials[nomination.number].fit_seconds for nomination in nominations]
    begun = sorted(range(len(nominations)), key=lambda order: (order > 0, -seconds[order]))
    with ThreadPoolExecutor(settings.n_jobs // bench.n_threads, thread_name_prefix="finalist") as pool:
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
    if settings.final == "ensemble":
        shares, mixed = _shares(finalists, winner, scorer, settings.max_members)
        weights = {position: weight for position, weight in enumerate(shares.weights) if weight > 0}
        threshold, fold_losses = scorer.threshold(mixed), scorer.fold_losses(mixed)
    else:
        shares, mixed, weights = None, _predictions(finalists[winner]), {winner: 1.0}
        threshold, fold_losses = _scores(finalists[winner]).threshold, _scores(finalists[winner]).fold_losses
    positions = list(dict.fromkeys([*weights, 0]))  # the default is often a member, or the winner
    models: dict[int, tuple[Predictor, ...]] = {}
    if on_all_rows:
        try:
            models = _refitted(finalists, positions, bench, settings, deadline)
        except Exception as error:  # noqa: BLE001 - what a fit raises; the run is not lost by it
            on_all_rows, failure = False, f"{type(error).__name__}: {error}"
    if not on_all_rows:
        models = {position: _fold_models(finalists[position], bench) for position in positions}

    def mixture(weights: Mapping[int, float], threshold: float | None, temperature: float) -> Blended:
        members = tuple(
            Member(weight, finalists[position].record.configuration.family, models[position])
            for position, weight in weights.items()
        )
        return Blended(members, bench.dataset.schema, threshold, temperature, on_all_rows)

    default, default_held_out = _scores(finalists[0]), _predictions(finalists[0])
    model = mixture(weights, threshold, scorer.temperature(mixed))
    default_model = mixture({0: 1.0}, default.threshold, scorer.temperature(default_held_out))
    return Finals(
        finalists=tuple(trial.record for trial in finalists),
        nominations=tuple(nominations[i] for i in done),
        winner=winner,
        blend=shares,
        model=model,
        default_model=default_model,
        selection_loss=pooled(fold_losses, squared=bench.metric.squared_scale),
        default_loss=pooled(default.fold_losses, squared=bench.metric.squared_scale),
        folds=bench.plan.folds,
        held_out=tuple(tempered(fold, model.temperature) for fold in mixed),
        default_held_out=tuple(tempered(fold, default_model.temperature) for fold in default_held_out),
        reliability=scorer.reliability(mixed, model.temperature),
        default_reliability=scorer.reliability(default_held_out, default_model.temperature),
        bag=scorer.bag(mixed),
        default_bag=scorer.bag(default_held_out),
        n_missed=len(trials) - len(done),
        refit_failure=failure,
    )


def _shares(
    finalists: Sequence[Trial], winner: int, scorer: FoldScorer, max_members: int | None
) -> tuple[Blend, tuple[FloatArray, ...]]:
    """Return the ensemble's shares, and its held-out predictions fold by fold."""
    predictions = [_predictions(trial) for trial in finalists]
    families = [trial.record.configuration.family for trial in finalists]
    shares = blend(scorer.fits, predictions, families, elected=winner, max_members=max_members)
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
    wanted = [
        Refit(finalists[each].record.configuration, _scores(finalists[each]).path_value, rows, bench.seed)
        for each in positions
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


def _scores(trial: Trial) -> Scores:
    assert trial.record.scores is not None  # finalists are complete
    return trial.record.scores


def _fold_models(trial: Trial, bench: Bench) -> tuple[Predictor, ...]:
    """Return a finalist's models; they are made again where fits on all rows were to replace them."""
    evaluation, curves = trial.evaluation, trial.record.curves
    assert evaluation is not None  # finalists are complete
    assert curves is not None
    if not evaluation.models:
        n_points = len(curves.path_values)
        evaluation = evaluate(trial.record.configuration, bench, keep_models=True, n_points=n_points)
    return evaluation.models


def _predictions(trial: Trial) -> tuple[FloatArray, ...]:
    assert trial.evaluation is not None  # finalists are complete
    return trial.evaluation.predictions


class FoldScorer:
    """Loss of held-out predictions, fold by fold, then averaged: never pooled over fold models.

    Parameters
    ----------
    bench : Bench
    n_averaged : int
        Repeats whose predictions of a row are averaged before they are calibrated: the nearest there is to a
        bag, which averages the models of all folds.
    """

    def __init__(self, bench: Bench, *, n_averaged: int) -> None:
        self._bench = bench
        self._n_averaged = n_averaged
        self._metric: Metric = bench.metric
        self._folds = [bench.dataset.targets(fold.test) for fold in bench.plan.folds]
        self._judged = [bench.dataset.judged(fold.test) for fold in bench.plan.folds]

    @property
    def fits(self) -> Fits:
        """What members of an ensemble are compared by: likelihood on all rows, not the worst slice."""
        classes = self._bench.dataset.task != "regression"
        kind: Kind = "classes" if classes else "absolutes" if self._metric.name == "mae" else "squares"
        return Fits(self._folds, kind=kind, n_repeats=self._bench.plan.n_repeats)

    def fold_losses(self, predictions: Sequence[FloatArray]) -> tuple[float, ...]:
        """Return the metric's loss of every fold at the best threshold."""
        losses = self._losses(predictions)
        return tuple(map(float, losses[:, int(np.argmin(fold_mean(losses)))]))

    def threshold(self, predictions: Sequence[FloatArray]) -> float | None:
        """Return the decision threshold with the smallest mean loss; None without thresholds."""
        if self._metric.thresholds is None:
            return None
        return self._metric.thresholds[int(np.argmin(fold_mean(self._losses(predictions))))]

    def temperature(self, predictions: Sequence[FloatArray]) -> float:
        """Return what the logits are to be divided by; 1 for metrics that do not judge probabilities."""
        if self._metric.name != LOG_LOSS:
            return 1.0
        dataset = self._bench.dataset
        rows, mean = self._averaged(predictions)
        y, weights = dataset.targets(rows)
        parts = [
            np.flatnonzero(np.isin(rows, fold.test)) for fold in self._bench.plan.folds if not fold.repeat
        ]
        groups = None if dataset.units is None else dataset.units[rows]
        return choose_temperature(y, mean, weights, parts, groups=groups)

    def reliability(self, predictions: Sequence[FloatArray], temperature: float) -> Reliability | None:
        """Return what held-out predictions say against what happened, in the units of the target."""
        dataset = self._bench.dataset
        rows, mean = self._averaged(predictions)
        y, weights = dataset.targets(rows)
        if dataset.log_target:
            y, mean = np.expm1(y), np.maximum(np.expm1(mean), 0.0)
        return reliability(y, tempered(mean, temperature), weights, classes=dataset.task != "regression")

    def bag(self, predictions: Sequence[FloatArray]) -> BagLosses | None:
        """Return what one model a repeat loses on the folds of the first repeat, and what their average does.

        Before calibration, which is fitted to the average. None with one repeat, and for metrics that are no
        means over rows: of other repeats, predictions of several models would be pooled in a fold.
        """
        dataset, folds, metric = self._bench.dataset, self._bench.plan.folds, self._metric
        n_repeats = self._bench.plan.n_repeats
        is_mean = metric.judges_rows and dataset.slice_masks is None
        if n_repeats < 2 or metric.thresholds is not None or not is_mean:
            return None
        held_out = np.full((n_repeats, dataset.n_rows, *predictions[0].shape[1:]), np.nan)
        for fold, prediction in zip(folds, predictions, strict=True):
            held_out[fold.repeat, fold.test] = prediction
        power = 2 if metric.squared_scale else 1
        alone, averaged = [], []
        for fold in folds:
            if fold.repeat == 0:
                y, weights = dataset.targets(fold.test)
                rows = held_out[:, fold.test]
                alone.append(np.mean([metric.losses(y, each, weights)[0, 0] ** power for each in rows]))
                averaged.append(metric.losses(y, rows.mean(axis=0), weights)[0, 0] ** power)
        return BagLosses(n_repeats, tuple(map(float, alone)), tuple(map(float, averaged)))

    def _averaged(self, predictions: Sequence[FloatArray]) -> tuple[IntArray, FloatArray]:
        """Return rows that were held out, as many as say enough, and their mean predictions."""
        dataset, folds = self._bench.dataset, self._bench.plan.folds
        total = np.zeros((dataset.n_rows, *predictions[0].shape[1:]))
        count = np.zeros(dataset.n_rows)
        for fold, prediction in zip(folds, predictions, strict=True):
            if fold.repeat < self._n_averaged:
                total[fold.test] += prediction
                count[fold.test] += 1
        rows = np.flatnonzero(count)
        if len(rows) > CALIBRATION_ROWS:
            seed = child_seed(self._bench.seed, "calibration")
            rows = np.sort(np.random.default_rng(seed).choice(rows, CALIBRATION_ROWS, replace=False))
        return rows, total[rows] / count[rows].reshape(-1, *[1] * (total.ndim - 1))

    def _losses(self, predictions: Sequence[FloatArray]) -> FloatArray:
        losses = [
            self._metric.worst_loss(y, prediction, weights)
            for (y, weights), prediction in zip(self._judged, predictions, strict=True)
        ]
        return np.array(losses)
