"""Which rows a challenger learns from, and on which it meets the champion; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuner._schedule.contest import LEAST_BLOCKS, LEAST_ROWS_A_BLOCK
from tuner._types import BoolArray, FloatArray, IntArray

LEAST_HELD = LEAST_BLOCKS * LEAST_ROWS_A_BLOCK  # on fewer rows nobody can be judged


@dataclass(frozen=True, eq=False)
class Window:
    """Rows of one retune, by position in the table.

    Attributes
    ----------
    train : int array
        The challenger's, in the table's order.
    holdout : int array
        The contest's, oldest first: neither model has trained on them.
    """

    train: IntArray
    holdout: IntArray


def split_window(
    is_new: BoolArray,
    *,
    time: FloatArray | None = None,
    groups: IntArray | None = None,
    holdout: float,
    window_rows: int | None = None,
) -> Window:
    """Keep the newest of the champion's unseen rows for the contest; all others, or the newest, train.

    With ``time`` the holdout begins between two times, so that what happened at once is not parted (where
    all unseen rows have one time, or too few to judge anybody by would be held, between two rows). Without,
    rows are taken to be appended, and groups stay whole among the unseen rows.

    Parameters
    ----------
    is_new : bool array of shape (n_rows,)
        The rows the champion has not seen.
    time : float array of shape (n_rows,) or None
    groups : int array of shape (n_rows,) or None
    holdout : float
        Share of the unseen rows.
    window_rows : int or None
        Train on so many of the newest rows at most.
    """
    order = oldest_first(time, len(is_new))
    unseen = order[is_new[order]]
    wanted = int(np.ceil(holdout * len(unseen)))
    if time is not None:
        held = unseen[_first_held(time[unseen], wanted) :]
    elif groups is not None:
        held = _newest_groups(unseen, groups, wanted)
    else:
        held = unseen[len(unseen) - wanted :]
    train = order[~np.isin(order, held)]
    if window_rows is not None:
        train = train[-window_rows:]
    return Window(np.sort(train), held)


def oldest_first(time: FloatArray | None, n_rows: int) -> IntArray:
    """Return the rows in order of time, else of the table."""
    return np.arange(n_rows) if time is None else np.argsort(time, kind="stable")


def newest(time: FloatArray | None, n_rows: int, window_rows: int | None) -> IntArray:
    """Return the rows of a window that ends now, in the table's order: all, or so many of the newest."""
    order = oldest_first(time, n_rows)
    return np.sort(order if window_rows is None else order[-window_rows:])


def without_lone_classes(rows: IntArray, codes: IntArray) -> IntArray:
    """Return the rows but those that alone have their class: of one row nothing is learned, nor promised.

    Parameters
    ----------
    rows : int array
        Positions in the table.
    codes : int array of shape (n_rows,)
        The class of every row of the table.
    """
    there = codes[rows]
    return rows[np.bincount(there)[there] > 1]


def _first_held(time: FloatArray, wanted: int) -> int:
    """Return the position nearest to the wanted share at which a new time begins."""
    aim = len(time) - wanted
    starts = np.flatnonzero(np.diff(time)) + 1
    if wanted >= LEAST_HELD:
        starts = starts[starts <= len(time) - LEAST_HELD]
    return aim if not len(starts) else int(starts[np.argmin(np.abs(starts - aim))])


def _newest_groups(unseen: IntArray, groups: IntArray, wanted: int) -> IntArray:
    """Return the unseen rows of the groups that were added to last, until there are enough."""
    codes = groups[unseen]
    names, first_from_end = np.unique(codes[::-1], return_index=True)
    newest = names[np.argsort(first_from_end)]
    sizes = np.array([np.count_nonzero(codes == name) for name in newest])
    n_held = int(np.searchsorted(np.cumsum(sizes), wanted) + 1)
    held = newest[: min(n_held, max(1, len(newest) - 1))]
    return unseen[np.isin(codes, held)]
