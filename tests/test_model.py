"""The delivered model: what its serving time counts, and that scikit-learn's tools take it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from time import sleep
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import check_scoring
from sklearn.utils.validation import check_is_fitted

from tuner._model import LATENCY_ROWS, Blended, Delivered, Member, deliver, measure_latency
from tuner._rows.data import SAMPLE_ROWS, Dataset, make_dataset
from tuner._rows.table import Schema, Table
from tuner.exceptions import InputError

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.arange(20) / 20


@dataclass
class Share:
    """A predictor that returns the first column, squeezed into probabilities."""

    def predict(self, table: Any) -> Any:
        """Return a value a row."""
        column = table.numeric[:, 0]
        column = column.toarray()[:, 0] if sparse.issparse(column) else column
        return 1 / (1 + np.exp(-np.nan_to_num(column)))


def delivered(dataset: Dataset) -> Delivered:
    """Return a delivered model of one member."""
    return deliver(Blended((Member(1.0, "share", (Share(),)),), dataset.schema), dataset)


@pytest.mark.parametrize(
    "table",
    [
        X,
        pd.DataFrame(X, columns=list("abc")).assign(c=[*"uv"] * 10),
        pl.DataFrame({"a": X[:, 0], "b": [*"uv"] * 10}),
        [[float(number), text] for number, text in zip(X[:, 0], [*"uv"] * 10, strict=True)],
        sparse.coo_matrix(X),
        X[:, :2].reshape(20, 1, 2),
    ],
    ids=["numpy", "pandas", "polars", "lists", "coo", "images"],
)
def test_the_serving_time_is_that_of_raw_rows(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoding of 20 ms is part of a call: no row takes less, nor do 200 at once (10,000 a second)."""
    dataset = make_dataset(table, Y)
    encode, sizes = Schema.encode, []

    def slow(schema: Schema, rows: Any) -> Any:
        sleep(0.02)
        encoded = encode(schema, rows)
        sizes.append(encoded.n_rows)
        return encoded

    monkeypatch.setattr(Schema, "encode", slow)
    latency = measure_latency(delivered(dataset), dataset)
    assert sizes == [1, LATENCY_ROWS]
    assert latency.row_milliseconds >= 20
    assert latency.rows_per_second <= LATENCY_ROWS / 0.02


@pytest.mark.parametrize(
    ("n_gaps", "read"),
    [(1, [1, LATENCY_ROWS]), (SAMPLE_ROWS, [])],
    ids=["the first row", "the whole sample"],
)
def test_rows_that_cannot_be_read_alone_fail_no_measurement(
    n_gaps: int, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of more gaps among dates than are known again is refused alone: later or encoded rows are timed."""
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=20)]
    frame = pd.DataFrame({"a": np.arange(20.0), "day": ["00/00/0000"] * n_gaps + days[n_gaps:]})
    frame = pd.concat([frame, pd.DataFrame({"a": np.arange(5.0), "day": days[:5]})])
    dataset = make_dataset(frame, np.arange(25.0))
    number, day = dataset.schema.columns
    assert (number.kind, day.kind, day.gaps) == ("numeric", "datetime", ("00/00/0000",))
    schema = replace(dataset.schema, columns=(number, replace(day, gaps=())))
    dataset = replace(dataset, schema=schema)
    model = delivered(dataset)
    with pytest.raises(InputError, match="held dates"):
        model.predict(frame[:1])
    encode, sizes, predicted = Schema.encode, [], []

    def counted(schema: Schema, rows: Any) -> Any:
        encoded = encode(schema, rows)
        sizes.append(encoded.n_rows)
        return encoded

    def seen(blended: Blended, table: Table) -> Any:
        predicted.append(table.n_rows)
        return predict(blended, table)

    predict = Blended.predict
    monkeypatch.setattr(Schema, "encode", counted)
    monkeypatch.setattr(Blended, "predict", seen)
    latency = measure_latency(model, dataset)
    assert (sizes, predicted) == (read, [1, 1, LATENCY_ROWS])
    assert latency.row_milliseconds > 0
    assert 0 < latency.rows_per_second < np.inf


def named(task: str) -> tuple[pd.DataFrame, Any, Any]:
    """Return rows with names, a target that follows the first column, and a delivered model."""
    frame = pd.DataFrame(X, columns=list("abc"))
    y = Y if task == "regression" else np.where(X[:, 0] > 0, "yes", "no")
    return frame, y, delivered(make_dataset(frame, y))


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_scikit_learn_inspects_the_model(task: str) -> None:
    """Only the first column matters to the model, and its probability or value rises with it."""
    frame, y, model = named(task)
    for each in (model, clone(model), pickle.loads(pickle.dumps(model))):
        assert each.n_features_in_ == 3
        assert each.feature_names_in_.tolist() == ["a", "b", "c"]
        check_is_fitted(each)
        assert check_scoring(each)(each, frame, y) == each.score(frame, y)
    importances = permutation_importance(model, frame, y, n_repeats=3, random_state=0).importances_mean
    assert importances[0] != 0
    assert importances[1:].tolist() == [0, 0]
    [rising] = partial_dependence(model, frame, ["a"])["average"]
    assert (np.diff(rising) > 0).all()


def test_columns_without_names_have_none() -> None:
    """An array has a number of columns, as a frame of numbered ones; an empty model has not even that."""
    for table in (X, pd.DataFrame(X), pd.DataFrame(X, columns=["a", "b", 2])):
        model = delivered(make_dataset(table, Y))
        assert (model.n_features_in_, hasattr(model, "feature_names_in_")) == (3, False)
    frame, _, saved = named("regression")
    del saved.blended.schema.__dict__["names_are_texts"]  # as one of an earlier release
    assert saved.feature_names_in_.tolist() == list(frame)
    assert not hasattr(type(model)(), "n_features_in_")
    with pytest.raises(NotFittedError):
        check_is_fitted(type(model)())


def test_a_delivered_model_is_not_fitted_again() -> None:
    """It says what to fit instead."""
    with pytest.raises(InputError, match=r"`DeliveredRegressor\.fit`\. Fit a `TunedClassifier` or"):
        delivered(make_dataset(X, Y)).fit(X, Y)
