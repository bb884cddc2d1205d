"""A key among the columns of wide tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tuner._rows.data import make_dataset
from tuner.checks import _groups, check_dataset, with_copies


def findings(X, y):
    """Return the findings by code."""
    return {each.code: each for each in check_dataset(with_copies(make_dataset(X, y)))}


def test_a_key_of_a_wide_table_is_compared_with_some_columns(monkeypatch):
    """G005: up to 51 columns with each other; of 120 each with 50, and a key is found all the same."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(150), 3)
    numbers = rng.normal(size=(150, 119))[rows]
    numbers[:, ::3] = rng.normal(size=numbers[:, ::3].shape)
    X = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(119)])
    X = X.assign(patient=rng.permutation(150)[rows])
    X, y = X.iloc[rng.permutation(450)], rng.integers(0, 2, 450)
    compared = []
    alike_within = _groups._alike_within

    def counted(column, others, place):
        compared.append(len(others))
        return alike_within(column, others, place)

    monkeypatch.setattr(_groups, "_alike_within", counted)
    assert "G005" in findings(X, y)
    assert set(compared) == {50}
    compared.clear()
    findings(X.iloc[:, -51:], y)
    assert compared == [50] * 51
