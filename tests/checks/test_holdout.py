"""What is constant in training and another in the holdout is drift that a model does not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer

from tuner.checks import check_holdout
from tuner.checks._holdout import drift_between


@pytest.fixture(scope="module")
def halves():
    """Two random halves of the breast cancer rows."""
    X = load_breast_cancer(as_frame=True).data
    order = np.random.default_rng(0).permutation(len(X))
    return X.iloc[order[:284]], X.iloc[order[284:]]


def with_constants(rows, site, rate):
    """Three columns of the rows and two that are the same in all of them."""
    return rows.iloc[:, :3].assign(site=site, rate=rate)


def test_what_is_constant_in_training_and_another_in_the_holdout_is_found(halves):
    """G008: a model sees neither column; alike in both tables, or in one row of the holdout only, no word."""
    train, holdout = with_constants(halves[0], "north", 1.0), with_constants(halves[1], "north", 1.0)
    assert check_holdout(train, holdout) == ()
    [finding] = check_holdout(train, with_constants(halves[1], "south", 7.0).iloc[:, ::-1])
    assert (finding.code, finding.severity) == ("G008", "warning")
    assert "`site`" in finding.title
    assert "`rate`" in finding.title
    assert check_holdout(train, holdout.assign(rate=[7.0] + [1.0] * 284)) == ()


def test_a_moved_constant_is_named_beside_other_drift(halves):
    """G008: half the holdout is of another site, and one measurement has moved: one finding names both."""
    train, holdout = with_constants(halves[0], "north", 1.0), with_constants(halves[1], "north", 1.0)
    moved = holdout.assign(
        site=np.where(np.arange(285) % 2, "south", "north"), **{"mean texture": holdout["mean texture"] + 10}
    )
    [finding] = check_holdout(train, moved)
    assert "`site`" in finding.title
    assert "`mean texture`" in finding.title


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (np.nan, 7.0),
        (7.0, np.nan),
        (7.0, "unknown"),
        ("2020-01-01", "2021-01-01"),
        (pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01", tz="UTC")),
        (True, False),
    ],
)
def test_a_moved_constant_may_be_of_any_kind(halves, before, now):
    """Missing, a text where there were numbers, a date: told apart in full."""
    drift = drift_between(halves[0].iloc[:, :2].assign(a=before), halves[1].iloc[:, :2].assign(a=now))
    assert (drift.auc, drift.columns[0][0]) == (1.0, "a")


@pytest.mark.parametrize("of_train", [np.asarray, sparse.csr_matrix, pd.DataFrame])
@pytest.mark.parametrize("of_holdout", [np.asarray, sparse.csr_matrix, pd.DataFrame])
def test_moved_constants_of_any_table(of_train, of_holdout):
    """Columns 0 and 2 vary, 1 has moved from 1 to 2, and 3 is 0 in both: 0, 1 and 2 are compared."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(80, 4)), rng.normal(size=(60, 4))
    first[:, [1, 3]], second[:, [1, 3]] = (1, 0), (2, 0)
    drift = drift_between(of_train(first), of_holdout(second))
    names = [name.removeprefix("x") for name, _ in drift.columns]
    assert (drift.auc, names[0], set(names)) == (1.0, "1", {"0", "1", "2"})
