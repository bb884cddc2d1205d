"""The columns as the checks look at them: one vector of numbers each, with its name and kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from tuner._records import Severity
from tuner._rows.data import Dataset
from tuner._seeds import child_seed, some_rows
from tuner._types import FloatArray, IntArray

MAX_ROWS = 10_000  # looked at by checks that compare rows; effects that matter show in them
LEAST_ROWS_FOR_ERROR = 50  # fewer rows fall into place by chance too often to refuse them
MAX_FEATURES = 1_000  # the first ones of wider tables


@dataclass(frozen=True, eq=False)
class Feature:
    """One input column of all rows.

    Attributes
    ----------
    name : str
    kind : {"numeric", "categorical", "datetime"}
    values : float array of shape (n_rows,)
        Numbers, category codes or days since 1970; NaN is missing.
    """

    name: str
    kind: Literal["numeric", "categorical", "datetime"]
    values: FloatArray


@dataclass(frozen=True, eq=False)
class Rows:
    """What the checks see: some rows in their order, columns and target as numbers.

    Attributes
    ----------
    features : tuple of Feature
    target : float array of shape (n_rows, n_targets)
        Centred: an indicator of every class (one for two), or the ranks of a regression's target.
    """

    features: tuple[Feature, ...]
    target: FloatArray


def features(dataset: Dataset) -> Iterator[Feature]:
    """Yield the columns of all rows, the first ``MAX_FEATURES``; a date is its days since 1970."""
    for column, place in islice(dataset.schema.places(), MAX_FEATURES):
        yield Feature(column.name, column.kind, dataset.table.vector(column, place))


def drawn_rows(dataset: Dataset, columns: tuple[Feature, ...]) -> Rows:
    """Return at most ``MAX_ROWS`` rows, in their order."""
    rows = sample(dataset.n_rows, MAX_ROWS, "checks")
    picked = tuple(Feature(each.name, each.kind, each.values[rows]) for each in columns)
    return Rows(picked, centred_target(dataset.y[rows], is_class=dataset.task != "regression"))


def sample(n_rows: int, size: int, purpose: str) -> IntArray:
    """Return sorted row numbers, at most ``size``; the same for the same table, whatever the run's seed."""
    return some_rows(n_rows, size, child_seed(0, purpose))


def centred_target(y: FloatArray | IntArray, *, is_class: bool) -> FloatArray:
    """Return the target as centred columns whose sum of squares is what there is to explain."""
    if not is_class:
        numbers = rankdata(y)[:, None]
    else:
        classes = np.unique(y)
        numbers = np.equal(y[:, None], classes[1:] if len(classes) == 2 else classes).astype(np.float64)
    return np.asarray(numbers - numbers.mean(axis=0))


def error_if_sure(n_rows: int) -> Severity:
    """Return "error", or "warning" where rows are too few to refuse."""
    return "error" if n_rows >= LEAST_ROWS_FOR_ERROR else "warning"


def explained(total: float, left: float) -> float:
    """Return the share of a sum of squares that is not left; 0 where there was none."""
    return 1.0 - left / total if total > 0 else 0.0
