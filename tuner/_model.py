"""The delivered model: weighted members, each an average of fits; predicts, knows no study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from tuner._metrics.metrics import Metric, decide
from tuner._rows.data import Dataset
from tuner._rows.table import Schema, Table
from tuner._statistics.calibration import tempered
from tuner._types import FloatArray, IntArray
from tuner.exceptions import InputError
from tuner.families import Predictor

LATENCY_ROWS = 200
PART_ROWS = 4096  # predicted at a time: members keep the designs they share


@dataclass(frozen=True, eq=False)
class Member:
    """One configuration's share of the model.

    Attributes
    ----------
    weight : float
        Share; members' shares sum to one.
    family : str
        Family of the configuration.
    models : tuple of Predictor
        Averaged: fold models, or fits on all rows with different seeds.
    """

    weight: float
    family: str
    models: tuple[Predictor, ...]

    def predict(self, table: Table) -> FloatArray:
        """Return the mean prediction of the models."""
        total = np.asarray(self.models[0].predict(table), dtype=np.float64)
        for model in self.models[1:]:
            total = total + model.predict(table)
        return total / len(self.models)


@dataclass(frozen=True, eq=False, repr=False)
class Blended:
    """Weighted members and the schema of their input.

    Attributes
    ----------
    members : tuple of Member
    schema : Schema
    threshold : float or None
        From which probability on the positive class is predicted, where the metric asks for decisions.
    temperature : float
        What the logits of the averaged probabilities are divided by.
    is_refitted : bool
        Whether members are fits on all rows instead of fold models.
    """

    members: tuple[Member, ...]
    schema: Schema
    threshold: float | None = None
    temperature: float = 1.0
    is_refitted: bool = False

    def predict(self, table: Table) -> FloatArray:
        """Return the weighted mean of the members, in the space the metric's loss works in."""
        starts = range(0, max(1, table.n_rows), PART_ROWS)
        return np.concatenate([self._predict(table.part(start, start + PART_ROWS)) for start in starts])

    def _predict(self, table: Table) -> FloatArray:
        total = self.members[0].weight * self.members[0].predict(table)
        for member in self.members[1:]:
            total = total + member.weight * member.predict(table)
        return tempered(np.asarray(total), self.temperature)

    @property
    def n_averaged(self) -> int:
        """Number of fits on different rows that each member averages."""
        return 1 if self.is_refitted else len(self.members[0].models)

    @property
    def n_fits(self) -> int:
        """Number of fits on different rows inside: its size, whatever the seeds that time allowed."""
        return self.n_averaged * len(self.members)

    @property
    def n_models(self) -> int:
        """Number of fitted models inside."""
        return sum(len(member.models) for member in self.members)

    def __str__(self) -> str:
        shares = ", ".join(f"{member.family} {member.weight:.0%}" for member in self.members)
        return f"{self.n_models} fitted models averaged ({shares})"

    def __repr__(self) -> str:  # as a parameter of an estimator it stands in a notebook: not all its arrays
        return f"<{type(self).__name__}: {self}>"


