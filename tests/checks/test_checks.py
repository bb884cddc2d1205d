"""The gate: planted defects in real data are found, the nearest harmless case and clean tables are not."""

from __future__ import annotations

import importlib.util
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from tuner import ChecksFailedError, InputError, TuningConfig, tune
from tuner._rows.data import make_dataset
from tuner.checks import check_dataset, refuse, with_copies
from tuner.checks._clocks import is_dated, tells_time
from tuner.checks._features import Feature, centred_target, features
from tuner.checks._giveaway import told_by
from tuner.families.lightgbm import LightGBMFamily
from tuner.findings import codes, page

SHARED = Path(os.environ.get("TUNER_OPEN_SUITE", "/work/shared/data"))
QUICK = TuningConfig(
    task="classification", max_trials=1, time_budget=None, families=["linear"], estimate=None,
    tracking=False, verbose=0, random_state=0,
)  # fmt: skip


def cancer(seed=0):
    """Breast cancer rows, shuffled: the file's order tells a little of the target."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    order = np.random.default_rng(seed).permutation(len(y))
    return X.iloc[order].reset_index(drop=True), y.iloc[order].reset_index(drop=True)


def diabetes(seed=0):
    """Diabetes rows in their own units, shuffled."""
    X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    order = np.random.default_rng(seed).permutation(len(y))
    return X.iloc[order].reset_index(drop=True), y.iloc[order].reset_index(drop=True)


def findings(X, y, task="classification", allow=(), slices=(), **roles):
    """Return the findings by code."""
    dataset = with_copies(make_dataset(X, y, task=task, **roles), allow)
    return {each.code: each for each in check_dataset(dataset, allow=allow, slices=slices)}


def test_clean_rows_say_nothing():
    """Shuffled, whole, unscaled real rows pass without a word."""
    assert findings(*cancer()) == {}
    assert findings(*diabetes(), task="regression") == {}


def test_copies_are_found_and_kept_together():
    """G001: 30 of 599 rows repeat another; information, as folds keep them together."""
    X, y = cancer()
    rows = np.r_[np.arange(569), np.arange(30)]
    found = findings(X.iloc[rows], y.iloc[rows])["G001"]
    assert found.severity == "info"
    assert found.evidence.startswith("30 of 599 rows")


def test_copies_that_folds_part_are_a_warning():
    """G001: allowed, or given groups that part them, copies flatter, and that is said."""
    X, y = cancer()
    rows = np.r_[np.arange(569), np.arange(30)]
    X, y = X.iloc[rows], y.iloc[rows]
    assert findings(X, y, allow=("G001",))["G001"].severity == "warning"
    assert findings(X, y, groups=np.arange(599))["G001"].severity == "warning"
    assert findings(X, y, groups=np.arange(599) % 569)["G001"].severity == "info"


def test_equal_rows_of_few_values_are_no_copies():
    """Six binary columns: 300 rows meet by chance, and six times as many pairs miss by one column."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 2, (300, 6)).astype(float))
    dataset = with_copies(make_dataset(X, rng.integers(0, 2, 300)))
    assert dataset.copies is None


def test_a_handful_of_rows_many_times_over_is_not_divided_by_them():
    """Nine distinct rows cannot make folds without their copies, ten can."""
    X = np.random.default_rng(0).normal(size=(10, 3))
    for n, marked in ((9, False), (10, True)):
        rows = np.arange(60) % n
        assert (with_copies(make_dataset(X[rows], rows % 2)).copies is not None) == marked


def test_missing_values_and_sparse_rows_are_copies_too():
    """NaN equals NaN, -0.0 equals 0.0, and a sparse matrix counts as its rows do."""
    from scipy import sparse

    X = np.random.default_rng(0).normal(size=(60, 4))
    X[0, 0], X[1, 1] = np.nan, 0.0
    X = np.vstack([X, X[:5]])
    X[61, 1] = -0.0
    y = np.r_[np.arange(60) % 2, np.arange(5) % 2]
    assert len(np.unique(with_copies(make_dataset(X, y)).copies)) == 60
    X[60, 0], X[0, 0] = 0.0, 0.0
    assert len(np.unique(with_copies(make_dataset(sparse.csr_matrix(X), y)).copies)) == 60


