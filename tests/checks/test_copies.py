"""Copies and near copies: what is taken for one, and what looking for them takes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tuner._rows.data import make_dataset
from tuner.checks import _copies, check_dataset, with_copies
from tuner.checks._copies import _distances, _row_hashes, _some_columns, check_conflicts


def findings(X, y):
    """Return the findings by code."""
    return {each.code: each for each in check_dataset(with_copies(make_dataset(X, y)))}


def numbers_and_categories(n_numbers, n_categories, *, n_again=0, seed=0):
    """Return independent rows; some come again, half a percent off in the numbers."""
    rng = np.random.default_rng(seed)
    rows = np.r_[np.arange(1_000), np.arange(n_again)]
    numbers = rng.normal(size=(1_000, n_numbers))[rows]
    numbers[1_000:] += 0.005 * rng.normal(size=(n_again, n_numbers))
    names = np.array(list("abcde"))[rng.integers(0, 5, (1_000, n_categories))[rows]]
    X = pd.DataFrame(numbers).add_prefix("x").join(pd.DataFrame(names).add_prefix("c"))
    return X, rng.integers(0, 2, len(rows))


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_few_numbers_and_categories_are_no_near_copies(seed):
    """G002: 125 kinds of rows: that others of its kind are nearer than any other row makes no copies."""
    assert "G002" not in findings(*numbers_and_categories(2, 3, seed=seed))


@pytest.mark.parametrize("n_categories", [2, 10])
def test_near_copies_among_categories_are_found(n_categories):
    """G002: 60 rows again, equal in their categories, whether or not any other row is of their kind."""
    X, y = numbers_and_categories(6, n_categories, n_again=60)
    assert findings(X, y)["G002"].severity == "warning"


def test_gaps_are_no_distance_between_rows():
    """G002: five numbers, each missing in three of ten rows: rows with other gaps are no farther away."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_000, 5))
    X[rng.random(X.shape) < 0.3] = np.nan
    assert "G002" not in findings(X, rng.integers(0, 2, 1_000))


def test_fewer_rows_of_very_wide_tables_are_compared(monkeypatch):
    """G002: 1,000 rows of up to 400 columns, 400 of 1,000 columns; near copies are found in either."""
    compared = []

    def counted(columns, queries):
        compared.append(len(queries))
        return _distances(columns, queries)

    monkeypatch.setattr(_copies, "_distances", counted)
    for n_columns in (400, 1_000):
        assert "G002" in findings(*numbers_and_categories(n_columns, 0, n_again=100))
    assert compared == [1_000, 400]


def test_hashes_of_rows_take_less_than_the_table():
    """A row's hash is made of some rows at a time: 20,000 x 300 floats of 4 bytes, 24 MB."""
    X = np.random.default_rng(0).normal(size=(20_000, 300)).astype(np.float32)
    dataset = make_dataset(X, np.arange(20_000) % 2)
    tracemalloc.start()
    with_copies(dataset)
    check_conflicts(dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes


def test_hashes_of_rows_are_the_sums_of_their_cells():
    """Blocks of rows change nothing, dense or sparse: a row alone has the same hash, and its cells add up."""
    from scipy import sparse

    X = np.random.default_rng(0).normal(size=(6_000, 60))
    X[np.random.default_rng(1).random(X.shape) < 0.5] = 0
    for matrix in (X, sparse.csr_matrix(X)):
        table = make_dataset(matrix, np.arange(6_000) % 2).table
        whole, some = _row_hashes(table), np.array([0, 4_400, 5_999])
        for row in some:
            assert _row_hashes(table.take(np.array([row])))[0] == whole[row]
        np.testing.assert_array_equal(_some_columns(table, some).sum(axis=1), whole[some])
