from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from tuner._folds.splits import Fold, FoldPlan, finer, plan_choosing, plan_fresh, plan_reporting
from tuner._rows.data import make_dataset
from tuner.checks import with_copies
from tuner.exceptions import InputError


def rows(y, *, task="binary", groups=None, time=None):
    """Return what a plan reads of a Dataset."""
    return SimpleNamespace(
        n_rows=len(y),
        y=np.asarray(y, dtype=float if task == "regression" else int),
        task=task,
        groups=None if groups is None else np.asarray(groups),
        units=None if groups is None else np.asarray(groups),
        copies=None,
        weights=None,
        time=None if time is None else np.asarray(time, dtype=float),
    )


def rows_tested(plan):
    """Return the test rows of every fold."""
    return [fold.test.tolist() for fold in plan.folds]


def partition(plan, repeat=0):
    """Return the test parts of one repeat, without their order."""
    return {tuple(fold.test) for fold in plan.folds if fold.repeat == repeat}


# Plain rows


def test_stratified_folds_share_each_class_equally():
    """6 rows of class 0 and 3 of class 1 in 3 folds: two and one in each."""
    plan = plan_choosing(rows([0] * 6 + [1] * 3), n_folds=3, n_repeats=1, seed=0)
    assert plan.kind == "stratified"
    assert [(np.sum(f.test < 6), np.sum(f.test >= 6)) for f in plan.folds] == [(2, 1)] * 3
    assert plan.notes == ()


def test_regression_folds_are_equal_in_size():
    """10 rows in 5 folds of 2, not in row order."""
    plan = plan_choosing(rows(np.arange(10), task="regression"), n_folds=5, n_repeats=1, seed=0)
    assert plan.kind == "plain"
    assert [fold.test.size for fold in plan.folds] == [2] * 5
    assert partition(plan) != {(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)}


def test_folds_shrink_to_the_rarest_class():
    """3 rows of the rarest class allow 3 folds, and a note says so."""
    plan = plan_choosing(rows([0] * 9 + [1] * 3), n_folds=5, n_repeats=1, seed=0)
    assert len(plan.folds) == 3
    assert plan.notes == ("`n_folds` shrank from 5 to 3: the rarest class has 3 rows.",)


def test_a_lone_row_of_three_classes_is_no_error():
    """On a subset a class can have 1 row: 2 folds, its row counted among the most frequent class."""
    data = rows([0] * 6 + [1] * 4 + [2], task="multiclass")
    plan = plan_choosing(data, n_folds=5, n_repeats=1, seed=0)
    assert plan.notes == ("`n_folds` shrank from 5 to 2: the rarest class has 1 row.",)
    assert [np.isin(fold.test, np.arange(6, 10)).sum() for fold in plan.folds] == [2, 2]


def test_a_lone_row_of_two_classes_leaves_two_folds():
    """Of 3 folds the one that tests the lone row cannot train; the others remain and a note says so."""
    plan = plan_choosing(rows([0] * 8 + [1]), n_folds=5, n_repeats=1, seed=0)
    assert len(plan.folds) == 2
    assert all(8 in fold.train for fold in plan.folds)
    assert plan.notes == (
        "`n_folds` shrank from 5 to 3: the rarest class has 1 row.",
        "1 of 3 folds dropped: the training part has one class only.",
    )


def test_leave_one_out_has_no_fresh_repeat():
    """3 rows in 3 folds can be divided in one way only, so no further repeat and no fresh one exists."""
    data = rows([1.0, 2.0, 3.0], task="regression")
    plan = plan_choosing(data, n_folds=5, n_repeats=2, seed=0)
    assert plan.n_repeats == 1
    assert plan.notes == (
        "`n_folds` shrank from 5 to 3: there are 3 rows.",
        "`n_repeats` shrank from 2 to 1: these rows allow no other partition.",
    )
    assert plan_fresh(data, n_folds=5, n_repeats=1, seed=0) is None


