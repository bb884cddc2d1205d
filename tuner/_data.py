"""The dataset of a run: encoded rows, target, roles; validated once, here at the door."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from tuner._slices import LEAST_ROWS
from tuner._table import Schema, Table, as_csr, is_named, parse_dates, read_schema
from tuner._types import BoolArray, FloatArray, IntArray, Task
from tuner.exceptions import InputError

MAX_CLASSES_WITHOUT_ASKING = 20
SAMPLE_ROWS = 5


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows, target and roles.

    Attributes
    ----------
    table : Table
        Encoded features.
    schema : Schema
        How to encode new rows.
    y : array of shape (n_rows,)
        Class codes, or float values (log1p of them where ``log_target``).
    task : {"binary", "multiclass", "regression"}
    classes : array or None
        Original labels; code i is ``classes[i]``. The positive class is ``classes[1]``.
    groups : int array of shape (n_rows,) or None
    time : float array of shape (n_rows,) or None
    weights : float array of shape (n_rows,) or None
    copies : int array of shape (n_rows,) or None
        The same number for rows that are copies of each other, where there are any: folds keep them together.
    slice_masks : bool array of shape (n_slices, n_rows) or None
        The rows of each slice, where what counts is the loss of the worst one.
    log_target : bool
        y holds log1p of the target.
    notes : tuple of str
        What was changed at the door.
    sample : object
        A few raw rows, for the model's signature.
    """

    table: Table
    schema: Schema
    y: Any
    task: Task
    classes: Any
    groups: IntArray | None = None
    time: FloatArray | None = None
    weights: FloatArray | None = None
    copies: IntArray | None = None
    slice_masks: BoolArray | None = None
    log_target: bool = False
    notes: tuple[str, ...] = ()
    sample: Any = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return 0 if self.classes is None else len(self.classes)

    @property
    def units(self) -> IntArray | None:
        """What is drawn, dealt and resampled whole: groups or else copies of a row; None: single rows."""
        return self.copies if self.groups is None else self.groups

    def targets(self, rows: IntArray) -> tuple[Any, FloatArray | None]:
        """Return the targets and weights of the given rows: what a loss needs beside predictions."""
        return self.y[rows], None if self.weights is None else self.weights[rows]

    def judged(
        self, rows: IntArray, *, held_out: IntArray | None = None
    ) -> tuple[Any, FloatArray | BoolArray | None]:
        """Return the targets and the weights of the given rows that scores choose and claim by.

        With ``slice_masks`` there is one weighting a slice, of shape (n_slices, n_rows): 0 outside of it.
        Slices with fewer than ``LEAST_ROWS`` of the held-out rows are 0 throughout, so they have no loss.

        Parameters
        ----------
        rows : int array
        held_out : int array or None
            The rows that training rows are compared with; None: the given rows themselves.
        """
        y, weights = self.targets(rows)
        if self.slice_masks is None:
            return y, weights
        n_held_out = self.slice_masks[:, rows if held_out is None else held_out].sum(axis=1)
        inside = self.slice_masks[:, rows] & (n_held_out >= LEAST_ROWS)[:, None]
        return y, inside if weights is None else inside * weights

    def take(self, rows: IntArray) -> Dataset:
        """Return a dataset of the given rows; classes and schema stay those of the whole."""
        return replace(
            self,
            table=self.table.take(rows),
            y=self.y[rows],
            groups=None if self.groups is None else self.groups[rows],
            time=None if self.time is None else self.time[rows],
            weights=None if self.weights is None else self.weights[rows],
            copies=None if self.copies is None else self.copies[rows],
            slice_masks=None if self.slice_masks is None else self.slice_masks[:, rows],
        )

    def fingerprint(self) -> str:
        """Return 12 hex digits of sha256 over rows, target and roles."""
        labels = None if self.classes is None else list(self.classes)
        digest = hashlib.sha256(repr((self.schema, self.task, labels)).encode())
        numeric = self.table.numeric
        parts = [numeric.data, numeric.indices, numeric.indptr] if self.table.is_sparse else [numeric]
        parts += [self.table.categorical, self.y, self.groups, self.time, self.weights]
        for part in parts:
            digest.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:12]


