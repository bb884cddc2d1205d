"""Configuration + folds -> fold curves: all folds of a trial walk the path together.

At every path point all folds are scored, and the walk ends only when the mean curve of *each* fold's
others has passed its minimum by the family's patience. So every p_k is chosen on the same range of points
and no loss is ever carried forward. One trial runs on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from tuner._data import Dataset
from tuner._metrics import Metric
from tuner._objective import nested_scores, others_mean
from tuner._records import Configuration, Curves, Scores
from tuner._seeds import child_seed
from tuner._splits import Fold, FoldPlan
from tuner._types import FloatArray, Scalar
from tuner.exceptions import DeadlineReachedError
from tuner.families import FAMILIES, Family, PathFit, Predictor, TrainingRows


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, or none."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline ``seconds`` from now; None: no deadline."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left; infinite without a deadline."""
        return np.inf if self.at is None else self.at - time.monotonic()

    @property
    def reached(self) -> bool:
        """Whether the moment has passed."""
        return self.left <= 0

    def earlier(self, seconds: float) -> Deadline:
        """Return the deadline ``seconds`` before this one."""
        return self if self.at is None else Deadline(self.at - seconds)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One configuration on one fold plan.

    Attributes
    ----------
    predictions : tuple of n_folds arrays (float32)
        Predictions of each fold's held-out rows at p_k.
    models : tuple of Predictor
        The fold models at the common path point, where they were asked for.
    fit_seconds : float
    """

    curves: Curves
    scores: Scores
    predictions: tuple[FloatArray, ...]
    models: tuple[Predictor, ...]
    fit_seconds: float


@dataclass(frozen=True, eq=False)
class Bench:
    """A dataset, its folds and the metric; prepared folds are made once and shared by all trials."""

    dataset: Dataset
    plan: FoldPlan
    metric: Metric
    seed: int
    _prepared: dict[Hashable, Any] = field(default_factory=dict)
    _locks: dict[Hashable, Lock] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def prepared(self, family: Family, params: Mapping[str, Scalar], index: int) -> Any:
        """Return the prepared fold ``index``, made on first use; threads that want the same one wait."""
        key = (family.preparation_key(params), index)
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            if key not in self._prepared:
                fold = self.plan.folds[index]
                rows = training_rows(self.dataset, fold, self.metric)
                seed = child_seed(self.seed, "prepare", fold.repeat, fold.index)
                self._prepared[key] = family.prepare(params, rows, seed=seed)
            return self._prepared[key]


def training_rows(dataset: Dataset, fold: Fold, metric: Metric) -> TrainingRows:
    """Return the training rows and the held-out rows of a fold; held-out targets stay behind."""
    y, weights = dataset.targets(fold.train)
    return TrainingRows(
        table=dataset.table.take(fold.train),
        y=y,
        weights=weights,
        validation=dataset.table.take(fold.test),
        task=dataset.task,
        n_classes=dataset.n_classes,
        absolute_error=metric.name == "mae",
    )


def evaluate(
    configuration: Configuration,
    bench: Bench,
    *,
    deadline: Deadline | None = None,
    keep_models: bool = False,
) -> Evaluation:
    """Walk all folds along the path and score the configuration.

    Raises
    ------
    DeadlineReachedError
        If the time is over between two path points.
    """
    started = time.perf_counter()
    walk = _Walk(configuration, bench)
    walk.run(deadline or Deadline())
    curves = walk.curves()
    scores = nested_scores(curves)
    models = walk.models(scores.path_point) if keep_models else ()
    return Evaluation(curves, scores, walk.predictions(), models, time.perf_counter() - started)


class _Walk:
    """The folds of one trial, side by side on the path."""

    def __init__(self, configuration: Configuration, bench: Bench) -> None:
        self._family = FAMILIES[configuration.family]
        self._bench = bench
        self._folds = bench.plan.folds
        self._grid = self._family.path_values(configuration.params)
        self._repeats = np.array([fold.repeat for fold in self._folds])
        self._fits: list[PathFit] = [
            self._family.start(
                configuration.params,
                bench.prepared(self._family, configuration.params, index),
                seed=child_seed(bench.seed, "fit", fold.repeat, fold.index),
            )
            for index, fold in enumerate(self._folds)
        ]
        targets = bench.dataset.targets
        self._targets = [targets(fold.train) + targets(fold.test) for fold in self._folds]
        self._train: list[FloatArray] = []
        self._validation: list[FloatArray] = []
        self._best = np.full(len(self._folds), np.inf)  # smallest mean loss of the other folds so far
        self._last_best = np.zeros(len(self._folds), dtype=int)  # the last point that was as good
        self._patience = self._family.patience(configuration.params)
        self._kept: list[FloatArray] = [np.empty(0)] * len(self._folds)

    def run(self, deadline: Deadline) -> None:
        for size in range(len(self._grid)):
            if deadline.reached:
                raise DeadlineReachedError(f"cut at path value {self._grid[size]:g}")
            self._step(size)
            if size - self._last_best.max() >= self._patience:
                break

    def curves(self) -> Curves:
        thresholds = self._bench.metric.thresholds
        return Curves(
            path_values=self._grid[: len(self._validation)],
            thresholds=thresholds,
            repeats=tuple(map(int, self._repeats)),
            train=_rows(np.concatenate(self._train, axis=1)),
            validation=_rows(np.concatenate(self._validation, axis=1)),
        )

    def predictions(self) -> tuple[FloatArray, ...]:
        return tuple(self._kept)

    def models(self, path_point: int) -> tuple[Predictor, ...]:
        size = path_point // len(self._bench.metric.thresholds or (None,))
        return tuple(fit.predictor(size) for fit in self._fits)

    def _step(self, size: int) -> None:
        train, validation, predictions = [], [], []
        losses = self._bench.metric.losses
        for fit, (y_train, w_train, y_test, w_test) in zip(self._fits, self._targets, strict=True):
            fit.advance()
            held_out = fit.validation_prediction()
            if not np.isfinite(held_out).all():
                raise FloatingPointError(f"non-finite predictions at path value {self._grid[size]:g}")
            train.append(losses(y_train, fit.train_prediction(), w_train)[0])
            validation.append(losses(y_test, held_out, w_test)[0])
            predictions.append(held_out)
        self._train.append(np.array(train))
        self._validation.append(np.array(validation))
        self._remember(size, predictions)

    def _remember(self, size: int, predictions: list[FloatArray]) -> None:
        """Keep each fold's predictions at the point its other folds like best so far."""
        elsewhere = others_mean(self._validation[-1], self._repeats)
        reached = np.where(np.isfinite(elsewhere), elsewhere, np.inf).min(axis=1)
        # A plateau (a penalty so strong that nothing enters) is no sign that the path has turned.
        self._last_best[(reached <= self._best)] = size
        for fold in np.flatnonzero(reached < self._best):
            self._best[fold] = reached[fold]
            self._kept[fold] = predictions[fold].astype(np.float32)


def _rows(losses: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in losses)
