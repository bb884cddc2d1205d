"""A feature table as numbers and category codes, and the schema that encodes new rows the same way.

Encoding here is per value (a number stays itself, a category gets the index of its name): nothing is
learned from the distribution of the rows. Whatever learns (imputers, scalers, one-hot choices) is
fitted on training rows only, in `tuner._rows.preparation` and the families.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from tuner._rows.columns import (
    DATE_PARTS,
    MISSING,
    N_NUMBERS,
    Column,
    as_csr,
    check_finite,
    encode_columns,
    no_columns,
    read_column,
    varying_columns,
)
from tuner._types import FloatArray, IntArray
from tuner.exceptions import InputError

__all__ = [
    "DATE_PARTS",
    "MISSING",
    "Column",
    "Schema",
    "Table",
    "as_csr",
    "as_frame",
    "check_finite",
    "is_named",
    "read_schema",
    "unlisted",
]

LEAST_NUMBERS, NUMBERS_SHARE = 20, 0.95  # of distinct texts, from where on a column may be a quantity
CODE = re.compile(r"0\d")  # a postcode or an article, not a quantity


@dataclass(frozen=True, eq=False)
class Table:
    """Encoded rows.

    Attributes
    ----------
    numeric : array or CSR matrix of shape (n_rows, n_numeric)
        Numbers; NaN is missing.
    categorical : int array of shape (n_rows, n_categorical)
        Category codes; -1 is missing.
    """

    numeric: Any
    categorical: IntArray
    _derived: dict[int, tuple[Any, Any]] = field(init=False, default_factory=dict, repr=False)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.numeric.shape[0])

    @property
    def is_sparse(self) -> bool:
        """Whether the numeric block is a sparse matrix."""
        return sparse.issparse(self.numeric)

    @property
    def has_categories(self) -> bool:
        """Whether any column is categorical."""
        return bool(self.categorical.shape[1])

    @property
    def n_columns(self) -> int:
        """Number of encoded columns."""
        return int(self.numeric.shape[1] + self.categorical.shape[1])

    def take(self, rows: IntArray) -> Table:
        """Return the given rows as a new table."""
        return Table(self.numeric[rows], self.categorical[rows])

    def derived(self, by: Any, make: Callable[[Table], Any]) -> Any:
        """Return what ``make`` makes of these rows, made once for each ``by``."""
        if id(by) not in self._derived:
            self._derived[id(by)] = (by, make(self))  # held, so that no other object gets its id
        return self._derived[id(by)][1]

    def part(self, start: int, stop: int) -> Table:
        """Return consecutive rows, not copied."""
        return Table(self.numeric[start:stop], self.categorical[start:stop])

    def vector(self, column: Column, place: int) -> FloatArray:
        """Return an input column's numbers, category codes or, of dates, days since 1970; NaN is missing.

        Parameters
        ----------
        column : Column
        place : int
            See `Schema.places`.
        """
        if column.kind == "categorical":
            codes = self.categorical[:, place]
            return np.where(codes == MISSING, np.nan, codes)
        values = self.numeric[:, [place]].toarray() if self.is_sparse else self.numeric[:, place]
        return np.asarray(values, dtype=np.float64).ravel()


@dataclass(frozen=True)
class Schema:
    """What the input looked like at fit, and how to encode rows that look the same.

    Attributes
    ----------
    columns : tuple of Column
        The columns used, in input order.
    input_names : tuple of str or None
        All input columns where the input named them.
    n_inputs : int
        Number of input columns.
    image_shape : tuple of int or None
        Shape of one image where the input was images.
    roles : tuple of str
        Columns of the input that were the target, groups, time or weight: ignored where present.
    is_sparse : bool
        Whether the input was a sparse matrix.
    names_are_texts : bool
        Whether all names were texts in the input, too.
    """

    columns: tuple[Column, ...]
    input_names: tuple[str, ...] | None
    n_inputs: int
    image_shape: tuple[int, ...] | None = None
    roles: tuple[str, ...] = ()
    is_sparse: bool = False
    names_are_texts: bool = field(default=True, repr=False)  # as a saved schema, which lacks it, was taken

    def places(self) -> Iterator[tuple[Column, int]]:
        """Yield each column and where it begins in an encoded table, among the numbers or among the codes."""
        numeric = categorical = 0
        for column in self.columns:
            yield column, categorical if column.kind == "categorical" else numeric
            categorical += column.kind == "categorical"
            numeric += N_NUMBERS[column.kind]

    def without_roles(self, X: Any) -> Any:
        """Return the input without the columns that were no features at fit."""
        if not self.roles or not is_named(X):
            return X
        return X[[name for name in X.columns if str(name) not in self.roles]]

    def encode(self, X: Any) -> Table:
        """Encode new rows.

        Raises
        ------
        InputError
            If columns are missing, extra, or hold infinite values.
        """
        X = unlisted(X)
        self._check_images(X)
        frame = as_frame(self.without_roles(X))
        named = self.input_names is not None and is_named(X)
        if named:
            self._check_names([str(name) for name in frame.columns])
        else:
            self._check_width(frame.shape[1])
        names = [str(name) for name in frame.columns] if named else self._fit_names()
        positions = {name: index for index, name in enumerate(names)}
        used = [positions[column.name] for column in self.columns]
        if isinstance(frame, pd.DataFrame):
            return Table(*encode_columns(frame.iloc[:, used], self.columns))
        picked = frame if len(used) == self.n_inputs else frame[:, used]
        arrived_sparse: bool = sparse.issparse(picked)
        if arrived_sparse and not self.is_sparse:
            picked = picked.toarray()
        if any(column.kind != "numeric" for column in self.columns):
            return Table(*encode_columns(pd.DataFrame(picked), self.columns))
        check_finite(picked, used)
        return Table(picked, np.empty((picked.shape[0], 0), dtype=np.int32))

    def _fit_names(self) -> list[str]:
        return list(self.input_names or _position_names(self.n_inputs))

    def _check_images(self, X: Any) -> None:
        shape = np.shape(X)[1:] if isinstance(X, np.ndarray) else ()
        if self.image_shape is not None and len(shape) > 1 and shape != self.image_shape:
            raise InputError(
                f"Images must have the shape {self.image_shape} they had at fit.", shape, "Resize them."
            )

    def _check_width(self, width: int) -> None:
        if width != self.n_inputs:
            raise InputError(
                f"X must have the {self.n_inputs} columns it had at fit.",
                f"{width} columns",
                "Pass the same features.",
            )

    def _check_names(self, names: list[str]) -> None:
        fitted, counts = set(self._fit_names()), Counter(names)
        missing = [name for name in self._fit_names() if name not in counts]
        extra = [name for name in names if name not in fitted or counts[name] > 1]
        if missing or extra:
            raise InputError(
                "Feature columns at predict must be those of fit.",
                f"missing columns {missing[:5]} and unseen or repeated columns {extra[:5]}",
                "Pass the same columns by name.",
            )


def is_named(X: Any) -> bool:
    """Whether the input carries column names (pandas or polars)."""
    # A lazy polars frame, which is refused, would warn if asked for its columns first.
    return isinstance(X, pd.DataFrame) or (
        _is_polars(X) and hasattr(X, "to_pandas") and hasattr(X, "columns")
    )


def _is_polars(X: Any) -> bool:
    return type(X).__module__.split(".")[0] == "polars"


def as_frame(X: Any) -> Any:
    """Return a pandas DataFrame (named or mixed columns), a float array or a CSR matrix.

    Raises
    ------
    InputError
        If X is not two-dimensional, complex, not in memory, of integers too wide, or of no rows or columns.
    """
    if _is_polars(X):
        if not hasattr(X, "to_pandas"):
            raise InputError("X must be in memory.", f"a polars {type(X).__name__}", "Call its `collect()`.")
        _check_bits(X)
        X = X.to_pandas()
    if sparse.issparse(X):
        X = as_csr(X)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()  # trees would read the last one, products the sum
        if np.iscomplexobj(X):
            raise InputError("X must be real.", "Complex data not supported", "Pass real numbers.")
        _check_shape(X.shape)
        return X.astype(np.float64) if X.dtype.kind != "f" else X
    if not isinstance(X, pd.DataFrame):
        X = _as_array(X)
        if X.dtype.kind not in "OUSMm":
            return X
        X = pd.DataFrame(X).infer_objects()
        X.columns = pd.Index(_position_names(X.shape[1]))
    _check_shape(X.shape)
    return X


def _check_bits(X: Any) -> None:
    """Refuse a polars frame with integers that pandas does not take."""
    for name, dtype in getattr(X, "schema", {}).items():
        if "Int128" in str(dtype):
            raise InputError(
                "Integers must have at most 64 bits.",
                f"{dtype} in column {name!r}",
                "Cast it to Float64, or to String if it is a name.",
            )


def _position_names(width: int) -> list[str]:
    return [f"x{index}" for index in range(width)]


def unlisted(X: Any) -> Any:
    """Return rows in a list as an array; anything else as it is.

    Raises
    ------
    InputError
        If the rows are not equally long.
    """
    return _one_array(X) if isinstance(X, list | tuple) else X


def _one_array(X: Any) -> Any:
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise InputError("Rows of X must be equally long.", str(error), "Pad or repair the rows.") from error
    if array.dtype.kind in "US" and not hasattr(X, "dtype"):
        return np.asarray(X, dtype=object)  # numpy has turned numbers beside texts into texts
    return array


def _as_array(X: Any) -> Any:
    array = _one_array(X)
    if array.dtype.kind == "c":
        raise InputError("X must be real.", "Complex data not supported", "Pass real numbers.")
    if array.ndim in (3, 4):
        array = array.reshape(len(array), int(np.prod(array.shape[1:])))
    if array.ndim != 2:
        raise InputError(
            "X must be a table of rows and columns, or images of shape (n, h, w) or (n, h, w, c).",
            f"Expected 2D array, got {array.ndim}D array instead",
            "Reshape your data: one row per sample, one column per feature.",
        )
    _check_shape(array.shape)
    if array.dtype.kind in "OUSMm":
        return array
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _check_shape(shape: tuple[int, ...]) -> None:
    if shape[0] == 0:
        raise InputError(
            "X must have at least 1 row.", f"0 sample(s) (shape={shape})", "Check the filter or the file."
        )
    if shape[1] == 0:
        raise InputError(
            "X must have at least 1 column.",
            f"0 feature(s) (shape={shape}) while a minimum of 1 is required",
            "Pass at least one feature.",
        )


def read_schema(X: Any) -> tuple[Schema, Table, tuple[str, ...]]:
    """Read the schema off training rows: kinds, category names, columns that can be dropped.

    Returns
    -------
    schema : Schema
    table : Table
        The encoded rows.
    notes : tuple of str
        What was dropped and why.

    Raises
    ------
    InputError
        On duplicate column names, infinite values, unusable cell types or no usable column.
    """
    X = unlisted(X)
    image_shape = np.shape(X)[1:] if isinstance(X, np.ndarray) and X.ndim in (3, 4) else None
    frame = as_frame(X)
    if not isinstance(frame, pd.DataFrame):
        frame_names = _position_names(frame.shape[1])
        check_finite(frame, range(frame.shape[1]))
        keep = varying_columns(frame)
        if image_shape is not None:
            _check_pixels(frame)
            keep = list(range(frame.shape[1]))  # a border that never varies does once images are shifted
        columns = tuple(Column(frame_names[index], "numeric") for index in keep)
        table = Table(
            frame if len(keep) == frame.shape[1] else frame[:, keep],
            np.empty((frame.shape[0], 0), dtype=np.int32),
        )
        schema = Schema(columns, None, frame.shape[1], image_shape, is_sparse=table.is_sparse)
        return schema, table, _dropped_note(frame_names, columns)
    check_unique(frame)
    names = [str(name) for name in frame.columns]
    read = [read_column(name, frame.iloc[:, index]) for index, name in enumerate(names)]
    columns = tuple(column for column in read if column is not None)
    if not columns:
        raise no_columns(frame.shape)
    used = [index for index, column in enumerate(read) if column is not None]
    texts = all(isinstance(name, str) for name in frame.columns)
    schema = Schema(columns, tuple(names) if is_named(X) else None, len(names), names_are_texts=texts)
    table = Table(*encode_columns(frame.iloc[:, used], columns))
    notes = _dropped_note(names, columns)
    for column, dtype in zip(columns, frame.dtypes.iloc[used], strict=True):
        notes += _number_note(column, dtype)
    return schema, table, notes


def _check_pixels(pixels: Any) -> None:
    missing = int(np.isnan(pixels).sum())
    if missing:
        raise InputError(
            "Pixels of images must be numbers.",
            f"{missing} missing (NaN)",
            "Fill them in, or pass the rows flattened: then they are missing values of a table.",
        )


def check_unique(frame: Any) -> None:
    """Refuse a frame in which a column name is used twice."""
    names = pd.Index([str(name) for name in frame.columns])
    if not names.is_unique:
        raise InputError(
            "Column names must be unique.",
            f"{sorted(set(names[names.duplicated()]))} more than once",
            "Rename or drop the repeated columns.",
        )


def _dropped_note(names: list[str], columns: tuple[Column, ...]) -> tuple[str, ...]:
    kept = {column.name for column in columns}
    dropped = [name for name in names if name not in kept]
    if not dropped:
        return ()
    shown = ", ".join(dropped[:5]) + (", ..." if len(dropped) > 5 else "")
    return (f"Dropped {len(dropped)} constant or all-missing column(s): {shown}.",)


def _number_note(column: Column, dtype: Any) -> tuple[str, ...]:
    """Tell that texts look like a quantity: many, nearly all numbers, none a code such as 01234."""
    texts = column.categories
    if len(texts) < LEAST_NUMBERS or isinstance(dtype, pd.CategoricalDtype):
        return ()
    is_number = pd.to_numeric(pd.Series(texts), errors="coerce").notna()
    if is_number.mean() < NUMBERS_SHARE or any(CODE.match(text) for text in texts):
        return ()
    others = [text for text, is_one in zip(texts, is_number, strict=True) if not is_one]
    but = f" (not {others[0]!r})" if others else ""
    return (
        f"Column {column.name!r} is read as categories, but its {len(texts)} texts are numbers{but}. "
        "If it is a quantity, pass it as numbers, gaps as missing values.",
    )