def make_dataset(
    X: Any,
    y: Any,
    *,
    task: str = "auto",
    groups: Any = None,
    time: Any = None,
    sample_weight: Any = None,
) -> Dataset:
    """Validate and encode a table and its target.

    Parameters
    ----------
    X : pandas or polars frame, array, sparse matrix or images
    y : array-like of shape (n_samples,)
    task : {"auto", "classification", "regression"}
    groups, time, sample_weight : array-like of shape (n_samples,) or None

    Raises
    ------
    InputError
        With the rule, the value and the cure, before any fit.
    """
    if y is None:
        raise InputError(
            "Tuning requires y to be passed, but the target y is None.", "None", "Pass one target per row."
        )
    X, roles = _without_roles(X, {"target": y, "groups": groups, "time": time, "weight": sample_weight})
    schema, table, notes = read_schema(X)
    target = _as_vector(y, "y")
    _check_length("y", target, table.n_rows)
    resolved = resolve_task(target, task)
    codes, classes = _encode_target(target, resolved)
    kind: Task = "regression" if classes is None else "binary" if len(classes) == 2 else "multiclass"
    return Dataset(
        table=table,
        schema=replace(schema, roles=tuple(roles)),
        y=codes,
        task=kind,
        classes=classes,
        groups=_encode_groups(groups, table.n_rows),
        time=_encode_time(time, table.n_rows),
        weights=_check_weights(sample_weight, table.n_rows),
        notes=tuple(roles.values()) + notes,
        sample=_first_rows(X),
    )


def _first_rows(X: Any) -> Any:
    """Return a few raw rows in the form they came in."""
    if sparse.issparse(X):
        return as_csr(X)[:SAMPLE_ROWS]
    rows = X if hasattr(X, "shape") and hasattr(X, "__getitem__") else np.asarray(X)
    return rows[:SAMPLE_ROWS]


def with_log_target(dataset: Dataset) -> Dataset:
    """Return the dataset with log1p of its target.

    Raises
    ------
    InputError
        If a target value is negative.
    """
    if dataset.y.min() < 0:
        raise InputError(
            "`rmsle` needs targets of at least 0.", float(dataset.y.min()), 'Use metric="rmse" or "mae".'
        )
    return replace(dataset, y=np.log1p(dataset.y), log_target=True)


def resolve_task(target: Any, task: str) -> str:
    """Return "classification" or "regression" by the contract's rule for "auto".

    Raises
    ------
    InputError
        If integers with more than 20 distinct values leave it open.
    """
    if task != "auto":
        return task
    if target.dtype.kind == "f":
        return "regression"
    if target.dtype.kind in "iu":
        distinct = len(np.unique(target))
        if distinct > MAX_CLASSES_WITHOUT_ASKING:
            raise InputError(
                f"With more than {MAX_CLASSES_WITHOUT_ASKING} values an integer target needs its task named.",
                f"{distinct} distinct values",
                'Set task="classification" or task="regression".',
            )
    return "classification"


def _without_roles(X: Any, values_by_role: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """Drop feature columns that are, by name and value, the target, groups, time or weight.

    Returns the rest and, by column, the note to make of it.
    """
    if not is_named(X):
        return X, {}
    used = {values.name: role for role, values in values_by_role.items() if _is_column(values, X)}
    if not used:
        return X, {}
    notes = {
        str(name): f"Column {str(name)!r} is the {role} and is not used as a feature."
        for name, role in used.items()
    }
    return X[[name for name in X.columns if name not in used]], notes


def _is_column(values: Any, X: Any) -> bool:
    """Whether a Series is, by name and value, a column of the frame."""
    if list(X.columns).count(getattr(values, "name", None)) != 1 or len(values) != len(X):
        return False
    if isinstance(X, pd.DataFrame):
        own = X[values.name].reset_index(drop=True)
        return isinstance(values, pd.Series) and own.equals(values.reset_index(drop=True))
    column = X[values.name]
    return isinstance(values, type(column)) and bool(column.equals(values))


def _as_vector(values: Any, name: str) -> Any:
    if type(values).__module__.split(".")[0] == "polars":
        values = values.to_pandas()
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    if isinstance(values, pd.Series):
        missing = bool(values.isna().any())
        values = values.to_numpy(dtype=None if not missing else object)
    try:
        values = np.asarray(values)
        if values.dtype.kind == "c":
            raise InputError(f"`{name}` must be real.", "Complex data not supported", "Pass real numbers.")
        vector = column_or_1d(values, warn=True)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"`{name}` must hold one value per row.", str(error), "Pass a 1d array.") from error
    return _checked_vector(vector, name)


def _checked_vector(vector: Any, name: str) -> Any:
    if vector.dtype.kind == "O":
        if pd.isna(vector).any():
            raise _missing(name, int(pd.isna(vector).sum()))
        if pd.api.types.infer_dtype(vector) == "decimal":
            return vector.astype(np.float64)
        vector = pd.Series(list(vector)).infer_objects().to_numpy()
        if vector.dtype.kind not in "biufM":
            _check_one_kind(vector, name)
            vector = vector.astype(object if len(vector) and isinstance(vector[0], str) else str)
    if vector.dtype.kind == "f" and np.isnan(vector).any():
        raise _missing(name, int(np.isnan(vector).sum()))
    if vector.dtype.kind in "mM" and np.isnat(vector).any():
        raise _missing(name, int(np.isnat(vector).sum()))
    if vector.dtype.kind == "f" and np.isinf(vector).any():
        raise InputError(
            f"`{name}` must be finite.", "infinity (Input y contains infinity)", "Drop or repair those rows."
        )
    return vector


