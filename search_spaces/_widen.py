"""How one end of a range moves outward."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from search_spaces.dimensions import Float, Int

LOG_FACTOR = 4.0  # by which an end moves on a log scale


def wider(
    dimension: Float | Int, end: Literal["low", "high"], limits: tuple[float, float] | None
) -> Float | Int:
    """
    Move one end of a range outward.

    By the width of the range or, on a log scale, to four times or a quarter of itself; never beyond what the
    library accepts nor, where that is not known, over 0 or 1, which are often the ends of what makes sense.

    Parameters
    ----------
    dimension : Float or Int
        The range.
    end : {"low", "high"}
        The end to move.
    limits : tuple of two floats, optional
        The range the library accepts.

    Returns
    -------
    Float or Int
        The wider range; the same one where nothing lies beyond.

    Examples
    --------
    >>> wider(Int(4, 64, log=True), "high", (2, 1000)).high
    256
    >>> wider(Float(0.2, 1.0), "high", None).high
    1.0
    """
    low, high = float(dimension.low), float(dimension.high)
    least, most = _natural_limits(low, high) if limits is None else limits
    if end == "low":
        moved = max(low / LOG_FACTOR if dimension.log else low - (high - low), least)
    else:
        moved = min(high * LOG_FACTOR if dimension.log else high + (high - low), most)
    if isinstance(dimension, Int):
        whole = max(round(moved), 1) if dimension.log else round(moved)
        return replace(dimension, low=whole) if end == "low" else replace(dimension, high=whole)
    return replace(dimension, low=moved) if end == "low" else replace(dimension, high=moved)


def _natural_limits(low: float, high: float) -> tuple[float, float]:
    """Return the nearest of 0 and 1 on either side of a range, else infinity."""
    least = max((end for end in (0.0, 1.0) if end <= low), default=-math.inf)
    most = min((end for end in (0.0, 1.0) if end >= high), default=math.inf)
    return least, most
