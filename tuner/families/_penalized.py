"""Penalized regression, and classification in two, along a path of penalties, from products of columns.

Least squares needs only the products of the columns with each other and with the target: they are made in one
pass over the rows, however often an L1 penalty passes over the coefficients (scikit-learn's coordinate
descent), and for all penalties. Two classes take Newton's steps: their loss is its parabola at the last
solution, least squares on weighted rows; beside a warm start two steps are enough.

The penalty is ``alpha * (l1_ratio * |w|_1 + (1 - l1_ratio) / 2 * |w|_2^2)``, beside the weighted mean of the
rows' losses: half the squared error, or the log loss.

References
----------
Friedman, Hastie, Tibshirani (2010), Regularization Paths for Generalized Linear Models via Coordinate
Descent, Journal of Statistical Software 33, sections 2 and 3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from sklearn.linear_model import enet_path
from sklearn.utils import gen_batches

from tuner._types import FloatArray
from tuner.families._base import Check

MAX_COLUMNS = 256  # beyond, their products take longer than many passes over the rows
ROWS_AT_ONCE = 2**15  # weighted, for their products
MAX_STEPS = 25  # a penalty
MAX_HALVINGS = 8  # of a step that overshoots
ENOUGH = 1e-3  # of the loss without columns: a step that gains less is the last; the next gains its square
LEAST_CURVATURE = 1e-5  # of a row's loss, where its probability is next to 0 or 1
DESCENT_TOLERANCE, MAX_DESCENTS = 1e-6, 1000  # of coordinate descent within a step


@dataclass(frozen=True, eq=False)
class Squares:
    """What least squares needs to know of columns and a target, over weighted rows.

    Attributes
    ----------
    products : array of shape (n_columns, n_columns)
    with_target : array of shape (n_columns,)
    of_target : float
        Products of the columns, of columns and target, of the target and itself, each less its mean.
    center : array of shape (n_columns,)
    mean : float
        The means of the columns and of the target.
    n_rows : int
    """

    products: FloatArray
    with_target: FloatArray
    of_target: float
    center: FloatArray
    mean: float
    n_rows: int

    @classmethod
    def of(cls, X: FloatArray, target: FloatArray, weights: FloatArray) -> Squares:
        """Return the products of X, shape (n_rows, n_columns), in its own precision, and of the target."""
        total, n_columns = weights.sum(), X.shape[1]
        mean = float(weights @ target / total)
        rest = target - mean
        own, of_rest = (values.astype(X.dtype, copy=False) for values in (weights, weights * rest))
        center = np.asarray(own @ X, dtype=float) / total
        roots, products = np.sqrt(own)[:, np.newaxis], np.zeros((n_columns, n_columns))
        for rows in gen_batches(len(X), ROWS_AT_ONCE):
            part = X[rows] * roots[rows]
            products += part.T @ part
        products -= total * np.outer(center, center)
        with_target = np.asarray(of_rest @ X, dtype=float)
        return cls(products, with_target, float(weights @ rest**2), center, mean, len(X))

    def solved(self, alpha: float, l1_ratio: float, start: FloatArray) -> tuple[FloatArray, float]:
        """Return the coefficients of a penalty, and the intercept."""
        n_columns = len(start)
        if l1_ratio:
            target = np.zeros(n_columns)  # beside products, only its length is read, and how long columns are
            target[0] = np.sqrt(self.of_target)
            _, path, _ = enet_path(
                self.products,
                target,
                l1_ratio=l1_ratio,
                alphas=[alpha * self.n_rows / n_columns],
                precompute=self.products,
                Xy=self.with_target,
                coef_init=start.copy(),  # it is written into
                check_input=False,
                tol=DESCENT_TOLERANCE,
                max_iter=MAX_DESCENTS,
            )
            found = path[:, 0]
        else:
            penalized = self.products + self.n_rows * alpha * np.eye(n_columns)
            found = cho_solve(cho_factor(penalized), self.with_target)
        return np.asarray(found), self.mean - float(self.center @ found)


class PenalizedPath(ABC):
    """Coefficients that start from the last penalty's.

    Parameters
    ----------
    X : array of shape (n_rows, n_columns)
        Dense.
    target : array of shape (n_rows,)
        Numbers, or 0 and 1, both there.
    weights : array of shape (n_rows,) or None
        Mean 1.
    l1_ratio : float
        Share of the L1 penalty.

    Attributes
    ----------
    coefficients : array of shape (n_columns,)
    intercept : float
    """

    coefficients: FloatArray
    intercept: float

    def __init__(
        self, X: FloatArray, target: FloatArray, weights: FloatArray | None, *, l1_ratio: float
    ) -> None:
        self._X, self._target, self._l1_ratio = X, target.astype(float), l1_ratio
        self._weights = np.ones(len(target)) if weights is None else weights
        self.coefficients = np.zeros(X.shape[1])
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Set the intercept without columns, and what all penalties need."""

    @abstractmethod
    def fit(self, alpha: float, check: Check) -> None:
        """Go to the next penalty; ``check``, called between steps, may raise."""


