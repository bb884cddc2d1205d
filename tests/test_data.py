from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from tuner._rows.data import SAMPLE_ROWS, make_dataset, with_log_target
from tuner._rows.vectors import encode_time
from tuner.exceptions import InputError

X = np.arange(12.0).reshape(6, 2)
FLOATS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
LABELS = list("ababab")


def refused(act):
    """Return the InputError of a call, after checking that rule, value and cure are filled in."""
    with pytest.raises(InputError) as caught:
        act()
    error = caught.value
    assert error.rule.endswith(".")
    assert str(error.value)
    assert error.cure.endswith(".")
    return error


# Task and target


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (FLOATS, "regression"),
        (pd.Series(FLOATS, dtype="Float64"), "regression"),
        ([Decimal(i) for i in range(6)], "regression"),
        ([0.0, 1.0] * 3, "regression"),
        ([0, 1] * 3, "binary"),
        ([7, 9, 8] * 2, "multiclass"),
        ([True, False] * 3, "binary"),
        (LABELS, "binary"),
        (pd.Series(LABELS, dtype="category"), "binary"),
        (pd.Series([0, 1] * 3, dtype="Int64"), "binary"),
        (pd.Series([True, False] * 3, dtype="boolean"), "binary"),
        (pl.Series(["a", "b", "c"] * 2), "multiclass"),
        (pl.DataFrame({"y": [1.5, 2.0, 3.0] * 2}), "regression"),
    ],
)
def test_task_auto_follows_the_type_of_y(y, task):
    """Float is regression, whole numbers and labels are classes."""
    assert make_dataset(X, y).task == task


def test_integers_of_many_values_ask_for_the_task():
    """20 distinct integers are classes; 21 leave it open, and naming the task settles it."""
    rows = np.arange(42.0).reshape(-1, 1)
    assert make_dataset(rows, np.arange(42) % 20).n_classes == 20
    error = refused(lambda: make_dataset(rows, np.arange(42) % 21))
    assert (error.value, "task=" in error.cure) == ("21 distinct values", True)
    assert make_dataset(rows, np.arange(42) % 21, task="regression").task == "regression"
    assert make_dataset(rows, np.arange(42) % 21, task="classification").n_classes == 21


def test_codes_index_the_sorted_labels():
    """Code i stands for classes[i]; the positive class is classes[1]."""
    data = make_dataset(X, ["no", "yes", "no", "no", "yes", "yes"])
    assert data.classes.tolist() == ["no", "yes"]
    assert data.y.tolist() == [0, 1, 0, 0, 1, 1]
    assert make_dataset(X, [0.0, 1.0] * 3, task="classification").classes.tolist() == [0.0, 1.0]


def test_log_target_trains_on_log1p():
    """Y = e - 1 becomes 1; a negative target is refused."""
    data = with_log_target(make_dataset(X, [0.0, np.e - 1] * 3))
    np.testing.assert_allclose(data.y, [0, 1] * 3)
    assert data.log_target
    assert refused(lambda: with_log_target(make_dataset(X, -FLOATS))).value == -3.0


@pytest.mark.parametrize(
    ("y", "task", "says"),
    [
        (None, "auto", "requires y"),
        (FLOATS[:5], "auto", "same number of rows"),
        ([], "auto", "same number of rows"),
        (pd.Series([], dtype=object), "auto", "same number of rows"),
        (np.ones((6, 2)), "auto", "one value per row"),
        ([1.0, np.nan] * 3, "auto", "missing"),
        ([1.0, np.nan] * 3, "classification", "missing"),
        (["a", None] * 3, "auto", "missing"),
        (pd.Series([0, None] * 3, dtype="Int64"), "auto", "missing"),
        (pl.Series(["a", None] * 3), "auto", "missing"),
        (pd.Series(["a", None] * 3, dtype="category"), "auto", "missing"),
        (pd.to_datetime(["2020-01-01", None] * 3), "auto", "missing"),
        ([1.0, np.inf] * 3, "auto", "finite"),
        ([1j] * 6, "auto", "real"),
        (["a"] * 6, "auto", "at least 2 classes"),
        ([1] * 6, "classification", "at least 2 classes"),
        (list("aaaaab"), "auto", "at least 2 rows"),
        (FLOATS, "classification", "class labels"),
        (LABELS, "regression", "numeric"),
        ([2.0] * 6, "auto", "vary"),
    ],
)
def test_bad_targets_are_refused(y, task, says):
    """Missing, infinite, misshapen, constant or too rare targets: rule, value, cure."""
    assert says in refused(lambda: make_dataset(X, y, task=task)).rule


