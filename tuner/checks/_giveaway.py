"""Columns that tell what no column may: the target, the row's number, the target's mean over all rows."""

from __future__ import annotations

import numpy as np

from tuner._records import Finding
from tuner._rows.data import Dataset
from tuner._types import FloatArray, IntArray
from tuner.checks._clocks import is_dated
from tuner.checks._features import Feature, Rows, error_if_sure, explained, sample

GIVEN_AWAY = 0.98  # of the target, by one column alone
MAX_ID_ROWS = 50_000
EXPECTED_TIES = 10.0  # a column of so many expected ties that has none was numbered
TELLING = 0.9  # of the target: rows were numbered by outcome; a clock in a drifting table tells less
LEAST_LEVELS = 5
MOST_LEVELS = 0.95  # of the levels must follow the recipe of an encoding
LEAST_SMOOTHING = 0.1  # rows; less is none


def check_giveaway(rows: Rows) -> Finding | None:
    """G003: one column alone tells all but a fiftieth of the target, on rows left out of the telling."""
    told = {column.name: told_by(column, rows.target) for column in rows.features}
    guilty = {name: share for name, share in told.items() if share >= GIVEN_AWAY}
    if not guilty:
        return None
    others = [share for name, share in told.items() if name not in guilty]
    return Finding(
        "G003",
        error_if_sure(len(rows.target)),
        f"{_listed(guilty)} gives the target away: such a column is seldom known when a prediction is due.",
        f"alone it tells {max(guilty.values()):.1%} of the target (rows left out); "
        f"the best other column {max(others, default=0.0):.1%}",
        'Drop it if it is made from the target or known only afterwards; else allow=["G003"].',
    )


def told_by(column: Feature, target: FloatArray) -> float:
    """Return the share of the target's sum of squares that a column alone tells, each row left out.

    A row is predicted by the mean of the others with its value or, where there are none, of the rows with the
    next smaller and the next larger value. Of dates it counts what is filled in only: a date is known, and
    neighbours in time are alike wherever the target varies slowly.
    """
    values = _filled_in(column.values) if is_dated(column) else column.values
    codes, counts, n_known = _levels(values)
    sums = np.zeros((len(counts), target.shape[1]))
    np.add.at(sums, codes, target)
    means = sums / counts[:, None]
    alone = np.zeros_like(means)
    if column.kind != "categorical" and n_known > 1:
        padded = np.vstack([means[1], means[:n_known], means[n_known - 2]])  # an end has one neighbour, twice
        alone[:n_known] = (padded[:-2] + padded[2:]) / 2
    size = counts[codes][:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        others = np.where(size > 1, (sums[codes] - target) / (size - 1), alone[codes])
    return explained(float((target**2).sum()), float(((target - others) ** 2).sum()))


def _filled_in(values: FloatArray) -> FloatArray:
    """Return 1 for the most common value, which may be a placeholder, 0 for others, NaN where missing."""
    known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    common = known[np.argmax(counts)] if len(known) else np.nan
    return np.where(np.isnan(values), np.nan, (values == common).astype(np.float64))


def _levels(values: FloatArray) -> tuple[IntArray, IntArray, int]:
    """Return each row's level in order of values, rows of each level, and how many levels are not missing."""
    known, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return codes, counts, len(known) - int(np.isnan(known[-1:]).sum())


def check_id(dataset: Dataset, columns: tuple[Feature, ...], rows: Rows) -> Finding | None:
    """G004: a column that numbers or names the rows; it is worse where it also tells the target."""
    picked = sample(dataset.n_rows, MAX_ID_ROWS, "ids")
    ids = [i for i, column in enumerate(columns) if _is_id(column, column.values[picked])]
    if not ids:
        return None
    telling = {columns[i].name: told_by(rows.features[i], rows.target) for i in ids}
    worst = max(telling.values())
    tells = worst > TELLING
    return Finding(
        "G004",
        error_if_sure(len(rows.target)) if tells else "warning",
        f"{_listed(telling)} numbers the rows"
        + (" and tells the target: the order of the rows is in the data." if tells else "."),
        f"all {len(picked)} values differ where chance would have made some alike"
        + (f"; alone it tells {worst:.1%} of the target" if tells else ""),
        "Drop it: new rows have new numbers." + (' Or allow=["G004"].' if tells else ""),
    )


def _is_id(column: Feature, values: FloatArray) -> bool:
    """Whether no two values are alike although so many draws from their range would have been."""
    known = values[np.isfinite(values)]
    if is_dated(column) or len(known) < len(values) or len(np.unique(known)) < len(known):
        return False
    if column.kind == "categorical":
        return len(known) >= LEAST_LEVELS * 4
    if np.any(known != np.round(known)):
        return False
    return bool(len(known) ** 2 / (2 * (np.ptp(known) + 1)) >= EXPECTED_TIES)


def check_target_encoded(dataset: Dataset, columns: tuple[Feature, ...]) -> Finding | None:
    """G009: the values of a column are the target's mean over all rows that have them, smoothed or not.

    A mean over n rows with sum S, drawn to the overall mean p as by m further rows, is
    v = (S + m p) / (n + m), so m = (S - n v) / (v - p): the same m for every value betrays the recipe.
    """
    if dataset.task == "multiclass":
        return None
    y = np.expm1(dataset.y) if dataset.log_target else np.asarray(dataset.y, dtype=np.float64)
    encoded = [column.name for column in columns if column.kind == "numeric" and _encodes(column.values, y)]
    if not encoded:
        return None
    return Finding(
        "G009",
        error_if_sure(dataset.n_rows),
        f"{_listed(encoded)} holds means of the target over all rows, the row's own target included.",
        "every value equals the mean target of the rows that have it, drawn towards the overall mean or not",
        'Encode inside the folds: give the raw category instead. Or allow=["G009"].',
    )


def _encodes(values: FloatArray, y: FloatArray) -> bool:
    if np.isnan(values).any():
        return False
    levels, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if not LEAST_LEVELS <= len(levels) <= len(values) / 2:
        return False
    sums, mean = np.bincount(codes, weights=y), float(y.mean())
    away = np.abs(levels - mean) > 1e-9 * (np.abs(mean) + y.std())
    if away.sum() < LEAST_LEVELS or np.ptp(levels) < 1e-3 * y.std():
        return False
    smoothing = (sums - counts * levels)[away] / (levels - mean)[away]
    rounding = 1e-3 * counts[away]  # values printed with some six digits
    plain = np.abs(smoothing) <= rounding
    # Categories of equal size and sum share a value, so k of them together look k times as smoothed.
    base = float(np.quantile(smoothing, 0.1))
    fits = plain
    if base > LEAST_SMOOTHING:
        times = np.maximum(1.0, np.round(smoothing / base))
        fits = np.abs(smoothing - times * base) <= np.minimum(rounding + 1e-3 * smoothing, 0.02 * base)
    return bool(fits.mean() >= MOST_LEVELS)


def _listed(names: dict[str, float] | list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in list(names)[:3])
    return f"Column {shown}" + (", ..." if len(names) > 3 else "")
