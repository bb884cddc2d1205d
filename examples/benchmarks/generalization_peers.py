"""AutoGluon and FLAML on rows left in a folder: ``PEERS_PYTHON generalization_peers.py FOLDER``.

Runs in the peer's own environment: imports numpy, pandas, scikit-learn and the peer, nothing of ours.
Reads ``rows.pickle`` (plain lists, so that pandas' version does not matter) and ``settings.json``; writes
``prediction.npy`` (probabilities in sorted order of the labels, or values) and ``outcome.json``. Exits with
``MISSING`` where the peer cannot be imported.
"""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

MISSING = 77
LABEL, GROUP_FOLD = "__label__", "__fold__"
BAG_FOLDS = 8  # AutoGluon's own number
NEEDS_TORCH = [
    "NN_TORCH",
    "FASTAI",
    "FT_TRANSFORMER",
    "MITRA",
    "NORI",
    "REALMLP",
    "REALTABPFN-V2",
    "REALTABPFN-V2.5",
    "TABDPT",
    "TABDPT-TURBO",
    "TABICL",
    "TABM",
    "TABPFN-2.6",
    "TABPFN-3",
    "TABPFNMIX",
]

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True, eq=False)
class Task:
    """The rows and what to do with them; the target of RMSLE is log1p already.

    Attributes
    ----------
    kind : {"classification", "regression"}
    metric : str
        Our name; "rmse" for RMSLE.
    labels : array or None
        Sorted.
    groups, time : array or None
    """

    X: pd.DataFrame
    y: np.ndarray
    kind: str
    metric: str
    labels: np.ndarray | None
    groups: np.ndarray | None
    time: np.ndarray | None
    seconds: float
    seed: int
    n_cores: int


@dataclass(frozen=True, eq=False)
class PeerFit:
    """A fitted peer: what predicts, the loss it promises, how much it tried."""

    predict: Predict
    claim: float
    trials: int
    details: Mapping[str, Any]


def main() -> int:
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    quiet()
    try:
        fit = PEERS[settings["peer"]]()
    except ImportError as error:
        print(f"{settings['peer']} cannot be imported: {error}", file=sys.stderr)
        return MISSING
    rows = pickle.loads((folder / "rows.pickle").read_bytes())
    task, X_test = make_task(rows, settings)
    with tempfile.TemporaryDirectory() as models:
        started = time.monotonic()
        fitted = fit(task, models)
        took = time.monotonic() - started
        prediction = fitted.predict(X_test)
        outcome = {
            "took": took,
            "claim": fitted.claim,
            "trials": fitted.trials,
            "rows_per_second": rows_per_second(fitted.predict, X_test),
            "details": dict(fitted.details),
        }
    np.save(folder / "prediction.npy", np.expm1(prediction) if settings["log_target"] else prediction)
    (folder / "outcome.json").write_text(json.dumps(outcome))
    return 0


def quiet() -> None:
    """Leave stderr to what ends the process."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


def make_task(rows: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Task, pd.DataFrame]:
    """Return the task and the test rows; text columns become categories of the training rows."""
    X, X_test = pd.DataFrame(rows["X"]), pd.DataFrame(rows["X_test"])
    for name in X.columns:
        if X[name].dtype == bool:
            X[name], X_test[name] = X[name].astype("int8"), X_test[name].astype("int8")
        elif not pd.api.types.is_numeric_dtype(X[name].dtype):
            known = pd.CategoricalDtype(sorted(X[name].dropna().unique()))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pandas 3 warns that unseen test values become missing
                X[name], X_test[name] = X[name].astype(known), X_test[name].astype(known)
    y = np.asarray(rows["y"])
    optional = {
        name: None if rows[name] is None else np.asarray(rows[name]) for name in ("labels", "groups", "time")
    }
    task = Task(
        X=X,
        y=np.log1p(y) if settings["log_target"] else y,
        kind=settings["kind"],
        metric="rmse" if settings["log_target"] else settings["metric"],
        seconds=settings["seconds"],
        seed=settings["seed"],
        n_cores=settings["n_cores"],
        **optional,
    )
    return task, X_test


def rows_per_second(predict: Callable[[Any], Any], rows: Any) -> float:
    """Return the speed over a second's worth of calls, at least one; the first ever call is not counted."""
    n_calls, started = 0, time.perf_counter()
    while n_calls == 0 or time.perf_counter() - started < 1.0:
        predict(rows)
        n_calls += 1
    return n_calls * len(rows) / (time.perf_counter() - started)