def test_one_row_is_refused():
    """A regression needs 2 rows."""
    assert "1 sample" in refused(lambda: make_dataset(X[:1], [1.0])).value


# Roles


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_role_columns_are_never_features(make):
    """A Series that is also a column of X is dropped, noted, and ignored at predict."""
    frame = make(
        {
            "a": FLOATS[::-1],
            "price": FLOATS,
            "shop": list("aabbcc"),
            "day": [dt.datetime(2020, 1, day) for day in range(1, 7)],
            "w": [1.0, 2.0] * 3,
        }
    )
    data = make_dataset(
        frame, frame["price"], groups=frame["shop"], time=frame["day"], sample_weight=frame["w"]
    )
    assert [column.name for column in data.schema.columns] == ["a"]
    assert data.notes == (
        "Column 'price' is the target and is not used as a feature.",
        "Column 'shop' is the groups and is not used as a feature.",
        "Column 'day' is the time and is not used as a feature.",
        "Column 'w' is the weight and is not used as a feature.",
    )
    assert list(data.sample.columns) == ["a"]
    np.testing.assert_array_equal(data.schema.encode(frame).numeric, data.table.numeric)
    np.testing.assert_array_equal(data.schema.encode(frame[["a"]]).numeric, data.table.numeric)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_a_role_may_be_a_frame_of_one_column(make):
    """It is that column, whatever it is called: no feature."""
    frame = make({"a": FLOATS[::-1], "y": FLOATS, "name": list("aabbcc")})
    data = make_dataset(frame, frame[["y"]], groups=frame[["name"]])
    assert [column.name for column in data.schema.columns] == ["a"]


def test_a_role_of_a_name_of_several_levels_is_no_feature():
    """A level that is a number comes out of the column as NumPy's: the name kept is the table's own."""
    columns = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("w", 1)])
    frame = pd.DataFrame(np.c_[X[:, :2], [1.0, 2.0] * 3], columns=columns)
    data = make_dataset(frame, FLOATS, sample_weight=frame[("w", 1)])
    assert len(data.schema.columns) == 2
    assert data.schema.without_roles(frame).shape[1] == 2


@pytest.mark.parametrize("make", [list, pd.Series, pd.MultiIndex.from_tuples])
def test_groups_may_be_pairs(make):
    """A group may be known by a pair, such as a shop and a year."""
    groups = make([("a", 1), ("a", 1), ("a", 2), ("b", 1), ("b", 1), ("b", 1)])
    if make is list:
        groups = pd.Series(groups).to_numpy()
    assert make_dataset(X, FLOATS, groups=groups).groups.tolist() == [0, 0, 1, 2, 2, 2]


def test_times_of_a_distant_end_come_last():
    """The year 9999 stands for no end, and does not overflow."""
    times = np.array(["2020-01-01", "9999-12-31", "1700-01-01", "2021-06-01"], dtype="datetime64[us]")
    encoded = encode_time(times, 4)
    assert encoded is not None
    assert np.argsort(encoded).tolist() == [2, 0, 3, 1]


def test_times_as_texts_may_mix_forms_of_iso_8601():
    """A day, a minute of it, and one of another zone: 1970-01-02, 12:00 and 13:00+01:00 of it."""
    times = ["1970-01-02", "1970-01-02 12:00", "1970-01-02T13:00+01:00"]
    np.testing.assert_array_equal(encode_time(times, 3) / 3.6e12, [24, 36, 36])


def test_a_shuffled_index_does_not_hide_a_role():
    """Rows are compared by position, missing values included."""
    frame = pd.DataFrame({"a": FLOATS[::-1], "g": ["x", "x", "y", "y", "z", "z"]}, index=[3, 1, 2, 0, 5, 4])
    data = make_dataset(frame, FLOATS, groups=frame["g"].reset_index(drop=True))
    assert [column.name for column in data.schema.columns] == ["a"]


