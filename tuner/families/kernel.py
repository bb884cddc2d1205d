"""Ridge and logistic regression on similarities to a sample of the training rows; the path is the penalty.

Columns may be weighed by how much the target depends on them: a ridge regression on the similarities is
fitted, the root mean squares of its slopes become the columns' new weights, and so on for a few rounds
(Radhakrishnan, Beaglehole, Pandit, Belkin, "Mechanism for feature learning in neural networks and
backpropagation-free machine learning models", Science 383, 2024; the diagonal of their matrix).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from sklearn.linear_model import RidgeCV
from sklearn.metrics.pairwise import euclidean_distances

from tuner._table import Table, as_csr
from tuner._types import FloatArray, Scalar
from tuner.families.linear import Features, LinearFamily, LinearPath, PreparedLinear

N_LANDMARKS = 512
FEW_LANDMARKS = 256  # tell as well which columns matter, and classes apart
MAX_FEATURES = 2**24  # rows times landmarks: fewer landmarks on large tables
LEAST_LANDMARKS = 16
# Features of a kernel have a norm of at most 1, standardized columns one of about the root of their number:
# so scaled, the linear family's penalties reach from a constant to interpolation here, too.
FEATURE_SCALE = 10.0
SMALLEST_VARIANCE = 1e-12  # of constant rows, which are all alike
SMALLEST_EIGENVALUE = 1e-6  # of the largest: smaller directions are rounding
SLOPE_ROWS = 1024  # of the training rows at most tell the slopes
SLOPE_PENALTIES = np.logspace(-5, 1, 13)  # per row; leaving one out chooses
LEAST_WEIGHT = 1e-4  # of the largest: a column is never quite lost
BLOCK = 2**20  # numbers of slopes at a time


def n_landmarks(n_rows: int, *, most: int = N_LANDMARKS) -> int:
    """Return how many rows all others are compared with."""
    return max(LEAST_LANDMARKS, min(most, MAX_FEATURES // n_rows))


@dataclass(frozen=True, eq=False)
class Similarities:
    """A design followed by Nyström's features: similarities to the landmarks, decorrelated.

    Attributes
    ----------
    design : Design
    landmarks : array of shape (n_landmarks, n_design_columns)
        Training rows, their columns scaled.
    scale : ndarray of shape (n_design_columns,)
        Roots of the columns' weights.
    gamma : float
        Width of the kernel per squared distance.
    shape : {"gaussian", "laplace"}
        Bell of the squared distance, or cusp of the distance.
    mixing : array of shape (n_landmarks, n_features)
    """

    design: Features
    landmarks: Any
    scale: FloatArray
    gamma: float
    shape: str
    mixing: FloatArray

    @classmethod
    def fit(
        cls,
        design: Features,
        X: Any,
        *,
        width: float,
        seed: int,
        shape: str = "gaussian",
        weights: FloatArray | None = None,
        most: int = N_LANDMARKS,
    ) -> Similarities:
        """Draw the landmarks and decorrelate their similarities.

        Parameters
        ----------
        weights : ndarray of shape (n_design_columns,), optional
            Of the columns' squared differences.
        most : int
            Landmarks, at most.
        """
        picked = np.random.default_rng(seed).permutation(X.shape[0])[: n_landmarks(X.shape[0], most=most)]
        scale = np.ones(X.shape[1]) if weights is None else np.sqrt(weights)
        landmarks = _scaled(X[np.sort(picked)], scale)
        gamma = width / max(_total_variance(landmarks), SMALLEST_VARIANCE)
        eigenvalues, vectors = eigh(_bell(landmarks, landmarks, gamma, shape))
        kept = eigenvalues > SMALLEST_EIGENVALUE * eigenvalues[-1]
        mixing = vectors[:, kept] / np.sqrt(eigenvalues[kept]) * FEATURE_SCALE
        return cls(design, landmarks, scale, gamma, shape, mixing)

    def transform(self, table: Table) -> FloatArray:
        """Return the features of rows."""
        return self.features(self.design.transform(table))

    def features(self, X: Any) -> FloatArray:
        """Return the features of rows already in design form."""
        similarities = _bell(_scaled(X, self.scale), self.landmarks, self.gamma, self.shape)
        return np.asarray(similarities @ self.mixing)

    def weights(self, X: Any, targets: FloatArray, row_weights: FloatArray | None) -> FloatArray:
        """Return the columns' weights that a ridge regression on the features suggests.

        Parameters
        ----------
        X : array of shape (n_rows, n_design_columns)
            Training rows.
        targets : ndarray of shape (n_rows, n_targets)
        row_weights : ndarray of shape (n_rows,), optional

        Returns
        -------
        ndarray of shape (n_design_columns,)
            Roots of the mean squared slopes, of the largest; equal where nothing slopes.
        """
        ridge = RidgeCV(alphas=SLOPE_PENALTIES * X.shape[0])
        ridge.fit(self.features(X), targets, sample_weight=row_weights)
        coefficients = self.mixing @ np.atleast_2d(ridge.coef_).T
        X = _scaled(X, self.scale)
        distances = euclidean_distances(X, self.landmarks, squared=True)
        similarities = np.exp(-self.gamma * distances)
        steepness = 2.0 * self.gamma * similarities
        if self.shape == "laplace":
            steps = np.sqrt(self.gamma * distances)
            near = steps < np.sqrt(SMALLEST_EIGENVALUE)  # a cusp has no slope
            steepness = np.where(near, 0.0, self.gamma * np.exp(-steps) / np.where(near, 1.0, steps))
        squares = np.zeros(X.shape[1])
        width = max(1, BLOCK // X.shape[0])
        for target in coefficients.T:
            pulls = steepness * target
            total = pulls.sum(axis=1)[:, np.newaxis]
            for start in range(0, X.shape[1], width):
                block = slice(start, start + width)
                slopes = pulls @ _dense(self.landmarks[:, block]) - total * _dense(X[:, block])
                squares[block] += np.average(np.square(slopes), axis=0, weights=row_weights)
        slopes = np.sqrt(squares) * self.scale
        largest = slopes.max(initial=0.0)
        return np.maximum(slopes / largest, LEAST_WEIGHT) if largest > 0.0 else np.ones(X.shape[1])


class KernelFamily(LinearFamily):
    """The linear family's path of L2 penalties on the features of a kernel."""

    name = "kernel"

    def fold_bytes(self, table: Table) -> int:
        """Return the size of the design and of the features."""
        return super().fold_bytes(table) + table.n_rows * n_landmarks(table.n_rows) * 8

    def start(self, params: Mapping[str, Scalar], prepared: PreparedLinear, *, seed: int) -> LinearPath:
        """Weigh the columns, make the features and begin at the strongest penalty."""
        similarities = _weighed(params, prepared, seed=seed)
        features = replace(
            prepared,
            X=similarities.features(prepared.X),
            X_validation=similarities.features(prepared.X_validation),
            design=similarities,
        )
        return LinearPath({"penalty": "l2"}, features, seed)


