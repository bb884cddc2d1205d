"""Two tables: told apart where they differ, not where they are halves of one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer

from tuner import InputError
from tuner.checks import check_holdout
from tuner.checks._holdout import _auc_error, check_drift, check_later_rows, drift_between


@pytest.fixture(scope="module")
def halves():
    """Two random halves of the breast cancer rows."""
    X = load_breast_cancer(as_frame=True).data
    order = np.random.default_rng(0).permutation(len(X))
    return X.iloc[order[:284]], X.iloc[order[284:]]


def test_dense_rows_are_held_against_sparse_ones():
    """What the rows hold counts, not how they are stored."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(80, 3)), rng.normal(size=(60, 3)) + 2
    mixed = drift_between(sparse.csr_matrix(first), second)
    assert mixed.auc == drift_between(sparse.csr_matrix(first), sparse.csr_matrix(second)).auc > 0.9


def test_random_halves_are_alike(halves):
    """The interval of the AUC holds .5, and nothing is said."""
    drift = drift_between(*halves)
    assert drift.low < 0.5 < drift.high
    assert check_drift(drift) is None


def test_a_shifted_column_is_found_and_named(halves):
    """G008: one of thirty columns moved by one standard deviation is named first."""
    train, holdout = halves
    moved = holdout.assign(**{"mean texture": holdout["mean texture"] + holdout["mean texture"].std()})
    drift = drift_between(train, moved)
    finding = check_drift(drift)
    assert (finding.code, finding.severity) == ("G008", "warning")
    assert drift.columns[0][0] == "mean texture"


def test_dates_count_as_one_column_and_categories_are_compared(halves):
    """A holdout of the next year is told by its date; a new category by its column."""
    train, holdout = halves
    day = pd.Timestamp("2020-01-01")
    first = train.iloc[:, :3].assign(date=day + pd.to_timedelta(np.arange(284), unit="D"), site="a")
    second = holdout.iloc[:, :3].assign(date=day + pd.to_timedelta(np.arange(366, 651), unit="D"), site="b")
    first.loc[first.index[:5], "site"] = "c"
    assert {name for name, _ in drift_between(first, second).columns[:2]} == {"date", "site"}


def test_same_seed_same_drift(halves):
    """The result is a function of the rows and the seed."""
    assert drift_between(*halves, seed=1) == drift_between(*halves, seed=1)


def test_few_rows_say_nothing(halves):
    """Nine rows of one table are no evidence: the interval is all there is."""
    train, holdout = halves
    assert (drift_between(train, holdout[:9]).low, drift_between(train, holdout[:9]).high) == (0.0, 1.0)


def test_other_columns_are_refused(halves):
    """Two tables are compared column by column."""
    with pytest.raises(InputError, match="columns"):
        drift_between(halves[0], halves[1].iloc[:, 1:])


def test_auc_error_by_hand():
    """AUC .5, 10 rows each: q1 = q2 = 1/3, so (.25 + 9/12 + 9/12) / 100 = .0175, of which the root."""
    assert _auc_error(0.5, 10, 10) == pytest.approx(0.0175**0.5)


def test_training_rows_after_the_holdout_begins_are_an_error():
    """G007: one of four training rows is later than the first row of the holdout; equal times are not."""
    finding = check_later_rows(np.array([1.0, 2.0, 3.0, 9.0]), np.array([5.0, 6.0]))
    assert (finding.code, finding.severity) == ("G007", "error")
    assert "25.0%" in finding.evidence
    assert check_later_rows(np.array([1.0, 5.0]), np.array([5.0, 6.0])) is None


def test_a_holdout_is_checked_from_outside(halves):
    """Alike and later: nothing; a training row of the holdout's time: G007; a shifted column: G008."""
    train, holdout = halves
    days = pd.date_range("2020-01-01", periods=569).astype(str)
    assert check_holdout(train, holdout, train_time=days[:284], holdout_time=days[284:]) == ()
    moved = holdout.assign(**{"mean texture": holdout["mean texture"] + 10})
    found = check_holdout(train, moved, train_time=days[2:286], holdout_time=days[284:])
    assert [(each.code, each.severity) for each in found] == [("G007", "error"), ("G008", "warning")]
    assert "0.4%" in found[0].evidence  # one row of 284


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"train_time": np.arange(284)}, "neither"),
        ({"train_time": np.arange(3), "holdout_time": np.arange(285)}, "train_time"),
    ],
)
def test_times_that_do_not_fit_are_refused(halves, times, said):
    """One time without the other, or not as long as its table."""
    with pytest.raises(InputError, match=said):
        check_holdout(*halves, **times)
