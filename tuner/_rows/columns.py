"""Input columns, one at a time: the kind, the plain values, and the numbers, codes or dates they become.

What a column and a whole table both need (`as_csr`, `check_finite`) is here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from tuner._rows.dates import (
    are_iso_dates,
    column_dates,
    gap_texts,
    object_dates,
    of_zone,
    on_the_clock,
    zone_name,
)
from tuner._types import FloatArray, IntArray
from tuner.exceptions import InputError

DATE_PARTS = ("epoch_days", "year", "month", "day", "day_of_week", "hour")
MISSING = -1  # code of a missing category
LARGEST = 1e100  # of a number: sums of squares of such do not overflow
N_NUMBERS = {"numeric": 1, "datetime": len(DATE_PARTS), "categorical": 0}  # that a column becomes


@dataclass(frozen=True)
class Column:
    """One input column that is used.

    Attributes
    ----------
    name : str
        Name in the input.
    kind : {"numeric", "categorical", "datetime"}
        How it is encoded; texts that are nearly all dates are dates.
    categories : tuple of str
        Names whose index is the code; a name not in it gets ``len(categories)``.
    zone : str or None
        Whose clock the parts of a date are read off, and naive dates are of; None: UTC.
    gaps : tuple of str
        Texts among its dates that were none: what stands where a date is not known.
    """

    name: str
    kind: Literal["numeric", "categorical", "datetime"]
    categories: tuple[str, ...] = ()
    zone: str | None = field(default=None, repr=False)  # by the text, a dataset is known again
    gaps: tuple[str, ...] = field(default=(), repr=False)


def read_column(name: str, values: pd.Series) -> Column | None:
    """Read a column's kind and category names off training rows; None if it is constant or all missing.

    Raises
    ------
    InputError
        On cells of an unusable type.
    """
    is_category = isinstance(values.dtype, pd.CategoricalDtype)
    plain = _plain(name, values)
    distinct = plain.dropna().unique()
    if len(distinct) == 0 or (len(distinct) == 1 and not plain.isna().any()):
        return None
    if isinstance(plain.dtype, pd.DatetimeTZDtype) or plain.dtype.kind == "M":
        return Column(name, "datetime", zone=zone_name(values))
    if plain.dtype.kind in "biuf":
        return Column(name, "numeric")
    if not is_category and are_iso_dates(distinct):
        return Column(name, "datetime", gaps=gap_texts(plain))
    return Column(name, "categorical", tuple(sorted(set(category_names(plain.dropna())))))


def _plain(name: str, values: pd.Series) -> pd.Series:
    """Turn a column into float, datetime or object (category names)."""
    dtype: Any = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return values.astype(object)
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if pd.api.types.is_complex_dtype(dtype):
            raise InputError("X must be real.", f"Complex data not supported (column {name!r})", "Split it.")
        return values.astype("float64")
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return values
    if pd.api.types.is_timedelta64_dtype(dtype):
        seconds: pd.Series = values.dt.total_seconds()
        return seconds
    return _plain_object(name, values)


def _plain_object(name: str, values: pd.Series) -> pd.Series:
    kind = pd.api.types.infer_dtype(values, skipna=True)
    known = values.notna()
    if kind in ("integer", "floating", "mixed-integer-float", "boolean", "decimal") or not known.any():
        return _object_numbers(name, values.where(known, np.nan))
    if kind in ("datetime", "datetime64", "date"):
        return object_dates(values, name)
    if kind in ("timedelta", "timedelta64"):
        return pd.to_timedelta(values).dt.total_seconds()
    nested = [value for value in values.dropna() if isinstance(value, list | dict | set | np.ndarray)]
    if nested:
        raise InputError(
            "A feature cell must be a number, a text, a boolean, a date or missing.",
            f"{type(nested[0]).__name__} in column {name!r}",
            "Split it into columns.",
        )
    return values.astype(object)


def _object_numbers(name: str, values: pd.Series) -> pd.Series:
    try:
        return values.astype("float64")
    except OverflowError as error:
        raise _too_large("an integer beyond 1e308", repr(name)) from error


def _plain_categories(values: pd.Series, column: Column) -> pd.Series:
    """Turn a column of categories into objects: truth values that it knows by name are not 0 and 1."""
    knows_truth = not {"True", "False"}.isdisjoint(column.categories)
    if knows_truth and pd.api.types.infer_dtype(values.astype(object), skipna=True) == "boolean":
        return values.astype(object)
    return _plain(column.name, values).astype(object)


def category_names(values: Iterable[Any]) -> list[str]:
    return [category_name(value) for value in values]


def category_name(value: Any) -> str:
    """Return the name of a category or label."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))  # 1 and 1.0 are the same category
    return str(value)