class _Fitted(BaseEstimator):
    """What scikit-learn's tools ask of a fitted estimator."""

    blended: Blended | None

    @property
    def n_features_in_(self) -> int:
        """Number of columns at fit."""
        return self._schema().n_inputs

    @property
    def feature_names_in_(self) -> Any:
        """Names of the columns at fit, where all of them were texts."""
        schema = self._schema()
        if schema.input_names is None or not schema.names_are_texts:
            raise AttributeError("The columns had no names at fit, or not all of them were texts.")
        return np.array(schema.input_names, dtype=object)

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002
        """Refuse to be fitted.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            "What a tuning run delivers is not fitted again.",
            f"`{type(self).__name__}.fit`",
            "Fit a `TunedClassifier` or a `TunedRegressor`.",
        )

    def _schema(self) -> Schema:
        if self.blended is None:
            raise AttributeError("An empty model has seen no columns.")
        return self.blended.schema

    def __sklearn_is_fitted__(self) -> bool:
        return self.blended is not None


class DeliveredClassifier(ClassifierMixin, _Fitted):
    """A tuned classifier, ready to predict.

    Parameters
    ----------
    blended : Blended
        What predicts probabilities.
    classes_ : array of shape (n_classes,)
        Labels in the order of the probability columns.
    """

    def __init__(self, blended: Blended | None = None, classes_: Any = None) -> None:
        self.blended = blended
        self.classes_ = classes_

    def predict_proba(self, X: Any) -> FloatArray:
        """Return class probabilities of shape (n_samples, n_classes)."""
        raw = _ready(self.blended).predict(_ready(self.blended).schema.encode(X))
        return np.column_stack([1.0 - raw, raw]) if raw.ndim == 1 else raw

    def predict(self, X: Any) -> Any:
        """Return labels of shape (n_samples,), by the tuned threshold where the metric has one."""
        probabilities = self.predict_proba(X)
        binary = len(self.classes_) == 2
        threshold = _ready(self.blended).threshold
        codes = decide(
            probabilities[:, 1] if binary else probabilities, 0.5 if threshold is None else threshold
        )
        return np.asarray(self.classes_)[codes]


class DeliveredRegressor(RegressorMixin, _Fitted):
    """A tuned regressor, ready to predict.

    Parameters
    ----------
    blended : Blended
        What predicts.
    log_target : bool
        Members predict log1p of the target.
    """

    def __init__(self, blended: Blended | None = None, log_target: bool = False) -> None:  # noqa: FBT001, FBT002
        self.blended = blended
        self.log_target = log_target

    def predict(self, X: Any) -> FloatArray:
        """Return predicted values of shape (n_samples,)."""
        raw = _ready(self.blended).predict(_ready(self.blended).schema.encode(X))
        return np.maximum(np.expm1(raw), 0.0) if self.log_target else raw


Delivered = DeliveredClassifier | DeliveredRegressor


def deliver(blended: Blended, dataset: Dataset) -> Delivered:
    """Wrap what predicts as a scikit-learn estimator for the dataset's task."""
    if dataset.task == "regression":
        return DeliveredRegressor(blended, dataset.log_target)
    return DeliveredClassifier(blended, dataset.classes)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model says of rows it never saw.

    Attributes
    ----------
    loss : float
        Lower is better; NaN where it cannot be scored.
    prediction : array
    threshold : float or None
        By which the metric decides.
    """

    loss: float
    prediction: FloatArray
    threshold: float | None


def score_held_out(blended: Blended, dataset: Dataset, metric: Metric) -> HeldOut:
    """Score a model on rows it never saw, at its own decision threshold."""
    prediction = blended.predict(dataset.table)
    y, weights = dataset.judged(np.arange(dataset.n_rows))
    threshold = None if metric.thresholds is None else blended.threshold
    loss = metric.worst_loss(y, prediction, weights)[metric.column(threshold)]
    return HeldOut(float(loss), prediction, threshold)


@dataclass(frozen=True)
class Latency:
    """How long predictions of raw rows take, on one core or more as the library decides, measured once.

    Attributes
    ----------
    row_milliseconds : float
        Of a call with one row.
    rows_per_second : float
        Of a call with ``LATENCY_ROWS`` rows.
    """

    row_milliseconds: float
    rows_per_second: float


def measure_latency(model: Delivered, dataset: Dataset) -> Latency:
    """Time predictions of a raw row, encoding included, and of copies of it, after one that loads the models.

    It is the first of the sample that can be read alone: a text among dates may not be. Where none can,
    encoded rows are timed.
    """
    blended, table, sample = _ready(model.blended), dataset.table, dataset.sample
    blended.predict(table.part(0, 1))
    for row in range(sample.shape[0]):
        rows = np.full(LATENCY_ROWS, row)
        try:
            return _timed(model.predict, _raw_rows(sample, rows[:1]), _raw_rows(sample, rows))
        except InputError:
            continue
    return _timed(blended.predict, table.part(0, 1), table.take(np.arange(LATENCY_ROWS) % table.n_rows))


def _raw_rows(sample: Any, rows: IntArray) -> Any:
    return sample.iloc[rows] if hasattr(sample, "iloc") else sample[rows]


def _timed(predict: Callable[[Any], Any], one: Any, many: Any) -> Latency:
    started = perf_counter()
    predict(one)
    between = perf_counter()
    predict(many)
    ended = perf_counter()
    return Latency(1e3 * (between - started), LATENCY_ROWS / max(ended - between, 1e-9))


def _ready(blended: Blended | None) -> Blended:
    if blended is None:
        raise InputError("The model must be made by a tuning run.", "an empty model", "Call `fit` or `tune`.")
    return blended
