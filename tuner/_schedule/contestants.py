"""What a delivered model says of a job's rows, in the words of all labels there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tuner._metrics.metrics import Metric, resolve_metric
from tuner._model import Delivered, DeliveredClassifier, DeliveredRegressor
from tuner._rows.columns import category_name
from tuner._rows.data import Dataset, with_log_target
from tuner._schedule.contest import Contestant
from tuner._types import FloatArray


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of the rows that models are scored on.

    Attributes
    ----------
    metric : Metric
    dataset : Dataset
        The rows, with the target as the metric wants it.
    labels : tuple of str
        Class i is ``labels[i]``; those of the rows and of every model. Empty for a regression.
    """

    metric: Metric
    dataset: Dataset
    labels: tuple[str, ...]


def truth_of(dataset: Dataset, metric: str | None, models: Sequence[Delivered]) -> Truth:
    """Return the targets of a dataset, with one code for every label that a row or a model knows.

    Raises
    ------
    InputError
        If the metric does not fit the targets there are now.
    """
    if dataset.task == "regression":
        resolved = resolve_metric(metric, "regression", weighted=dataset.weights is not None)
        return Truth(resolved, with_log_target(dataset) if resolved.log_target else dataset, ())
    labels = [category_name(label) for label in dataset.classes]
    for model in models:
        labels += [label for label in labels_of(model) if label not in labels]
    task = "binary" if len(labels) == 2 else "multiclass"
    resolved = resolve_metric(metric, task, classes=labels, weighted=dataset.weights is not None)  # type: ignore[arg-type]
    return Truth(resolved, dataset, tuple(labels))


def labels_of(model: Delivered) -> list[str]:
    """Return the labels a model can say, by code; none for a regression."""
    if not isinstance(model, DeliveredClassifier):
        return []
    return [category_name(label) for label in model.classes_]


def contestant(model: Delivered, n_trained: int, features: pd.DataFrame, truth: Truth) -> Contestant:
    """Return a model's predictions of rows, ready to be scored: on the scale of their targets.

    A label the model does not know gets the probability a row more would have given it,
    1 / (n_trained + n_labels), so that its loss is large and finite.

    Parameters
    ----------
    model : DeliveredClassifier or DeliveredRegressor
    n_trained : int
        Rows the model was trained on.
    features : DataFrame
        With every column the model was trained on; others are left out.
    truth : Truth
    """
    blended = model.blended
    assert blended is not None  # the registry holds fitted models
    schema = blended.schema
    wanted = [name for name in schema.input_names or () if name not in schema.roles]
    prediction = blended.predict(schema.encode(features.reindex(columns=wanted)))
    if truth.labels:
        prediction = _in_words_of(prediction, labels_of(model), truth.labels, n_trained)
    elif isinstance(model, DeliveredRegressor) and model.log_target != truth.metric.log_target:
        prediction = np.maximum(np.expm1(prediction) if model.log_target else prediction, 0.0)
        prediction = np.log1p(prediction) if truth.metric.log_target else prediction
    return Contestant(prediction, blended.threshold, blended.n_fits)


def _in_words_of(
    prediction: FloatArray, known: Sequence[str], labels: Sequence[str], n_trained: int
) -> FloatArray:
    """Return probabilities of all labels (of the second one where there are two)."""
    own = np.column_stack([1 - prediction, prediction]) if prediction.ndim == 1 else prediction
    share = 1.0 / (n_trained + len(labels))
    every = np.full((len(own), len(labels)), share)
    n_unknown = len(labels) - len(known)
    for code, label in enumerate(known):
        every[:, labels.index(label)] = own[:, code] * (1 - n_unknown * share)
    return every[:, 1] if len(labels) == 2 else every
