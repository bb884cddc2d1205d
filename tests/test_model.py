"""The delivered model: what its serving time counts."""

from __future__ import annotations

from dataclasses import dataclass
from time import sleep
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from tuner._model import LATENCY_ROWS, Blended, Delivered, Member, deliver, measure_latency
from tuner._rows.data import Dataset, make_dataset
from tuner._rows.table import Schema

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
