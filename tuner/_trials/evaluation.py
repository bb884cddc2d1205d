"""Configuration + folds -> fold curves: all folds of a trial walk the path together.

At every path point all folds are scored, and the walk ends only when the mean curve of *each* fold's
others has passed its minimum by the family's patience. So every p_k is chosen on the same range of points
and no loss is ever carried forward. In a race the first folds walk ahead alone, one by one, to be compared;
what they passed is kept, and the others catch up. Folds too big to be held side by side walk the whole path
one after the other. One trial runs on one thread, on large tables on more: see `tuner._trials.bench`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tuner._decisions.objective import fold_mean, nested_scores, others_mean
from tuner._decisions.racing import Race
from tuner._metrics.metrics import Metric
from tuner._process.deadline import Stop, never
from tuner._records import Configuration, Curves, Scores
from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._trials.bench import Bench
from tuner._types import BoolArray, FloatArray
from tuner.exceptions import DeadlineReachedError, RaceLostError
from tuner.families import FAMILIES, Check, PathFit, Predictor, TogetherFamily

Shorten = Literal["never", "late", "always"]
LATE = 0.5  # of the path's points; on a path that grows by shares, most of what it can gain lies before
LEAST_GAIN = 1e-3  # of chance's loss; where classes are nearly told apart a guide falls by less for ever
MAX_BYTES_AHEAD = 2**26  # of predictions of folds that walk ahead; a trial needing more is not raced


@dataclass(frozen=True, kw_only=True, eq=False)
class Effort:
    """How far a trial goes, and what is kept of it; as it is, to the end of its path.

    Attributes
    ----------
    stop : callable
        Asked between the steps of every fit; True cancels the trial there.
    race : Race or None
        Against whom the first folds run; a trial that is not lost is scored as it is without a race.
    keep_models : bool
        Keep the fold models at the common path point.
    shorten : {"never", "late", "always"}
        Whether ``stop`` ends the path at the last point that all folds have passed: a shorter path, judged
        like any other. "late": where they have passed half of it side by side; "always": whatever it is, and
        the first point is reached first.
    n_points : int or None
        Points to look at, at most: what another plan looked at, so that this one costs what that one did.
    """

    stop: Stop = never
    race: Race | None = None
    keep_models: bool = False
    shorten: Shorten = "never"
    n_points: int | None = None


FULL = Effort()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One configuration on one fold plan.

    Attributes
    ----------
    predictions : tuple of n_folds arrays
        Predictions of each fold's held-out rows at p_k: probabilities as float32, values as float64.
    models : tuple of Predictor
        The fold models at the common path point, where they were asked for.
    fit_seconds : float
    shortened : bool
        Whether time ended the path, not its own curve.
    """

    curves: Curves
    scores: Scores
    predictions: tuple[FloatArray, ...]
    models: tuple[Predictor, ...]
    fit_seconds: float
    shortened: bool = False


def evaluate(configuration: Configuration, bench: Bench, effort: Effort = FULL) -> Evaluation:
    """Walk all folds along the path and score the configuration.

    Raises
    ------
    DeadlineReachedError
        If ``effort.stop`` says so and the path is not shortened.
    RaceLostError
        If the first folds are clearly behind.
    """
    started = time.perf_counter()
    walk = _Walk(configuration, bench, effort)
    if bench.walks_alone(walk.family, configuration.params):
        walk.fold_by_fold()
    elif effort.race is not None:
        walk.race(effort.race)
    walk.run()
    curves = walk.curves()
    scores = nested_scores(curves)
    models = walk.models(scores.path_point) if effort.keep_models else ()
    seconds = time.perf_counter() - started
    return Evaluation(curves, scores, walk.predictions(), models, seconds, walk.shortened)


class _PathEndedError(Exception):
    """A scorer refuses a fold's predictions, though it can score its rows: the path ends before them."""