def _weighed(params: Mapping[str, Scalar], prepared: PreparedLinear, *, seed: int) -> Similarities:
    """Fit similarities in which columns have the weights of so many rounds."""

    def fitted(weights: FloatArray | None, most: int) -> Similarities:
        return Similarities.fit(
            prepared.design,
            prepared.X,
            width=float(params["width"]),
            seed=seed,
            shape=str(params["shape"]),
            weights=weights,
            most=most,
        )

    weights: FloatArray | None = None
    rounds = int(params["relevance_rounds"])
    if rounds:
        n_rows = prepared.X.shape[0]
        rows = np.sort(np.random.default_rng(seed).permutation(n_rows)[:SLOPE_ROWS])
        X, row_weights = prepared.X[rows], None if prepared.weights is None else prepared.weights[rows]
        labels = np.asarray(prepared.labels)[rows]
        targets = labels if prepared.task == "regression" else labels[:, np.newaxis] == np.unique(labels)[1:]
        targets = targets.reshape(len(rows), -1).astype(np.float64)
    for _ in range(rounds):
        weights = fitted(weights, FEW_LANDMARKS).weights(X, targets, row_weights)
    return fitted(weights, N_LANDMARKS if prepared.task == "regression" else FEW_LANDMARKS)


def _bell(X: Any, landmarks: Any, gamma: float, shape: str) -> FloatArray:
    """Return exp(-gamma d^2), or exp(-sqrt(gamma) d)."""
    scaled = gamma * euclidean_distances(X, landmarks, squared=True)
    return np.asarray(np.exp(-scaled if shape == "gaussian" else -np.sqrt(scaled)))


def _scaled(X: Any, scale: FloatArray) -> Any:
    if sparse.issparse(X):
        return as_csr(X.multiply(scale))  # type: ignore[attr-defined]
    return X * scale.astype(X.dtype, copy=False)


def _dense(X: Any) -> FloatArray:
    return np.asarray(X.toarray() if sparse.issparse(X) else X)  # type: ignore[attr-defined]


def _total_variance(X: Any) -> float:
    """Return the sum of the columns' variances: half the mean squared distance of two rows."""
    squares = np.square(X.data if sparse.issparse(X) else X).sum()  # type: ignore[attr-defined]
    return float(squares / X.shape[0] - np.square(np.asarray(X.mean(axis=0))).sum())
