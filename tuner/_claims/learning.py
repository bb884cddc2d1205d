"""A few more fits of what is shipped: on fewer rows, on random folds, on groups left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event

import numpy as np

from tuner._finals.finals import Assembled, Finals
from tuner._finals.held_out import FoldScorer
from tuner._folds.splits import Fold, FoldPlan, can_train, folds_of
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline
from tuner._process.pool import cancellable_pool
from tuner._records import Configuration, GroupScores, LearningCurve, TrialRecord
from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._statistics.calibration import tempered
from tuner._trials.bench import Bench
from tuner._trials.evaluation import Effort, Evaluation
from tuner._trials.trials import Place, run_trial
from tuner._types import FloatArray, IntArray

SHARES = (0.25, 0.5)  # of the training rows
LEAST_ROWS = 20  # to train on
MAX_GROUPS = 10  # left out one by one; more are left out in so many parts
CAUTION = 1.2  # these fits may be dearer than the trial's


@dataclass(frozen=True)
class Probe:
    """Judges what is shipped on other folds of the same rows, within the time left.

    Attributes
    ----------
    winner : TrialRecord
        The search trial of the shipped configuration.
    finals : Finals
    shipped : Assembled
        The model of ``finals`` that is shipped.
    bench : Bench
        The choosing folds.
    """

    winner: TrialRecord
    finals: Finals
    shipped: Assembled
    bench: Bench
    settings: Settings
    deadline: Deadline

    def learning_curve(self) -> LearningCurve | None:
        """Return the losses of the shipped members on a quarter, a half and all of the training rows.

        At their shares and temperature, on the first repeat of the folds that elected: the same rows are
        tested, and nested parts of the training rows train, whole groups where there are some. None without
        time or rows enough.
        """
        plan = self.finals.plan
        parts = [tuple(self._part(fold, share) for fold in plan.first_folds) for share in SHARES]
        benches = [self._bench(FoldPlan(plan.kind, each, ())) for each in (*parts, plan.first_folds)]
        rows = [round(bench.plan.train_rows) for bench in benches]
        trains = all(self._can_train(bench.plan) for bench in benches)
        if not trains or len(set(rows)) < len(rows):  # a few large groups are no curve
            return None
        smaller = self._shipped_on(benches[:-1])
        if smaller is None:
            return None
        predictions = [*smaller, [self.shipped.held_out[position] for position in plan.first_repeat]]
        losses = [
            FoldScorer(bench, n_averaged=1).fold_losses(each)
            for bench, each in zip(benches, predictions, strict=True)
        ]
        return LearningCurve(tuple(rows), tuple(losses))

    def _shipped_on(self, benches: Sequence[Bench]) -> list[list[FloatArray]] | None:
        """Return what the shipped members, fitted again on each bench, predict of each of its folds."""
        finalists, weights = self.finals.finalists, self.shipped.shares
        members = [finalists[position] for position in weights]
        passes = sum(SHARES) / self.finals.plan.n_repeats
        made = self._judge(
            [(member.configuration, bench) for bench in benches for member in members],
            seconds=passes * sum(member.fit_seconds for member in members),
        )
        if made is None:
            return None
        temperature = self.shipped.model.temperature
        fitted = iter(made)
        return [
            [
                tempered(np.tensordot(list(weights.values()), of_fold, axes=1), temperature)
                for of_fold in zip(*(next(fitted).predictions for _ in members), strict=True)
            ]
            for _ in benches
        ]

    def groups(self) -> GroupScores | None:
        """Return the losses on groups left out, one by one or in ten parts, and on the same rows at random.

        Random folds are as many as parts, so that fits see about as many rows, and as little balanced: folds
        with balanced classes would know their share among the rows they test. Their predictions are scored on
        the rows of each part: parts differ in how hard they are, and ranks among several groups profit from
        what tells these apart.
        """
        dataset = self.bench.dataset
        if dataset.groups is None or dataset.time is not None:
            return None
        left_out = leave_groups_out(dataset, child_seed(self.settings.seed, "groups left out"))
        apart = np.arange(dataset.n_rows) if dataset.copies is None else dataset.copies
        random = leave_groups_out(
            replace(dataset, groups=apart),
            child_seed(self.settings.seed, "random folds"),
            n_parts=len(left_out.folds),
        )
        plans = (random, left_out)
        if not all(self._can_train(plan) for plan in plans):
            return None
        passes = sum(len(plan.folds) for plan in plans) / (self.settings.n_folds * self.settings.n_repeats)
        judged = self._judge(
            [(self.winner.configuration, self._bench(plan)) for plan in plans],
            seconds=passes * self.winner.fit_seconds,
        )
        if judged is None:
            return None
        at_random, whole = (each.predictions for each in judged)
        scorer = FoldScorer(self._bench(left_out), n_averaged=1)
        return GroupScores(
            scorer.fold_losses(_rearranged(at_random, random, left_out)), scorer.fold_losses(whole)
        )

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

    def _judge(
        self, wanted: Sequence[tuple[Configuration, Bench]], *, seconds: float
    ) -> list[Evaluation] | None:
        """Return what each configuration does on its bench; None if time is short or a fit fails.

        Parameters
        ----------
        seconds : float
            What all of it should take on one core.
        """
        n_workers = self.settings.n_jobs // self.bench.n_threads
        if CAUTION * seconds / min(n_workers, len(wanted)) > self.deadline.left:
            return None
        place, cancelled = Place(self.winner.study, "finalist"), Event()
        effort = Effort(stop=self.deadline.until(cancelled))

        def judge(configuration: Configuration, bench: Bench) -> Evaluation | None:
            return run_trial(configuration, bench, effort, place=place, number=0).evaluation

        with cancellable_pool(n_workers, "probe", cancelled) as pool:
            judged = list(pool.map(judge, *zip(*wanted, strict=True)))
        complete = [each for each in judged if each is not None]
        return complete if len(complete) == len(wanted) else None


def _rearranged(predictions: Sequence[FloatArray], plan: FoldPlan, other: FoldPlan) -> list[FloatArray]:
    """Return held-out predictions of a plan on the folds of another; both test every row once."""
    rows = np.concatenate([fold.test for fold in plan.folds])
    by_row = np.concatenate(predictions)[np.argsort(rows)]
    return [by_row[fold.test] for fold in other.folds]


def leave_groups_out(dataset: Dataset, seed: int, *, n_parts: int = MAX_GROUPS) -> FoldPlan:
    """Return folds that leave out one group each or, of more than ``n_parts``, so many parts of the groups.

    Groups left out one by one ask whether a model works at a site it never saw.
    """
    assert dataset.groups is not None  # asked by the caller
    _, groups = np.unique(dataset.groups, return_inverse=True)
    n_groups = int(groups.max()) + 1
    order: IntArray = np.random.default_rng(seed).permutation(n_groups)
    part = (order if n_groups > n_parts else np.arange(n_groups)) % n_parts
    return FoldPlan("groups", tuple(folds_of(part[groups])), ())