class _Track:
    """One fold on the path: its fit and what was read from it."""

    def __init__(self, fit: PathFit, bench: Bench, index: int) -> None:
        fold = bench.plan.folds[index]
        judged = bench.dataset.judged
        self.fit = fit
        self.train: list[FloatArray] = []
        self.validation: list[FloatArray] = []
        self.guide: list[FloatArray] = self.validation if bench.metric.guide is None else []  # what chooses
        self._metric = bench.metric
        self._dtype = _kept_as(bench.dataset)
        self._y_train, self._w_train = judged(fold.train, held_out=fold.test)
        self._y_test, self._w_test = judged(fold.test)
        self.has_ended = False  # and the fit was let go
        self._keeps_predictors = False
        self.predictors: list[Predictor] = []  # of all points, where it was
        self._ahead: dict[int, FloatArray] = {}
        self._is_refused = False  # what comes next on the path

    def step(self, check: Check) -> FloatArray:
        """Go to the next point and return the held-out predictions there, as they are kept."""
        self.fit.advance(check)
        held_out = self.fit.validation_prediction()
        if not np.isfinite(held_out).all():
            raise FloatingPointError("non-finite predictions")
        loss = self._loss(self._y_test, held_out, self._w_test)
        self.train.append(self._loss(self._y_train, self.fit.train_prediction(), self._w_train))
        self.validation.append(loss)
        if self._metric.guide:
            self.guide.append(self._metric.guide.worst_loss(self._y_test, held_out, self._w_test))
        if self._keeps_predictors:
            self.predictors.append(self.fit.predictor(len(self.validation) - 1))
        return held_out.astype(self._dtype)

    def _loss(
        self, y: FloatArray, prediction: FloatArray, weights: FloatArray | BoolArray | None
    ) -> FloatArray:
        """Return the losses of predictions; where a scorer refuses them, the path ends or has no point."""
        loss = self._metric.worst_loss(y, prediction, weights)
        if np.isnan(loss).all() and (why := self._metric.refusal(y, prediction)):
            if not self.validation:
                raise FloatingPointError(f"the metric refuses the predictions ({why})")
            self._is_refused = True
            raise _PathEndedError
        return loss

    def run_alone(self, n_points: int, check: Check, *, keep_models: bool) -> None:
        """Walk the whole path and let the rows go; only what was read stays, and models where asked for."""
        self.has_ended = True
        self._keeps_predictors = keep_models
        try:
            self.run_ahead(n_points, n_points, check)
        finally:
            del self.fit

    def predictor(self, size: int) -> Predictor:
        """Return the model at a point passed."""
        return self.predictors[size] if self.predictors else self.fit.predictor(size)

    def run_ahead(self, n_points: int, patience: int, check: Check) -> float:
        """Walk alone until the fold's own curve has passed its minimum; return the loss there."""
        best, best_at, fallen, fallen_at = np.inf, 0, np.inf, 0
        for size in range(n_points):
            try:
                self._ahead[size] = self.step(check)
            except _PathEndedError:
                break
            guide = _smallest(self.guide[-1])
            if guide <= best:
                best, best_at = guide, size
            if _falls(self._metric, guide, fallen):
                fallen, fallen_at = guide, size
            if size - fallen_at >= patience:
                break
        loss = _smallest(self.validation[best_at])
        return loss if np.isfinite(loss) else np.nan

    def at(self, size: int, check: Check) -> FloatArray:
        """Return the held-out predictions at the next common point, reached now or passed before."""
        if size in self._ahead:
            return self._ahead.pop(size)
        if self._is_refused:
            raise _PathEndedError
        if self.has_ended:
            raise DeadlineReachedError("the path was ended before")
        return self.step(check)