def test_fresh_avoids_choosing_where_few_partitions_exist():
    """2 rows of each class in 2 folds: 2 partitions exist, one chooses and the other is fresh."""
    data = rows([0, 0, 1, 1])
    for seed in range(20):
        chosen = plan_choosing(data, n_folds=2, n_repeats=1, seed=seed)
        fresh = plan_fresh(data, n_folds=2, n_repeats=1, seed=seed)
        assert {frozenset(partition(chosen)), frozenset(partition(fresh))} == {
            frozenset({(0, 2), (1, 3)}),
            frozenset({(0, 3), (1, 2)}),
        }


# Groups


def test_unequal_groups_still_give_fresh_repeats():
    """Groups of 10 sizes, all different: scikit-learn's stratified folds are one partition, ours vary."""
    groups = np.repeat(np.arange(10), np.arange(5, 55, 5))
    data = rows(np.arange(groups.size) % 3 == 0, groups=groups)
    chosen = plan_choosing(data, n_folds=5, n_repeats=4, seed=0)
    fresh = plan_fresh(data, n_folds=5, n_repeats=4, seed=0)
    drawn = {frozenset(partition(plan, r)) for plan in (chosen, fresh) for r in range(4)}
    assert len(drawn) == 8


def test_dealt_groups_balance_classes():
    """8 groups of 4 rows, half pure in each class: 4 folds of one group of each class."""
    groups = np.repeat(np.arange(8), 4)
    plan = plan_choosing(rows(groups % 2, groups=groups), n_folds=4, n_repeats=3, seed=1)
    assert plan.kind == "groups"
    assert all(np.sum(groups[f.test] % 2) == 4 and f.test.size == 8 for f in plan.folds)


def test_one_group_a_fold_has_no_fresh_repeat():
    """3 groups shrink 5 folds to 3; each group is its own fold whatever the seed."""
    for task, y in [("binary", [0, 1] * 6), ("regression", np.arange(12))]:
        data = rows(y, task=task, groups=np.repeat([4, 7, 9], 4))
        plan = plan_choosing(data, n_folds=5, n_repeats=1, seed=0)
        assert partition(plan) == {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)}
        assert plan.notes == ("`n_folds` shrank from 5 to 3: there are 3 groups.",)
        assert plan_fresh(data, n_folds=5, n_repeats=1, seed=0) is None


def test_a_fold_whose_training_part_has_one_class_is_dropped():
    """3 groups, class 1 in the last only: the fold that tests it cannot train."""
    data = rows([0] * 6 + [0, 1, 1, 1], groups=[0] * 3 + [1] * 3 + [2] * 4)
    plan = plan_choosing(data, n_folds=3, n_repeats=1, seed=0)
    assert partition(plan) == {(0, 1, 2), (3, 4, 5)}
    assert plan.notes == ("1 of 3 folds dropped: the training part has one class only.",)


# Time

FOUR = {"n_folds": 4, "n_repeats": 1, "seed": 0}


def test_blocks_follow_time_not_row_order():
    """8 times, written backwards, in 4 blocks of 2; the last rows are the first block."""
    plan = plan_choosing(rows(np.arange(8), task="regression", time=np.arange(8)[::-1]), **FOUR)
    assert plan.kind == "blocks"
    assert rows_tested(plan) == [[6, 7], [4, 5], [2, 3], [0, 1]]
    assert plan.folds[1].train.tolist() == [0, 1, 2, 3, 6, 7]


def test_fresh_blocks_are_shifted_by_half_a_block():
    """Cuts at (j + 1/2) / 4 of 8 rows are 1, 3, 5, 7: five blocks, the first and last half."""
    plan = plan_fresh(rows(np.arange(8), task="regression", time=np.arange(8)), **FOUR)
    assert rows_tested(plan) == [[0], [1, 2], [3, 4], [5, 6], [7]]