def test_near_copies_are_found():
    """G002: 60 patients measured again, half a percent off; with the patient as group, nothing is said."""
    X, y = cancer()
    rows = np.r_[np.arange(569), np.arange(60)]
    noise = 1 + 0.005 * np.random.default_rng(0).normal(size=(len(rows), X.shape[1]))
    noise[:569] = 1
    X, y = X.iloc[rows] * noise, y.iloc[rows]
    assert findings(X, y)["G002"].severity == "warning"
    assert "G002" not in findings(X, y, groups=rows)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_column_that_gives_the_target_away_is_an_error(noise):
    """G003: the target in other units, to one percent of its spread, found in classes and numbers."""
    X, y = diabetes()
    rng = np.random.default_rng(0)
    leak = 7 - 3 * y + noise * y.std() * rng.normal(size=len(y))
    assert findings(X.assign(leak=leak), y, task="regression")["G003"].severity == "error"
    X, y = cancer()
    leak = y + 0.1 * rng.uniform(size=len(y))
    found = findings(X.assign(leak=leak), y)["G003"]
    assert found.severity == "error"
    assert "`leak`" in found.title


def test_few_rows_are_not_refused():
    """49 rows fall into place by chance: a warning where 50 are an error."""
    X, y = cancer()
    X = X.assign(leak=y + 0.0)
    assert [findings(X[:n], y[:n])["G003"].severity for n in (49, 50)] == ["warning", "error"]


def test_a_category_or_a_gap_can_give_the_target_away():
    """G003: a reason filled in for one class only, with one or several values."""
    X, y = cancer()
    reason = np.where(y == 1, np.where(np.arange(569) % 2, "cured", "discharged"), None)
    assert "G003" in findings(X.assign(reason=reason), y)


