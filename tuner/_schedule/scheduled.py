"""A job beside its registry: the rows the champion has not seen, and whether they moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import time

import numpy as np
import pandas as pd

from tuner._jobs.file import Job, load_job
from tuner._jobs.table import JobRows, read_raw_rows
from tuner._model import Delivered
from tuner._movement.movement import Movement, check_schema, measure_movement
from tuner._movement.reference import Reference
from tuner._options.config import TuningConfig
from tuner._rows.data import Dataset
from tuner._rows.slices import check_slices, with_slices
from tuner._schedule.contest import group_blocks, loss_interval, time_blocks
from tuner._schedule.contestants import Truth, contestant, labels_of, truth_of
from tuner._schedule.window import newest, oldest_first
from tuner._statistics.intervals import Interval
from tuner._tracking.registry import Registry, Version
from tuner._types import BoolArray, IntArray
from tuner.exceptions import InputError
from tuner.jobs import job_config


@dataclass(frozen=True, eq=False)
class ScheduledRows:
    """All rows of a job at the time of the call.

    Attributes
    ----------
    labelled : JobRows
    dataset : Dataset
        The same rows, encoded.
    unlabelled : DataFrame
        Features of the rows whose target is not known yet.
    """

    labelled: JobRows
    dataset: Dataset
    unlabelled: pd.DataFrame

    def newest(self, n_rows: int | None) -> IntArray:
        """Return the labelled rows of a window that ends now; None: all."""
        return newest(self.dataset.time, self.dataset.n_rows, n_rows)


def read_scheduled(job: Job) -> ScheduledRows:
    """Load a job's rows; those without a target are set apart."""
    rows = read_raw_rows(job)
    labelled = rows.labelled()
    return ScheduledRows(labelled, labelled.dataset(job.data.task), rows.features[rows.target.isna()])


@dataclass(frozen=True, eq=False)
class Scheduled:
    """A job with its rows and its registry."""

    job: Job
    config: TuningConfig
    rows: ScheduledRows
    registry: Registry

    @property
    def dataset(self) -> Dataset:
        """The labelled rows, encoded."""
        return self.rows.dataset

    @cached_property
    def sliced(self) -> Dataset:
        """The labelled rows with their slices, where the loss of the worst one counts."""
        if self.config.aggregate == "mean":
            return self.dataset
        check_slices(self.dataset, self.config.slices)
        return with_slices(self.dataset, self.config.slices, n_folds=1)

    def truth(self, models: Sequence[Delivered]) -> Truth:
        """Return what is known of the labelled rows, in the words of all models."""
        return truth_of(self.sliced, self.config.metric, models)  # type: ignore[arg-type]

    @property
    def features(self) -> pd.DataFrame:
        """The labelled rows' features, as the table holds them."""
        return self.rows.labelled.features


@dataclass(frozen=True, eq=False)
class Champion:
    """The version that predicts, what it remembers, and itself where it can predict the rows."""

    version: Version
    reference: Reference
    model: Delivered | None


def checked_job(
    path: str | Path, overrides: Sequence[str], *, needs_store: bool = True
) -> tuple[Job, TuningConfig]:
    """Load a job that can be retuned: it has a registered model and, where it is written to, a store.

    Raises
    ------
    InputError
        If it has not.
    """
    job = load_job(path, overrides)
    wanted = {"tracking.register_as": job.tracking.register_as}
    if needs_store:
        wanted["storage.url"] = job.storage.url
    for name, value in wanted.items():
        if value is None:
            section, _, leaf = name.partition(".")
            example = '"churn"' if leaf == "register_as" else '"sqlite:///tuner.db"'
            raise InputError(
                f"A job that is retuned must have `{name}`.",
                "a file without it",
                f"Write `{leaf} = {example}` under [{section}].",
            )
    return job, job_config(job)


def open_registry(job: Job, config: TuningConfig) -> Registry:
    """Open the registry that a job names."""
    return Registry(config.tracking_uri, str(job.tracking.register_as), config.experiment_name or job.name)


