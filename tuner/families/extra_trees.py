"""Extremely randomized trees; the path is the number of rows below which a node is not split.

A tree grown with ``min_samples_split = m`` is the fully grown tree cut at its first nodes with fewer than m
rows. So the trees are grown once and read at every m; no tree is grown again.

Classes are targets of 0 and 1 whose mean in a node is the class's share. Their variances add up to the Gini
impurity (of two classes one is enough), so these are the trees of a classifier, without the checks of labels
that take scikit-learn longer than to grow a small tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.tree import ExtraTreeRegressor

from tuner._rows.preparation import Design, local_labels, spread_classes, standardized
from tuner._rows.table import Table, as_csr
from tuner._types import FloatArray, IntArray, Scalar
from tuner.families._base import Check, TrainingRows, unchecked

SPLIT_SIZES = (512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2)  # large to small: 2 is all
N_TREES = 64  # a fold; a bag of ten has ten times as many
MOST_SPLITS = 4000  # nodes smaller than this share of the rows are never split: memory, on large tables
MAX_PAIRS = 2**20  # of rows and trees, followed at a time
MAX_CELLS = 2**24  # of rows, made dense where they are sparse, at a time
MAX_LEAVES = 2**25  # of rows and trees, remembered for the training rows: fewer trees on large tables
LEAST_TREES = 16


@dataclass(frozen=True, eq=False)
class PreparedForest:
    """One fold's design matrices, of single precision as the trees want them.

    The first ``n_clean`` rows of X are the training rows themselves.
    """

    X: Any
    X_validation: Any
    targets: FloatArray
    weights: FloatArray | None
    design: Design
    prior: FloatArray | None
    center: float
    scale: float
    present: IntArray | None
    n_classes: int
    n_clean: int
    n_threads: int


class ExtraTreesFamily:
    """Forests of trees with random thresholds on one-hot encoded columns."""

    name = "extra_trees"
    path_name = "rows to split"

    def patience(self, params: Mapping[str, Scalar]) -> int:  # noqa: ARG002 - one grid for all
        """Return the whole path: reading a grown forest costs little beside growing it."""
        return len(SPLIT_SIZES)

    def rewrites(self, params: Mapping[str, Scalar]) -> bool:  # noqa: ARG002
        """Return False: every size is a cut of the same trees."""
        return False

    def path_values(self, params: Mapping[str, Scalar]) -> tuple[float, ...]:  # noqa: ARG002 - one grid for all
        """Return the smallest nodes that are split, the largest limit (smallest model) first."""
        return tuple(map(float, SPLIT_SIZES))

    def fold_bytes(self, table: Table, params: Mapping[str, Scalar]) -> int:  # noqa: ARG002
        """Return the size of the dense design with every category's columns."""
        return 0 if table.is_sparse else Design.max_bytes(table)

    def preparation_key(self, params: Mapping[str, Scalar]) -> tuple[str, Scalar]:
        """Return the scaling of numbers: the one thing the design depends on."""
        return self.name, params["numeric"]

    def prepare(self, params: Mapping[str, Scalar], rows: TrainingRows, *, seed: int) -> PreparedForest:
        """Fit the design on the training rows and apply it to both parts."""
        designed = rows.designed(str(params["numeric"]), seed=seed)
        y, weights = rows.fit_targets
        present, labels = local_labels(y, rows.n_classes)
        prior, center, scale = None, 0.0, 1.0
        if rows.n_classes:
            counts = np.bincount(labels, weights=weights)
            prior = counts / counts.sum()
            targets = labels.astype(float) if len(prior) == 2 else np.eye(len(prior))[labels]
        else:  # nodes are of single precision
            targets, center, scale = standardized(labels, weights)
        return PreparedForest(
            X=_single(rows.fit_rows(designed.X, designed.design.transform)),
            X_validation=_single(designed.X_validation),
            targets=targets,
            weights=weights,
            design=designed.design,
            prior=prior,
            center=center,
            scale=scale,
            present=present,
            n_classes=rows.n_classes,
            n_clean=rows.table.n_rows,
            n_threads=rows.n_threads,
        )

    def start(self, params: Mapping[str, Scalar], prepared: PreparedForest, *, seed: int) -> ForestPath:
        """Begin before the first tree."""
        return ForestPath(params, prepared, seed)


def _single(design: Any) -> Any:
    rows = as_csr(design) if sparse.issparse(design) else design
    return rows.astype(np.float32, copy=False)


