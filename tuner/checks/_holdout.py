"""Rows held out, against those trained on: a classifier tries to tell them apart, times are compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import norm
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from tuner._records import Finding
from tuner._rows.columns import Column, as_csr, read_column, varying_columns
from tuner._rows.preparation import code_matrix
from tuner._rows.table import DATE_PARTS, Schema, Table, as_frame, is_named, read_schema, unlisted
from tuner._rows.vectors import as_vector, check_length, encode_time
from tuner._seeds import child_seed, some_rows
from tuner._types import FloatArray
from tuner.exceptions import InputError

MAX_ROWS = 2_000  # of each table: the interval of the AUC is then some .02 to either side
LEVEL = 0.95
SLIGHT, CLEAR = 0.55, 0.60  # of the AUC; smaller shifts change little, however surely they are there
N_TREES = 100  # a third of them did not train on a row: those say what it is
LEAST_ROWS = 10


@dataclass(frozen=True)
class Drift:
    """How well rows of two tables can be told apart.

    Attributes
    ----------
    auc, low, high : float
        AUC of the classifier on rows it did not train on, with its 95% interval; .5: not at all.
    columns : tuple of (str, float)
        The columns that tell most, each with its share of the classifier's splits.
    """

    auc: float
    low: float
    high: float
    columns: tuple[tuple[str, float], ...]


def drift_between(train: Any, holdout: Any, *, seed: int = 0) -> Drift:
    """Return how well rows of two tables of the same columns can be told apart.

    What it estimates: the AUC of extremely randomized trees, out of bag. It assumes that rows are
    independent; with rows in groups the interval is too narrow. A column that is constant in training, and
    so dropped from a model, is compared, too.

    Parameters
    ----------
    train, holdout : pandas or polars frame, array or sparse matrix of the same columns
        Without target, groups, time and ids: a clock always tells.

    Raises
    ------
    InputError
        If the columns differ.

    References
    ----------
    Hanley and McNeil (1982), The meaning and use of the area under a receiver operating characteristic curve.
    """
    schema, table, _ = read_schema(train)
    held_out = schema.encode(holdout)
    compared = _compared(schema, train, holdout) if len(schema.columns) < schema.n_inputs else schema.columns
    if len(compared) > len(schema.columns):
        schema = replace(schema, columns=compared)
        table, held_out = schema.encode(train), schema.encode(holdout)
    return table_drift(schema, table, held_out, seed=seed)


def _compared(schema: Schema, train: Any, holdout: Any) -> tuple[Column, ...]:
    """Return the schema's columns and, in their places, those that vary once the holdout's rows are added."""
    first, second = as_frame(unlisted(train)), as_frame(unlisted(holdout))
    if not isinstance(first, pd.DataFrame):
        every = tuple(Column(f"x{index}", "numeric") for index in range(schema.n_inputs))
        parts = [replace(schema, columns=every).encode(rows).numeric for rows in (train, holdout)]
        both = as_csr(sparse.vstack(parts)) if schema.is_sparse else np.vstack(parts)
        return tuple(every[index] for index in varying_columns(both))
    known = {column.name: column for column in schema.columns}
    names = [str(name) for name in first.columns]
    if not isinstance(second, pd.DataFrame):
        second = pd.DataFrame(second.toarray() if sparse.issparse(second) else second)  # type: ignore[attr-defined]
    by_name = is_named(train) and is_named(holdout)
    second = second.set_axis([str(name) for name in second.columns] if by_name else names, axis=1)

    def read(index: int, name: str) -> Column | None:
        if name in known:
            return known[name]
        # One row of training stands for all. As objects: a number there may be a text in the holdout.
        cells = [first.iloc[:1, index].astype(object), second[name].astype(object)]
        return read_column(name, pd.concat(cells, ignore_index=True))

    columns = [read(index, name) for index, name in enumerate(names)]
    return tuple(column for column in columns if column is not None)


def table_drift(schema: Schema, train: Table, holdout: Table, *, seed: int) -> Drift:
    """Return the same for two encoded tables (see `drift_between`)."""
    parts = [
        code_matrix(table.take(some_rows(table.n_rows, MAX_ROWS, child_seed(seed, "drift", side))))
        for side, table in enumerate((train, holdout))
    ]
    dense: list[FloatArray] = [part.toarray() if sparse.issparse(part) else part for part in parts]  # type: ignore[attr-defined]
    X = np.vstack(dense)
    y = np.repeat([0, 1], [len(part) for part in dense])
    smaller = int(np.bincount(y, minlength=2).min())
    if smaller < LEAST_ROWS:
        return Drift(0.5, 0.0, 1.0, ())
    # Category codes the training table does not know share one code, so a new category tells.
    trees = ExtraTreesClassifier(
        N_TREES,
        min_samples_leaf=3,
        max_features=0.5,
        bootstrap=True,
        oob_score=True,
        random_state=child_seed(seed, "drift trees"),
        n_jobs=1,
    ).fit(X, y)
    auc = float(roc_auc_score(y, trees.oob_decision_function_[:, 1]))
    half = float(norm.ppf(0.5 + LEVEL / 2)) * _auc_error(auc, *np.bincount(y))
    shares = trees.feature_importances_
    return Drift(auc, max(0.0, auc - half), min(1.0, auc + half), _by_column(schema, shares))


def check_holdout(
    train: Any, holdout: Any, *, train_time: Any = None, holdout_time: Any = None, seed: int = 0
) -> tuple[Finding, ...]:
    """Return what speaks against judging a model on these held-out rows (G007, G008).

    Parameters
    ----------
    train, holdout : pandas or polars frame, array or sparse matrix of the same columns
        Without target, groups, time and ids: a clock always tells.
    train_time, holdout_time : array-like of numbers or of dates, one a row, or None
        When the rows were collected; both or neither.

    Raises
    ------
    InputError
        If the columns differ, a table is empty, or a time is missing or not as long as its table.
    """
    if (train_time is None) != (holdout_time is None):
        raise InputError(
            "A holdout's time can only be judged beside that of the training rows.",
            f"`{'holdout_time' if train_time is None else 'train_time'}` alone",
            "Give both, or neither.",
        )
    found = [check_drift(drift_between(train, holdout, seed=seed))]
    if train_time is not None:
        times = [as_vector(train_time, "train_time"), as_vector(holdout_time, "holdout_time")]
        for name, each, rows in zip(("train_time", "holdout_time"), times, (train, holdout), strict=True):
            check_length(name, each, np.shape(rows)[0])
        together = encode_time(np.concatenate(times), sum(map(len, times)))
        assert together is not None  # both are given
        found.insert(0, check_later_rows(together[: len(times[0])], together[len(times[0]) :]))
    return tuple(finding for finding in found if finding is not None)


def check_drift(drift: Drift) -> Finding | None:
    """G008: the training rows and the holdout differ by more than chance and more than a little."""
    if drift.low <= SLIGHT:
        return None
    names = ", ".join(f"`{name}` ({share:.0%})" for name, share in drift.columns[:3])
    return Finding(
        "G008",
        "warning" if drift.low > CLEAR else "info",
        f"Training and holdout rows differ: a classifier tells them apart, mostly by {names}.",
        f"AUC {drift.auc:.3f}, {LEVEL:.0%} interval [{drift.low:.3f}, {drift.high:.3f}]; .5 would be alike",
        "Look at these columns; give `time` if the shift is one in time, drop ids and clocks.",
    )


def check_later_rows(train_time: FloatArray, holdout_time: FloatArray) -> Finding | None:
    """G007: training rows are later than the first row of the holdout."""
    later = float(np.mean(train_time > np.min(holdout_time)))
    if later == 0:
        return None
    return Finding(
        "G007",
        "error",
        "Training rows are later than the holdout's first: it does not show how the future is predicted.",
        f"{later:.1%} of the training rows",
        "Cut the holdout after the last training row.",
    )


def _auc_error(auc: float, n_first: int, n_second: int) -> float:
    """Return the standard error of an AUC (Hanley and McNeil)."""
    both_above, both_below = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (n_second - 1) * (both_above - auc**2) + (n_first - 1) * (both_below - auc**2)
    ) / (n_first * n_second)
    return float(np.sqrt(max(variance, 0.0)))


def _by_column(schema: Schema, shares: FloatArray) -> tuple[tuple[str, float], ...]:
    """Return the input columns with their shares, the largest first; the parts of a date count together."""
    numbers = [column for column in schema.columns if column.kind != "categorical"]
    categories = [column for column in schema.columns if column.kind == "categorical"]
    widths = [len(DATE_PARTS) if column.kind == "datetime" else 1 for column in (*numbers, *categories)]
    starts = np.cumsum([0, *widths[:-1]])
    totals = np.add.reduceat(shares, starts)
    named = [(column.name, float(t)) for column, t in zip((*numbers, *categories), totals, strict=True)]
    return tuple(sorted(named, key=lambda each: -each[1]))