def _check_one_kind(values: Any, name: str) -> None:
    """Refuse a mixture, which would become texts: predictions could not give all back as they were."""
    kinds = {str if isinstance(value, str) else type(value): value for value in values}
    if len(kinds) > 1:
        raise InputError(
            f"`{name}` must hold values of one kind.",
            " beside ".join(f"{value!r}" for value in list(kinds.values())[:2]),
            "Turn all into texts, or all into numbers.",
        )


def _missing(name: str, count: int) -> InputError:
    return InputError(
        f"`{name}` must have no missing values.",
        f"{count} missing (Input {name} contains NaN)",
        "Drop those rows or fill them in.",
    )


def _check_length(name: str, values: Any, n_rows: int) -> None:
    if len(values) != n_rows:
        raise InputError(
            f"X and `{name}` must have the same number of rows.",
            f"{n_rows} rows in X and {len(values)} in `{name}` (inconsistent numbers of samples)",
            "Align them.",
        )


def _encode_target(target: Any, task: str) -> tuple[Any, Any]:
    if task == "regression":
        return _encode_numbers(target), None
    try:
        kind = type_of_target(target)
    except TypeError as error:
        raise InputError(
            "A classification target must hold class labels.", str(error), "Turn them into texts or integers."
        ) from error
    if kind not in ("binary", "multiclass"):
        raise InputError(
            "A classification target must hold class labels.",
            f"Unknown label type: {kind}",
            'Round it to labels, or use task="regression" / TunedRegressor.',
        )
    classes, codes, counts = np.unique(target, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise InputError(
            "A classification target must have at least 2 classes.",
            f"1 class: {str(classes[0])!r}",
            "Check the filter or the target column.",
        )
    if counts.min() < 2:
        rare = classes[int(counts.argmin())]
        raise InputError(
            "Every class must have at least 2 rows.",
            f"1 row of class {str(rare)!r}",
            "Drop the class, merge it with another, or collect more rows of it.",
        )
    return codes.astype(np.intp), classes


def _encode_numbers(target: Any) -> FloatArray:
    if target.dtype.kind in "mM":
        cure = "Turn it into a number of days or seconds."
        raise InputError("A regression target must be numeric.", "dates or durations", cure)
    cure = 'Use task="classification" for labels.'
    values = _as_numbers(target, "A regression target must be numeric.", cure)
    if len(values) < 2:
        raise InputError(
            "Tuning needs at least 2 rows.", f"n_samples = {len(values)} (1 sample)", "Pass more rows."
        )
    if values.min() == values.max():
        raise InputError("A regression target must vary.", f"{values[0]} in every row", "Check the column.")
    return values


def _as_numbers(vector: Any, rule: str, cure: str) -> FloatArray:
    try:
        return np.asarray(vector, dtype=np.float64)
    except (TypeError, ValueError) as error:
        texts = (value for value in vector if pd.isna(pd.to_numeric(value, errors="coerce")))
        raise InputError(rule, f"values such as {str(next(texts, vector[0]))!r}", cure) from error


def _encode_groups(groups: Any, n_rows: int) -> IntArray | None:
    if groups is None:
        return None
    values = _as_vector(groups, "groups")
    _check_length("groups", values, n_rows)
    names, codes = np.unique(values, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            "`groups` must name at least 2 groups.", f"{len(names)} group", "Drop `groups`, or add groups."
        )
    return codes.astype(np.intp)


def _encode_time(time: Any, n_rows: int) -> FloatArray | None:
    if time is None:
        return None
    values = _as_vector(time, "time")
    _check_length("time", values, n_rows)
    if values.dtype.kind in "OU":
        try:
            values = parse_dates(pd.Series(values)).dt.tz_localize(None).to_numpy()
        except (TypeError, ValueError) as error:
            raise InputError("`time` must be numbers or dates.", str(error), "Parse the column.") from error
    if values.dtype.kind == "M":
        values = values.astype("datetime64[ns]").astype(np.int64)
    encoded = np.asarray(values, dtype=np.float64)
    if len(np.unique(encoded)) < 2:
        raise InputError("`time` must have at least 2 distinct values.", "1", "Drop `time`.")
    return encoded


def _check_weights(weights: Any, n_rows: int) -> FloatArray | None:
    if weights is None:
        return None
    if np.isscalar(weights):
        weights = np.full(n_rows, weights)
    vector = _as_vector(weights, "sample_weight")
    values = _as_numbers(vector, "`sample_weight` must be numbers.", "Convert it.")
    _check_length("sample_weight", values, n_rows)
    if values.min() < 0:
        raise InputError("`sample_weight` must not be negative.", float(values.min()), "Clip it at 0.")
    if values.max() <= 0:
        raise InputError("`sample_weight` must not be all zero.", "only zeros", "Give some row a weight.")
    return values
