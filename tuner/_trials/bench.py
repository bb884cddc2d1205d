"""What trials run on: a dataset and its folds, prepared once for all of them; threads a trial may use."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from search_spaces.augmentation import augmentation_of
from tuner._augmentation.augmentation import made_rows
from tuner._folds.splits import Fold, FoldPlan
from tuner._metrics.metrics import Metric
from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._types import Scalar
from tuner.families import Designs, Family, TrainingRows

CELLS_A_THREAD = 5_000_000  # below, two fits side by side do more than one fit on two threads
MAX_BYTES_HELD = 2**29  # of a family's prepared folds that each hold their rows as floats


def is_large(dataset: Dataset) -> bool:
    """Whether one trial may use several threads."""
    return dataset.n_rows * dataset.table.n_columns >= 2 * CELLS_A_THREAD


def threads_a_fit(dataset: Dataset, n_jobs: int) -> int:
    """Return how many of ``n_jobs`` threads one trial uses: one for every ``CELLS_A_THREAD`` of the table.

    Small fits run side by side, one thread each. On large tables fewer run at a time, on more threads each:
    as fast, a budget of few fits ends sooner, and less memory is held. No result depends on it.
    """
    wanted = min(n_jobs, max(1, dataset.n_rows * dataset.table.n_columns // CELLS_A_THREAD))
    return n_jobs // (n_jobs // wanted)


@dataclass(frozen=True, eq=False)
class Bench:
    """A dataset, its folds and the metric; prepared folds are made once and shared by all trials.

    Attributes
    ----------
    n_threads : int
        Threads of one trial.
    """

    dataset: Dataset
    plan: FoldPlan
    metric: Metric
    seed: int
    n_threads: int = 1
    _prepared: dict[Hashable, Any] = field(default_factory=dict)
    _designs: dict[int, Designs] = field(init=False, default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def prepared(self, family: Family, params: Mapping[str, Scalar], index: int) -> Any:
        """Return the prepared fold ``index``, made on first use.

        One at a time: a preparation is short beside a trial, and it copies the fold's rows. An augmented one
        belongs to its trial and is not held: no other is likely to want the same copies.
        """
        if augmentation_of(params):
            return self._prepare(family, params, index)
        key = (family.preparation_key(params), index)
        if key in self._prepared:
            return self._prepared[key]
        with self._lock:
            if key not in self._prepared:
                prepared = self._prepare(family, params, index)
                if self.walks_alone(family, params):
                    return prepared
                self._prepared[key] = prepared
            return self._prepared[key]

    def walks_alone(self, family: Family, params: Mapping[str, Scalar]) -> bool:
        """Whether prepared folds of the family are too big to be held: each walks alone and is let go."""
        return family.fold_bytes(self.dataset.table, params) * len(self.plan.folds) > MAX_BYTES_HELD

    def let_go(self) -> None:
        """Drop the prepared folds: no further trial is expected."""
        self._prepared.clear()
        self._designs.clear()

    def _prepare(self, family: Family, params: Mapping[str, Scalar], index: int) -> Any:
        fold = self.plan.folds[index]
        rows = training_rows(self.dataset, fold, self.metric, n_threads=self.n_threads)
        if not self.walks_alone(family, params):
            rows = replace(rows, designs=self._designs.setdefault(index, Designs()))
        rows = augmented(rows, params, seed=child_seed(self.seed, "augment", fold.repeat, fold.index))
        return family.prepare(params, rows, seed=child_seed(self.seed, "prepare", fold.repeat, fold.index))


def all_rows(dataset: Dataset, metric: Metric, *, n_threads: int = 1) -> TrainingRows:
    """Return all rows to train on; the first stands for the held-out ones, which nobody scores."""
    everything = Fold(0, 0, np.arange(dataset.n_rows), np.arange(1))
    return training_rows(dataset, everything, metric, n_threads=n_threads)


def training_rows(dataset: Dataset, fold: Fold, metric: Metric, *, n_threads: int = 1) -> TrainingRows:
    """Return the training rows and the held-out rows of a fold; held-out targets stay behind.

    Weights are 1 on average where there is one: what a row counts beside others is all that they say, and
    strengths of regularization are in rows.
    """
    y, weights = dataset.targets(fold.train)
    if weights is not None:
        weights = weights / weights.max()  # first: a sum of huge ones would overflow
        weights = weights / weights[weights > 0].mean()
    return TrainingRows(
        table=dataset.table.take(fold.train),
        y=y,
        weights=weights,
        validation=dataset.table.take(fold.test),
        task=dataset.task,
        n_classes=dataset.n_classes,
        absolute_error=metric.is_same_as("mae"),
        n_threads=n_threads,
        image_shape=dataset.schema.image_shape,
    )


def augmented(rows: TrainingRows, params: Mapping[str, Scalar], *, seed: int) -> TrainingRows:
    """Return the rows with the copies of the training rows that the configuration wants, if any."""
    chosen = augmentation_of(params)
    if not chosen:
        return rows
    made = made_rows(
        chosen,
        rows.table,
        rows.y,
        rows.weights,
        image_shape=rows.image_shape,
        has_classes=bool(rows.n_classes),
        seed=seed,
    )
    return replace(rows, made=made) if made.table.n_rows else rows
