"""The rows of a retune: who trains on what, and what is kept for the contest."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuner._schedule.window import newest, split_window, without_lone_classes


def test_the_newest_half_of_the_unseen_rows_is_held_out():
    """Rows 4 to 9 are new; the last three are held out, the seven others train."""
    window = split_window(np.arange(10) >= 4, holdout=0.5)
    assert window.holdout.tolist() == [7, 8, 9]
    assert window.train.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_rows_of_one_time_are_not_parted():
    """New times 2, 2, 2, 3, 3: half would part the twos, so the holdout is the threes (rows 5 and 6)."""
    time = np.array([1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0])
    window = split_window(time > 1, time=time, holdout=0.5)
    assert window.holdout.tolist() == [5, 6]


def test_a_holdout_that_could_judge_nobody_parts_rows_of_one_time():
    """45 rows of time 1 and 5 of time 2: half are 25, the cut between the times leaves 5, ten are needed."""
    time = np.repeat([1.0, 2.0], [45, 5])
    window = split_window(time > 0, time=time, holdout=0.5)
    assert window.holdout.tolist() == list(range(25, 50))
    time = np.repeat([1.0, 2.0], [40, 10])
    assert split_window(time > 0, time=time, holdout=0.5).holdout.tolist() == list(range(40, 50))


def test_the_holdout_goes_by_time_and_not_by_position():
    """The table is in reverse order: its first rows are the newest."""
    time = np.arange(10.0)[::-1]
    window = split_window(time >= 6, time=time, holdout=0.5)
    assert window.holdout.tolist() == [1, 0]


def test_groups_stay_whole_among_unseen_rows():
    """New rows 2 to 7 are of groups 1, 1, 2, 2, 3, 3: half of six are three, so groups 3 and 2 are held."""
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    window = split_window(np.arange(8) >= 2, groups=groups, holdout=0.5)
    assert window.holdout.tolist() == [4, 5, 6, 7]


def test_a_sliding_window_keeps_the_newest_training_rows():
    """Of rows 0 to 6 the newest three train."""
    window = split_window(np.arange(10) >= 4, holdout=0.5, window_rows=3)
    assert window.train.tolist() == [4, 5, 6]


@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=40),
    st.floats(0.05, 0.95),
    st.booleans(),
    st.booleans(),
)
def test_holdout_is_unseen_and_never_trained_on(times, share, has_time, has_groups):
    """Whatever the times and groups: the holdout is new, not empty, and disjoint from the training rows."""
    time = np.array(times, dtype=float)
    is_new = time >= np.median(time)
    groups = np.arange(len(time)) % 3 if has_groups else None
    window = split_window(is_new, time=time if has_time else None, groups=groups, holdout=share)
    assert len(window.holdout) > 0
    assert is_new[window.holdout].all()
    assert sorted([*window.train, *window.holdout]) == list(range(len(time)))
    if has_time and len(window.train):
        trained_new = window.train[is_new[window.train]]
        assert time[trained_new].max(initial=-1) <= time[window.holdout].min()


def test_a_window_that_ends_now_holds_the_newest_rows_of_the_holdout_too():
    """Three of five rows by time, in the table's order; without a size all."""
    time = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert newest(time, 5, 3).tolist() == [0, 2, 4]
    assert newest(None, 5, None).tolist() == [0, 1, 2, 3, 4]


def test_a_row_that_alone_has_its_class_is_left_out():
    """Class 2 has two rows in the table and one among those taken."""
    codes = np.array([0, 1, 2, 0, 1, 2])
    assert without_lone_classes(np.array([0, 1, 2, 3, 4]), codes).tolist() == [0, 1, 3, 4]
    assert without_lone_classes(np.arange(6), codes).tolist() == list(range(6))
