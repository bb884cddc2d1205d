"""Ridge and logistic regression on similarities to a sample of the training rows; the path is the penalty.

Columns may be weighed by how much the target depends on them: a ridge regression on the similarities is
fitted, the root mean squares of its slopes become the columns' new weights, and so on for a few rounds
(Radhakrishnan, Beaglehole, Pandit, Belkin, "Mechanism for feature learning in neural networks and
backpropagation-free machine learning models", Science 383, 2024; the diagonal of their matrix).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from sklearn.linear_model import RidgeCV
from sklearn.metrics.pairwise import euclidean_distances

from tuner._rows.table import Table, as_csr
from tuner._types import FloatArray, IntArray, Scalar
from tuner.families.linear import Features, LinearFamily, LinearPath, PreparedLinear

N_LANDMARKS = 512
FEW_LANDMARKS = 256  # tell as well which columns matter, and classes apart
MANY_ROWS = 4096  # more have the few landmarks, too: they cost rows times landmarks
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
LEAST_STEP = 1e-3  # from a cusp, in widths: nearer to it there is no slope
BLOCK_COLUMNS = 1024  # whose slopes are told at a time


def n_landmarks(n_rows: int, *, most: int = N_LANDMARKS) -> int:
    """Return how many rows all others are compared with."""
    most = min(most, FEW_LANDMARKS) if n_rows > MANY_ROWS else most
    return max(LEAST_LANDMARKS, min(most, MAX_FEATURES // n_rows))


@dataclass(frozen=True, eq=False)
class Similarities:
    """A design followed by Nyström's features: similarities to the landmarks, decorrelated.

    Attributes
    ----------
    design : Design
    landmarks : array of shape (n_landmarks, n_design_columns)
        Training rows, their columns scaled.
    scale : ndarray of shape (n_design_columns,) or None
        Roots of the columns' weights; None: all alike.
    gamma : float
        Width of the kernel per squared distance.
    shape : {"gaussian", "laplace"}
        Bell of the squared distance, or cusp of the distance.
    mixing : array of shape (n_landmarks, n_features)
    """

    design: Features
    landmarks: Any
    scale: FloatArray | None
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
        scale = None if weights is None else np.sqrt(weights)
        landmarks = _scaled(X[np.sort(picked)], scale)
        gamma = width / max(_total_variance(landmarks), SMALLEST_VARIANCE)
        eigenvalues, vectors = eigh(_bell(_distances(landmarks, landmarks, gamma), shape))
        kept = eigenvalues > SMALLEST_EIGENVALUE * eigenvalues[-1]
        mixing = vectors[:, kept] / np.sqrt(eigenvalues[kept]) * FEATURE_SCALE
        return cls(design, landmarks, scale, gamma, shape, mixing)

    def transform(self, table: Table) -> FloatArray:
        """Return the features of rows."""
        return self.features(self.design.transform(table))

    def features(self, X: Any) -> FloatArray:
        """Return the features of rows already in design form."""
        distances = _distances(_scaled(X, self.scale), self.landmarks, self.gamma)
        return np.asarray(_bell(distances, self.shape) @ self.mixing)

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
        X = _scaled(X, self.scale)
        distances = _distances(X, self.landmarks, self.gamma)
        bell = _bell(distances.copy(), self.shape)
        ridge = RidgeCV(alphas=SLOPE_PENALTIES * X.shape[0])
        ridge.fit(bell @ self.mixing, targets, sample_weight=row_weights)
        coefficients = self.mixing @ np.atleast_2d(ridge.coef_).T
        steepness = 2.0 * bell
        if self.shape == "laplace":
            steps = np.maximum(np.sqrt(distances), LEAST_STEP)
            steepness = np.where(distances < LEAST_STEP**2, 0.0, bell / steps)
        shares = np.ones(len(bell)) if row_weights is None else row_weights / row_weights.mean()
        # With p_ij what landmark j pulls row i by, the slope along column s is sum_j p_ij (l_js - x_is). Its
        # squares, summed over rows and targets, are products of these sums, which cost the columns nothing.
        among, against, alone = np.zeros((bell.shape[1],) * 2), np.zeros(bell.shape), np.zeros(len(bell))
        for target in coefficients.T:
            pulls = steepness * target
            total = pulls.sum(axis=1)
            among += (shares[:, np.newaxis] * pulls).T @ pulls
            against += (shares * total)[:, np.newaxis] * pulls
            alone += shares * total**2
        squares = np.empty(X.shape[1])
        for start in range(0, X.shape[1], BLOCK_COLUMNS):
            block = slice(start, start + BLOCK_COLUMNS)
            landmarks, rows = _dense(self.landmarks[:, block]), _dense(X[:, block])
            squares[block] = (
                (landmarks * (among @ landmarks)).sum(axis=0)
                - 2.0 * (landmarks * (against.T @ rows)).sum(axis=0)
                + alone @ rows**2
            )
        slopes = np.sqrt(np.maximum(squares, 0.0)) * (1.0 if self.scale is None else self.scale)
        largest = slopes.max(initial=0.0)
        return np.maximum(slopes / largest, LEAST_WEIGHT) if largest > 0.0 else np.ones(X.shape[1])


class KernelFamily(LinearFamily):
    """The linear family's path of L2 penalties on the features of a kernel."""

    name = "kernel"

    def fold_bytes(self, table: Table, params: Mapping[str, Scalar]) -> int:
        """Return the size of the design and of the features."""
        return super().fold_bytes(table, params) + table.n_rows * n_landmarks(table.n_rows) * 8

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
    fitted = partial(
        Similarities.fit,
        prepared.design,
        prepared.X,
        width=float(params["width"]),
        seed=seed,
        shape=str(params["shape"]),
    )
    weights: FloatArray | None = None
    rounds = int(params["relevance_rounds"])
    if rounds:
        rows, targets = _slope_rows(prepared, seed)
        X, row_weights = prepared.X[rows], None if prepared.weights is None else prepared.weights[rows]
    for _ in range(rounds):
        weights = fitted(weights=weights, most=FEW_LANDMARKS).weights(X, targets, row_weights)
    most = N_LANDMARKS if prepared.task == "regression" else FEW_LANDMARKS
    return fitted(weights=weights, most=most)


