"""Rows and options, checked against each other before anything is opened or fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner._claims.bbc import flatters
from tuner._claims.estimate import plan_outer
from tuner._folds.splits import FoldPlan
from tuner._line.choice import choosing_plan
from tuner._metrics.metrics import Metric, resolve_metric
from tuner._options.config import TuningConfig
from tuner._options.settings import Settings, resolve
from tuner._records import Finding
from tuner._rows.data import Dataset, with_log_target
from tuner._rows.memory import check_memory
from tuner._rows.slices import check_slices, with_slices
from tuner._trials.bench import is_large
from tuner.checks import check_dataset, refuse, with_copies


@dataclass(frozen=True, eq=False)
class Checked:
    """What a run needs beside its options, checked and resolved; nothing is opened or fitted yet.

    Attributes
    ----------
    dataset : Dataset
        With the metric's target, copies of rows marked, and slices where the worst one counts.
    metric : Metric
    settings : Settings
    plan : FoldPlan
        The folds that choose.
    findings : tuple of Finding
        What the checks of the data say.
    """

    dataset: Dataset
    metric: Metric
    settings: Settings
    plan: FoldPlan
    findings: tuple[Finding, ...]

    def seeded(self, seed: int) -> Checked:
        """Return the same with another seed, and the folds that it draws."""
        settings = replace(self.settings, seed=seed)
        return replace(self, settings=settings, plan=choosing_plan(self.dataset, settings))

    def on_one_thread(self) -> Checked:
        """Return the same for one fit at a time: slower, and with the least memory."""
        return replace(self, settings=replace(self.settings, n_jobs=1))


def check_run(dataset: Dataset, config: TuningConfig) -> Checked:
    """Check the rows against the options, and draw the folds that choose.

    Raises
    ------
    InputError
        If the metric does not fit, or the rows cannot be divided into folds; `ChecksFailedError` if a check
        ends in an error that is not allowed.
    """
    check_memory(dataset.table, config.max_memory)
    metric, dataset = with_metric(dataset, config)
    settings = resolve(
        config,
        task=dataset.task,
        has_time=dataset.time is not None,
        bbc_flatters=flatters(metric, dataset.n_rows),
        bbc_is_slow=metric.is_scorer,
        has_categories=dataset.table.has_categories,
        has_images=dataset.schema.image_shape is not None,
        is_sparse=dataset.table.is_sparse,
        is_large=is_large(dataset),
        n_rows=dataset.n_rows,
    )
    dataset, findings = gate(dataset, config)
    if settings.aggregate == "worst_slice":
        dataset = with_slices(dataset, settings.slices, n_folds=settings.n_folds)
    if settings.estimate == "nested":
        plan_outer(dataset, settings)  # raises before any fit where none can be drawn
    return Checked(dataset, metric, settings, choosing_plan(dataset, settings), findings)


def with_metric(dataset: Dataset, config: TuningConfig) -> tuple[Metric, Dataset]:
    """Return the metric, and the rows with the target as it wants it."""
    metric = resolve_metric(
        config.metric, dataset.task, classes=dataset.classes, weighted=dataset.weights is not None
    )
    return metric, with_log_target(dataset) if metric.log_target else dataset


def gate(dataset: Dataset, config: TuningConfig) -> tuple[Dataset, tuple[Finding, ...]]:
    """Return the rows with copies of each other marked, and what the checks say of them.

    Raises
    ------
    ChecksFailedError
        If a check ends in an error that is not allowed.
    """
    marked = with_copies(dataset, config.allow)
    check_slices(marked, config.slices)
    checks = check_dataset(marked, allow=config.allow, slices=tuple(config.slices))
    refuse(checks, config.allow)
    return marked, checks
