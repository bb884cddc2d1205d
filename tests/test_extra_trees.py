"""Cutting grown trees, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.tree import DecisionTreeRegressor, ExtraTreeClassifier

from tuner._metrics.metrics import METRICS
from tuner._rows.data import make_dataset
from tuner._rows.table import Table
from tuner._trials.bench import all_rows
from tuner.families import extra_trees as _extra_trees
from tuner.families.extra_trees import ExtraTreesFamily, Nodes, _rounded_down, _smoothed


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
    """Leaves and values agree row by row, also for rows never seen."""
    X, y = rows
    forest = ExtraTreesRegressor(8, random_state=0).fit(X[:100], y[:100])
    nodes = Nodes.of(forest.estimators_)
    np.testing.assert_array_equal(nodes.apply(X) - nodes.roots, forest.apply(X))
    np.testing.assert_allclose(nodes.average(nodes.apply(X))[:, 0], forest.predict(X), rtol=1e-6)


PARAMS = {"numeric": "none", "max_features": 0.5, "min_samples_leaf": 2}


def grown(X, labels, *, weights=None, n_threads=1):
    """Return the rows as prepared, and the path at its first point."""
    dataset = make_dataset(X, labels, task="classification", sample_weight=weights)
    rows = all_rows(dataset, METRICS["log_loss"], n_threads=n_threads)
    prepared = ExtraTreesFamily().prepare(PARAMS, rows, seed=0)
    path = ExtraTreesFamily().start(PARAMS, prepared, seed=1)
    path.advance()
    return prepared, path


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_trees_of_class_shares_are_those_of_a_classifier(rows, n_classes, weighted):
    """Variances of shares add up to Gini's impurity: the same splits, but where rounding decides between two.

    A tree that has once split otherwise draws other numbers, so that only sizes can be compared below the
    root; in every leaf stand the shares of the rows that reach it.
    """
    X, y = rows
    labels = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    weights = np.linspace(0.5, 2.0, len(y)) if weighted else None
    prepared, path = grown(X, labels, weights=weights)
    trees = [
        ExtraTreeClassifier(**path._params, random_state=seed).fit(prepared.X, labels, weights).tree_
        for seed in path._seeds
    ]
    nodes = path._nodes
    np.testing.assert_array_equal(nodes.feature[nodes.roots], [max(tree.feature[0], -1) for tree in trees])
    np.testing.assert_allclose(nodes.threshold[nodes.roots], [tree.threshold[0] for tree in trees], rtol=1e-6)
    assert len(nodes.feature) == pytest.approx(sum(tree.node_count for tree in trees), rel=0.05)
    shares = np.eye(n_classes)[labels] * (np.ones(len(y)) if weights is None else weights)[:, np.newaxis]
    for leaves in nodes.apply(prepared.X).T[:5]:
        for leaf in np.unique(leaves):
            there = shares[leaves == leaf].sum(axis=0)
            np.testing.assert_allclose(nodes.values[leaf], there / there.sum(), atol=1e-6)


def test_trees_grown_side_by_side_are_the_same(rows):
    """Each tree has its seed: which thread grows it does not matter."""
    X, y = rows
    one, two = (grown(X, y > 1, n_threads=n_threads)[1] for n_threads in (1, 2))
    np.testing.assert_array_equal(one.train_prediction(), two.train_prediction())


def test_sparse_rows_grow_trees_too():
    """Columns of counts, as text gives: what the trees say of stored rows is what they say of dense ones."""
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, size=(120, 6)).astype(float)
    prepared, path = grown(sparse.csr_array(X), X[:, 0] + rng.normal(size=120) > 0.5)
    assert sparse.issparse(prepared.X)
    nodes = path._nodes
    np.testing.assert_array_equal(nodes.apply(prepared.X.toarray()), path._leaves[0])


def test_wide_sparse_rows_are_made_dense_a_few_at_a_time(monkeypatch):
    """Eighteen cells at a time are three rows of six columns: the predictions are the same."""
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(0.5, size=(120, 6)).astype(float))
    _, path = grown(X, X.toarray()[:, 0] + rng.normal(size=120) > 0.5)
    table = Table(X, np.empty((120, 0), dtype=np.int32))
    whole = path.predictor(0).predict(table)
    monkeypatch.setattr(_extra_trees, "MAX_CELLS", 18)
    sizes, apply = [], Nodes.apply
    monkeypatch.setattr(Nodes, "apply", lambda nodes, rows: sizes.append(len(rows)) or apply(nodes, rows))
    np.testing.assert_array_equal(path.predictor(0).predict(table), whole)
    assert sizes == [3] * 40


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
