"""Slices: labels, scores by hand, names that are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from tuner import InputError, TuningConfig, tune
from tuner._data import make_dataset
from tuner._metrics import resolve_metric
from tuner._slices import slice_labels, slice_scores
from tuner._splits import Fold


def test_labels_by_hand():
    """Categories by name, few numbers by value, many in quarters, gaps apart."""
    frame = pd.DataFrame(
        {"site": ["b", "a", None, "a"] * 10, "grade": [1.0, 2.0, 2.0, np.nan] * 10, "size": np.arange(40.0)}
    )
    dataset = make_dataset(frame, np.arange(40) % 2)
    names, codes = slice_labels(dataset, "site")
    assert (names, codes[:4].tolist()) == (("a", "b", "missing"), [1, 0, 2, 0])
    names, codes = slice_labels(dataset, "grade")
    assert (names, codes[:4].tolist()) == (("1", "2", "missing"), [0, 1, 1, 2])
    names, codes = slice_labels(dataset, "size")
    assert names == ("0 to 9.75", "9.75 to 19.5", "19.5 to 29.25", "29.25 to 39")
    assert np.bincount(codes).tolist() == [10, 10, 10, 10]


def test_rare_labels_share_one():
    """Of 25 sites the 20 most frequent keep their name."""
    site = [f"s{i:02d}" for i in range(25) for _ in range(2 + (i < 20))]
    dataset = make_dataset(pd.DataFrame({"site": site}), np.arange(len(site)) % 2)
    names, codes = slice_labels(dataset, "site")
    assert (len(names), names[-1], int((codes == 20).sum())) == (21, "other values", 10)


def test_scores_by_hand():
    """Absolute errors: a 1, 3 | 1, b 0 | 2, 2; means a 2, 1 -> 1.5, b 0, 2 -> 1; excess of a 2 and -1."""
    dataset = make_dataset(
        pd.DataFrame({"site": list("aabbab"), "x": np.arange(6.0)}), np.array([0.0, 1, 2, 3, 4, 5])
    )
    first, second = np.array([0, 1, 2]), np.array([3, 4, 5])
    folds = [Fold(0, 0, second, first), Fold(0, 1, first, second)]
    predictions = [np.array([1.0, 4, 2]), np.array([5.0, 5, 7])]
    metric = resolve_metric("mae", "regression")
    a, b = slice_scores(dataset, metric, folds, predictions, columns=["site"], threshold=None)
    assert (a.label, a.n_rows, a.value, a.loss) == ("a", 3, 1.5, 1.5)
    assert a.excess == (2.0, -1.0)
    assert (b.label, b.n_rows, b.value) == ("b", 3, 1.0)
    # corrected t with 2 folds: 12.706 * sd .7071 * sqrt(1/2 + 3/3) = 11.0; no error is below 0
    assert (a.low, a.high) == (0.0, pytest.approx(1.5 + 11.004, abs=0.01))


def test_a_slice_made_of_noise_is_the_worst_and_is_told():
    """Rows of one site have labels drawn by lot: the result names the site, and D011 warns of it."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(0)
    site = np.where(rng.random(len(y)) < 0.3, "lot", "clinic")
    y = np.where(site == "lot", rng.permutation(y), y)
    config = TuningConfig(
        slices=["site"], metric="accuracy", max_trials=1, time_budget=None, families=["lightgbm"],
        search_space={"lightgbm": {"learning_rate": 0.3}}, estimate=None, tracking=False, verbose=0,
        random_state=0,
    )  # fmt: skip
    result = tune(X.assign(site=site), y, config=config)
    assert (result.worst_slice.column, result.worst_slice.label) == ("site", "lot")
    assert "D011" in [each.code for each in result.diagnosis]
    assert "site = lot" in str(result)
    assert result.worst_slice.low < result.worst_slice.value < result.worst_slice.high


@pytest.mark.parametrize(
    ("slices", "message"), [(["sit"], "Did you mean 'site'"), ("site", "must be a list")]
)
def test_unknown_slices_are_refused_before_any_fit(slices, message):
    """A slice is a feature column, given by name in a list."""
    frame = pd.DataFrame({"site": list("ab") * 10, "x": np.arange(20.0)})
    with pytest.raises(InputError, match=message):
        tune(frame, np.arange(20) % 2, config=TuningConfig(slices=slices))
