"""Ridge and logistic regression on similarities to a sample of the training rows; the path is the penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from sklearn.metrics.pairwise import rbf_kernel

from tuner._table import Table, as_csr
from tuner._types import FloatArray, Scalar
from tuner.families.linear import Features, LinearFamily, LinearPath, PreparedLinear

N_LANDMARKS = 256
MAX_FEATURES = 2**24  # rows times landmarks: fewer landmarks on large tables
LEAST_LANDMARKS = 16
# Features of a kernel have a norm of at most 1, standardized columns one of about the root of their number:
# so scaled, the linear family's penalties reach from a constant to interpolation here, too.
FEATURE_SCALE = 10.0
SMALLEST_VARIANCE = 1e-12  # of constant rows, which are all alike
SMALLEST_EIGENVALUE = 1e-6  # of the largest: smaller directions are rounding


def n_landmarks(n_rows: int) -> int:
    """Return how many rows all others are compared with."""
    return max(LEAST_LANDMARKS, min(N_LANDMARKS, MAX_FEATURES // n_rows))


@dataclass(frozen=True, eq=False)
class Similarities:
    """A design followed by Nyström's features: similarities to the landmarks, decorrelated.

    Attributes
    ----------
    design : Design
    landmarks : array of shape (n_landmarks, n_design_columns)
        Training rows.
    gamma : float
        Width of the kernel per squared distance.
    mixing : array of shape (n_landmarks, n_features)
    """

    design: Features
    landmarks: Any
    gamma: float
    mixing: FloatArray

    @classmethod
    def fit(cls, design: Features, X: Any, *, width: float, seed: int) -> Similarities:
        """Draw the landmarks and decorrelate their similarities."""
        picked = np.random.default_rng(seed).permutation(X.shape[0])[: n_landmarks(X.shape[0])]
        landmarks = X[np.sort(picked)]
        if sparse.issparse(landmarks):
            landmarks = as_csr(landmarks)
        gamma = width / max(_total_variance(landmarks), SMALLEST_VARIANCE)
        eigenvalues, vectors = eigh(rbf_kernel(landmarks, gamma=gamma))
        kept = eigenvalues > SMALLEST_EIGENVALUE * eigenvalues[-1]
        mixing = vectors[:, kept] / np.sqrt(eigenvalues[kept]) * FEATURE_SCALE
        return cls(design, landmarks, gamma, mixing)

    def transform(self, table: Table) -> FloatArray:
        """Return the features of rows."""
        return self.features(self.design.transform(table))

    def features(self, X: Any) -> FloatArray:
        """Return the features of rows already in design form."""
        return np.asarray(rbf_kernel(X, self.landmarks, gamma=self.gamma) @ self.mixing)


class KernelFamily(LinearFamily):
    """The linear family's path of L2 penalties on the features of a Gaussian kernel."""

    name = "kernel"

    def fold_bytes(self, table: Table) -> int:
        """Return the size of the design and of the features."""
        return super().fold_bytes(table) + table.n_rows * n_landmarks(table.n_rows) * 8

    def start(self, params: Mapping[str, Scalar], prepared: PreparedLinear, *, seed: int) -> LinearPath:
        """Make the features and begin at the strongest penalty."""
        similarities = Similarities.fit(prepared.design, prepared.X, width=float(params["width"]), seed=seed)
        features = replace(
            prepared,
            X=similarities.features(prepared.X),
            X_validation=similarities.features(prepared.X_validation),
            design=similarities,
        )
        return LinearPath({"penalty": "l2"}, features, seed)


def _total_variance(X: Any) -> float:
    """Return the sum of the columns' variances: half the mean squared distance of two rows."""
    squares = np.square(X.data if sparse.issparse(X) else X).sum()  # type: ignore[attr-defined]
    return float(squares / X.shape[0] - np.square(np.asarray(X.mean(axis=0))).sum())