class _Walk:
    """The folds of one trial, side by side on the path."""

    def __init__(self, configuration: Configuration, bench: Bench, effort: Effort) -> None:
        self._configuration = configuration
        self.family = FAMILIES[configuration.family]
        self._bench = bench
        self._effort = effort
        self._must_reach = effort.shorten == "always"  # the first point
        self._grid = self.family.path_values(configuration.params)[: effort.n_points]
        self._patience = self.family.patience(configuration.params)
        self._repeats = np.array([fold.repeat for fold in bench.plan.folds])
        self._tracks: list[_Track] = []
        self._together: tuple[PathFit, ...] = ()  # of a family that fits all folds at once
        self._n_passed = 0  # points, by all folds
        self.shortened = False
        self._best = np.full(len(self._repeats), np.inf)  # smallest mean loss of the other folds so far
        self._fallen = self._best.copy()  # where it last fell by so much
        self._last_fallen = np.zeros(len(self._repeats), dtype=int)  # the last point that was as good
        self._kept: list[FloatArray] = [np.empty(0)] * len(self._repeats)
        # Where later points rewrite earlier ones, models are taken whenever the common curve improves.
        self._snapshots = effort.keep_models and self.family.rewrites(configuration.params)
        self._models: tuple[Predictor, ...] = ()
        self._best_mean = np.inf

    def race(self, race: Race) -> None:
        """Walk the first folds one by one, as long as their predictions fit into memory and none is lost."""
        losses: list[float] = []
        for index in range(len(self._repeats) - 1):
            if self._bytes_ahead(index) > MAX_BYTES_AHEAD:
                break
            losses.append(self._track(index).run_ahead(len(self._grid), self._patience, self._check))
            if race.lost(losses):
                raise RaceLostError(tuple(losses), len(self._repeats))

    def fold_by_fold(self) -> None:
        """Walk each fold to the end of the path, then let its rows go."""
        self._tracks = [self._alone(index) for index in range(len(self._repeats))]

    def _alone(self, index: int) -> _Track:
        def check() -> None:
            if self._effort.stop() and not (self._must_reach and not track.validation):
                raise DeadlineReachedError(f"cut in fold {index}")

        if self._effort.stop() and not self._must_reach:
            raise DeadlineReachedError(f"cut before fold {index}")
        track = _Track(self._start(index), self._bench, index)
        try:
            track.run_alone(len(self._grid), check, keep_models=self._effort.keep_models)
        except DeadlineReachedError:
            if not self._must_reach:
                raise
        return track

    def run(self) -> None:
        """Walk all folds to the end that their common curves set, or to that of a shortened path."""
        for size in range(len(self._grid)):
            try:
                self._step(size)
            except DeadlineReachedError:
                is_late = self._effort.shorten == "late" and self._n_passed >= LATE * len(self._grid)
                if not (is_late or self._must_reach):
                    raise
                self.shortened = True
                break
            except _PathEndedError:
                break
            if size - self._last_fallen.max() >= self._patience:
                break

    def curves(self) -> Curves:
        """Return the losses of the points that all folds have passed."""
        n_points = self._n_passed
        return Curves(
            path_values=self._grid[:n_points],
            thresholds=self._bench.metric.thresholds,
            repeats=tuple(map(int, self._repeats)),
            train=tuple(_joined(track.train[:n_points]) for track in self._tracks),
            validation=tuple(_joined(track.validation[:n_points]) for track in self._tracks),
            guide=tuple(_joined(track.guide[:n_points]) for track in self._tracks)
            if self._bench.metric.guide
            else None,
        )

    def predictions(self) -> tuple[FloatArray, ...]:
        """Return each fold's held-out predictions at p_k."""
        return tuple(self._kept)

    def models(self, path_point: int) -> tuple[Predictor, ...]:
        """Return the fold models at the common point."""
        size = path_point // len(self._bench.metric.thresholds or (None,))
        return self._models or tuple(track.predictor(size) for track in self._tracks)

    def _check(self) -> None:
        is_needed = self._must_reach and not self._n_passed
        if self._effort.stop() and not is_needed:
            raise DeadlineReachedError(f"cut at path value {self._grid[self._n_passed]:g}")

    def _bytes_ahead(self, index: int) -> int:
        """Return what the predictions of the first folds may take, up to and with this one."""
        folds = self._bench.plan.folds[: index + 1]
        columns = self._bench.dataset.n_classes if self._bench.dataset.task == "multiclass" else 1
        size = np.dtype(_kept_as(self._bench.dataset)).itemsize
        return sum(len(fold.test) for fold in folds) * columns * len(self._grid) * size

    def _track(self, index: int) -> _Track:
        """Return a fold's track, begun on first use and in the order of folds."""
        if index == len(self._tracks):
            self._tracks.append(_Track(self._start_beside_others(index), self._bench, index))
        return self._tracks[index]

    def _start(self, index: int) -> PathFit:
        params = self._configuration.params
        return self.family.start(
            params, self._bench.prepared(self.family, params, index), seed=self._seed(index)
        )

    def _start_beside_others(self, index: int) -> PathFit:
        """Return a fold's fit; a family that fits all folds at once begins them all with the first one."""
        if not isinstance(self.family, TogetherFamily):
            return self._start(index)
        if not self._together:
            indices = range(len(self._repeats))
            params = self._configuration.params
            prepared = [self._bench.prepared(self.family, params, each) for each in indices]
            seeds = [self._seed(each) for each in indices]
            self._together = tuple(self.family.start_together(params, prepared, seeds))
        return self._together[index]

    def _seed(self, index: int) -> int:
        fold = self._bench.plan.folds[index]
        return child_seed(self._bench.seed, "fit", fold.repeat, fold.index)

    def _step(self, size: int) -> None:
        predictions = []
        for index in range(len(self._repeats)):
            self._check()
            try:
                predictions.append(self._track(index).at(size, self._check))
            except FloatingPointError as error:
                raise FloatingPointError(f"{error} at path value {self._grid[size]:g}") from error
        self._n_passed = size + 1
        self._remember(size, predictions)

    def _remember(self, size: int, predictions: list[FloatArray]) -> None:
        """Keep each fold's predictions at the point its other folds like best so far, or at the first."""
        if not size:
            self._kept = list(predictions)
        guide = np.array([track.guide[size] for track in self._tracks])
        elsewhere = others_mean(guide, self._repeats)
        reached = np.where(np.isfinite(elsewhere), elsewhere, np.inf).min(axis=1)
        falls = _falls(self._bench.metric, reached, self._fallen)
        self._fallen[falls], self._last_fallen[falls] = reached[falls], size
        for fold in np.flatnonzero(reached < self._best):
            self._best[fold] = reached[fold]
            self._kept[fold] = predictions[fold]
        mean = _smallest(fold_mean(guide))
        if self._snapshots and mean < self._best_mean:
            self._best_mean = mean
            self._models = tuple(track.predictor(size) for track in self._tracks)


def _kept_as(dataset: Dataset) -> type[np.floating[Any]]:
    """Return how predictions are kept: of values far from 0 single precision would keep too few digits."""
    return np.float64 if dataset.task == "regression" else np.float32


def _falls(metric: Metric, reached: FloatArray | float, fallen: FloatArray | float) -> Any:
    """Return whether what chooses falls from where it last fell to: the path has not turned.

    Nor has it on a plateau, as where a penalty is so strong that nothing enters.
    """
    least = LEAST_GAIN if metric.guide else 0.0
    return (reached <= fallen - least) | (reached == fallen)


def _smallest(losses: FloatArray) -> float:
    """Return the smallest finite loss; infinite where there is none."""
    return float(np.where(np.isfinite(losses), losses, np.inf).min())


def _joined(points: list[FloatArray]) -> tuple[float, ...]:
    return tuple(map(float, np.concatenate(points)))