class ForestPath:
    """A forest grown at the first point and cut at each."""

    def __init__(self, params: Mapping[str, Scalar], prepared: PreparedForest, seed: int) -> None:
        self._prepared = prepared
        self._index = -1
        n_train = prepared.X.shape[0]
        self._params = {
            "max_features": float(params["max_features"]),
            "min_samples_leaf": int(params["min_samples_leaf"]),
            "min_samples_split": max(2, n_train // MOST_SPLITS),
        }
        n_trees = max(LEAST_TREES, min(N_TREES, MAX_LEAVES // n_train))
        self._seeds = np.random.default_rng(seed).integers(2**31, size=n_trees).tolist()
        self._nodes: Nodes | None = None
        self._leaves: tuple[IntArray, IntArray] = (np.empty(0, dtype=int), np.empty(0, dtype=int))
        self._above: IntArray = np.empty(0, dtype=int)
        self._end: IntArray = np.empty(0, dtype=int)

    def advance(self, check: Check = unchecked) -> None:
        """Cut at the next size, after growing the forest at the first."""
        check()
        if self._nodes is None:
            self._grow(check)
        assert self._nodes is not None  # grown
        self._index += 1
        self._end = self._nodes.ends(SPLIT_SIZES[self._index], self._above)

    def train_prediction(self) -> FloatArray:
        """Return the training rows' predictions."""
        return self._read(self._leaves[0])

    def validation_prediction(self) -> FloatArray:
        """Return the held-out rows' predictions."""
        return self._read(self._leaves[1])

    def predictor(self, size_index: int) -> ForestPredictor:
        """Return the forest cut at a size already passed."""
        assert self._nodes is not None  # grown
        prepared = self._prepared
        return ForestPredictor(
            nodes=self._nodes.cut(SPLIT_SIZES[size_index]),
            design=prepared.design,
            prior=prepared.prior,
            center=prepared.center,
            scale=prepared.scale,
            present=prepared.present,
            n_classes=prepared.n_classes,
            n_train=prepared.n_clean,
        )

    def _grow(self, check: Check) -> None:
        prepared = self._prepared
        X = as_csr(prepared.X).tocsc() if sparse.issparse(prepared.X) else prepared.X

        def grow(seed: int) -> ExtraTreeRegressor:
            check()
            tree = ExtraTreeRegressor(**self._params, random_state=seed)
            return tree.fit(X, prepared.targets, sample_weight=prepared.weights, check_input=False)

        if prepared.n_threads == 1:
            trees = list(map(grow, self._seeds))
        else:
            with ThreadPoolExecutor(prepared.n_threads, thread_name_prefix="tree") as pool:
                trees = list(pool.map(grow, self._seeds))
        nodes = Nodes.of(trees)
        if prepared.prior is not None and len(prepared.prior) == 2:
            nodes = replace(nodes, values=np.hstack([1 - nodes.values, nodes.values]))
        self._nodes, self._above = nodes, nodes.parents()
        self._leaves = (
            _reached(prepared.X[: prepared.n_clean], trees, nodes.roots),
            _reached(prepared.X_validation, trees, nodes.roots),
        )

    def _read(self, leaves: IntArray) -> FloatArray:
        assert self._nodes is not None  # grown
        prepared = self._prepared
        raw = self._nodes.average(leaves, self._end)
        prior, present = prepared.prior, prepared.present
        smoothed = _smoothed(raw, prior, present, prepared.n_classes, prepared.n_clean)
        return prepared.center + prepared.scale * smoothed


def _reached(X: Any, trees: Sequence[ExtraTreeRegressor], roots: IntArray) -> IntArray:
    """Return the leaf of every row in every tree, shape (n_rows, n_trees)."""
    leaves = np.empty((X.shape[0], len(trees)), dtype=np.int32, order="F")  # a tree's own are long
    for index, (tree, root) in enumerate(zip(trees, roots, strict=True)):
        leaves[:, index] = tree.apply(X, check_input=False) + root
    return leaves


@dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of all trees in one row, parents before their children.

    Attributes
    ----------
    feature : int array of shape (n_nodes,)
        The column a node looks at; -1 in a leaf.
    threshold : float32 array of shape (n_nodes,)
        Rows at or below it go left.
    left, right : int32 arrays of shape (n_nodes,)
    values : float32 array of shape (n_nodes, n_targets)
        Mean targets of the node's rows: of classes their shares.
    sizes : int32 array of shape (n_nodes,)
        Training rows of the node.
    roots : int array of shape (n_trees,)
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    values: FloatArray
    sizes: IntArray
    roots: IntArray

    @classmethod
    def of(cls, estimators: Any) -> Nodes:
        """Copy the nodes out of scikit-learn's regression trees."""
        trees = [estimator.tree_ for estimator in estimators]
        counts = [tree.node_count for tree in trees]
        roots = np.concatenate([[0], np.cumsum(counts)[:-1]])
        inner = np.concatenate([tree.children_left >= 0 for tree in trees])

        def joined(name: str, dtype: Any, *, shifted: bool = False) -> Any:
            return np.concatenate(
                [
                    getattr(tree, name).astype(dtype) + (root if shifted else 0)
                    for tree, root in zip(trees, roots, strict=True)
                ]
            ).astype(dtype)

        thresholds = np.concatenate([tree.threshold for tree in trees])
        return cls(
            feature=np.where(inner, joined("feature", np.int32), -1).astype(np.int32),
            threshold=_rounded_down(thresholds),
            left=np.where(inner, joined("children_left", np.int32, shifted=True), -1).astype(np.int32),
            right=np.where(inner, joined("children_right", np.int32, shifted=True), -1).astype(np.int32),
            values=np.concatenate([tree.value[:, :, 0].astype(np.float32) for tree in trees]),
            sizes=joined("n_node_samples", np.int32),
            roots=roots,
        )

    def ends(self, split_size: int, above: IntArray | None = None) -> IntArray:
        """Return, for each node, where a row that reaches it stops when smaller nodes are not split.

        Parameters
        ----------
        above : array of shape (n_nodes,) or None
            The nodes' parents, where they are known.
        """
        above = self.parents() if above is None else above
        # A node is passed by nobody when its parent is too small to be split: step up until that is not so.
        up = np.where((above >= 0) & (self.sizes[above] < split_size), above, np.arange(len(above)))
        while True:
            further = up[up]
            if (further == up).all():
                return np.asarray(up)
            up = further

    def cut(self, split_size: int) -> Nodes:
        """Return the nodes that are left when smaller ones are not split."""
        kept = np.flatnonzero(self.ends(split_size) == np.arange(len(self.feature)))
        place = np.full(len(self.feature), -1, dtype=np.int32)
        place[kept] = np.arange(len(kept))
        inner = (self.feature[kept] >= 0) & (self.sizes[kept] >= split_size)
        return Nodes(
            feature=np.where(inner, self.feature[kept], -1).astype(np.int32),
            threshold=self.threshold[kept],
            left=np.where(inner, place[self.left[kept]], -1).astype(np.int32),
            right=np.where(inner, place[self.right[kept]], -1).astype(np.int32),
            values=self.values[kept],
            sizes=self.sizes[kept],
            roots=place[self.roots],
        )

    def average(self, leaves: IntArray, ends: IntArray | None = None) -> FloatArray:
        """Return the mean value of the nodes that rows end in, (n_rows, n_trees) -> (n_rows, n_values).

        Parameters
        ----------
        ends : array of shape (n_nodes,) or None
            Where a row that would reach a node stops; None: there.
        """
        total = np.zeros((len(leaves), self.values.shape[1]))
        values = self.values if ends is None else self.values[ends]
        for tree in range(leaves.shape[1]):
            total += values[leaves[:, tree]]
        return np.asarray(total / leaves.shape[1])

    def apply(self, X: FloatArray) -> IntArray:
        """Return the leaf of every row in every tree, shape (n_rows, n_trees)."""
        n_trees = len(self.roots)
        leaves = np.tile(self.roots.astype(np.int32), (len(X), 1)).ravel()
        moving = np.arange(leaves.size)
        while len(moving):
            at = leaves[moving]
            feature = self.feature[at]
            inner = feature >= 0
            moving, at, feature = moving[inner], at[inner], feature[inner]
            goes_left = X[moving // n_trees, feature] <= self.threshold[at]
            leaves[moving] = np.where(goes_left, self.left[at], self.right[at])
        return leaves.reshape(len(X), n_trees)

    def parents(self) -> IntArray:
        """Return the parent of every node; -1 for a root."""
        parents = np.full(len(self.feature), -1, dtype=np.int32)
        inner = np.flatnonzero(self.feature >= 0)
        parents[self.left[inner]] = inner
        parents[self.right[inner]] = inner
        return parents


def _rounded_down(thresholds: FloatArray) -> FloatArray:
    """Return single-precision thresholds that divide single-precision rows exactly as these do."""
    single = thresholds.astype(np.float32)
    too_high = single > thresholds
    single[too_high] = np.nextafter(single[too_high], np.float32(-np.inf))
    return np.asarray(single)


def _smoothed(
    raw: FloatArray, prior: FloatArray | None, present: IntArray | None, n_classes: int, n_train: int
) -> FloatArray:
    """Return values, or probabilities that one row of the training rows' mix was added to: none is zero."""
    if prior is None:
        return raw[:, 0]
    probabilities = (raw * n_train + prior) / (n_train + 1)
    if present is None and n_classes == 2:
        return np.asarray(probabilities[:, 1])
    return spread_classes(probabilities, present, n_classes, n_train)


@dataclass(frozen=True, eq=False)
class ForestPredictor:
    """A cut forest and the design it belongs to."""

    nodes: Nodes
    design: Design
    prior: FloatArray | None
    center: float
    present: IntArray | None
    n_classes: int
    n_train: int
    scale: float = 1.0

    def predict(self, table: Table) -> FloatArray:
        """Return probabilities or values of the rows."""
        X = self.design.transform(table)
        size = max(1, min(MAX_PAIRS // len(self.nodes.roots), MAX_CELLS // X.shape[1]))
        starts = range(0, max(1, table.n_rows), size)
        raw = np.concatenate([self._values(X[start : start + size]) for start in starts])
        return self.center + self.scale * _smoothed(
            raw, self.prior, self.present, self.n_classes, self.n_train
        )

    def _values(self, X: Any) -> FloatArray:
        rows = _single(X)
        dense = rows.toarray() if sparse.issparse(rows) else rows  # type: ignore[attr-defined]
        return self.nodes.average(self.nodes.apply(dense))
