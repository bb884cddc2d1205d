"""Logistic and least-squares models with L1, L2 or elastic net; the path is the penalty, warm-started.

The penalty is per row and on standardized columns: loss + alpha * (l1_ratio * |w|_1 + (1 - l1_ratio) / 2
* |w|_2^2) with the loss a weighted mean, so that one grid of alphas is common to folds of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import expit, softmax
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

from tuner._rows.preparation import Design, local_labels, spread_classes, standardized
from tuner._rows.table import Table
from tuner._types import FloatArray, IntArray, Scalar
from tuner.families._base import Check, TrainingRows, unchecked
from tuner.families._penalized import MAX_COLUMNS, LeastSquaresPath, LogisticPath, PenalizedPath

ALPHAS = tuple(float(alpha) for alpha in np.logspace(1, -5, 19))  # strong to weak: three a decade
L1_RATIO = {"l2": 0.0, "l1": 1.0}
# The path is judged by held-out loss, not by optimality: a fit that stops at the iteration limit is a
# slightly more regularized point of the path. `tuner._process.threads` silences the warning for a whole run.
MAX_ITERATIONS = {"lbfgs": 200, "saga": 40, "coordinate descent": 1000}
TOLERANCE = 1e-3
MAX_TARGETS = 2**22  # rows times penalties of one factorization: Ridge wants the target once for each


class Features(Protocol):
    """What was fitted on training rows and turns any rows into a design."""

    def transform(self, table: Table) -> Any:
        """Return the design matrix of the rows."""
        ...


@dataclass(frozen=True, eq=False)
class PreparedLinear:
    """One fold's design matrices; the first ``n_clean`` rows of X are the training rows themselves."""

    X: Any
    X_validation: Any
    labels: Any
    weights: FloatArray | None
    design: Features
    task: str
    present: IntArray | None
    n_classes: int
    n_clean: int

    @property
    def n_local(self) -> int:
        """Classes of the fold."""
        return self.n_classes if self.present is None else len(self.present)

    @property
    def has_few_columns(self) -> bool:
        """Whether the products of the columns with each other are quickly made."""
        return isinstance(self.X, np.ndarray) and 0 < self.X.shape[1] <= MAX_COLUMNS


class LinearFamily:
    """Linear models on scaled and one-hot encoded columns."""

    name = "linear"
    path_name = "penalty"

    def patience(self, params: Mapping[str, Scalar]) -> int:  # noqa: ARG002 - one grid for all
        """Return 5 points: more than one and a half decades of penalty."""
        return 5

    def rewrites(self, params: Mapping[str, Scalar]) -> bool:  # noqa: ARG002
        """Return False: coefficients are kept point by point."""
        return False

    def path_values(self, params: Mapping[str, Scalar]) -> tuple[float, ...]:  # noqa: ARG002 - one grid for all
        """Return the penalties, the strongest (smallest model) first."""
        return ALPHAS

    def fold_bytes(self, table: Table, params: Mapping[str, Scalar]) -> int:  # noqa: ARG002
        """Return the size of the dense design with every category's columns; sparse tables stay sparse."""
        return 0 if table.is_sparse else Design.max_bytes(table)

    def preparation_key(self, params: Mapping[str, Scalar]) -> tuple[str, Scalar]:
        """Return the scaling of numbers: the one thing the design depends on."""
        return self.name, params["numeric"]

    def prepare(self, params: Mapping[str, Scalar], rows: TrainingRows, *, seed: int) -> PreparedLinear:
        """Fit the design on the training rows and apply it to both parts."""
        designed = rows.designed(str(params["numeric"]), seed=seed)
        y, weights = rows.fit_targets
        present, labels = local_labels(y, rows.n_classes)
        weights = None if weights is None else weights / weights.mean()
        return PreparedLinear(
            rows.fit_rows(designed.X, designed.design.transform),
            designed.X_validation,
            labels,
            weights,
            designed.design,
            rows.task,
            present,
            rows.n_classes,
            rows.table.n_rows,
        )

    def start(self, params: Mapping[str, Scalar], prepared: PreparedLinear, *, seed: int) -> LinearPath:
        """Begin at the strongest penalty."""
        return LinearPath(params, prepared, seed)


