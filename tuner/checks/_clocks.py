"""Columns that tell when a row was made, and those that tell its season only."""

from __future__ import annotations

import re

import numpy as np
from scipy.stats import rankdata

from tuner._types import BoolArray, FloatArray
from tuner.checks._features import Feature

TIME_NAME = re.compile(r"(?<![a-z])(year|date|datetime|time|timestamp|month|quarter|week|epoch)(?![a-z])")
RARE_DATES = 0.01  # of the rows: mistyped ones
YEARS = (1900, 2101)
SECONDS = (1e8, 4.2e9)  # since 1970: the years 1973 to 2103
DAYS = ((7_000, 25_000), (30_000, 60_000))  # since 1970, and as Excel counts them: the years 1982 to 2064
FOLLOWS = 0.9  # rank correlation with the order of the rows
SEASONS = {"month": 12, "quarter": 4, "week": 53}


def tells_time(column: Feature) -> bool:
    """Whether a column is a date, or numbers named like time that read as dates or follow the rows.

    The name alone may be that of a duration, such as hours per week or the time in hospital.
    """
    if column.kind == "datetime":
        return True
    known = column.values[np.isfinite(column.values)]
    if not _words(column) or len(np.unique(known)) <= 2:
        return False
    return _read_as_dates(known, _words(column)) or _follow_rows(column.values)


def is_dated(column: Feature) -> bool:
    """Whether a column holds dates, or numbers named like time that are written so or count from 1970.

    That is 2016, 201607, 20160714, or s, ms, us, ns. Unlike a duration such a column cannot have been made
    from the target.
    """
    if column.kind == "datetime":
        return True
    known = column.values[np.isfinite(column.values)]
    if not len(known) or not _words(column):
        return False
    low, high = np.quantile(known, (RARE_DATES, 1 - RARE_DATES))
    epochs = _epochs(known) if high < 2 * low else []  # durations of seconds, in ns, lie there too, but wider
    return _share([*_written(known), *epochs]) >= 1 - RARE_DATES


def tells_season(column: Feature) -> bool:
    """Whether a column holds months, quarters or weeks by name and value: a clock within one year only."""
    known = column.values[np.isfinite(column.values)]
    return len(known) > 0 and any(
        bool(_within(known, (1, SEASONS[word] + 1)).all()) for word in _words(column) if word in SEASONS
    )


def _words(column: Feature) -> list[str]:
    """Return the words for time in the name of a column of numbers."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.name).lower()
    return TIME_NAME.findall(snake) if column.kind == "numeric" else []


def _read_as_dates(known: FloatArray, words: list[str]) -> bool:
    """Whether all but mistyped numbers are written as dates, or count s, ms, us, ns or (of a date) days."""
    days = [_within(known, each) for each in DAYS] if "date" in words else []
    return _share([*_written(known), *_epochs(known), *days]) >= 1 - RARE_DATES


def _written(known: FloatArray) -> list[BoolArray]:
    """Return which numbers are years, yyyymm (or yyyyww) and yyyymmdd."""
    month = _within(known // 100 % 100, (1, 13))
    return [
        _within(known, YEARS),
        _within(known // 100, YEARS) & _within(known % 100, (1, 54)),
        _within(known // 10_000, YEARS) & month & _within(known % 100, (1, 32)),
    ]


def _epochs(known: FloatArray) -> list[BoolArray]:
    """Return which numbers count s, ms, us and ns since 1970."""
    return [_within(known / unit, SECONDS) for unit in (1, 1e3, 1e6, 1e9)]


def _share(forms: list[BoolArray]) -> float:
    return float(max(form.mean() for form in forms))


def _within(values: FloatArray, ends: tuple[float, float]) -> BoolArray:
    return np.asarray((values >= ends[0]) & (values < ends[1]))


def _follow_rows(values: FloatArray) -> bool:
    """Whether numbers rise or fall with the order of the rows."""
    places = np.flatnonzero(np.isfinite(values))
    return bool(abs(np.corrcoef(rankdata(values[places]), places)[0, 1]) >= FOLLOWS)
