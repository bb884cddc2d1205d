"""LightGBM without a search, on our encoding: as the library ships it, and as experience sets it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from generalization_data import Problem
from sklearn.model_selection import train_test_split

from tuner._rows.preparation import categorical_indices, code_matrix
from tuner._rows.table import Schema, read_schema

N_CORES = 2

Predict = Callable[[pd.DataFrame], np.ndarray]
Refit = Callable[[], Predict]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a method returns at the end of its clock.

    Attributes
    ----------
    predict : callable
        Rows to probabilities of shape (n_rows, n_classes), or to values on the target's scale.
    claim : float or None
        The loss it promises on new rows.
    trials : int or None
    incumbents : sequence of callable
        Each fits one configuration that was the best so far on all rows (after the clock) and returns its
        predict; the delivered model itself is left out.
    details : mapping
    """

    predict: Predict
    claim: float | None = None
    trials: int | None = None
    incumbents: Sequence[Refit] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Encoded:
    """Tuning rows as LightGBM reads them: native categories, missing as NaN, log1p targets for RMSLE."""

    problem: Problem
    schema: Schema
    matrix: Any
    target: np.ndarray
    categorical: list[int]

    @classmethod
    def of(cls, problem: Problem) -> Encoded:
        """Encode the tuning rows; nothing is learned from their distribution."""
        schema, table, _ = read_schema(problem.X)
        target = np.log1p(problem.y) if problem.log_target else problem.y
        return cls(problem, schema, code_matrix(table), target, categorical_indices(table))

    def model(self, **params: Any) -> Any:
        """Return an unfitted scikit-learn model of LightGBM, of one thread.

        On tables this small a second thread gains little, and where anything else uses the cores for a moment
        fits on two threads take up to a hundred times longer.
        """
        estimator = lgb.LGBMRegressor if self.problem.kind == "regression" else lgb.LGBMClassifier
        return estimator(random_state=self.problem.seed, n_jobs=1, verbosity=-1, **params)

    def fit(self, model: Any) -> Predict:
        """Fit on all tuning rows and return what predicts."""
        model.fit(self.matrix, self.target, categorical_feature=self.categorical)
        return self.predictor(model)

    def predictor(self, model: Any) -> Predict:
        """Return a function from raw rows to predictions."""

        def predict(rows: pd.DataFrame) -> np.ndarray:
            matrix = code_matrix(self.schema.encode(rows))
            if self.problem.kind == "classification":
                return np.asarray(model.predict_proba(matrix))
            values = np.asarray(model.predict(matrix))
            return np.expm1(values) if self.problem.log_target else values

        return predict


def fit_default(problem: Problem, seconds: float) -> Fitted:  # noqa: ARG001 - it takes what it takes
    """LightGBM as the library ships it: 100 rounds."""
    encoded = Encoded.of(problem)
    return Fitted(encoded.fit(encoded.model()), trials=1)


# pytabkit's tuned defaults (Holzmüller, Grinsztajn, Steinwart, NeurIPS 2024).
TUNED_DEFAULTS: dict[str, dict[str, Any]] = {
    "classification": {
        "learning_rate": 0.04,
        "subsample": 0.75,
        "subsample_freq": 1,
        "num_leaves": 50,
        "min_child_samples": 40,
    },
    "regression": {
        "learning_rate": 0.05,
        "subsample": 0.7,
        "subsample_freq": 1,
        "num_leaves": 100,
        "min_child_samples": 3,
    },
}
MAX_ROUNDS, PATIENCE = 2000, 100
HELD_OUT_SHARE = 0.2
STOPPING_METRICS = {
    "roc_auc": "auc",
    "average_precision": "average_precision",
    "log_loss": "multi_logloss",
    "accuracy": "multi_error",
    "rmse": "rmse",
    "rmsle": "rmse",
}


def fit_tuned_default(problem: Problem, seconds: float) -> Fitted:  # noqa: ARG001 - it takes what it takes
    """One sensible configuration; rounds by early stopping on a random fifth, then a fit on all rows.

    The claim is the best loss on that fifth: the minimum over rounds, so a little too good.
    """
    encoded = Encoded.of(problem)
    params = TUNED_DEFAULTS[problem.kind]
    train, held_out = train_test_split(
        np.arange(len(problem.y)),
        test_size=HELD_OUT_SHARE,
        random_state=problem.seed,
        stratify=problem.y if problem.kind == "classification" else None,
    )
    probe = encoded.model(n_estimators=MAX_ROUNDS, metric=STOPPING_METRICS[problem.metric], **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `eval_set` is what LightGBM 4.6 and 4.7 both know
        probe.fit(
            encoded.matrix[train],
            encoded.target[train],
            eval_set=[(encoded.matrix[held_out], encoded.target[held_out])],
            categorical_feature=encoded.categorical,
            callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
        )
    rounds = max(1, probe.best_iteration_)
    claim = problem.loss(problem.y[held_out], encoded.predictor(probe)(problem.X.iloc[held_out]))
    predict = encoded.fit(encoded.model(n_estimators=rounds, **params))
    return Fitted(predict, claim=claim, trials=1, details={"rounds": rounds})