class LinearPath:
    """One warm-started model that walks from strong to weak penalties."""

    def __init__(self, params: Mapping[str, Scalar], prepared: PreparedLinear, seed: int) -> None:
        self._prepared = prepared
        self._index = -1
        self._l1_ratio = L1_RATIO.get(str(params["penalty"]), float(params.get("l1_ratio", 0.5)))
        self._target, self._center, self._scale = prepared.labels, 0.0, 1.0
        if prepared.task == "regression":
            self._target, self._center, self._scale = standardized(prepared.labels, prepared.weights)
        self._model = self._make_model(seed)
        self._points: list[LinearPredictor] = []

    def advance(self, check: Check = unchecked) -> None:
        """Go to the next penalty, starting from the last solution; many ridges are fitted at once."""
        check()
        self._index += 1
        if self._index == len(self._points):
            self._fit(check)

    def train_prediction(self) -> FloatArray:
        """Return the training rows' predictions."""
        return self._points[self._index].predict_design(self._prepared.X[: self._prepared.n_clean])

    def validation_prediction(self) -> FloatArray:
        """Return the held-out rows' predictions."""
        return self._points[self._index].predict_design(self._prepared.X_validation)

    def predictor(self, size_index: int) -> LinearPredictor:
        """Return the model at a penalty already passed."""
        return self._points[size_index]

    def _fit(self, check: Check) -> None:
        """Fit the next penalty; ridges of many penalties share one product of the rows."""
        prepared, model = self._prepared, self._model
        n_rows = prepared.X.shape[0]
        alphas = np.array(ALPHAS[self._index :])
        if isinstance(model, PenalizedPath):
            model.fit(float(alphas[0]), check)
            self._keep(model.coefficients, np.array([model.intercept]))
            return
        if prepared.task != "regression":
            model.set_params(C=1.0 / (alphas[0] * n_rows)).fit(
                prepared.X, prepared.labels, sample_weight=prepared.weights
            )
            self._keep(model.coef_, model.intercept_)
            return
        target = self._target
        if isinstance(model, Ridge):
            alphas = alphas[: max(1, MAX_TARGETS // n_rows)]
            target = np.repeat(target[:, np.newaxis], len(alphas), axis=1)
            model.set_params(alpha=alphas * n_rows)
        else:
            model.set_params(alpha=alphas[0])
        model.fit(prepared.X, target, sample_weight=prepared.weights)
        for coefficients, intercept in zip(
            np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), strict=True
        ):
            self._keep(coefficients, intercept)

    def _make_model(self, seed: int) -> Any:
        prepared, is_ridge = self._prepared, self._l1_ratio == 0.0
        if prepared.task != "regression":
            if prepared.has_few_columns and prepared.n_local == 2:
                return LogisticPath(prepared.X, prepared.labels, prepared.weights, l1_ratio=self._l1_ratio)
            solver = "lbfgs" if is_ridge else "saga"
            return LogisticRegression(
                l1_ratio=self._l1_ratio,
                solver=solver,
                warm_start=True,
                max_iter=MAX_ITERATIONS[solver],
                tol=TOLERANCE,
                random_state=seed,
            )
        if is_ridge:
            return Ridge(random_state=seed)
        if prepared.has_few_columns:
            return LeastSquaresPath(prepared.X, self._target, prepared.weights, l1_ratio=self._l1_ratio)
        return ElasticNet(
            l1_ratio=self._l1_ratio,
            warm_start=True,
            max_iter=MAX_ITERATIONS["coordinate descent"],
            tol=TOLERANCE,
        )

    def _keep(self, coefficients: FloatArray, intercepts: FloatArray) -> None:
        """Add a point to the path, in the target's own units."""
        self._points.append(
            self._predictor(coefficients * self._scale, intercepts * self._scale + self._center)
        )

    def _predictor(self, coefficients: FloatArray, intercepts: FloatArray) -> LinearPredictor:
        prepared = self._prepared
        return LinearPredictor(
            design=prepared.design,
            task=prepared.task,
            coefficients=np.array(np.atleast_2d(coefficients)),
            intercepts=np.array(np.atleast_1d(intercepts)),
            present=prepared.present,
            n_classes=prepared.n_classes,
            n_train=prepared.n_clean,
        )


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """Coefficients at one penalty, and the design they belong to."""

    design: Features
    task: str
    coefficients: FloatArray
    intercepts: FloatArray
    present: IntArray | None
    n_classes: int
    n_train: int

    def predict(self, table: Table) -> FloatArray:
        """Return probabilities or values of the rows."""
        return self.predict_design(self.design.transform(table))

    def predict_design(self, X: Any) -> FloatArray:
        """Return probabilities or values of rows already in design form."""
        # In the design's own precision: another one would copy the whole of a large table at every point.
        scores = np.asarray(X @ self.coefficients.T.astype(X.dtype, copy=False)) + self.intercepts
        if self.task == "regression":
            return scores[:, 0]
        probabilities = expit(scores[:, 0]) if scores.shape[1] == 1 else softmax(scores, axis=1)
        return spread_classes(probabilities, self.present, self.n_classes, self.n_train)
