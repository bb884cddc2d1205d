"""The dataset of a run: encoded rows, target, roles; validated once, here at the door."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from tuner._rows.roles import columns_of
from tuner._rows.table import Schema, Table, as_csr, is_named, read_schema, unlisted
from tuner._rows.vectors import (
    as_vector,
    check_length,
    check_weighted_classes,
    check_weights,
    encode_groups,
    encode_target,
    encode_time,
    resolve_task,
)
from tuner._types import BoolArray, FloatArray, IntArray, Task
from tuner.exceptions import InputError

SAMPLE_ROWS = 5
LEAST_ROWS = 10  # of a slice in a fold: the largest of several means over fewer is mostly chance


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

    @cached_property
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
    target = as_vector(y, "y")
    check_length("y", target, table.n_rows)
    resolved = resolve_task(target, task)
    codes, classes = encode_target(target, resolved)
    weights = check_weights(sample_weight, table.n_rows)
    if weights is not None and classes is not None:
        check_weighted_classes(codes, classes, weights)
    kind: Task = "regression" if classes is None else "binary" if len(classes) == 2 else "multiclass"
    return Dataset(
        table=table,
        schema=replace(schema, roles=tuple(roles)),
        y=codes,
        task=kind,
        classes=classes,
        groups=encode_groups(groups, table.n_rows),
        time=encode_time(time, table.n_rows),
        weights=weights,
        notes=tuple(roles.values()) + notes,
        sample=_first_rows(X),
    )


def _first_rows(X: Any) -> Any:
    """Return a few raw rows in the form they came in."""
    if sparse.issparse(X):
        return as_csr(X)[:SAMPLE_ROWS]
    rows = X if hasattr(X, "shape") and hasattr(X, "__getitem__") else np.asarray(unlisted(X))
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


def _without_roles(X: Any, values_by_role: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """Drop feature columns that are the target, groups, time or weight.

    Returns the rest and, by column, the note to make of it.
    """
    if not is_named(X):
        return X, {}
    used = {name: role for role, values in values_by_role.items() for name in columns_of(role, values, X)}
    if not used:
        return X, {}
    notes = {
        str(name): f"Column {str(name)!r} is the {role} and is not used as a feature."
        for name, role in used.items()
    }
    return X[[name for name in X.columns if name not in used]], notes