def _slope_rows(prepared: PreparedLinear, seed: int) -> tuple[IntArray, FloatArray]:
    """Draw the rows that tell the slopes, one of each class among them, and return what they tell."""
    labels = np.asarray(prepared.labels)
    rows = np.random.default_rng(seed).permutation(len(labels))[:SLOPE_ROWS]
    if prepared.task == "regression":
        rows = np.sort(rows)
        return rows, labels[rows, np.newaxis].astype(np.float64)
    classes, first = np.unique(labels, return_index=True)
    rows = np.union1d(rows, first)
    asked = classes if len(classes) > 2 else classes[1:]
    return rows, (labels[rows, np.newaxis] == asked).astype(np.float64)


def _distances(X: Any, landmarks: Any, gamma: float) -> FloatArray:
    """Return squared distances in widths of the kernel."""
    distances: FloatArray = euclidean_distances(X, landmarks, squared=True)
    distances *= gamma
    return distances


def _bell(distances: FloatArray, shape: str) -> FloatArray:
    """Turn squared distances, in place, into exp(-d^2) or exp(-d)."""
    if shape == "laplace":
        np.sqrt(distances, out=distances)
    np.negative(distances, out=distances)
    return np.exp(distances, out=distances)


def _scaled(X: Any, scale: FloatArray | None) -> Any:
    if sparse.issparse(X):
        return as_csr(X if scale is None else X.multiply(scale))  # type: ignore[attr-defined]
    return X if scale is None else X * scale.astype(X.dtype, copy=False)


def _dense(X: Any) -> FloatArray:
    return np.asarray(X.toarray() if sparse.issparse(X) else X)  # type: ignore[attr-defined]


def _total_variance(X: Any) -> float:
    """Return the sum of the columns' variances: half the mean squared distance of two rows."""
    squares = np.square(X.data if sparse.issparse(X) else X).sum()  # type: ignore[attr-defined]
    return float(squares / X.shape[0] - np.square(np.asarray(X.mean(axis=0))).sum())