def encode_columns(frame: pd.DataFrame, columns: tuple[Column, ...]) -> tuple[FloatArray, IntArray]:
    """Encode each column of a frame the way it was read.

    Returns
    -------
    numeric : array of shape (n_rows, n_numeric)
        Numbers, and `DATE_PARTS` for each date; NaN is missing.
    categorical : int array of shape (n_rows, n_categorical)
        Category codes; -1 is missing.

    Raises
    ------
    InputError
        If a cell is not of its column's kind (a text among dates is missing), or a number is infinite or
        too large.
    """
    names = [repr(column.name) for column in columns for _ in range(N_NUMBERS[column.kind])]
    n_categorical = sum(column.kind == "categorical" for column in columns)
    numbers = np.empty((len(frame), len(names)))  # filled in place: of a large table there is room for one
    codes = np.empty((len(frame), n_categorical), dtype=np.int32)
    numeric = categorical = 0
    for index, column in enumerate(columns):
        values = frame.iloc[:, index]
        if column.kind == "categorical":
            codes[:, categorical] = _codes(values, column)
            categorical += 1
            continue
        parts = _date_parts(values, column) if column.kind == "datetime" else [_numbers(values, column)]
        for part in parts:
            numbers[:, numeric] = part
            numeric += 1
    check_finite(numbers, names)
    return numbers, codes


