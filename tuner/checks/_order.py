"""Order the folds would ignore: time, and rows that resemble their neighbours."""

from __future__ import annotations

import re

import numpy as np
from scipy.stats import f as fisher
from scipy.stats import rankdata

from tuner._records import Finding
from tuner._rows.data import Dataset
from tuner._types import FloatArray, IntArray
from tuner.checks._features import Feature, Rows

N_BLOCKS = 20
MATTERS = 0.005  # of the target's variance
RARE = 1e-4  # one table in ten thousand has blocks that differ as much by chance
TIME_NAME = re.compile(r"(^|[^a-z])(year|date|datetime|time|timestamp|month|quarter|week|epoch)([^a-z]|$)")
RARE_DATES = 0.01  # of the rows: mistyped ones
NANOSECONDS_A_DAY = 86_400 * 10**9
FIRST_DAY = np.datetime64("1900-01-01", "D").astype(float)  # in days since 1970


def check_order(dataset: Dataset, rows: Rows) -> Finding | None:
    """G006: no `time` is given, and the target drifts along a column that tells time or along the rows."""
    if dataset.time is not None:
        return None
    known = [column for column in rows.features if _tells_time(column)]
    drifts = {column.name: _drift(_blocks(column.values), rows.target) for column in known}
    drifting = {name: drift for name, drift in drifts.items() if drift > 0}
    along_rows = _drift(_blocks(np.arange(len(rows.target), dtype=np.float64)), rows.target)
    if drifting:
        name = max(drifting, key=lambda each: drifting[each])
        return Finding(
            "G006",
            "warning",
            f"The target changes with `{name}`, which looks like time, and no `time` is given: "
            "random folds learn the past from the future.",
            f"twentieths of the rows along it differ by {drifting[name]:.1%} of the target's variance",
            f'Give time=X["{name}"] (or a finer clock) if predictions are about a later time.',
        )
    if along_rows > 0:
        return Finding(
            "G006",
            "warning",
            "The target changes along the rows: they are in an order that random folds ignore.",
            f"consecutive twentieths of the rows differ by {along_rows:.1%} of the target's variance",
            "Give `time` if the rows were collected one after the other, `groups` if by place or person.",
        )
    if known:
        return Finding(
            "G006",
            "info",
            f"`{known[0].name}` looks like time and no `time` is given; the target does not change with it.",
            f"twentieths of the rows along it differ by less than {MATTERS:.1%} of the target's variance",
            "Give `time` if predictions are about a later time.",
        )
    return None


def _tells_time(column: Feature) -> bool:
    """Whether a column is a date, or an ordered number whose name says so."""
    if column.kind == "datetime":
        return True
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.name).lower()
    return column.kind == "numeric" and bool(TIME_NAME.search(snake)) and len(np.unique(column.values)) > 2


def _blocks(values: FloatArray) -> IntArray:
    """Return the twentieth of the rows each value belongs to, equal values together, missing ones last."""
    ranks = rankdata(np.where(np.isnan(values), np.inf, values), method="min")
    return np.asarray((ranks - 1) * N_BLOCKS // len(values), dtype=np.intp)


def _drift(blocks: IntArray, target: FloatArray) -> float:
    """Return the adjusted share of the target's variance between blocks; 0 where it is noise or little."""
    _, codes, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    total = float((target**2).sum())
    sums = np.zeros((len(counts), target.shape[1]))
    np.add.at(sums, codes, target)
    between = float((sums**2 / counts[:, None]).sum())
    within_df, between_df = len(target) - len(counts), len(counts) - 1
    if within_df < 1 or between_df < 1 or total <= between:
        return 1.0 if between_df and total > 0 else 0.0
    ratio = (between / between_df) / ((total - between) / within_df)
    width = target.shape[1]
    is_noise = fisher.sf(ratio, between_df * width, within_df * width) > RARE
    adjusted = 1 - (1 - between / total) * (len(target) - 1) / within_df
    return adjusted if adjusted >= MATTERS and not is_noise else 0.0


def check_future(dataset: Dataset, columns: tuple[Feature, ...]) -> Finding | None:
    """G007: a date among the features lies after the row's own `time`."""
    days = None if dataset.time is None else _as_days(dataset.time)
    if days is None:
        return None
    later = {
        column.name: float(np.nanmean(column.values > days + 1))
        for column in columns
        if column.kind == "datetime" and np.nanmean(column.values > days + 1) >= RARE_DATES
    }
    if not later:
        return None
    name = max(later, key=lambda each: later[each])
    return Finding(
        "G007",
        "warning",
        f"`{name}` holds dates later than the row's `time`: it may tell what only the future knows.",
        f"{later[name]:.0%} of the rows, by more than a day",
        "Drop it unless it is a plan known at that time; check which column `time` should be.",
    )


def _as_days(time: FloatArray) -> FloatArray | None:
    """Return times given as dates (nanoseconds inside) in days since 1970; None for plain numbers."""
    days = time / NANOSECONDS_A_DAY
    return days if np.abs(time).min() > 1e14 and days.min() > FIRST_DAY else None