class LeastSquaresPath(PenalizedPath):
    """Numbers: their products are made once for all penalties."""

    def _begin(self) -> None:
        self._squares = Squares.of(self._X, self._target, self._weights)
        self.intercept = self._squares.mean

    def fit(self, alpha: float, check: Check) -> None:
        """Go to the next penalty."""
        check()
        self.coefficients, self.intercept = self._squares.solved(alpha, self._l1_ratio, self.coefficients)


class LogisticPath(PenalizedPath):
    """Two classes: Newton's steps."""

    def _begin(self) -> None:
        n_rows = len(self._target)
        half = 0.5 / n_rows  # of a row: weights of 0 may leave a class without any
        share = np.clip(self._weights @ self._target / n_rows, half, 1 - half)
        self.intercept = float(np.log(share / (1 - share)))
        self._scores = np.full(n_rows, self.intercept)
        self._enough = ENOUGH * self._loss(self._scores)

    def fit(self, alpha: float, check: Check) -> None:
        """Go to the next penalty."""
        reached = self._objective(alpha, self.coefficients, self._scores)
        for _ in range(MAX_STEPS):
            check()
            before, reached = reached, self._step(alpha, reached)
            if before - reached <= self._enough:
                break

    def _step(self, alpha: float, before: float) -> float:
        """Take a step, halved where it overshoots, and return the objective there; none if nothing helps."""
        X, probabilities = self._X, expit(self._scores)
        curvature = np.maximum(probabilities * (1 - probabilities), LEAST_CURVATURE)
        response = self._scores + (self._target - probabilities) / curvature
        squares = Squares.of(X, response, self._weights * curvature)
        solution, intercept = squares.solved(alpha, self._l1_ratio, self.coefficients)
        change, shift = solution - self.coefficients, intercept - self.intercept
        move = X @ change.astype(X.dtype, copy=False) + shift
        for halving in range(MAX_HALVINGS):
            share = 0.5**halving
            coefficients, scores = self.coefficients + share * change, self._scores + share * move
            reached = self._objective(alpha, coefficients, scores)
            if reached <= before:
                self.coefficients, self._scores = coefficients, scores
                self.intercept += share * shift
                return reached
        return before

    def _objective(self, alpha: float, coefficients: FloatArray, scores: FloatArray) -> float:
        absolute, square = np.abs(coefficients).sum(), coefficients @ coefficients
        penalty = self._l1_ratio * absolute + (1 - self._l1_ratio) / 2 * square
        return self._loss(scores) + alpha * float(penalty)

    def _loss(self, scores: FloatArray) -> float:
        """Return the weighted mean of the rows' log losses."""
        losses = np.logaddexp(0.0, scores) - self._target * scores
        return float(self._weights @ losses) / len(losses)
