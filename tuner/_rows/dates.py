"""Dates: which texts and cells are some, what they are in UTC, and what the clock of a zone shows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd

from tuner.exceptions import InputError

ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
OFFSET = re.compile(r"[T ].*(Z|[+-]\d\d(:?\d\d)?)$")  # of a date and time from UTC
DATES_SHARE = 0.95  # of distinct texts: a few that a form was left open with are gaps
MAX_GAPS = 20  # that are known again
ZONE_RULES = (pd.Timestamp("0001-01-03", tz="UTC"), pd.Timestamp("9999-12-29", tz="UTC"))


def are_iso_dates(distinct: Iterable[Any]) -> bool:
    """Whether values are texts, nearly all of them dates such as 2024-02-29 or 2024-02-29T13:30+01:00."""
    texts = pd.Series(list(distinct), dtype=object)
    if not all(isinstance(text, str) for text in texts):
        return False
    alike = texts[[ISO_DATE.match(text) is not None for text in texts]]
    return bool(_iso_dates(alike).notna().sum() >= DATES_SHARE * len(texts))


def gap_texts(values: pd.Series) -> tuple[str, ...]:
    """Return the texts among ISO dates that are of another form, the most frequent first."""
    others = [text for text in values.value_counts().index if not ISO_DATE.match(text)]
    return tuple(others[:MAX_GAPS])


def _iso_dates(texts: pd.Series) -> pd.Series:
    """Return dates in UTC; missing where a text is none of ISO 8601."""
    return pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")


def zone_name(values: pd.Series) -> str | None:
    """Return the name of the zone that dates share; None where no name means the same on any machine."""
    dtype = getattr(values.dtype, "pyarrow_dtype", values.dtype)
    cells = values.dropna() if values.dtype == object else ()
    names = {str(getattr(value, "tzinfo", None)) for value in cells} or {str(getattr(dtype, "tz", None))}
    if len(names) > 1 or not names.isdisjoint(("None", "UTC", "tzlocal()")):
        return None
    [name] = names
    try:
        pd.Timestamp(0, tz=name)
    except (KeyError, ValueError, OSError):
        return None
    return name


def object_dates(values: pd.Series, name: str) -> pd.Series:
    try:
        return _in_utc(values)
    except pd.errors.OutOfBoundsDatetime as error:
        raise InputError(
            f"Dates of column {name!r} must be near enough to be counted in microseconds.",
            str(error),
            "Replace those that are not by missing ones.",
        ) from error


def column_dates(values: pd.Series, name: str, gaps: Collection[str] = ()) -> pd.Series:
    """Return dates in UTC; a text among them is missing, as at fit, and so are gaps known from there.

    Other texts than those of ISO 8601 would be read by the first one of the call: 03/04 the one time in
    April, the other in March.

    Raises
    ------
    InputError
        If a value is neither a date nor such a text, or no text is a date.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    rule = f"Column {name!r} held dates at fit and must do so now."
    if _are_texts(values):
        stamps = _iso_dates(values)
        others = [text for text in gap_texts(values) if text not in gaps]  # 0000-00-00 is one of dates
        is_gap = len(others) == 1 and not re.search(r"\d", others[0])  # one word for what is not known
        if stamps.isna().all() and others and not is_gap:
            cure = "Parse it, or write dates as in 2024-02-29."
            raise InputError(rule, f"texts such as {others[0]!r}", cure)
        return stamps
    if values.notna().any() and pd.api.types.is_numeric_dtype(values.infer_objects()):
        raise InputError(rule, f"numbers such as {values.dropna().iloc[0]}", "Parse it.")
    try:
        return parse_dates(values)
    except (TypeError, ValueError) as error:
        raise InputError(rule, str(error), "Parse it.") from error


def parse_dates(values: pd.Series) -> pd.Series:
    """Return dates in UTC, whatever zone each of them has: of ISO 8601, or texts all of one other format.

    Raises
    ------
    ValueError, TypeError
        If a value is no date.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if _are_texts(values):
        stamps = _iso_dates(values)
        if stamps.notna().equals(values.notna()):
            return stamps
    with warnings.catch_warnings():
        # "Could not infer format": a slower way is taken; quarters, which pandas will refuse one day.
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", "Parsing .* as a quarterly string", DeprecationWarning)
        try:
            return _in_utc(values)
        except NotImplementedError as error:  # of a text such as "-1"
            raise ValueError(str(error)) from error


def _are_texts(values: pd.Series) -> bool:
    return pd.api.types.infer_dtype(values, skipna=True) == "string"


def _in_utc(values: pd.Series) -> pd.Series:
    """Return dates in UTC, to the microsecond where some are too far off for the nanoseconds of others."""
    try:
        return pd.to_datetime(values, utc=True)
    except pd.errors.OutOfBoundsDatetime:
        rounded = values.map(lambda value: pd.Timestamp(value).as_unit("us"), na_action="ignore")
        return pd.to_datetime(rounded, utc=True)


def on_the_clock(stamps: pd.Series, zone: str) -> pd.Series:
    """Return what the clock of a zone shows."""
    near = _near(stamps)
    ahead = near.dt.tz_convert(zone).dt.tz_localize(None) - near.dt.tz_localize(None)
    shown: pd.Series = stamps.dt.tz_localize(None) + ahead
    return shown


def of_zone(stamps: pd.Series, values: pd.Series, zone: str) -> pd.Series:
    """Return dates, naive values as of a zone instead of UTC: in summer where its clock tells them twice."""
    naive = np.array([_is_naive(value) for value in values])
    near = _near(stamps).dt.tz_localize(None)
    is_summer = np.full(len(near), fill_value=True)
    zoned = near.dt.tz_localize(zone, ambiguous=is_summer, nonexistent="shift_forward")
    ahead = near - zoned.dt.tz_convert("UTC").dt.tz_localize(None)
    read: pd.Series = stamps.mask(naive, stamps - ahead)
    return read


def _near(stamps: pd.Series) -> pd.Series:
    """Return dates, the farthest replaced by the nearest that no zone carries out of the years 1 to 9999."""
    near: pd.Series = stamps.dt.as_unit("us").clip(*ZONE_RULES)
    return near


def _is_naive(value: Any) -> bool:
    if isinstance(value, str):
        return OFFSET.search(value) is None
    return getattr(value, "tzinfo", None) is None