def test_another_series_of_the_same_name_is_no_role():
    """A column that only shares the name, or only the values, stays a feature."""
    frame = pd.DataFrame({"a": FLOATS[::-1], "copy": FLOATS})
    assert len(make_dataset(frame, pd.Series(FLOATS, name="y")).schema.columns) == 2
    assert len(make_dataset(frame, pd.Series(FLOATS + 1, name="copy")).schema.columns) == 2


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_role_columns_are_found_in_another_type(make):
    """Days parsed, weights made floats, customers made codes: by their name they are the columns still."""
    columns = {"a": FLOATS[::-1], "day": [f"01/0{day}/2020" for day in range(1, 7)], "shop": list("ccaabb")}
    frame = make({**columns, "w": [1, 2] * 3, "price": [1, 3, 2, 5, 4, 6]})
    data = make_dataset(
        frame,
        pd.Series([1.0, 3.0, 2.0, 5.0, 4.0, 6.0], name="price"),
        groups=pd.Series([0, 0, 1, 1, 2, 2], name="shop"),
        time=pd.Series(pd.date_range("2020-01-01", periods=6), name="day"),
        sample_weight=pd.Series([1.0, 2.0] * 3, name="w"),
    )
    assert [column.name for column in data.schema.columns] == ["a"]
    assert data.schema.roles == ("price", "shop", "day", "w")
    np.testing.assert_array_equal(data.schema.encode(frame).numeric, data.table.numeric)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_role_columns_are_found_without_a_name(make):
    """Arrays and lists that hold a column's values are that column."""
    days = [dt.datetime(2020, 1, day) for day in range(1, 7)]
    frame = make({"a": FLOATS[::-1], "day": days, "shop": list("ccaabb"), "w": [1, 2] * 3})
    data = make_dataset(
        frame,
        FLOATS,
        groups=frame["shop"].to_numpy(),
        time=pd.DatetimeIndex(days),
        sample_weight=[1.0, 2.0] * 3,
    )
    assert [column.name for column in data.schema.columns] == ["a"]
    assert data.notes[0] == "Column 'shop' is the groups and is not used as a feature."
    np.testing.assert_array_equal(data.schema.encode(frame[["a"]]).numeric, data.table.numeric)


def test_a_column_unlike_the_role_in_one_row_stays():
    """Values that differ once are no role, of its name or without one; nor is a copy of the target."""
    frame = pd.DataFrame({"a": FLOATS, "shop": list("aabbcc"), "w": [1.0, 2.0] * 3})
    roles = {"groups": list("aabbca"), "sample_weight": [1.0, 2.0, 1.0, 2.0, 1.0, 3.0]}
    assert len(make_dataset(frame, FLOATS, **roles).schema.columns) == 3
    named = {
        "groups": pd.Series(roles["groups"], name="shop"),
        "sample_weight": pd.Series(roles["sample_weight"], name="w"),
    }
    assert len(make_dataset(frame, FLOATS, **named).schema.columns) == 3
    assert len(make_dataset(frame.to_numpy(dtype=object), FLOATS, groups=list("aabbcc")).schema.columns) == 3


def test_groups_become_codes():
    """Names of any type are numbered in sorted order."""
    assert make_dataset(X, FLOATS, groups=list("bbaacc")).groups.tolist() == [1, 1, 0, 0, 2, 2]
    assert make_dataset(X, FLOATS, groups=["b", 1] * 3).groups.tolist() == [1, 0] * 3


