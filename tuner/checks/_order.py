"""Order the folds would ignore: time, and rows that resemble their neighbours."""

from __future__ import annotations

import numpy as np
from scipy.stats import f as fisher
from scipy.stats import rankdata

from tuner._records import Finding
from tuner._rows.data import Dataset
from tuner._types import FloatArray, IntArray
from tuner.checks._clocks import RARE_DATES, tells_season, tells_time
from tuner.checks._features import Feature, Rows

N_BLOCKS = 20
MATTERS = 0.005  # of the target's variance
RARE = 1e-4  # one table in ten thousand has blocks that differ as much by chance
NANOSECONDS_A_DAY = 86_400 * 10**9
FIRST_DAY = np.datetime64("1900-01-01", "D").astype(float)  # in days since 1970


def check_order(dataset: Dataset, rows: Rows) -> Finding | None:
    """G006: no `time` is given, and the target drifts along a column that tells time or along the rows.

    Not along the rows where groups are given: they mostly lie group by group, so that a group's level looks
    like drift, and no fold parts a group. For information only along a season, or where a column tells time
    and the target does not drift.
    """
    if dataset.time is not None:
        return None
    known = [column for column in rows.features if tells_time(column)]
    drifting = _most_drifting(known, rows.target)
    places = _blocks(np.arange(len(rows.target), dtype=np.float64))
    along_rows = _drift(places, rows.target) if dataset.groups is None else 0.0
    if drifting:
        name, drift = drifting
        return Finding(
            "G006",
            "warning",
            f"The target changes with `{name}`, which looks like time, and no `time` is given: "
            "random folds learn the past from the future.",
            f"twentieths of the rows along it differ by {drift:.1%} of the target's variance",
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
    seasonal = _most_drifting([column for column in rows.features if tells_season(column)], rows.target)
    if seasonal:
        name, drift = seasonal
        return Finding(
            "G006",
            "info",
            f"The target changes with `{name}`: within one year it is a clock, over several a season.",
            f"twentieths of the rows along it differ by {drift:.1%} of the target's variance",
            "Give `time` if all rows are of one year and predictions are about a later time.",
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


def _most_drifting(columns: list[Feature], target: FloatArray) -> tuple[str, float] | None:
    """Return the column that the target changes with most, and by how much; None if it does with none."""
    drifts = [(column.name, _drift(_blocks(column.values), target)) for column in columns]
    most = max(drifts, key=lambda each: each[1], default=("", 0.0))
    return most if most[1] > 0 else None


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
    if within_df < 1 or between_df < 1 or total == 0:  # a row a block: nothing says what noise is
        return 0.0
    if total <= between:
        return 1.0
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
