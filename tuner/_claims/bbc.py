"""Bootstrap bias corrected cross-validation: the choice repeated on rows drawn again, judged on the rest.

References
----------
Tsamardinos, Greasidou, Borboudakis (2018), Bootstrapping the out-of-sample predictions for efficient
and accurate cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from tuner._claims.claims import Build, natural_estimate
from tuner._claims.estimate import LEVEL, Estimates, compare
from tuner._decisions.objective import fold_mean
from tuner._decisions.shares import blend_fits
from tuner._finals.held_out import fits_on
from tuner._metrics.metrics import Metric
from tuner._options.settings import Settings
from tuner._records import TrialRecord
from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._statistics.intervals import Interval, corrected_t, percentile
from tuner._trials.bench import Bench
from tuner._types import BoolArray, FloatArray, IntArray

N_BOOTSTRAPS = 300
N_PROBES = 30  # bootstraps that tell which trials the others can do without
REACH = 5.0  # standard deviations of a difference between two trials from bootstrap to bootstrap
MAX_CELLS = 2**23  # of bootstraps drawn at a time, in rows
SHARE_ROWS = 2_000  # shares are fitted to in a bootstrap: so many know a few numbers well enough
FEW_ROWS = 1_000  # crossfit costs little on
FEW_UNITS = 10  # groups: percentiles of bootstraps are too narrow below

Mixture = tuple[tuple[int, float], ...]  # positions of trials and their shares
Counts = IntArray | BoolArray
Part = tuple[FloatArray, FloatArray, FloatArray]  # targets, how often rows count, predictions


def bbc(
    trials: Sequence[TrialRecord],
    predictions: Mapping[int, tuple[FloatArray, ...]],
    bench: Bench,
    settings: Settings,
    *,
    default: int,
) -> Estimates:
    """Bootstrap bias corrected cross-validation over the held-out predictions of the search trials.

    Every bootstrap chooses on its in-bag rows as the search and the ensemble do: the trial with the smallest
    objective, the members beside it, their shares, the decision threshold. What it chose is scored on the
    rows left out; groups are drawn whole. What it estimates: the metric of the procedure at n(1 - 1/K) rows,
    choice included, each member a single fold model; what averaging these brings is not part of it. Members
    are chosen among all trials; those of the delivered model among ten finalists, again on fresh folds, and
    it may be tempered, which is not repeated: the estimate leans to the pessimistic side. It misleads where
    it `flatters`.

    Of a few groups a bootstrap often leaves out a single one, and percentiles end at the smallest and the
    largest group's loss: of two groups they hold the truth in half of all cases. Below ten groups no interval
    is narrower than that of a t test over their losses.

    The default is scored in the same bootstraps; whether tuning paid is judged by the paired differences. The
    rows left out are 1/e of all, so the interval of the difference is rather too wide.

    Metrics that are no means over rows, such as average precision, flatter on few rows: 1/e of a fold is left
    out of a bootstrap, and with a handful of positives that is one or two. How much shows in what is chosen
    on all rows, scored on the rows left out and on all; with a bias in proportion to 1 / rows, all still
    flatter by 1 / (e - 1) of the difference. Both are taken off. Average precision and F1 are scored on all
    folds together (`tuner._finals.together`).

    Parameters
    ----------
    predictions : mapping
        Held-out predictions of trials by number, one array a fold of ``bench``; trials without are left out.
    default : int
        Number of the named default's trial.
    """
    eligible = [trial for trial in trials if trial.number in predictions]
    replay = _Replay(eligible, predictions, bench, settings)
    draws = partial(_bootstrap_counts, bench.dataset, child_seed(settings.seed, "bbc"))
    replay.drop_beyond_reach(draws(N_PROBES))
    plain: Mixture = (([trial.number for trial in eligible].index(default), 1.0),)
    (chosen,) = replay.choose(replay.every_row)
    blocks, is_same = [], True
    for drawn in draws():
        mixtures = replay.choose(drawn)
        is_same = is_same and all(mixture == plain for mixture in mixtures)
        blocks.append([replay.losses(each, drawn, drawn == 0) for each in (mixtures, [plain] * len(drawn))])
    losses, default_losses = map(np.concatenate, zip(*blocks, strict=True))
    if not bench.metric.judges_rows:
        losses = losses + replay.flattery(chosen, draws())
        default_losses = default_losses + replay.flattery(plain, draws())
    power = 2 if bench.metric.squared_scale else 1
    of_units, default_of_units = (replay.losses_of_units(each) for each in (chosen, plain))
    train_rows = float(np.mean([len(fold.train) for fold in bench.plan.folds]))
    trained = f"trained on about {round(train_rows)} rows"
    what = "the procedure" if settings.final == "ensemble" else "the selected configuration"
    estimand = f"{what}, {trained}, choice among {len(eligible)} trials included"
    tuned, plainly = (
        natural_estimate(
            bench.metric,
            _interval(by_unit)(left_out.tolist(), level=LEVEL, squared=bench.metric.squared_scale),
            level=LEVEL,
            method="bbc",
            fold_losses=(),
            estimand=text,
        )
        for left_out, by_unit, text in (
            (losses, of_units, estimand),
            (default_losses, default_of_units, f"the default, {trained}"),
        )
    )
    return Estimates(
        tuned,
        plainly,
        compare(
            losses.tolist(),
            default_losses.tolist(),
            bench.metric,
            _interval(of_units**power - default_of_units**power),
            is_same=is_same,
        ),
        Build(train_rows, 1.0),
        apparent_loss=replay.apparent_loss(chosen),
        default_apparent_loss=replay.apparent_loss(plain),
    )


def _interval(of_units: FloatArray) -> Callable[..., Interval]:
    """Return what makes an interval of bootstrap losses, given those of single groups where they are few."""

    def interval(losses: Sequence[float], *, level: float, squared: bool = False) -> Interval:
        found = percentile(losses, level=level, squared=squared)
        if not len(of_units):
            return found
        least = corrected_t(of_units.tolist(), test_share=0.0, level=level, squared=squared)
        return Interval(found.value, min(found.low, least.low), max(found.high, least.high))

    return interval


def flatters(metric: Metric, n_rows: int) -> bool:
    """Whether bbc is no honest default: few rows, and a metric that is no mean over rows.

    Rows that choose and rows that judge trained each other's models: a pattern that both share by chance is
    chosen and then rewarded. Where labels are noise that moves ranks most: on 200 rows bbc held AUC .5 in 23
    of 28 runs, crossfit, whose models saw neither, in 54 of 56.
    """
    return not metric.judges_rows and n_rows <= FEW_ROWS


class _Replay:
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
            assert trial.scores is not None  # only complete trials have predictions
            losses = [
                self._metric.losses(y, prediction, drawn)[:, point % n_thresholds]
                for (y, drawn), prediction, point in zip(
                    folds, predictions, trial.scores.fold_points, strict=True
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

    def flattery(self, mixture: Mixture, draws: Iterable[IntArray]) -> float:
        """Return what rows left out of bootstraps flatter a metric that is no mean over rows: see `bbc`."""
        blocks = [self.losses([mixture] * len(drawn), self.every_row, drawn == 0) for drawn in draws]
        less = self.apparent_loss(mixture) - float(fold_mean(np.concatenate(blocks)))
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
        for mixture, rows in places.items():
            mixed = [self._mixed(mixture, index) for index in range(len(self._folds))]
            losses = self._scored(mixed, judged[rows])
            if losses.shape[1] > 1:
                chose = counts if len(counts) == 1 else counts[rows]
                best = np.argmin(fold_mean(self._fold_losses(mixed, chose)), axis=1)
                losses = np.take_along_axis(losses, np.broadcast_to(best, len(rows))[:, None], axis=1)
            found[rows] = losses[:, 0]
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


def _bootstrap_counts(dataset: Dataset, seed: int, n_bootstraps: int = N_BOOTSTRAPS) -> Iterator[IntArray]:
    """Draw how often each row is in each bootstrap, (n_bootstraps, n_rows) a block; groups whole."""
    generator = np.random.default_rng(seed)
    units = np.arange(dataset.n_rows) if dataset.units is None else _numbered(dataset.units)
    n_units = int(units.max()) + 1
    size = max(1, MAX_CELLS // dataset.n_rows)
    for start in range(0, n_bootstraps, size):
        block = np.empty((min(size, n_bootstraps - start), dataset.n_rows), dtype=np.uint16)
        for row in block:
            drawn = generator.integers(n_units, size=n_units)
            row[:] = np.bincount(drawn, minlength=n_units)[units]
        yield block


def _numbered(units: IntArray) -> IntArray:
    return np.unique(units, return_inverse=True)[1]
