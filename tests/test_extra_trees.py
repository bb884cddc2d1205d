"""Cutting grown trees, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeRegressor

from tuner.families.extra_trees import Nodes, _rounded_down, _smoothed


@pytest.fixture
def rows():
    """Return 200 rows with signal, of single precision."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4)).astype(np.float32)
    return X, X[:, 0] ** 2 + X[:, 1] + 0.1 * rng.normal(size=200)


def by_hand():
    """Return one tree: node 0 splits 10 rows into 6 (node 1) and 4 (4); node 1 into 5 (2) and 1 (3)."""
    return Nodes(
        feature=np.array([0, 1, -1, -1, -1]),
        threshold=np.array([0.5, 0.5, 0, 0, 0], dtype=np.float32),
        left=np.array([1, 2, -1, -1, -1]),
        right=np.array([4, 3, -1, -1, -1]),
        values=np.array([[1.0], [2.0], [3.0], [4.0], [5.0]], dtype=np.float32),
        sizes=np.array([10, 6, 5, 1, 4]),
        roots=np.array([0]),
    )


@pytest.mark.parametrize(
    ("split_size", "ends"),
    [
        (2, [0, 1, 2, 3, 4]),  # all is split that was
        (6, [0, 1, 2, 3, 4]),  # node 1 has just six rows
        (7, [0, 1, 1, 1, 4]),  # node 1 is too small: its children end in it
        (11, [0, 0, 0, 0, 0]),  # the root is too small
    ],
)
def test_rows_end_at_the_first_node_too_small_to_split(split_size, ends):
    """As the tree would have ended with that `min_samples_split`."""
    np.testing.assert_array_equal(by_hand().ends(split_size), ends)


@pytest.mark.parametrize(("split_size", "values"), [(2, [3, 4, 5]), (7, [2, 2, 5]), (11, [1, 1, 1])])
def test_a_cut_tree_predicts_what_the_whole_one_says_there(split_size, values):
    """Three rows, one to each leaf of the whole tree."""
    X = np.array([[0.5, 0.5], [0.5, 0.6], [0.6, 0.0]], dtype=np.float32)
    whole, cut = by_hand(), by_hand().cut(split_size)
    np.testing.assert_array_equal(cut.average(cut.apply(X))[:, 0], values)
    np.testing.assert_array_equal(whole.average(whole.apply(X), whole.ends(split_size))[:, 0], values)
    assert len(cut.feature) == len(set(whole.ends(split_size)) | set(_above(whole, split_size)))


def _above(nodes, split_size):
    """Return the nodes that are still split."""
    return np.flatnonzero((nodes.feature >= 0) & (nodes.sizes >= split_size))


@pytest.mark.parametrize("split_size", [2, 5, 20, 80])
def test_a_cut_tree_is_the_tree_grown_so(rows, split_size):
    """scikit-learn's own `min_samples_split` gives the same predictions (best splits draw no thresholds)."""
    X, y = rows
    cut = Nodes.of([DecisionTreeRegressor(random_state=0).fit(X, y)]).cut(split_size)
    grown = DecisionTreeRegressor(random_state=0, min_samples_split=split_size).fit(X, y)
    np.testing.assert_allclose(cut.average(cut.apply(X))[:, 0], grown.predict(X), rtol=1e-6)


def test_an_uncut_forest_predicts_as_scikit_learn(rows):
    """Leaves and probabilities agree row by row, also for rows never seen."""
    X, y = rows
    forest = ExtraTreesClassifier(8, random_state=0).fit(X[:100], y[:100] > 1)
    nodes = Nodes.of(forest.estimators_)
    np.testing.assert_array_equal(nodes.apply(X) - nodes.roots, forest.apply(X))
    np.testing.assert_allclose(nodes.average(nodes.apply(X)), forest.predict_proba(X), rtol=1e-6)


def test_thresholds_are_rounded_down():
    """A single-precision row is on the same side of both thresholds, also where the nearest one is above."""
    rng = np.random.default_rng(0)
    exact = rng.normal(size=1000)
    single = _rounded_down(exact)
    assert single.dtype == np.float32
    assert (single <= exact).all()
    assert (np.nextafter(single, np.float32(np.inf)) > exact).all()


def test_no_probability_is_zero():
    """One row of the training mix is added: of 9 rows and a prior of 1/3, (0 * 9 + 1/3) / 10 = 1/30."""
    raw = np.array([[1.0, 0.0], [0.5, 0.5]])
    smoothed = _smoothed(raw, np.array([2 / 3, 1 / 3]), None, 2, 9)
    np.testing.assert_allclose(smoothed, [1 / 30, (4.5 + 1 / 3) / 10])