def plain_columns(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Return columns as floats, days since 1970 (dates) and category names, whatever types they arrive in.

    Raises
    ------
    InputError
        If a cell is not of its column's kind.
    """
    return pd.DataFrame(
        {column.name: _plain_column(frame[column.name], column).to_numpy() for column in columns}
    )


def _plain_column(values: pd.Series, column: Column) -> pd.Series:
    if column.kind == "numeric":
        return pd.Series(_numbers(values, column))
    if column.kind == "datetime":
        return pd.Series(_date_parts(values, column)[0])
    plain = _plain_categories(values, column)
    names = {value: category_name(value) for value in plain.dropna().unique()}
    return plain.map(names).where(plain.notna(), None)


def _numbers(values: pd.Series, column: Column) -> FloatArray:
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":  # as most are: at no cost a column
        return values.to_numpy(dtype=np.float64)
    try:
        return np.asarray(_plain(column.name, values).astype("float64"), dtype=np.float64)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Column {column.name!r} was numeric at fit and must be so now.", str(error), "Convert it."
        ) from error


def _codes(values: pd.Series, column: Column) -> IntArray:
    plain = _plain_categories(values, column)
    missing = plain.isna().to_numpy()
    lookup = {name: code for code, name in enumerate(column.categories)}
    unseen = len(lookup)
    distinct = {value: lookup.get(category_name(value), unseen) for value in plain[~missing].unique()}
    codes = plain.map(distinct).to_numpy(dtype=float, na_value=MISSING)
    return np.where(missing, MISSING, codes).astype(np.int32)


def _date_parts(values: pd.Series, column: Column) -> list[FloatArray]:
    stamps = column_dates(values, column.name, column.gaps)
    stamps = stamps.astype("datetime64[us, UTC]") if isinstance(values.dtype, pd.ArrowDtype) else stamps
    if column.zone is not None and not isinstance(values.dtype, pd.DatetimeTZDtype):
        stamps = of_zone(stamps, values, column.zone)
    missing = stamps.isna().to_numpy()
    epoch = pd.Timestamp(0, tz="UTC").as_unit("s")  # in nanoseconds it would bar the year 9999
    seconds = (stamps - epoch).dt.total_seconds().to_numpy()
    local = stamps if column.zone is None else on_the_clock(stamps, column.zone)
    parts = [seconds / 86400.0] + [
        getattr(local.dt, part).to_numpy(dtype=float, na_value=np.nan) for part in DATE_PARTS[1:]
    ]
    return [np.where(missing, np.nan, part) for part in parts]


def varying_columns(matrix: Any) -> list[int]:
    """Return the positions of the columns of a float array or CSR matrix that are worth keeping.

    One known value is enough where it is missing in some rows.

    Raises
    ------
    InputError
        If there is none.
    """
    if sparse.issparse(matrix):
        low, high, missing = _sparse_ranges(matrix)
    else:
        holes = np.isnan(matrix)
        low = np.where(holes, np.inf, matrix).min(axis=0)
        high = np.where(holes, -np.inf, matrix).max(axis=0)
        missing = holes.any(axis=0)
    keep = [int(i) for i in np.flatnonzero((low < high) | (missing & (low <= high)))]
    if not keep:
        raise no_columns(matrix.shape)
    return keep


def _sparse_ranges(matrix: Any) -> tuple[FloatArray, FloatArray, Any]:
    """Return each column's smallest and largest known value (zeros included), and whether any is missing."""
    n_rows, width = matrix.shape
    known = ~np.isnan(matrix.data)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    np.minimum.at(low, matrix.indices[known], matrix.data[known])
    np.maximum.at(high, matrix.indices[known], matrix.data[known])
    zeros = np.bincount(matrix.indices, minlength=width) < n_rows
    missing = np.bincount(matrix.indices[~known], minlength=width) > 0
    return np.where(zeros, np.minimum(low, 0.0), low), np.where(zeros, np.maximum(high, 0.0), high), missing


def no_columns(shape: tuple[int, ...]) -> InputError:
    """Return the error of a table in which no column varies."""
    rows = "1 sample: " if shape[0] == 1 else ""
    return InputError(
        "At least one feature column must vary.",
        f"{rows}{shape[1]} columns, all constant or all missing",
        "Pass a column that differs between rows.",
    )


def as_csr(X: Any) -> Any:
    """Return any SciPy sparse matrix or array as a CSR matrix."""
    return sparse.csr_matrix(X)


def check_finite(numbers: Any, names: Sequence[object]) -> None:
    """Refuse values that are infinite, or as good as that.

    Parameters
    ----------
    numbers : float array or CSR matrix of shape (n_rows, n_numbers)
    names : sequence of length n_numbers
        How the error names a column.

    Raises
    ------
    InputError
        Naming the first column that holds one.
    """
    is_sparse = sparse.issparse(numbers)
    values = as_csr(numbers).data if is_sparse else numbers
    largest = min(LARGEST, float(np.finfo(values.dtype).max))
    infinite = (values > largest) | (values < -largest)
    if infinite.any():
        columns = as_csr(numbers).indices[infinite] if is_sparse else np.nonzero(infinite)[1]
        first = columns.argmin()
        value = values[infinite][first]
        what = "an infinity" if np.isinf(value) else f"{value:g}"
        raise _too_large(what, names[int(columns[first])])


def _too_large(what: str, column: object) -> InputError:
    return InputError(
        f"Features must be finite or missing, and at most {LARGEST:g}.",
        f"{what} in column {column}",
        "Replace it by a smaller number or by NaN (missing).",
    )
