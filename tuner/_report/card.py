"""The model card: what went into a run, in numbers and names that survive it."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from tuner._metrics.metrics import Metric, MetricValue, natural
from tuner._options.settings import Settings
from tuner._rows.data import Dataset

PACKAGES = ("honest-tuner", "lightgbm", "scikit-learn", "optuna", "numpy")


@dataclass(frozen=True)
class ModelCard:
    """What a model was made from.

    Attributes
    ----------
    metric_value : {"one_minus_loss", "minus_loss", "loss"}
        How the metric's value follows from its loss.
    n_rows, n_columns : int
        Rows tuned on; columns the model reads.
    column_kinds : tuple of (kind, count)
    target : tuple of (name, number)
        Rows of every class, or minimum, mean and maximum of the values.
    roles : tuple of str
        What rows had beside features and target.
    families : tuple of str
        Searched; the named default's first.
    aggregate : {"mean", "worst_slice"}
        Whether losses are those of all rows of a fold or of its worst slice.
    final : {"ensemble", "bag", "refit"}
    max_trials : int or None
    versions : tuple of (package, version)
    """

    metric_value: MetricValue
    n_rows: int
    n_columns: int
    column_kinds: tuple[tuple[str, int], ...]
    target: tuple[tuple[str, float], ...]
    roles: tuple[str, ...]
    families: tuple[str, ...]
    aggregate: str
    final: str
    max_trials: int | None
    versions: tuple[tuple[str, str], ...]

    def natural(self, loss: float) -> float:
        """Return the value people know the metric by."""
        return natural(self.metric_value, loss)

    def score_name(self, metric: str) -> str:
        """Return what a score that chooses or claims is called."""
        return metric if self.aggregate == "mean" else f"{metric} of the worst slice"

    def loss_name(self, metric: str) -> str:
        """Return what the loss of a metric is called."""
        signs = {"one_minus_loss": "1 - ", "minus_loss": "-", "loss": ""}
        return f"{signs[self.metric_value]}{self.score_name(metric)}"


def describe(dataset: Dataset, metric: Metric, settings: Settings) -> ModelCard:
    """Return the card of a run on a dataset."""
    kinds = Counter(column.kind for column in dataset.schema.columns)
    return ModelCard(
        metric_value=metric.value,
        n_rows=dataset.n_rows,
        n_columns=len(dataset.schema.columns),
        column_kinds=tuple(sorted(kinds.items())),
        target=_target(dataset),
        roles=_roles(dataset),
        families=tuple(space.family for space in settings.spaces),
        aggregate=settings.aggregate,
        final=settings.final,
        max_trials=settings.max_trials,
        versions=(("python", platform.python_version()), *_versions()),
    )


def _target(dataset: Dataset) -> tuple[tuple[str, float], ...]:
    if dataset.classes is not None:
        counts = np.bincount(dataset.y, minlength=dataset.n_classes)
        return tuple((str(name), int(count)) for name, count in zip(dataset.classes, counts, strict=True))
    y = np.expm1(dataset.y) if dataset.log_target else dataset.y
    return ("minimum", float(y.min())), ("mean", float(y.mean())), ("maximum", float(y.max()))


def _roles(dataset: Dataset) -> tuple[str, ...]:
    roles = []
    if dataset.groups is not None:
        roles.append(f"{len(np.unique(dataset.groups))} groups")
    if dataset.time is not None:
        roles.append("time")
    if dataset.weights is not None:
        roles.append("weights")
    return tuple(roles)


def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:  # run from its folder, not installed
            continue
    return tuple(found)