def test_a_date_of_a_slow_series_is_no_leak():
    """G003: days next to each other are alike, and known: that is for G006. A bare number may be a leak."""
    rng = np.random.default_rng(0)
    day = rng.permutation(400)
    y = np.sin(day / 60) + 0.01 * rng.normal(size=400)
    X = pd.DataFrame({"x": rng.normal(size=400)})
    date = pd.Timestamp("2020-01-01") + pd.to_timedelta(day, unit="D")
    found = findings(X.assign(date=date), y, task="regression")
    assert "G003" not in found
    assert found["G006"].severity == "warning"
    assert findings(X.assign(place=day), y, task="regression")["G003"].severity == "error"
    twice = pd.DataFrame({"x": rng.normal(size=800), "date": np.tile(date, 2)})
    assert "G003" not in findings(twice, np.tile(y, 2), task="regression")  # nor are rows of one day


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_unix_time_is_judged_as_the_date_it_is(unit):
    """A row a minute and a slow target: G006 for dates and for their numbers, which are no leak and no id."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=1_500)})
    y = np.sin(np.arange(1_500) / 200) + 0.01 * rng.normal(size=1_500)
    stamps = pd.date_range("2023-03-01", periods=1_500, freq="min")
    numbers = stamps.as_unit(unit).astype(np.int64)
    for values in (stamps, numbers):
        found = findings(X.assign(timestamp=values), y, task="regression")
        assert {code: each.severity for code, each in found.items()} == {"G006": "warning"}
        assert "`timestamp`" in found["G006"].title
    found = findings(X.assign(place=numbers // 60), y, task="regression")  # no name of time
    assert found["G003"].severity == "error"


def test_a_time_that_is_filled_in_for_one_class_is_a_leak_as_a_number_too():
    """G003: seconds since 1970, and 0 where there are none, of one class only."""
    X, y = cancer()
    seconds = 1_600_000_000 + np.random.default_rng(0).permutation(569) * 86_400
    assert "`closed_time`" in findings(X.assign(closed_time=np.where(y == 1, seconds, 0)), y)["G003"].title
    assert (
        "`closed_time`" in findings(X.assign(closed_time=np.where(y == 1, seconds, np.nan)), y)["G003"].title
    )
    assert "G003" not in findings(X.assign(opened_time=seconds), y)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("timestamp", [1.48e9, 1.5e9, 1.49e9], True),
        ("timestamp", [1.48e18, 1.5e18, 1.49e18], True),
        ("total_time", [60, 3600, 86_400], False),  # seconds that rise with the rows
        ("total_time", [60, 3600, 1.5e9], False),
        ("elapsed_time", [1.5e8, 9e8, 4e9], False),  # .15 to 4 s in ns
        ("number", [1.48e9, 1.5e9, 1.49e9], False),  # no name of time
        ("timestamp", [np.nan] * 3, False),
    ],
)
def test_what_counts_from_1970_is_dated(name, values, expected):
    """A duration lies far below, and the name must be one of time."""
    assert is_dated(Feature(name, "numeric", np.array(values, dtype=float))) == expected


@pytest.mark.parametrize("otherwise", [pd.NaT, pd.Timestamp("2099-12-31")])
def test_a_date_that_is_filled_in_for_one_class_is_a_leak(otherwise):
    """G003: whether there is a date, or a placeholder instead, tells the class, whatever the date is."""
    X, y = cancer()
    days = pd.to_timedelta(np.random.default_rng(0).permutation(569), unit="D")
    date = pd.Series(pd.Timestamp("2020-01-01") + days)
    closed = date.where(y == 1, otherwise)
    assert "`closed`" in findings(X.assign(closed=closed), y)["G003"].title
    assert "G003" not in findings(X.assign(opened=date), y)


@pytest.mark.parametrize("name", ["total_time", "time_to_event"])
def test_a_duration_of_a_sorted_table_is_no_date(name):
    """G003: rows sorted by the target, and a column made from it that follows them: no clock, but a leak."""
    rng = np.random.default_rng(0)
    y = np.sort(rng.normal(size=300))
    X = pd.DataFrame({"x": rng.normal(size=300), name: 3600 * np.exp(y)})
    assert name in findings(X, y, task="regression")["G003"].title
    assert findings(X, y, task="regression")["G003"].severity == "error"


def test_a_strong_column_is_no_leak():
    """The best single measurement of the tumours tells two thirds of the target: nothing is said."""
    X, y = cancer()
    dataset = make_dataset(X, y)
    target = centred_target(dataset.y, is_class=True)
    told = [told_by(column, target) for column in features(dataset)]
    assert 0.5 < max(told) < 0.9


def test_what_a_column_tells_by_hand():
    """Values 1 1 2 3, centred targets -1.5 .5 -.5 1.5: total 2.25 + .25 + .25 + 2.25 = 5.

    Row by row, left out: those of value 1 predict .5 and -1.5 for each other: errors -2, 2. Value 2 stands
    between means -.5 and 1.5: predicted .5, error -1. Value 3 has one neighbour, -.5: error 2.
    Left 4 + 4 + 1 + 4 = 13, told 1 - 13/5 = -1.6.
    """
    target = np.array([[-1.5], [0.5], [-0.5], [1.5]])
    column = Feature("x", "numeric", np.array([1.0, 1.0, 2.0, 3.0]))
    assert told_by(column, target) == pytest.approx(-1.6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-100, 100))
def test_what_a_column_tells_depends_on_its_order_only(seed, scale, shift):
    """Any increasing change of the column, and any order of the rows, tell the same."""
    rng = np.random.default_rng(seed)
    x, target = rng.integers(0, 8, 30).astype(float), rng.normal(size=(30, 1))
    order = rng.permutation(30)
    told = told_by(Feature("x", "numeric", x), target)
    assert told_by(Feature("x", "numeric", scale * x[order] + shift), target[order]) == pytest.approx(told)


def test_row_numbers_are_found():
    """G004: a shuffled row number is a warning; one in the order of the classes is an error."""
    X, y = cancer()
    assert findings(X.assign(id=np.arange(569) + 5_000), y)["G004"].severity == "warning"
    by_class = np.argsort(np.argsort(y, kind="stable"))
    numbered = findings(X.assign(id=by_class + np.random.default_rng(0).integers(0, 300, 569)), y)
    assert "G004" not in numbered  # some values are alike: a measurement
    assert findings(X.assign(id=3 * by_class), y)["G004"].severity == "error"


def test_names_of_rows_are_found():
    """G004: a text that differs in every row."""
    X, y = cancer()
    assert findings(X.assign(name=[f"p{i}" for i in range(569)]), y)["G004"].severity == "warning"


def test_distinct_measurements_are_no_ids():
    """569 distinct integers out of ten million are no wonder: .016 ties were to be expected."""
    X, y = cancer()
    rng = np.random.default_rng(0)
    assert "G004" not in findings(X.assign(x=rng.choice(10_000_000, 569, replace=False)), y)


def repeated(X, y, n_times, seed=1):
    """Rows measured several times: a third of the columns are new each time, the others the entity's."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(y)), n_times)
    again = X.iloc[rows].reset_index(drop=True)
    for name in X.columns[::3]:
        again[name] = rng.permutation(again[name].to_numpy())
    return again, y.iloc[rows].reset_index(drop=True), rows