@pytest.mark.parametrize(
    "time",
    [
        [1, 2, 3, 4, 5, 6],
        [f"2020-01-0{day}" for day in range(1, 7)],
        [dt.date(2020, 1, day) for day in range(1, 7)],
        pd.date_range("2020-01-01", periods=6),
        pd.Series(pd.date_range("2020-03-27", periods=6, tz="Europe/Berlin")),
        pd.Series(pd.period_range("2020-01", periods=6, freq="M")),
        pl.Series([dt.datetime(2020, 1, day) for day in range(1, 7)]),
        np.arange(6).astype("m8[D]"),
    ],
    ids=["numbers", "texts", "dates", "index", "daylight saving", "periods", "polars", "durations"],
)
def test_time_keeps_its_order(time):
    """Numbers, texts, dates and zones that change offset become rising floats."""
    assert (np.diff(make_dataset(X, FLOATS, time=time).time) > 0).all()


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        ({"groups": list("aabb")}, "same number of rows"),
        ({"groups": ["a"] * 6}, "at least 2 groups"),
        ({"groups": ["a", None] * 3}, "missing"),
        ({"groups": [1.0, np.nan] * 3}, "missing"),
        ({"time": [1, 2, 3]}, "same number of rows"),
        ({"time": [1.0, np.nan] * 3}, "missing"),
        ({"time": pd.to_datetime(["2020-01-01", None] * 3)}, "missing"),
        ({"time": np.array([1, 2, 3, 4, 5, "NaT"], dtype="m8[D]")}, "missing"),
        ({"time": pl.Series([dt.date(2020, 1, 1), None] * 3)}, "missing"),
        ({"time": ["soon", "later"] * 3}, "numbers or dates"),
        ({"time": ["10:00:00", "11:30 AM"] * 3}, "numbers or dates"),
        ({"time": ["2024-01-01", "10:00+01:00"] * 3}, "numbers or dates"),
        ({"time": [dt.time(10), dt.time(11)] * 3}, "numbers or dates"),
        ({"time": [1] * 6}, "distinct"),
        ({"sample_weight": [1.0] * 5}, "same number of rows"),
        ({"sample_weight": [1.0, -1.0] * 3}, "negative"),
        ({"sample_weight": [0.0] * 6}, "all zero"),
        ({"sample_weight": 0.0}, "all zero"),
        ({"sample_weight": [1.0, np.nan] * 3}, "missing"),
        ({"sample_weight": [1.0, np.inf] * 3}, "finite"),
        ({"sample_weight": LABELS}, "numbers"),
        ({"sample_weight": pd.date_range("2020-01-01", periods=6)}, "numbers"),
        ({"sample_weight": [1.0, 1e308] * 3}, "at most"),
        ({"sample_weight": np.ones((6, 2))}, "one value per row"),
    ],
)
def test_bad_roles_are_refused(roles, says):
    """Groups, time and weights of a wrong length, missing or meaningless: rule, value, cure."""
    assert says in refused(lambda: make_dataset(X, FLOATS, **roles)).rule


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (np.empty((0, 2)), "at least 1 row"),
        (np.full((6, 2), np.inf), "finite"),
        (pd.DataFrame(np.c_[X], columns=["a", "a"]), "unique"),
    ],
)
def test_bad_tables_are_refused_here_too(table, says):
    """Empty and infinite tables and repeated names do not pass the door: rule, value, cure."""
    with pytest.raises(InputError, match=says) as caught:
        make_dataset(table, FLOATS)
    assert caught.value.cure.endswith(".")


def test_no_rows_and_no_roles_are_refused():
    """Where there is nothing to compare a role with, the rule is still named."""
    assert "at least 1 row" in refused(lambda: make_dataset(pd.DataFrame({"a": []}), [], groups=[])).rule


@pytest.mark.parametrize("role", ["groups", "time", "sample_weight"])
def test_the_name_of_a_column_is_told_how_to_pass_it(role):
    """A text, as in a job file, is no column."""
    error = refused(lambda: make_dataset(X, FLOATS, **{role: "shop"}))
    assert (error.value, error.cure) == ("the text 'shop'", f'Pass the column: {role}=X["shop"].')


def test_a_scalar_weight_is_every_rows_weight():
    """2 means 2 for each row."""
    assert make_dataset(X, FLOATS, sample_weight=2).weights.tolist() == [2.0] * 6


def test_a_class_without_any_weight_is_no_class():
    """Two classes, all rows of one weigh 0: nothing can be told apart, a perfect score would be claimed."""
    weights = np.array([0.0, 1.0] * 3)
    error = refused(lambda: make_dataset(X, list("ababab"), sample_weight=weights))
    assert error.value == "`sample_weight` is 0 for all but class 'b'"


def test_numbers_whose_squares_overflow_are_refused():
    """1e160 squared is infinite: neither a column nor a target can be standardized."""
    huge = X.astype(float)
    huge[2, 1] = -1e160
    assert refused(lambda: make_dataset(huge, FLOATS)).value == "-1e+160 in column 1"
    target = np.array(FLOATS, dtype=float)
    target[3] = 1e200
    assert refused(lambda: make_dataset(X, target)).value == "1e+200"


# The record


def test_constant_columns_are_noted():
    """A constant column is dropped with a note, not an error."""
    data = make_dataset(np.c_[X, np.ones(6)], FLOATS)
    assert data.notes == ("Dropped 1 constant or all-missing column(s): x2.",)
    assert data.table.n_columns == 2


@pytest.mark.parametrize(
    "table",
    [
        X,
        pd.DataFrame(X),
        pl.DataFrame(X),
        X.tolist(),
        [[number, text] for number, text in zip(FLOATS, LABELS, strict=True)],
        sparse.coo_matrix(X),
        np.arange(24.0).reshape(6, 2, 2),
    ],
    ids=["numpy", "pandas", "polars", "lists", "mixed lists", "coo", "images"],
)
def test_the_sample_encodes_like_the_rows(table):
    """The raw rows kept for the model's signature encode to the first rows of the table."""
    data = make_dataset(table, FLOATS)
    sample = data.schema.encode(data.sample).numeric
    first = data.table.take(np.arange(SAMPLE_ROWS)).numeric
    dense = [part.toarray() if sparse.issparse(part) else part for part in (sample, first)]
    np.testing.assert_array_equal(*dense)


