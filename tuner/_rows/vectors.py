"""What stands beside the table, one value a row: target, groups, time and weights, validated and encoded."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from tuner._rows.columns import LARGEST
from tuner._rows.dates import parse_dates
from tuner._types import FloatArray, IntArray
from tuner.exceptions import InputError

MAX_CLASSES_WITHOUT_ASKING = 20
_TIME_OF_DAY = re.compile(r"\s*\d{1,2}:\d{2}")  # at the beginning of a text, where a date would stand


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


def as_vector(values: Any, name: str) -> Any:
    """Return one value a row as an array without missing ones; ``name`` is what errors call it."""
    if isinstance(values, str):
        rule = f"`{name}` must hold one value per row."
        raise InputError(rule, f"the text {values!r}", f'Pass the column: {name}=X["{values}"].')
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
            if not (len(vector) and isinstance(vector[0], str)):
                vector = np.array([str(value) for value in vector])
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
    """Refuse texts or truth values among others: all would become texts, and predictions give those back."""
    kinds = {(isinstance(value, str), isinstance(value, bool | np.bool_)): value for value in values}
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


def check_length(name: str, values: Any, n_rows: int) -> None:
    """Refuse a vector that is not as long as the table."""
    if len(values) != n_rows:
        raise InputError(
            f"X and `{name}` must have the same number of rows.",
            f"{n_rows} rows in X and {len(values)} in `{name}` (inconsistent numbers of samples)",
            "Align them.",
        )


def encode_target(target: Any, task: str) -> tuple[Any, Any]:
    """Return values and None, or class codes and the labels they stand for."""
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


def check_weighted_classes(codes: IntArray, classes: Any, weights: FloatArray) -> None:
    """Refuse weights that leave a single class: rows of weight 0 are as good as absent.

    Raises
    ------
    InputError
        Naming the class.
    """
    weighted = np.unique(codes[weights > 0])
    if len(weighted) < 2:
        raise InputError(
            "A classification target must have at least 2 classes of some weight.",
            f"`sample_weight` is 0 for all but class {str(classes[weighted[0]])!r}",
            "Give the rows of another class some weight.",
        )


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
    largest = values[np.abs(values).argmax()]
    if abs(largest) > LARGEST:
        raise InputError(
            f"A regression target must be at most {LARGEST:g}.", f"{largest:g}", "Drop such rows, or clip it."
        )
    return values


def _as_numbers(vector: Any, rule: str, cure: str) -> FloatArray:
    try:
        return np.asarray(vector, dtype=np.float64)
    except (TypeError, ValueError) as error:
        texts = (value for value in vector if pd.isna(pd.to_numeric(value, errors="coerce")))
        raise InputError(rule, f"values such as {str(next(texts, vector[0]))!r}", cure) from error


def encode_groups(groups: Any, n_rows: int) -> IntArray | None:
    """Return numbers for the names of groups."""
    if groups is None:
        return None
    values = as_vector(groups, "groups")
    check_length("groups", values, n_rows)
    names, codes = np.unique(values, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            "`groups` must name at least 2 groups.", f"{len(names)} group", "Drop `groups`, or add groups."
        )
    return codes.astype(np.intp)


def encode_time(time: Any, n_rows: int) -> FloatArray | None:
    """Return numbers in the order of time: dates in nanoseconds."""
    if time is None:
        return None
    values = as_vector(time, "time")
    check_length("time", values, n_rows)
    encoded = time_numbers(values)
    if len(np.unique(encoded)) < 2:
        raise InputError("`time` must have at least 2 distinct values.", "1", "Drop `time`.")
    return encoded


def time_numbers(values: Any) -> FloatArray:
    """Return numbers as they are, dates and their texts in nanoseconds.

    Raises
    ------
    InputError
        If a text is no date.
    """
    if values.dtype.kind in "OU":
        undated = next((str(value) for value in values if _TIME_OF_DAY.match(str(value))), None)
        if undated is not None:  # would be read as of the day of the call
            cure = "Put the date before it, or pass seconds."
            raise InputError("`time` must be numbers or dates.", f"the time of day {undated!r}", cure)
        try:
            values = parse_dates(pd.Series(values)).dt.tz_localize(None).to_numpy()
        except (TypeError, ValueError) as error:
            raise InputError("`time` must be numbers or dates.", str(error), "Parse the column.") from error
    if values.dtype.kind == "M":
        # By microseconds: the years 1 to 9999 overflow in nanoseconds.
        values = values.astype("datetime64[us]").astype(np.int64) * 1000.0
    return np.asarray(values, dtype=np.float64)


def check_weights(weights: Any, n_rows: int) -> FloatArray | None:
    """Return weights of at least 0, not all 0; one number counts for every row."""
    if weights is None:
        return None
    if np.isscalar(weights) and not isinstance(weights, str):
        weights = np.full(n_rows, weights)
    values = weight_numbers(as_vector(weights, "sample_weight"))
    check_length("sample_weight", values, n_rows)
    if values.min() < 0:
        raise InputError("`sample_weight` must not be negative.", float(values.min()), "Clip it at 0.")
    if values.max() > LARGEST:
        rule = f"`sample_weight` must be at most {LARGEST:g}."
        raise InputError(rule, f"{values.max():g}", "Divide all by the largest.")
    if values.max() <= 0:
        raise InputError("`sample_weight` must not be all zero.", "only zeros", "Give some row a weight.")
    return values


def weight_numbers(values: Any) -> FloatArray:
    """Return weights as floats.

    Raises
    ------
    InputError
        If one is no number.
    """
    rule = "`sample_weight` must be numbers."
    if values.dtype.kind in "mM":
        raise InputError(rule, "dates or durations", "Name another column.")
    return _as_numbers(values, rule, "Convert it.")