def test_a_key_of_entities_without_groups_is_found():
    """G005: patients measured three times, their number among the columns, the rows shuffled."""
    X, y = cancer()
    X, y, rows = repeated(X.iloc[:150], y.iloc[:150], 3)
    key = np.random.default_rng(2).permutation(150)[rows] * 17
    order = np.random.default_rng(3).permutation(len(y))
    X, y = X.assign(patient=key).iloc[order], y.iloc[order]
    found = findings(X, y)["G005"]
    assert "`patient`" in found.title
    assert "G005" not in findings(X.drop(columns="patient"), y, groups=X["patient"])


def test_ages_beside_a_number_and_a_clock_are_no_key():
    """G005: rows of one age in the table's order climb in number and date, as rows in any order would not."""
    rng = np.random.default_rng(0)
    n = 400
    X = pd.DataFrame({"id": np.arange(n), "age": rng.integers(18, 80, n), "income": rng.normal(size=n)})
    X["joined"] = pd.date_range("2023-01-01", periods=n)
    y = rng.random(n) < 0.5
    assert "G005" not in findings(X, y)


def test_entities_whose_rows_follow_each_other_are_found():
    """G005: the same without their number, unshuffled: consecutive rows are alike."""
    X, y = cancer()
    X, y, rows = repeated(X.iloc[:150], y.iloc[:150], 3)
    X = X * (1 + 1e-3 * np.random.default_rng(2).normal(size=X.shape))  # no value comes twice
    assert "follow each other" in findings(X, y)["G005"].title
    assert "G005" not in findings(X, y, groups=rows)


def test_a_clock_among_the_columns_is_found():
    """G006: the target grows with a date; a warning, gone once it is given as time."""
    X, y = diabetes()
    days = np.argsort(np.argsort(y + 60 * np.random.default_rng(0).normal(size=len(y))))
    date = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
    found = findings(X.assign(visit=date), y, task="regression")["G006"]
    assert (found.severity, "`visit`" in found.title) == ("warning", True)
    assert findings(X.assign(visit=date.dt.strftime("%Y-%m-%d")), y, task="regression")["G006"] == found
    assert "G006" not in findings(X, y, task="regression", time=date)


def test_a_clock_without_drift_is_information():
    """G006: years drawn by lot change nothing, and only that they look like time is said."""
    X, y = cancer()
    years = np.random.default_rng(0).integers(1990, 2010, len(y))
    assert findings(X.assign(year=years), y)["G006"].severity == "info"
    assert "G006" not in findings(X.assign(nearby=years), y)  # no name of time


@pytest.mark.parametrize(
    ("values", "is_clock"),
    [
        ([1987, 2001, 1994, 2016.5], True),  # years, and parts of them
        ([201612, 201601, 199908, 201705], True),  # yyyymm
        ([20161231, 20160102, 19990830, 20170515], True),  # yyyymmdd
        ([1.48e9, 1.5e9, 1.49e9, 1.47e9], True),  # seconds since 1970
        ([1.48e12, 1.5e12, 1.49e12, 1.47e12], True),  # milliseconds
        ([10, 11, np.nan, 15, 19], True),  # rises with the rows
        ([9, 8, 5, 1], True),  # falls with them
        ([40, 38, 60, 12], False),  # hours
        ([12, 1, 7, 4], False),  # months
        ([201613, 201600, 199950, 201777], False),  # no months
        ([3, 3, 3, 3], False),
        ([np.nan] * 4, False),
    ],
)
def test_what_is_named_like_time_must_look_like_it(values, is_clock):
    """Durations and seasons bear its name, too; a number of another name is no clock whatever it holds."""
    values = np.array(values, dtype=float)
    assert tells_time(Feature("startTime", "numeric", values)) == is_clock
    assert not tells_time(Feature("sometimes", "numeric", values))
    assert tells_time(Feature("x", "datetime", values))