def test_fresh_shifts_skip_those_of_the_choosing_repeats():
    """In 2 folds of 16 rows, choosing cuts at 8, then (1/4) 2, 10; fresh (1/2) 4, 12, then (3/4) 6, 14."""
    data = rows(np.arange(16), task="regression", time=np.arange(16))
    chosen = plan_choosing(data, n_folds=2, n_repeats=2, seed=0)
    fresh = plan_fresh(data, n_folds=2, n_repeats=2, seed=0)
    assert [fold.test[0] for fold in chosen.folds] == [0, 8, 0, 2, 10]
    assert [fold.test[0] for fold in fresh.folds] == [0, 4, 12, 0, 6, 14]
    assert [fold.repeat for fold in fresh.folds] == [0, 0, 0, 1, 1, 1]


def test_equal_times_stay_in_one_block():
    """Times 0 1 1 1 1 2 cut nearest to row 3 of 6: the cut goes before the first 1, not between."""
    data = rows(np.arange(6), task="regression", time=[0, 1, 1, 1, 1, 2])
    plan = plan_choosing(data, n_folds=2, n_repeats=1, seed=0)
    assert rows_tested(plan) == [[0], [1, 2, 3, 4, 5]]


def test_too_few_times_have_no_fresh_blocks():
    """3 distinct times fill 3 blocks; shifted boundaries would need 4."""
    data = rows(np.arange(6), task="regression", time=[0, 0, 1, 1, 2, 2])
    assert plan_choosing(data, n_folds=5, n_repeats=1, seed=0).notes == (
        "`n_folds` shrank from 5 to 3: there are 3 distinct times.",
    )
    assert plan_fresh(data, n_folds=5, n_repeats=1, seed=0) is None


def test_forward_windows_train_on_the_past():
    """8 rows, 3 windows: 4 blocks of 2, each window trains on all earlier blocks."""
    plan = plan_reporting(rows(np.arange(8), task="regression", time=np.arange(8)), n_folds=3, seed=0)
    assert plan.kind == "forward"
    assert [(f.train.tolist(), f.test.tolist()) for f in plan.folds] == [
        ([0, 1], [2, 3]),
        ([0, 1, 2, 3], [4, 5]),
        ([0, 1, 2, 3, 4, 5], [6, 7]),
    ]


def test_one_forward_window_can_remain():
    """2 distinct times: the first trains, the second is tested."""
    data = rows(np.arange(4), task="regression", time=[1, 0, 1, 0])
    plan = plan_reporting(data, n_folds=5, seed=0)
    assert [(f.train.tolist(), f.test.tolist()) for f in plan.folds] == [([1, 3], [0, 2])]
    assert plan.notes == (
        "`outer_folds` shrank from 5 to 1: there are 2 distinct times, and the first block only trains.",
    )


def test_a_window_whose_past_has_one_class_is_dropped():
    """Class 1 appears at time 3 only: windows 0 and 1 cannot train, the third can."""
    data = rows([0, 0, 0, 0, 0, 1, 0, 1], time=[0, 0, 1, 1, 2, 2, 3, 3])
    plan = plan_reporting(data, n_folds=3, seed=0)
    assert [(f.index, f.train.tolist(), f.test.tolist()) for f in plan.folds] == [
        (2, [0, 1, 2, 3, 4, 5], [6, 7])
    ]
    assert plan.notes == ("2 of 3 folds dropped: the training part has one class only.",)


# Groups with time: A has times 0 1 4 (median 1), B 2 3 6 (3), C 5 7 8 (7).
OVERLAPPING = {"groups": [0, 0, 0, 1, 1, 1, 2, 2, 2], "time": [0, 1, 4, 2, 3, 6, 5, 7, 8]}


def test_group_blocks_place_groups_by_median_time():
    """C goes last although one of its rows lies before B's last."""
    data = rows(np.arange(9), task="regression", **OVERLAPPING)
    plan = plan_choosing(data, n_folds=3, n_repeats=1, seed=0)
    assert plan.kind == "group_blocks"
    assert rows_tested(plan) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_group_windows_respect_order_and_groups():
    """Boundary 3: A before 3 trains, B from 3 on is tested; boundary 7: A and B train, C from 7 on."""
    plan = plan_reporting(rows(np.arange(9), task="regression", **OVERLAPPING), n_folds=2, seed=0)
    assert plan.kind == "group_forward"
    assert [(f.train.tolist(), f.test.tolist()) for f in plan.folds] == [
        ([0, 1], [4, 5]),
        ([0, 1, 2, 3, 4, 5], [7, 8]),
    ]