def test_take_takes_every_role():
    """Rows, target, groups, time and weights stay together; classes and schema stay those of the whole."""
    data = make_dataset(
        X, list("ababcc"), groups=[0, 0, 1, 1, 2, 2], time=np.arange(6), sample_weight=np.arange(1, 7)
    )
    part = data.take(np.array([4, 1]))
    assert part.n_rows == 2
    assert part.table.numeric.tolist() == [[8, 9], [2, 3]]
    assert (part.y.tolist(), part.groups.tolist()) == ([2, 1], [2, 0])
    assert (part.time.tolist(), part.weights.tolist()) == ([4, 1], [5, 2])
    assert part.n_classes == 3


def test_slices_are_judged_where_enough_rows_are_held_out():
    """Of 12 + 9 rows, 9 are too few; training rows count for the slices that are judged on held-out rows."""
    site = np.repeat([0, 1], [24, 18])
    data = make_dataset(np.column_stack([site, np.arange(42.0)]), np.arange(42.0))
    assert data.judged(np.arange(42))[1] is None
    data = replace(data, slice_masks=np.array([site == 0, site == 1]))
    held_out, train = np.arange(0, 42, 2), np.arange(1, 42, 2)
    y, inside = data.judged(held_out)
    np.testing.assert_array_equal(y, held_out)
    assert inside.sum(axis=1).tolist() == [12, 0]
    assert data.judged(train, held_out=np.arange(42))[1].sum(axis=1).tolist() == [12, 9]
    weighted = replace(data, weights=np.full(42, 0.5)).take(held_out)
    assert weighted.judged(np.arange(21))[1].sum(axis=1).tolist() == [6.0, 0.0]


def base():
    """Return a frame and its roles, all of which enter the fingerprint."""
    frame = pd.DataFrame({"n": FLOATS, "c": ["x", "y", None, "x", "y", "x"]})
    roles = {"groups": list("aabbcc"), "time": list(range(6)), "sample_weight": [1.0, 2.0] * 3}
    return frame, roles


def test_fingerprint_is_of_the_content():
    """The same rows give the same 12 hex digits, whatever object holds them."""
    frame, roles = base()
    prints = {make_dataset(form, LABELS, **roles).fingerprint for form in (frame, frame.copy(), frame)}
    assert len(prints) == 1
    assert len(prints.pop()) == 12
    polars = pl.DataFrame({"n": FLOATS, "c": ["x", "y", None, "x", "y", "x"]})
    assert (
        make_dataset(polars, LABELS, **roles).fingerprint == make_dataset(frame, LABELS, **roles).fingerprint
    )


def test_fingerprint_changes_with_any_value_or_role():
    """A number, a category, its name, a target, a label, a role, a column name: each changes it."""
    frame, roles = base()
    tables = [
        frame,
        frame.assign(n=[0.5, 1, 1.5, 2, 2.5, 3.0001]),
        frame.assign(n=[0.5, 1, 1.5, 2, 2.5, np.nan]),
        frame.assign(c=["y", "y", None, "x", "y", "x"]),
        frame.assign(c=["z", "y", None, "z", "y", "z"]),
        frame.rename(columns={"n": "m"}),
        frame[["c", "n"]],
        frame[["n"]],
    ]
    targets = [list("abbaab"), list("acacac"), [0, 1] * 3, FLOATS]
    changes = [
        {"groups": list("abbbcc")},
        {"groups": None},
        {"time": [0, 1, 2, 3, 5, 4]},
        {"time": None},
        {"sample_weight": [1.0] * 6},
        {"sample_weight": None},
        {"groups": None, "time": None, "sample_weight": None},
    ]
    datasets = [make_dataset(table, LABELS, **roles) for table in tables]
    datasets += [make_dataset(frame, y, **roles) for y in targets]
    datasets += [make_dataset(frame, LABELS, **{**roles, **change}) for change in changes]
    prints = [data.fingerprint for data in datasets]
    assert len(set(prints)) == len(prints)


def test_fingerprint_of_sparse_rows():
    """A moved value changes it, though the values are the same."""
    one, other = sparse.csr_matrix(np.eye(6)), sparse.csr_matrix(np.eye(6)[::-1])
    assert make_dataset(one, FLOATS).fingerprint != make_dataset(other, FLOATS).fingerprint
    data = make_dataset(one, FLOATS)
    assert replace(data, notes=("a note",)).fingerprint == data.fingerprint