def load_champion(scheduled: Scheduled, version: Version) -> Champion:
    """Load a version with what it remembers, and itself where it can predict the rows.

    Raises
    ------
    InputError
        If it is about another task, or remembers nothing.
    """
    registry = scheduled.registry
    reference = registry.reference(version)
    if (reference.target.kind == "numeric") != (scheduled.dataset.task == "regression"):
        raise InputError(
            "Champion and job must be about one task.",
            f"a {reference.target.kind} target at version {version.number}, {scheduled.dataset.task} now",
            "Set `data.task`, or choose another `tracking.register_as`.",
        )
    findings = check_schema(reference, scheduled.features, scheduled.dataset.schema.columns)
    blocked = any(each.severity == "error" for each in findings)
    return Champion(version, reference, None if blocked else registry.model(version))


def unseen_rows(champion: Champion, scheduled: Scheduled) -> BoolArray:
    """Return which rows the champion has not seen: later ones, else those it does not know again.

    A row is known by its hash. Rows that are alike are counted: the first of them in the table have been
    seen, as many as there were.
    """
    dataset, reference = scheduled.dataset, champion.reference
    if reference.cut is not None and dataset.time is not None:
        return np.asarray(dataset.time > reference.cut)
    if champion.model is None:  # no row can be known again: those beyond the number there was are new
        return np.arange(dataset.n_rows) >= len(reference.hashes)
    hashes = pd.Series(reference.hash(scheduled.features, scheduled.rows.labelled.target))
    n_seen = hashes.map(pd.Series(reference.hashes).value_counts()).fillna(0)
    return np.asarray(hashes.groupby(hashes).cumcount() >= n_seen)


def judge_champion(scheduled: Scheduled, champion: Champion, is_new: BoolArray) -> Movement:
    """Say what moved on the rows the champion has not seen.

    Where too few of them have labels, those without are looked at as well, and the loss is left out.
    """
    dataset, retune = scheduled.dataset, scheduled.job.retune
    order = oldest_first(dataset.time, dataset.n_rows)
    new = order[is_new[order]]
    features = scheduled.features.iloc[new]
    n_unlabelled = len(scheduled.rows.unlabelled)
    has_labels = len(new) >= retune.min_rows
    everything = scheduled.features
    if not has_labels:
        features = pd.concat([features, scheduled.rows.unlabelled])
        everything = pd.concat([everything, scheduled.rows.unlabelled])
    schema = tuple(check_schema(champion.reference, everything, dataset.schema.columns))
    if len(features) < retune.min_rows:
        return Movement(schema, n_new_rows=len(new), n_unlabelled=n_unlabelled, is_judged=False)
    loss, promised, labels = _judged(scheduled, champion, new) if has_labels else (None, None, [])
    return measure_movement(
        champion.reference,
        features,
        loss=loss,
        promised=promised,
        new_labels=labels,
        age_days=(time() - champion.reference.made) / 86_400,
        max_age_days=retune.max_age_days,
        schema=schema,
        seed=scheduled.job.search.seed or 0,
        min_rows=retune.min_rows,
        n_new_rows=len(new),
        n_late_rows=max(0, dataset.n_rows - len(champion.reference.hashes) - len(new)),
        n_unlabelled=n_unlabelled,
    )


def _judged(
    scheduled: Scheduled, champion: Champion, new: IntArray
) -> tuple[Interval | None, Interval | None, list[str]]:
    """Return the champion's loss on new rows, what was promised, and labels that it does not know."""
    if champion.model is None:
        return None, None, []
    truth = scheduled.truth([champion.model])
    own = contestant(champion.model, champion.reference.n_rows, scheduled.features.iloc[new], truth)
    y, weights = truth.dataset.judged(new)
    loss = loss_interval(truth.metric, y, weights, blocks_of(scheduled.dataset, new), own)
    codes: list[int] = np.unique(y).astype(int).tolist() if truth.labels else []
    known = labels_of(champion.model)
    labels = [truth.labels[code] for code in codes if truth.labels[code] not in known]
    return loss, promised_loss(scheduled, champion, truth), labels


def promised_loss(scheduled: Scheduled, champion: Champion, truth: Truth) -> Interval | None:
    """Return what the champion promised of the loss that counts by now, with its interval; None: nothing."""
    promise = champion.reference.promise
    return None if promise is None else promise.interval_of(truth.metric.name, scheduled.config.aggregate)


def blocks_of(dataset: Dataset, rows: IntArray) -> IntArray:
    """Return what is judged as one: groups kept whole, else stretches of the rows."""
    return time_blocks(len(rows)) if dataset.groups is None else group_blocks(dataset.groups[rows])
