"""Which columns of a table are its target, groups, time or weights: they are no features."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from tuner._rows.columns import category_names
from tuner._rows.table import is_named
from tuner._rows.vectors import as_vector, time_numbers, weight_numbers
from tuner.exceptions import InputError

FIRST_LOOK = 20  # rows compared before all are: hardly a column passes that is no role


def columns_of(role: str, values: Any, X: Any) -> list[Hashable]:
    """Return the names of the columns of a frame that hold a role's values, read as the role reads them.

    Of the role's own name, whatever type it has taken on; where it came without a name, any of its values. A
    column of the values of a target without a name is left to the checks, which refuse it.

    Parameters
    ----------
    role : {"target", "groups", "time", "weight"}
    values : array-like of shape (n_rows,) or None
    X : pandas or polars frame
    """
    if is_named(values) and values.shape[1] == 1:
        values = values[values.columns[0]]
    name, names = getattr(values, "name", None), list(X.columns)
    is_listed, is_nameless = names.count(name) == 1, name in (None, "") and role != "target"
    own = _comparable(values, role) if is_listed or is_nameless else None
    if own is None or len(own) != len(X) or not len(own):
        return []
    if is_listed:
        return [names[names.index(name)]] if _is_role(own, X[name], role) else []
    look = np.linspace(0, len(own) - 1, FIRST_LOOK).astype(np.intp)
    first = X.iloc[look] if isinstance(X, pd.DataFrame) else X[look]
    alike = [each for each in names if _has_values(own[look], first[each], role)]
    return [each for each in alike if _has_values(own, X[each], role)]


def _comparable(values: Any, role: str) -> Any:
    """Return times, numbers or names, one a row; None for what the role cannot be."""
    try:
        vector = as_vector(values, role)
        if role == "time":
            return time_numbers(vector)
        if role == "weight":
            return weight_numbers(vector)
    except InputError:
        return None
    is_number = vector.dtype.kind in "biuf"
    return vector.astype(np.float64) if is_number else np.array(category_names(vector), dtype=object)


def _has_values(own: Any, column: Any, role: str) -> bool:
    other = _comparable(column, role)
    return other is not None and np.array_equal(own, other)


def _is_role(own: Any, column: Any, role: str) -> bool:
    """Whether a column is the role of its name; of groups it only counts who is with whom."""
    if role != "groups":
        return _has_values(own, column, role)
    other = _comparable(column, role)
    return other is not None and np.array_equal(pd.factorize(own)[0], pd.factorize(other)[0])