def import_flaml() -> Callable[[Task, str], PeerFit]:
    from flaml import AutoML

    names = {"average_precision": "ap"}

    def fit(task: Task, folder: str) -> PeerFit:  # noqa: ARG001
        X, y, roles = task.X, task.y, {}
        if task.groups is not None:
            roles = {"split_type": "group", "groups": pd.factorize(task.groups)[0]}
        if task.time is not None:  # its split by time wants rows in their order
            order = np.argsort(task.time, kind="stable")
            X, y, roles = X.iloc[order].reset_index(drop=True), y[order], {"split_type": "time"}
        automl = AutoML()
        with stdout_to_stderr():
            automl.fit(
                X_train=X,
                y_train=y,
                task=task.kind,
                metric=names.get(task.metric, task.metric),
                time_budget=task.seconds,
                n_jobs=task.n_cores,
                seed=task.seed,
                verbose=0,
                log_file_name="",
                mlflow_logging=False,
                **roles,
            )
        predict = automl.predict if task.kind == "regression" else automl.predict_proba
        if task.kind == "classification":
            assert list(automl.classes_) == list(task.labels), "probability columns are in another order"
        details = {"estimator": automl.best_estimator, "split": str(automl._split_type)}
        return PeerFit(predict, float(automl.best_loss), automl._track_iter + 1, details)

    return fit


def import_autogluon() -> Callable[[Task, str], PeerFit]:
    import catboost  # AutoGluon imports its models' libraries where they are first fitted: inside the clock
    import lightgbm
    import xgboost
    from autogluon.tabular import TabularPredictor

    assert all((catboost, lightgbm, xgboost))
    names = {"rmse": "root_mean_squared_error"}

    def fit(task: Task, folder: str) -> PeerFit:
        frame = task.X.assign(**{LABEL: task.y})
        folds = right_folds(task)
        if folds is not None:
            frame[GROUP_FOLD] = folds  # every value of its `groups` column is one fold
        predictor = TabularPredictor(
            label=LABEL,
            problem_type=problem_type(task),
            eval_metric=names.get(task.metric, task.metric),
            path=folder,
            groups=None if folds is None else GROUP_FOLD,
            verbosity=0,
        )
        with stdout_to_stderr():
            predictor.fit(
                frame,
                presets="best_quality",
                time_limit=task.seconds,
                excluded_model_types=NEEDS_TORCH,
                dynamic_stacking=False,
                num_cpus=task.n_cores,
                num_gpus=0,
            )
        board = predictor.leaderboard()

        def predict(rows: pd.DataFrame) -> np.ndarray:
            predictor.persist()  # as a service would; once, and outside the clock
            if task.kind == "regression":
                return predictor.predict(rows).to_numpy()
            return predictor.predict_proba(rows)[list(task.labels)].to_numpy()

        score = float(board.set_index("model").loc[predictor.model_best, "score_val"])
        details = {"best": predictor.model_best, "folds": "plain" if folds is None else "right"}
        claim = -score if task.metric in ("rmse", "log_loss") else 1.0 - score
        return PeerFit(predict, claim, len(board), details)

    return fit


def problem_type(task: Task) -> str:
    """Return AutoGluon's name of the task."""
    if task.labels is None:
        return "regression"
    return "binary" if len(task.labels) == 2 else "multiclass"


def right_folds(task: Task) -> np.ndarray | None:
    """Return the fold of each row, whole groups or a block of time in a fold; None on plain tables."""
    if task.groups is not None:
        return group_folds(task.groups, task.seed)
    if task.time is not None:
        ranks = np.argsort(np.argsort(task.time, kind="stable"))
        return ranks * BAG_FOLDS // len(ranks)
    return None


def group_folds(groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each row, whole groups in a fold."""
    folds = np.empty(len(groups), dtype=int)
    n_folds = min(BAG_FOLDS, len(np.unique(groups)))
    splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(groups, groups=groups)):
        folds[test] = fold
    return folds


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Keep what a peer prints out of the benchmark's own output."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


PEERS = {"flaml": import_flaml, "autogluon": import_autogluon}

if __name__ == "__main__":
    sys.exit(main())