def test_durations_and_seasons_are_no_clocks():
    """G006: nothing is said of hours and days that the target goes with; months are information."""
    X, y = diabetes()
    rank = np.argsort(np.argsort(y + 60 * np.random.default_rng(0).normal(size=len(y)))) / len(y)
    hours = X.assign(**{"hours-per-week": np.round(60 * rank), "time_in_hospital": 1 + np.round(13 * rank)})
    assert "G006" not in findings(hours, y, task="regression")
    found = findings(X.assign(month=1 + np.floor(12 * rank)), y, task="regression")["G006"]
    assert (found.severity, "`month`" in found.title) == ("info", True)
    late = X.assign(year=2000 + np.round(13 * rank))
    assert findings(late, y, task="regression")["G006"].severity == "warning"


def test_twenty_rows_have_no_order():
    """G006: with a row in each twentieth nothing says what noise is; with two in each, a trend is found."""
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40.0)
    assert "G006" not in findings(X[:20], np.random.default_rng(1).normal(size=20), task="regression")
    assert "G006" not in findings(X[:20], y[:20], task="regression")
    assert findings(X, y, task="regression")["G006"].severity == "warning"


def test_a_target_that_drifts_along_the_rows_is_found():
    """G006: wine rows come class by class; shuffled, nothing is left."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    assert findings(X, y)["G006"].severity == "warning"
    order = np.random.default_rng(0).permutation(len(y))
    assert "G006" not in findings(X.iloc[order], y.iloc[order])


@pytest.mark.parametrize("seed", range(3))
def test_the_levels_of_groups_that_lie_together_are_no_drift(seed):
    """G006: 40 farms of 8 rows each, farm by farm; a clock among the columns counts with groups, too."""
    rng = np.random.default_rng(seed)
    farm = np.repeat(np.arange(40), 8)
    X = pd.DataFrame(rng.normal(size=(320, 3)), columns=["a", "b", "c"])
    y = rng.normal(size=40)[farm] + rng.normal(size=320)
    assert findings(X, y, task="regression")["G006"].severity == "warning"
    assert "G006" not in findings(X, y, task="regression", groups=farm)
    year = X.assign(year=2000 + np.tile(np.arange(8), 40))
    found = findings(year, y + year["year"], task="regression", groups=farm)["G006"]
    assert "`year`" in found.title


def test_dates_of_the_future_are_found():
    """G007: a column dated a month after the row's time; a day before is no harm."""
    X, y = cancer()
    time = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(569), unit="D")
    later, earlier = time + pd.Timedelta(days=30), time - pd.Timedelta(days=1)
    assert findings(X.assign(closed=later), y, time=time)["G007"].severity == "warning"
    assert "G007" not in findings(X.assign(opened=earlier), y, time=time)


@pytest.mark.parametrize("smoothing", [0.0, 10.0])
def test_target_means_over_all_rows_are_found(smoothing):
    """G009: a category replaced by its target mean, plain or smoothed; means of other rows are no defect."""
    X, y = cancer()
    rng = np.random.default_rng(0)
    ward = rng.integers(0, 40, len(y))
    means = (y.groupby(ward).transform("sum") + smoothing * y.mean()) / (
        y.groupby(ward).transform("size") + smoothing
    )
    assert findings(X.assign(ward=means), y)["G009"].severity == "error"
    elsewhere = pd.Series(rng.permutation(y)).groupby(ward).transform("mean")
    assert "G009" not in findings(X.assign(ward=elsewhere), y)


