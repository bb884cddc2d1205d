"""What held-out predictions say: how well they fit, at which threshold, how far to be tempered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner._decisions.objective import fold_mean
from tuner._decisions.shares import Fits, Kind
from tuner._finals.together import is_together, scored, together_loss
from tuner._metrics.metrics import Metric
from tuner._records import BagLosses
from tuner._seeds import child_seed
from tuner._statistics.calibration import choose_temperature, recalibration_gains, tempered
from tuner._statistics.intervals import pooled
from tuner._statistics.reliability import Reliability, reliability
from tuner._trials.bench import Bench
from tuner._types import FloatArray, IntArray

LOG_LOSS = "log_loss"  # what a temperature is fitted to; other metrics need not gain by it
CALIBRATION_ROWS = 20_000  # know a single number well enough


def fits_on(bench: Bench) -> Fits:
    """Return what members of an ensemble are compared by: likelihood on all rows, not the worst slice."""
    classes = bench.dataset.task != "regression"
    kind: Kind = "classes" if classes else "absolutes" if bench.metric.is_same_as("mae") else "squares"
    targets = [bench.dataset.targets(fold.test) for fold in bench.plan.folds]
    return Fits(targets, kind=kind, n_repeats=bench.plan.n_repeats)


class FoldScorer:
    """Loss of held-out predictions, fold by fold, then averaged: what elects is not pooled over fold models.

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
        self._judged = [bench.dataset.judged(fold.test) for fold in bench.plan.folds]

    def fold_losses(self, predictions: Sequence[FloatArray]) -> tuple[float, ...]:
        """Return the metric's loss of every fold at the best threshold."""
        losses = self._losses(predictions)
        return tuple(map(float, losses[:, int(np.argmin(fold_mean(losses)))]))

    def loss(
        self, predictions: Sequence[FloatArray], fold_losses: Sequence[float], threshold: float | None
    ) -> float:
        """Return what the estimate compares with: the mean of the folds, or all of a repeat together."""
        dataset, folds, metric = self._bench.dataset, self._bench.plan.folds, self._metric
        if not is_together(dataset, metric):
            return pooled(fold_losses, squared=metric.squared_scale)
        judged = [scored(each, threshold) for each in predictions]
        losses = [
            together_loss(dataset, metric, [folds[i].test for i in places], [judged[i] for i in places])
            for places in self._bench.plan.repeats
        ]
        return float(fold_mean(np.array(losses)))

    def threshold(self, predictions: Sequence[FloatArray]) -> float | None:
        """Return the decision threshold with the smallest mean loss; None without thresholds."""
        if self._metric.thresholds is None:
            return None
        return self._metric.thresholds[int(np.argmin(fold_mean(self._losses(predictions))))]

    def temperature(self, predictions: Sequence[FloatArray]) -> float:
        """Return what the logits are to be divided by; 1 for other metrics than log loss."""
        if not self._metric.is_same_as(LOG_LOSS):
            return 1.0
        dataset = self._bench.dataset
        rows, mean = self._averaged(predictions)
        y, weights = dataset.targets(rows)
        groups = None if dataset.units is None else dataset.units[rows]
        return choose_temperature(y, mean, weights, self._parts(rows), groups=groups)

    def reliability(self, predictions: Sequence[FloatArray], temperature: float) -> Reliability | None:
        """Return what held-out predictions say against what happened, in the units of the target.

        None for RMSLE and absolute errors: their predictions are no means, and means are what is compared.
        """
        dataset = self._bench.dataset
        if dataset.log_target or self._metric.is_same_as("mae"):
            return None
        rows, mean = self._averaged(predictions)
        y, weights = dataset.targets(rows)
        return reliability(y, tempered(mean, temperature), weights, classes=dataset.task != "regression")

    def calibration_gains(self, predictions: Sequence[FloatArray], temperature: float) -> tuple[float, ...]:
        """Return what recalibration would gain on each fold of the first repeat; nothing for a regression.

        Of predictions averaged as in a bag, and tempered: a single model is sharper than what is delivered.
        """
        dataset = self._bench.dataset
        if dataset.task == "regression":
            return ()
        rows, mean = self._averaged(predictions)
        y, weights = dataset.targets(rows)
        mean = np.asarray(tempered(mean, temperature), dtype=np.float64)
        parts = [
            (y[part], mean[part], None if weights is None else weights[part])
            for part in self._parts(rows)
            if len(part)
        ]
        return recalibration_gains(parts) if len(parts) > 1 else ()

    def bag(self, predictions: Sequence[FloatArray]) -> BagLosses | None:
        """Return what one model a repeat loses on the folds of the first repeat, and what their average does.

        Before calibration, which is fitted to the average. None with one repeat, and for metrics that are no
        means over rows: of other repeats, predictions of several models would be pooled in a fold.
        """
        dataset, plan, metric = self._bench.dataset, self._bench.plan, self._metric
        n_repeats = plan.n_repeats
        is_mean = metric.judges_rows and dataset.slice_masks is None
        if n_repeats < 2 or metric.thresholds is not None or not is_mean:
            return None
        held_out = np.full((n_repeats, dataset.n_rows, *predictions[0].shape[1:]), np.nan)
        for fold, prediction in zip(plan.folds, predictions, strict=True):
            held_out[fold.repeat, fold.test] = prediction
        alone, averaged = [], []
        for fold in plan.first_folds:
            y, weights = dataset.targets(fold.test)
            rows = held_out[:, fold.test]
            alone.append(np.mean([metric.losses(y, each, weights)[0, 0] ** metric.power for each in rows]))
            averaged.append(metric.losses(y, rows.mean(axis=0), weights)[0, 0] ** metric.power)
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

    def _parts(self, rows: IntArray) -> list[IntArray]:
        """Return where those of the rows lie that each fold of the first repeat tests."""
        return [np.flatnonzero(np.isin(rows, fold.test)) for fold in self._bench.plan.first_folds]

    def _losses(self, predictions: Sequence[FloatArray]) -> FloatArray:
        losses = [
            self._metric.worst_loss(y, prediction, weights)
            for (y, weights), prediction in zip(self._judged, predictions, strict=True)
        ]
        return np.array(losses)
