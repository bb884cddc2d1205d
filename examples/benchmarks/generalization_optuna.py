"""What a careful user of Optuna does: TPE, 5-fold cross-validation, argmin, one fit on all rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import optuna
from generalization_data import Problem
from generalization_lightgbm import N_CORES, Encoded, Fitted
from joblib import parallel_config
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_validate

N_FOLDS = 5
MAX_INCUMBENTS = 12
SCORERS = {
    "roc_auc": "roc_auc",
    "average_precision": "average_precision",
    "log_loss": "neg_log_loss",
    "accuracy": "accuracy",
    "rmse": "neg_root_mean_squared_error",
    "rmsle": "neg_root_mean_squared_error",  # models are trained and scored on log1p
}

# The first trial, as the search's own space writes what the library ships.
LIBRARY_DEFAULT = {
    "n_estimators": 100,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_child_samples": 20,
    "reg_alpha": 1e-8,
    "reg_lambda": 1e-8,
    "colsample_bytree": 1.0,
    "subsample": 1.0,
}

Item = TypeVar("Item")
Splits = Sequence[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Tried:
    """One scored configuration; ``loss`` is the mean over folds (lower is better)."""

    params: dict[str, Any]
    loss: float
    fit_seconds: float  # of one fold


def fit_optuna(problem: Problem, seconds: float, *, right_folds: bool = False) -> Fitted:
    """Search until the seconds are used, deliver the argmin fitted on all rows; its CV loss is the claim.

    Parameters
    ----------
    right_folds : bool
        Group folds for groups and contiguous blocks for time, instead of random folds everywhere.
    """
    started = time.monotonic()
    encoded = Encoded.of(problem)
    splits = right_splits(problem) if right_folds else random_splits(problem)
    tried = _search(encoded, splits, end=started + seconds)
    incumbents = best_so_far(tried)
    chosen = incumbents[-1]
    predict = _refit(encoded, chosen.params)
    return Fitted(
        predict,
        claim=chosen.loss,
        trials=len(tried),
        incumbents=[
            partial(_refit, encoded, each.params) for each in evenly_spaced(incumbents, MAX_INCUMBENTS)[:-1]
        ],
        details={"params": chosen.params, "fold_fits": N_FOLDS * len(tried)},
    )


def random_splits(problem: Problem) -> Splits:
    """Return shuffled folds, stratified for classes."""
    if problem.kind == "regression":
        folds = KFold(N_FOLDS, shuffle=True, random_state=problem.seed)
    else:
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=problem.seed)
    return list(folds.split(problem.X, problem.y))


def right_splits(problem: Problem) -> Splits:
    """Return folds that respect groups or time: whole groups, or contiguous blocks."""
    if problem.groups is not None:
        folds = GroupKFold(N_FOLDS, shuffle=True, random_state=problem.seed)
        return list(folds.split(problem.X, problem.y, problem.groups))
    if problem.time is not None:
        order = np.argsort(problem.time, kind="stable")
        return [(order[train], order[test]) for train, test in KFold(N_FOLDS).split(order)]
    return random_splits(problem)


def best_so_far(tried: Sequence[Tried]) -> list[Tried]:
    """Return those that were better than all before them, in order."""
    best: list[Tried] = []
    for each in tried:
        if not best or each.loss < best[-1].loss:
            best.append(each)
    return best


def evenly_spaced(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most ``limit`` items, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, limit)]


def as_loss(scorer: str, score: float) -> float:
    """Return a scikit-learn score as a loss."""
    return -score if scorer.startswith("neg_") else 1.0 - score


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Draw a configuration."""
    return {
        "n_estimators": trial.suggest_int("n_estimators", 20, 1000, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 128, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 2, 100, log=True),
        "reg_alpha": trial.suggest_float("reg_alpha", 1e-8, 10.0, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-8, 100.0, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "subsample_freq": 1,
    }


def _search(encoded: Encoded, splits: Splits, *, end: float) -> list[Tried]:
    """Try configurations as long as an average one and the last fit still end in time; at least one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize", sampler=optuna.samplers.TPESampler(seed=encoded.problem.seed)
    )
    study.enqueue_trial(LIBRARY_DEFAULT)
    tried: list[Tried] = []
    began = time.monotonic()

    def objective(trial: optuna.Trial) -> float:
        tried.append(_cross_validate(encoded, splits, suggest(trial)))
        return tried[-1].loss

    def stop(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        now = time.monotonic()
        refit_seconds = min(tried, key=_loss).fit_seconds * N_FOLDS / (N_FOLDS - 1)
        if now + (now - began) / len(tried) + refit_seconds > end:
            study.stop()

    study.optimize(objective, callbacks=[stop])
    return tried


def _loss(tried: Tried) -> float:
    return tried.loss


def _cross_validate(encoded: Encoded, splits: Splits, params: dict[str, Any]) -> Tried:
    """Score one configuration: one-thread fits, two folds at a time.

    In threads, as LightGBM releases the lock: processes would cost a second to start and more a trial.
    """
    scorer = SCORERS[encoded.problem.metric]
    with parallel_config("threading", n_jobs=N_CORES):
        scores = cross_validate(
            encoded.model(**params),
            encoded.matrix,
            encoded.target,
            scoring=scorer,
            cv=splits,
            params={"categorical_feature": encoded.categorical},
            error_score="raise",
        )
    loss = as_loss(scorer, float(scores["test_score"].mean()))
    return Tried(params, loss, float(scores["fit_time"].mean()))


def _refit(encoded: Encoded, params: dict[str, Any]) -> Callable[..., np.ndarray]:
    return encoded.fit(encoded.model(**params))