def test_group_window_without_a_past_is_dropped():
    """A (2 2) has no row before B's median 2; C (3 4, median 3.5) is tested with all of A and B before."""
    data = rows(np.arange(7), task="regression", groups=[0, 0, 1, 1, 1, 2, 2], time=[2, 2, 0, 2, 2, 3, 4])
    plan = plan_reporting(data, n_folds=2, seed=0)
    assert [(f.train.tolist(), f.test.tolist()) for f in plan.folds] == [([0, 1, 2, 3, 4], [6])]
    assert plan.notes == ("1 of 2 folds dropped: groups overlap in time and a part is empty.",)


# Errors


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows([0]), "2 rows. Got 1."),
        (rows([0, 1, 0, 1], groups=[3, 3, 3, 3]), "2 groups. Got 1."),
        (rows([0, 1, 0, 1], time=[3, 3, 3, 3]), "2 distinct times. Got 1."),
    ],
)
def test_too_little_to_divide_is_an_error(data, message):
    """Fewer than 2 rows, groups or distinct times: the rule, the value and a cure, for every plan."""
    plans = [
        lambda: plan_choosing(data, n_folds=3, n_repeats=1, seed=0),
        lambda: plan_fresh(data, n_folds=3, n_repeats=1, seed=0),
        lambda: plan_reporting(data, n_folds=3, seed=0),
    ]
    for plan in plans:
        with pytest.raises(InputError, match=message):
            plan()


def test_one_class_is_an_error():
    """No fold can train on a single class."""
    with pytest.raises(InputError, match=r"At least 2 folds must have two classes.*Got \[6\]"):
        plan_choosing(rows([1] * 6), n_folds=3, n_repeats=1, seed=0)
    with pytest.raises(InputError, match="none among 3"):
        plan_reporting(rows([1] * 6), n_folds=3, seed=0)


def test_no_window_with_a_past_is_an_error():
    """A (2 2) has no row before B's median 2, and there is no other window."""
    data = rows(np.arange(5), task="regression", groups=[0, 0, 1, 1, 1], time=[2, 2, 0, 2, 2])
    with pytest.raises(InputError, match="none among 1"):
        plan_reporting(data, n_folds=3, seed=0)


# Invariants


@st.composite
def datasets(draw, *, time=None, groups=None):
    """Draw rows with every class, group and time at least twice possible; None draws the role or not."""
    n = draw(st.integers(4, 40))

    def column(high):
        return draw(st.lists(st.integers(0, high), min_size=n, max_size=n))

    def role(wanted, high):
        return column(high) if (draw(st.booleans()) if wanted is None else wanted) else None

    task = draw(st.sampled_from(["binary", "multiclass", "regression"]))
    y = column({"binary": 1, "multiclass": 3, "regression": 50}[task])
    return rows(y, task=task, groups=role(groups, 7), time=role(time, 12))


SHAPE = {"n_folds": st.integers(2, 6), "seed": st.integers(0, 2**32 - 1)}


def planned(plan, *args, **options):
    """Return the plan; skip the example where the rows are too few for one."""
    try:
        return plan(*args, **options)
    except InputError:
        reject()


def check_parts(data, plan):
    """Check what holds of every plan: sorted, disjoint, not empty, groups whole, two classes to train."""
    for fold in plan.folds:
        assert fold.train.dtype == fold.test.dtype == np.intp
        assert (np.diff(fold.train) > 0).all()
        assert (np.diff(fold.test) > 0).all()
        assert fold.train.size
        assert fold.test.size
        assert not np.isin(fold.test, fold.train).any()
        if data.groups is not None:
            assert not np.isin(data.groups[fold.test], data.groups[fold.train]).any()
        if data.task != "regression":
            assert np.unique(data.y[fold.train]).size > 1


