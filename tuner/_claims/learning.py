"""A few more fits of the winner's configuration: on fewer rows, on random folds, on groups left out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from tuner._folds.splits import Fold, FoldPlan, can_train, plan_choosing
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline
from tuner._records import GroupScores, LearningCurve, TrialRecord
from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._trials.bench import Bench
from tuner._trials.trials import Place, run_trial
from tuner._types import IntArray

SHARES = (0.25, 0.5, 0.75)  # of the training rows
LEAST_ROWS = 20  # to train on
MAX_GROUPS = 10  # left out one by one; more are left out in so many parts
CAUTION = 1.2  # these fits may be dearer than the trial's


@dataclass(frozen=True)
class Probe:
    """Judges the winner's configuration on other folds of the same rows, within the time left.

    Attributes
    ----------
    winner : TrialRecord
        A complete search trial.
    bench : Bench
        The choosing folds.
    """

    winner: TrialRecord
    bench: Bench
    settings: Settings
    deadline: Deadline

    def learning_curve(self) -> LearningCurve | None:
        """Return the losses on a quarter, a half, three quarters and all of the training rows.

        The folds are those of the search's first repeat: the same rows are tested, and nested parts of the
        training rows train, whole groups where there are some. None without time or rows enough.
        """
        plan, scores = self.bench.plan, self.winner.scores
        positions = [place for place, fold in enumerate(plan.folds) if fold.repeat == 0]
        folds = [plan.folds[place] for place in positions]
        plans = [replace(plan, folds=tuple(self._part(fold, share) for fold in folds)) for share in SHARES]
        parts = [*(each.folds for each in plans), folds]
        rows = [round(float(np.mean([len(fold.train) for fold in part]))) for part in parts]
        trains = all(self._can_train(each) for each in plans)
        if scores is None or not trains or len(set(rows)) < len(rows):  # a few large groups are no curve
            return None
        judged = self._judge([self._bench(each) for each in plans], cost=sum(SHARES))
        if judged is None:
            return None
        losses = [*judged, tuple(scores.fold_losses[place] for place in positions)]
        return LearningCurve(tuple(rows), tuple(losses))

    def groups(self) -> GroupScores | None:
        """Return the losses on random folds and on groups left out, one by one or in ten parts."""
        dataset = self.bench.dataset
        if dataset.groups is None or dataset.time is not None:
            return None
        seed = child_seed(self.settings.seed, "random folds")
        n_folds = self.settings.n_folds
        ungrouped = replace(dataset, groups=None)
        random = plan_choosing(ungrouped, n_folds=n_folds, n_repeats=1, seed=seed)
        left_out = leave_groups_out(dataset, child_seed(self.settings.seed, "groups left out"))
        if not self._can_train(left_out):
            return None
        cost = (len(random.folds) + len(left_out.folds)) / n_folds
        judged = self._judge([self._bench(random), self._bench(left_out)], cost=cost)
        return None if judged is None else GroupScores(*judged)

    def _part(self, fold: Fold, share: float) -> Fold:
        """Return the fold with a share of its training rows; larger shares hold smaller ones."""
        units = self.bench.dataset.units
        keys = fold.train if units is None else units[fold.train]
        _, codes = np.unique(keys, return_inverse=True)
        rng = np.random.default_rng(child_seed(self.settings.seed, "learning", fold.index))
        order = rng.permutation(codes.max() + 1)[codes]
        return replace(fold, train=fold.train[order < share * (codes.max() + 1)])

    def _can_train(self, plan: FoldPlan) -> bool:
        return all(
            len(fold.train) >= LEAST_ROWS and can_train(self.bench.dataset, fold) for fold in plan.folds
        )

    def _bench(self, plan: FoldPlan) -> Bench:
        return Bench(self.bench.dataset, plan, self.bench.metric, self.bench.seed, self.bench.n_threads)

    def _judge(self, benches: Sequence[Bench], *, cost: float) -> list[tuple[float, ...]] | None:
        """Return each plan's fold losses; None if time is short or a fit fails. ``cost`` is in trials."""
        seconds = CAUTION * cost * self.winner.fit_seconds / self.settings.n_repeats
        n_workers = self.settings.n_jobs // self.bench.n_threads
        if seconds / min(n_workers, len(benches)) > self.deadline.left:
            return None
        place = Place(self.winner.study, "finalist")

        def judge(bench: Bench) -> tuple[float, ...] | None:
            trial = run_trial(
                self.winner.configuration, bench, place=place, number=0, stop=self.deadline.stop
            )
            return None if trial.record.scores is None else trial.record.scores.fold_losses

        with ThreadPoolExecutor(n_workers, thread_name_prefix="probe") as pool:
            judged = list(pool.map(judge, benches))
        complete = [losses for losses in judged if losses is not None]
        return complete if len(complete) == len(benches) else None


def leave_groups_out(dataset: Dataset, seed: int) -> FoldPlan:
    """Return folds that leave out one group each or, of many, a tenth of the groups.

    Groups left out one by one ask whether a model works at a site it never saw.
    """
    assert dataset.groups is not None  # asked by the caller
    _, groups = np.unique(dataset.groups, return_inverse=True)
    n_groups = int(groups.max()) + 1
    order: IntArray = np.random.default_rng(seed).permutation(n_groups)
    part = (order if n_groups > MAX_GROUPS else np.arange(n_groups)) % MAX_GROUPS
    fold_of = part[groups]
    folds = tuple(
        Fold(0, index, np.flatnonzero(fold_of != index), np.flatnonzero(fold_of == index))
        for index in range(int(fold_of.max()) + 1)
    )
    return FoldPlan("groups", folds, ())