def test_target_means_of_numbers_are_found():
    """G009 in a regression, on the target's own scale even where models see its logarithm."""
    from tuner._rows.data import with_log_target

    X, y = diabetes()
    ward = np.random.default_rng(0).integers(0, 40, len(y))
    dataset = make_dataset(X.assign(ward=y.groupby(ward).transform("mean")), y, task="regression")
    for each in (dataset, with_log_target(dataset)):
        assert "G009" in {finding.code for finding in check_dataset(each)}


def test_standardized_columns_are_information():
    """G010: scaled over the whole table; over half of it, the mean of these rows is not 0."""
    X, y = cancer()
    scaled = (X - X.mean()) / X.std()
    assert findings(scaled, y)["G010"].severity == "info"
    half = (X - X.iloc[:280].mean()) / X.iloc[:280].std()
    assert "G010" not in findings(half, y)
    unit = load_diabetes(return_X_y=True)[0]
    assert "G010" in findings(unit, diabetes()[1], task="regression")


def test_rare_classes_and_slices_are_found():
    """G011: 24 rows of a class or of a slice are too few, 25 are enough (1.96 sqrt(.25 / 25) = .196)."""
    X, y = cancer()
    order = np.r_[np.flatnonzero(y == 1)[:200], np.flatnonzero(y == 0)[:25]]
    assert "G011" not in findings(X.iloc[order], y.iloc[order])
    assert findings(X.iloc[order[:-1]], y.iloc[order[:-1]])["G011"].severity == "warning"
    site = np.where(np.arange(569) < 24, "small", "large")
    assert "G011" in findings(X.assign(site=site), y, slices=("site",))
    assert "G011" not in findings(X.assign(site=site), y)


def test_conflicting_labels_are_found():
    """G012: four of eight equal pairs differ: 4 errors cannot be avoided, of 8 that the best guess makes."""
    X = np.repeat(np.random.default_rng(0).normal(size=(8, 3)), 2, axis=0)
    y = np.array([0, 1] * 4 + [0, 0] * 2 + [1, 1] * 2)
    found = findings(X, y)["G012"]
    assert found.severity == "warning"
    assert "8 of 16 rows; 50.00%" in found.evidence
    assert "G012" not in findings(X, np.repeat(np.arange(8) % 2, 2))


def test_errors_stop_a_run_before_any_fit(monkeypatch):
    """A leak raises a documented error that carries its findings; allowed, the run goes on and says it."""
    X, y = cancer()
    X = X.assign(leak=y + 0.0)[["mean area", "mean texture", "leak"]]
    with monkeypatch.context() as patch:
        patch.setattr(LightGBMFamily, "start", None)
        with pytest.raises(ChecksFailedError, match=r"G003.*leak.*allow=\[\"G003\"\]") as caught:
            tune(X, y)
    assert isinstance(caught.value, InputError)
    assert [each.code for each in pickle.loads(pickle.dumps(caught.value)).findings] == ["G003"]
    config = TuningConfig(**{**QUICK.__dict__, "allow": ["G003"]})
    result = tune(X, y, config=config)
    assert [each.code for each in result.checks] == ["G003"]
    assert "G003" in str(result)


def test_following_the_next_step_removes_the_finding():
    """The mechanical cures: drop the column named, or give the role named."""
    X, y = cancer()
    planted = X.assign(leak=y + 0.0, id=np.arange(569))
    assert {"G003", "G004"} <= set(findings(planted, y))
    assert findings(planted.drop(columns=["leak", "id"]), y) == {}


def test_unknown_codes_cannot_be_allowed():
    """`allow` names codes of checks; the nearest is offered."""
    with pytest.raises(InputError, match=r"G03.*G003"):
        tune(*cancer(), config=TuningConfig(allow=["G03"]))
    with pytest.raises(InputError, match="list"):
        tune(*cancer(), config=TuningConfig(allow="G003"))


def test_refuse_names_errors_that_are_not_allowed_only():
    """Warnings and allowed errors pass."""
    X, y = cancer()
    dataset = make_dataset(X.assign(leak=y + 0.0, id=np.arange(569)), y)
    found = check_dataset(dataset)
    refuse(found, ["G003"])
    with pytest.raises(ChecksFailedError, match="G003"):
        refuse(found, ["G004"])