@settings(deadline=None, max_examples=50)
@given(data=datasets(), n_repeats=st.integers(1, 3), **SHAPE)
def test_choosing_and_fresh_test_every_row_once_a_repeat(data, n_folds, n_repeats, seed):
    """Train is all that is not tested; each row is tested once a repeat unless a note says a fold fell."""
    chosen = planned(plan_choosing, data, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    fresh = plan_fresh(data, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    for plan in [chosen] if fresh is None else [chosen, fresh]:
        check_parts(data, plan)
        assert all(f.train.size + f.test.size == data.n_rows for f in plan.folds)
        for repeat in range(plan.n_repeats):
            folds = [f for f in plan.folds if f.repeat == repeat]
            tested = np.concatenate([f.test for f in folds])
            assert len(folds) >= 2
            assert np.unique(tested).size == tested.size
            if not any("dropped" in note for note in plan.notes):
                assert tested.size == data.n_rows


@settings(deadline=None, max_examples=50)
@given(data=datasets(), n_repeats=st.integers(1, 3), **SHAPE)
def test_no_partition_is_drawn_twice(data, n_folds, n_repeats, seed):
    """Choosing and fresh repeats are all different partitions."""
    chosen = planned(plan_choosing, data, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    fresh = plan_fresh(data, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    assume(fresh is not None)
    assume(not any("dropped" in note for note in chosen.notes + fresh.notes))
    drawn = [frozenset(partition(plan, r)) for plan in (chosen, fresh) for r in range(plan.n_repeats)]
    assert len(set(drawn)) == len(drawn)


@settings(deadline=None, max_examples=50)
@given(data=datasets(time=False), **SHAPE)
def test_outer_folds_are_disjoint(data, n_folds, seed):
    """Without time, outer folds are a partition with whole groups."""
    plan = planned(plan_reporting, data, n_folds=n_folds, seed=seed)
    check_parts(data, plan)
    tested = np.concatenate([f.test for f in plan.folds])
    assert np.unique(tested).size == tested.size


@settings(deadline=None, max_examples=50)
@given(data=datasets(time=True), **SHAPE)
def test_forward_windows_never_see_the_future(data, n_folds, seed):
    """All training times lie strictly before all test times, with ties and with groups."""
    plan = planned(plan_reporting, data, n_folds=n_folds, seed=seed)
    check_parts(data, plan)
    for fold in plan.folds:
        assert data.time[fold.train].max() < data.time[fold.test].min()


@settings(deadline=None, max_examples=50)
@given(data=datasets(time=True, groups=False), **SHAPE)
def test_blocks_are_contiguous_in_time(data, n_folds, seed):
    """No time of another block lies within the span of a block."""
    plan = planned(plan_choosing, data, n_folds=n_folds, n_repeats=3, seed=seed)
    for fold in plan.folds:
        inside, outside = data.time[fold.test], data.time[fold.train]
        assert not ((outside >= inside.min()) & (outside <= inside.max())).any()


@settings(deadline=None, max_examples=50)
@given(data=datasets(), **SHAPE)
def test_same_seed_same_plan(data, n_folds, seed):
    """Plans are a function of rows and seed; a further repeat leaves the earlier ones as they were."""
    one = planned(plan_choosing, data, n_folds=n_folds, n_repeats=1, seed=seed)
    again = plan_choosing(data, n_folds=n_folds, n_repeats=1, seed=seed)
    two = plan_choosing(data, n_folds=n_folds, n_repeats=2, seed=seed)
    assert one.hash == again.hash
    assert partition(one) == partition(two)


@settings(deadline=None, max_examples=50)
@given(data=datasets(), **SHAPE)
def test_shrunk_folds_are_noted(data, n_folds, seed):
    """Fewer folds than asked never go without a note."""
    plan = planned(plan_choosing, data, n_folds=n_folds, n_repeats=1, seed=seed)
    assert len(plan.folds) >= n_folds or plan.notes


def test_purposes_and_seeds_draw_different_folds():
    """Of 60 rows, choosing, fresh and reporting partitions differ, and so do two seeds."""
    data = rows(np.arange(60) % 2)
    plans = [
        plan_choosing(data, n_folds=5, n_repeats=1, seed=0),
        plan_choosing(data, n_folds=5, n_repeats=1, seed=1),
        plan_fresh(data, n_folds=5, n_repeats=1, seed=0),
        plan_reporting(data, n_folds=5, seed=0),
    ]
    assert len({plan.hash for plan in plans}) == 4
    assert all(len(plan.hash) == 12 for plan in plans)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_copies_of_a_row_go_together(task):
    """Every copy is tested in the fold of its twin, at every level; distinct rows are as balanced as ever."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = np.arange(100) % 2 if task == "binary" else rng.normal(size=100)
    rows = np.r_[np.arange(100), np.repeat(np.arange(10), 3)]
    dataset = with_copies(make_dataset(X[rows], y[rows]))
    plans = [
        plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0),
        plan_fresh(dataset, n_folds=5, n_repeats=2, seed=0),
        plan_reporting(dataset, n_folds=5, seed=0),
    ]
    for plan in plans:
        for fold in plan.folds:
            assert not set(rows[fold.train]) & set(rows[fold.test])
            assert len(set(rows[fold.test])) == 20
            if task == "binary":
                assert sum(row % 2 for row in set(rows[fold.test])) == 10


def test_rows_without_copies_are_divided_as_before():
    """The plan of distinct rows does not depend on whether copies were looked for."""
    rng = np.random.default_rng(0)
    dataset = make_dataset(rng.normal(size=(60, 3)), np.arange(60) % 2)
    arguments = {"n_folds": 5, "n_repeats": 2, "seed": 3}
    assert plan_choosing(with_copies(dataset), **arguments).hash == plan_choosing(dataset, **arguments).hash


def test_folds_shrink_to_the_distinct_rows_of_a_class():
    """Twelve rows of a class that are copies of three make three folds."""
    rng = np.random.default_rng(0)
    rows = np.r_[np.arange(40), np.repeat([40, 41, 42], 4)]
    dataset = with_copies(make_dataset(rng.normal(size=(43, 3))[rows], (rows >= 40).astype(int)))
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    assert len(plan.folds) == 3
    assert "shrank from 5 to 3" in plan.notes[0]


# Finer folds


@pytest.mark.parametrize(
    ("n_positive", "n_rows", "judges_rows", "folds"),
    [
        (50, 100, True, 10),
        (10, 100, True, 10),
        (9, 100, True, 5),
        (49, 99, True, 5),
        (100, 200, False, 10),
        (99, 200, False, 5),
    ],
)
def test_finer_folds_need_rows(n_positive, n_rows, judges_rows, folds):
    """Ten folds instead of five: 10 rows a fold and each class in all; for ranks 10 of the rarest a fold."""
    y = (np.arange(n_rows) < n_positive).astype(int)
    assert finer(rows(y), 5, judges_rows=judges_rows) == folds


def test_groups_and_time_keep_their_folds():
    """A smaller block or fewer groups would be nearer to the rest than new rows are."""
    y = np.arange(400) % 2
    assert finer(rows(y, groups=np.arange(400) // 4), 5, judges_rows=True) == 5
    assert finer(rows(y, time=np.arange(400)), 5, judges_rows=True) == 5


def test_finer_repeats_are_whole_partitions():
    """Fresh repeats of ten folds test every row once each, whatever number of folds chose."""
    data = rows(np.arange(200) % 2)
    plan = plan_fresh(data, n_folds=10, n_repeats=2, seed=0, n_choosing_folds=5, n_choosing_repeats=1)
    assert len(plan.folds) == 20
    tested = np.concatenate([fold.test for fold in plan.folds])
    np.testing.assert_array_equal(np.bincount(tested), np.full(200, 2))


def test_positions_of_the_folds_of_each_repeat():
    """Three folds, then one that is left of the second repeat's."""
    rows = np.arange(4)
    folds = tuple(
        Fold(repeat, index, rows[:2], rows[2:]) for repeat, index in ((0, 0), (0, 1), (0, 2), (1, 1))
    )
    assert FoldPlan("iid", folds, ()).repeats == [[0, 1, 2], [3]]
