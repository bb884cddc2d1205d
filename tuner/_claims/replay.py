"""The choice repeated on other counts of the rows: what had been chosen, and what it had lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tuner._decisions.objective import fold_mean
from tuner._decisions.shares import blend_fits
from tuner._finals.held_out import fits_on
from tuner._options.settings import Settings
from tuner._records import TrialRecord
from tuner._trials.bench import Bench
from tuner._types import BoolArray, FloatArray, IntArray

REACH = 5.0  # standard deviations of a difference between two trials from bootstrap to bootstrap
SHARE_ROWS = 2_000  # shares are fitted to in a bootstrap: so many know a few numbers well enough
FEW_UNITS = 10  # groups: percentiles of bootstraps are too narrow below

Mixture = tuple[tuple[int, float], ...]  # positions of trials and their shares
Counts = IntArray | BoolArray
Part = tuple[FloatArray, FloatArray, FloatArray]  # targets, how often rows count, predictions


class Replay:
    """What would have been chosen, and what it would have lost, had the rows been drawn otherwise."""

    def __init__(
        self,
        trials: Sequence[TrialRecord],
        predictions: Mapping[int, tuple[FloatArray, ...]],
        bench: Bench,
        settings: Settings,
    ) -> None:
        self._trials = trials
        self._predictions = [predictions[trial.number] for trial in trials]
        self._families = [trial.configuration.family for trial in trials]
        self._units = bench.dataset.units
        self._folds = [(fold.test, *bench.dataset.targets(fold.test)) for fold in bench.plan.folds]
        self._repeats = bench.plan.repeats
        self._metric = bench.metric
        self.every_row = np.ones((1, bench.dataset.n_rows), dtype=bool)
        self._max_members = settings.max_members
        self._is_mixed = settings.final == "ensemble"
        self._fits = fits_on(bench).thinned(SHARE_ROWS)
        self._fitted = np.stack([self._fits.of(folds) for folds in self._predictions])
        self._n_workers = settings.n_jobs
        self._contenders = list(range(len(trials)))

    def drop_beyond_reach(self, draws: Iterable[IntArray]) -> None:
        """Score those trials alone, from now on, that might be elected: most of the work on large tables."""
        self._contenders = within_reach(np.concatenate([self._searched(drawn) for drawn in draws], axis=1))

    def choose(self, counts: Counts) -> list[Mixture]:
        """Return what is chosen under each count of the rows, of shape (n_counts, n_rows)."""
        elected = [self._contenders[best] for best in np.argmin(self._searched(counts), axis=0)]
        if not self._is_mixed:
            return [((position, 1.0),) for position in elected]
        held_out = counts[:, np.concatenate([test for test, _, _ in self._folds])]
        return [self._mixture(*each) for each in zip(elected, held_out, strict=True)]

    def _mixture(self, elected: int, count: Counts) -> Mixture:
        fits = self._fits.drawn(count)
        found = blend_fits(fits, self._fitted, self._families, elected=elected, max_members=self._max_members)
        return tuple((position, share) for position, share in enumerate(found.weights) if share > 0)

    def _searched(self, counts: Counts) -> FloatArray:
        """Return the contenders' objectives as the search scores them, each fold at its own path point."""
        n_thresholds = len(self._metric.thresholds or (None,))
        folds = list(self._weighed(counts))

        def objective(position: int) -> FloatArray:
            trial, predictions = self._trials[position], self._predictions[position]
            losses = [
                self._metric.losses(y, prediction, drawn)[:, point % n_thresholds]
                for (y, drawn), prediction, point in zip(
                    folds, predictions, trial.known_scores.fold_points, strict=True
                )
            ]
            return fold_mean(np.stack(losses)) + (trial.gap_penalty or 0.0)

        with ThreadPoolExecutor(self._n_workers, thread_name_prefix="bbc") as pool:
            objectives = np.stack(list(pool.map(objective, self._contenders)))
        return np.where(np.isfinite(objectives), objectives, np.inf)

    def apparent_loss(self, mixture: Mixture) -> float:
        """Return the loss on all rows, at the threshold that is best on them."""
        return float(self.losses([mixture], self.every_row, self.every_row)[0])

    def losses_of_units(self, mixture: Mixture) -> FloatArray:
        """Return the loss on each group (or row and its copies) where there are few; else none."""
        if self._units is None or len(names := np.unique(self._units)) >= FEW_UNITS:
            return np.empty(0)
        of_each: BoolArray = np.equal(self._units, names[:, np.newaxis])
        return self.losses([mixture] * len(names), self.every_row, of_each)

    def fixed_losses(self, mixture: Mixture, judged: Counts) -> FloatArray:
        """Return the loss of one mixture on the rows that judge it; none where `flattery` needs none.

        At the threshold that is best on all rows.
        """
        if self._metric.judges_rows:
            return np.empty(0)
        return self.losses([mixture] * len(judged), self.every_row, judged)

    def flattery(self, mixture: Mixture, left_out: FloatArray) -> float:
        """Return what rows left out of bootstraps flatter a metric that is no mean over rows.

        See `tuner._claims.bbc.bbc`; ``left_out`` are the mixture's `fixed_losses` on them.
        """
        less = self.apparent_loss(mixture) - float(fold_mean(left_out))
        return less * (1 + 1 / (np.e - 1))

    def losses(self, mixtures: Sequence[Mixture], counts: Counts, judged: Counts) -> FloatArray:
        """Return the mean loss of every mixture on the rows that judge it, of shape (n_mixtures,).

        At the threshold that is best on the rows that chose it. Counts and judged are of shape
        (n_mixtures, n_rows), counts also (1, n_rows): the same rows chose every one.
        """
        found = np.empty(len(mixtures))
        places: dict[Mixture, list[int]] = {}
        for place, mixture in enumerate(mixtures):
            places.setdefault(mixture, []).append(place)

        def of_one(mixture: Mixture) -> FloatArray:
            rows = places[mixture]
            mixed = [self._mixed(mixture, index) for index in range(len(self._folds))]
            losses = self._scored(mixed, judged[rows])
            if losses.shape[1] > 1:
                chose = counts if len(counts) == 1 else counts[rows]
                best = np.argmin(fold_mean(self._fold_losses(mixed, chose)), axis=1)
                losses = np.take_along_axis(losses, np.broadcast_to(best, len(rows))[:, None], axis=1)
            return losses[:, 0]

        with ThreadPoolExecutor(self._n_workers, thread_name_prefix="bbc") as pool:
            for rows, losses in zip(places.values(), pool.map(of_one, places), strict=True):
                found[rows] = losses
        return found

    def _mixed(self, mixture: Mixture, fold: int) -> FloatArray:
        return np.asarray(sum(share * self._predictions[member][fold] for member, share in mixture))

    def _scored(self, mixed: Sequence[FloatArray], counts: Counts) -> FloatArray:
        """Return mean losses of one mixture (RMSE: of squares), of shape (n_counts, n_thresholds)."""
        losses = self._fold_losses(mixed, counts, together=self._metric.is_ratio)
        # Roots over the few rows left out of a bootstrap are too small on average, squares are not.
        return np.sqrt(fold_mean(losses**2)) if self._metric.squared_scale else fold_mean(losses)

    def _fold_losses(
        self, mixed: Sequence[FloatArray], counts: Counts, *, together: bool = False
    ) -> FloatArray:
        """Return losses of every fold, or of every repeat, of shape (n_folds, n_counts, n_thresholds)."""
        parts: Iterable[Part] = (
            (y, drawn, prediction)
            for (y, drawn), prediction in zip(self._weighed(counts), mixed, strict=True)
        )
        if together:
            folds = list(parts)
            parts = (_together([folds[place] for place in places]) for places in self._repeats)
        return np.stack([self._metric.losses(y, prediction, drawn) for y, drawn, prediction in parts])

    def _weighed(self, counts: Counts) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield each fold's targets, and how much its rows count, the user's weights included."""
        for test, y, weights in self._folds:
            yield y, counts[:, test] * (1.0 if weights is None else weights)


def _together(folds: Sequence[Part]) -> Part:
    y, counts, predictions = zip(*folds, strict=True)
    return np.concatenate(y), np.concatenate(counts, axis=1), np.concatenate(predictions)


def within_reach(objectives: FloatArray) -> list[int]:
    """Return which trials may have the smallest objective in a bootstrap, of (n_trials, n_bootstraps).

    All but those that lie above the best on average by more than `REACH` standard deviations of the
    difference: were it normal, one of three million bootstraps would miss its choice.
    """
    best = int(np.argmin(objectives.mean(axis=1)))
    with np.errstate(invalid="ignore"):  # infinite where no fold can be scored: nothing is known of a trial
        above = objectives - objectives[best]
        is_behind = above.mean(axis=1) > REACH * above.std(axis=1, ddof=1)
    return np.flatnonzero(~is_behind).tolist()