def test_every_code_has_a_page_and_a_test():
    """Pages say what a finding means, its evidence, how it misleads, what to do; and each code is tested."""
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert {f"G{i:03d}" for i in range(1, 13)} <= set(codes())
    for code in codes():
        text = page(code)
        assert text.startswith(f"# {code}: ")
        for section in ("Evidence", "How it misleads", "What to do", "Reference"):
            assert f"## {section}\n" in text, (code, section)
        assert f'"{code}"' in tests, code
    with pytest.raises(KeyError):
        page("G999")


def test_the_gate_is_quick():
    """5,000 rows by 30 columns take a second or two at most; three times that on a busy machine."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5_000, 30))
    X[:, ::2] = np.round(X[:, ::2], 1)
    dataset = make_dataset(X, rng.integers(0, 2, 5_000))
    started = time.process_time()
    check_dataset(with_copies(dataset))
    assert time.process_time() - started < 6


@pytest.fixture(scope="module")
def open_suite():
    """Return the loader of the open suite, where it is."""
    if not (SHARED / "load.py").is_file():
        pytest.skip("the open suite is not here")
    spec = importlib.util.spec_from_file_location("open_suite_loader", SHARED / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def suite_findings(suite, name, *, with_roles, drop=(), add=None):
    """Return the findings on the tuning rows of a table of the suite."""
    rows, (tune_rows, _) = suite.load(name), suite.split(name)
    task, _, kind, _ = suite.SUITE[name]
    X = rows.X.iloc[tune_rows].drop(columns=list(drop))
    if add:
        X = X.assign(**{add: getattr(rows, add)[tune_rows]})
    roles = {"groups": rows.group if kind == "group" else None, "time": rows.time if kind == "time" else None}
    given = {role: value[tune_rows] for role, value in roles.items() if with_roles and value is not None}
    task = "regression" if task == "regression" else "classification"
    return findings(X, rows.y[tune_rows], task=task, **given)


def test_no_error_on_the_clean_open_suite(open_suite):
    """17 real tables with their roles: no check ends in an error."""
    for name in open_suite.SUITE:
        found = suite_findings(open_suite, name, with_roles=True)
        assert not [each for each in found.values() if each.severity == "error"], name


@pytest.mark.parametrize(
    ("name", "drop", "add", "code"),
    [
        ("nlswork", (), None, "G006"),
        ("nlswork", ("year",), None, "G006"),
        ("nlswork", ("year",), "time", "G006"),
        ("hotel_rates", (), None, "G006"),
        ("hotel_rates", ("arrival_date_num",), None, "G006"),
        ("nass_cds", (), None, "G005"),
        ("nass_cds", (), "group", "G005"),
    ],
)
def test_roles_left_out_are_noticed(open_suite, name, drop, add, code):
    """Time or groups not given: a warning, whether the column is there as an ordinary one or not at all."""
    assert suite_findings(open_suite, name, with_roles=False, drop=drop, add=add)[code].severity == "warning"


def test_a_season_is_mentioned(open_suite):
    """Flights of one year in no order: the month is their clock, or a season for all that the table says."""
    found = suite_findings(open_suite, "nyc_flights_late", with_roles=False)["G006"]
    assert (found.severity, "`month`" in found.title) == ("info", True)


@pytest.mark.parametrize("name", ["keel_german", "credit_data", "ames"])
def test_defects_planted_in_the_suite_are_found(open_suite, name):
    """A leak, a row number and target means are found in tables with categories and gaps."""
    rows, (picked, _) = open_suite.load(name), open_suite.split(name)
    X, y = rows.X.iloc[picked].reset_index(drop=True), pd.Series(rows.y[picked])
    task = "regression" if name == "ames" else "classification"
    category = X.select_dtypes(exclude="number").nunique().idxmax()
    planted = X.assign(
        outcome=y * 2.0 + 1,
        number=np.arange(len(y)),
        encoded=y.groupby(X[category].fillna("?")).transform("mean"),
    )
    found = findings(planted, y, task=task)
    assert found["G003"].severity == found["G009"].severity == "error"
    assert "G004" in found
    assert "`outcome`" in found["G003"].title
    assert "`encoded`" in found["G009"].title
