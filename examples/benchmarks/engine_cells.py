"""What `engine.py` measures, one function a section; each runs alone in its own process."""

from __future__ import annotations

import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from lightgbm import Booster, LGBMClassifier, LGBMRegressor
from sklearn.datasets import load_diabetes, load_digits, make_classification, make_regression
from sklearn.model_selection import cross_validate
from threadpoolctl import threadpool_limits

from search_spaces import SPACES
from tuner import TuningConfig, tune
from tuner._folds.splits import plan_choosing
from tuner._line.listeners import Listeners
from tuner._metrics.metrics import resolve_metric
from tuner._records import Configuration, TrialRecord
from tuner._rows.data import make_dataset
from tuner._trials.bench import Bench
from tuner._trials.evaluation import evaluate
from tuner.families import FAMILIES
from tuner.families.lightgbm import LightGBMFamily, booster_params

ROUNDS = 100
EPOCH_POINTS = 15  # of the networks' path
LARGE, LARGE_ROUNDS = 100_000, 20  # from so many rows on, so few rounds: a round is the same work either way
CORES = os.cpu_count() or 1
SETTINGS = {  # of the peer: (threads of a model, folds at once, trials at once)
    "serial": (1, 1, 1),
    "threads": (CORES, 1, 1),
    "folds": (1, CORES, 1),
    "folds+threads": (CORES, CORES, 1),
    "trials": (1, 1, CORES),
}
BEYOND = "trials"  # not one of `cross_validate`'s settings; shown beside them
HOPELESS = 3.0  # a setting whose first trial takes this many times the best one's is not run on


class FixedRounds(LightGBMFamily):
    """Boosting read once, after a fixed number of rounds: what `cross_validate` does."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def path_values(self, params: Any) -> tuple[float, ...]:  # noqa: ARG002
        """Return the one number of rounds."""
        return (float(self._rounds),)


def table(n_rows: int, task: str, *, n_columns: int = 30, seed: int = 0) -> tuple[Any, Any]:
    """Return a synthetic table, half of its columns informative."""
    if task == "regression":
        X, y = make_regression(n_rows, n_columns, n_informative=15, noise=20, random_state=seed)
        return X, y / np.std(y)
    many = task == "multiclass"
    return make_classification(
        n_rows,
        n_columns,
        n_informative=15,
        n_classes=10 if many else 2,
        n_clusters_per_class=1 if many else 2,
        flip_y=0.1,
        random_state=seed,
    )


def make_bench(X: Any, y: Any, task: str, *, seed: int = 0) -> Bench:
    """Return a bench of five folds, the choosing folds of a run with this seed."""
    dataset = make_dataset(X, y, task="regression" if task == "regression" else "classification")
    metric = resolve_metric(None, dataset.task, classes=dataset.classes, weighted=False)
    return Bench(dataset, plan_choosing(dataset, n_folds=5, n_repeats=1, seed=seed), metric, seed)


def configurations(count: int) -> list[dict[str, Any]]:
    """Return the same configurations for everyone; without sampling, so that only rounding may differ."""
    rng = np.random.default_rng(0)

    def log(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    return [
        SPACES["lightgbm"].complete(
            {
                "num_leaves": int(log(4, 64)),
                "learning_rate": log(0.02, 0.2),
                "min_data_in_leaf": int(log(5, 50)),
                "lambda_l2": log(1e-3, 10),
            }
        )
        for _ in range(count)
    ]


def same_work(n_rows: int, task: str) -> dict[str, Any]:
    """Time our evaluation and `cross_validate` on the same folds, configurations and rounds."""
    count, repetitions = {300: (12, 3), 1_000: (8, 3), 5_000: (4, 3)}.get(n_rows, (2, 1))
    X, y = table(n_rows, task)
    params = configurations(count)
    bench = make_bench(X, y, task)
    rounds = ROUNDS if n_rows < LARGE else LARGE_ROUNDS
    ours = [our_trials(make_bench(X, y, task), params, rounds) for _ in range(repetitions)]
    floor = boosting_alone(bench, params, rounds)
    peers = {name: peer_trials(X, y, bench, params[:1], name, rounds) for name in SETTINGS}
    fair = {name: run for name, run in peers.items() if name != BEYOND}
    first = min(run[0] for run in fair.values())
    whole = {
        name: [peer_trials(X, y, bench, params, name, rounds) for _ in range(repetitions)]
        for name, run in peers.items()
        if name == BEYOND or run[0] <= HOPELESS * first
    }
    per_trial = {name: [seconds for seconds, _ in runs] for name, runs in whole.items()}
    best = min((name for name in per_trial if name != BEYOND), key=lambda name: median(per_trial[name]))
    scores, expected = np.array(ours[0][1]), np.array(whole[best][0][1])
    mine = [seconds for seconds, _ in ours]
    return {
        "ours_ms": 1e3 * median(mine),
        "peer_ms": 1e3 * median(per_trial[best]),
        "floor_ms": 1e3 * floor,
        "peer": best,
        "ratio": median(per_trial[best]) / median(mine),
        "ratio_low": min(per_trial[best]) / max(mine),
        "ratio_high": max(per_trial[best]) / min(mine),
        "ratio_trials_at_once": median(per_trial[BEYOND]) / median(mine),
        "first_trial_ms": {name: 1e3 * run[0] for name, run in peers.items()},
        "difference": float(np.max(np.abs(scores - expected) / np.abs(expected))),
    }


def our_trials(
    bench: Bench, params: list[dict[str, Any]], rounds: int
) -> tuple[float, list[tuple[float, float]]]:
    """Return seconds a trial and (validation, training) losses; binning is part of it."""
    known = FAMILIES["lightgbm"]
    FAMILIES["lightgbm"] = FixedRounds(rounds)
    try:
        started = time.perf_counter()
        with threadpool_limits(1), ThreadPoolExecutor(CORES) as pool:
            done = list(
                pool.map(lambda each: evaluate(Configuration("lightgbm", each), bench).scores, params)
            )
        seconds = (time.perf_counter() - started) / len(params)
    finally:
        FAMILIES["lightgbm"] = known
    return seconds, [(scores.nested_loss, scores.train_loss) for scores in done]


def boosting_alone(bench: Bench, params: list[dict[str, Any]], rounds: int) -> float:
    """Return seconds a trial of LightGBM's own updates on binned folds, all cores: what no engine saves."""
    family = LightGBMFamily()
    folds = [bench.prepared(family, params[0], index) for index in range(len(bench.plan.folds))]

    def boost(each: dict[str, Any]) -> None:
        for fold in folds:
            booster = Booster(booster_params(each, fold.objective, 0), fold.train)
            for _ in range(rounds):
                booster.update()

    started = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(boost, params))
    return (time.perf_counter() - started) / len(params)


def peer_trials(
    X: Any, y: Any, bench: Bench, params: list[dict[str, Any]], setting: str, rounds: int
) -> tuple[float, list[tuple[float, float]]]:
    """Return seconds a trial and (validation, training) losses of an Optuna study around `cross_validate`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    threads, folds, trials = SETTINGS[setting]
    cv = [(fold.train, fold.test) for fold in bench.plan.folds]
    found: dict[int, tuple[float, float]] = {}

    def objective(trial: Any) -> float:
        chosen = {**params[trial.number], "n_estimators": rounds}
        scores = cross_validated(X, y, cv, bench, chosen, threads=threads, folds=folds, train=True)
        found[trial.number] = (-scores["test_score"].mean(), -scores["train_score"].mean())
        return found[trial.number][0]

    if folds > 1:  # its worker processes are there before the clock starts
        warm = {**params[0], "n_estimators": 1}
        cross_validated(X, y, cv, bench, warm, threads=1, folds=folds, train=False)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    started = time.perf_counter()
    study.optimize(objective, n_trials=len(params), n_jobs=trials)
    return (time.perf_counter() - started) / len(params), [found[number] for number in range(len(params))]


def cross_validated(
    X: Any,
    y: Any,
    cv: Any,
    bench: Bench,
    params: dict[str, Any],
    *,
    threads: int,
    folds: int,
    train: bool,
) -> Any:
    regression = bench.dataset.task == "regression"
    options = {name: value for name, value in params.items() if name != "boosting"}
    model = (LGBMRegressor if regression else LGBMClassifier)(
        **options, n_jobs=threads, random_state=0, verbosity=-1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cross_validate(
            model,
            X,
            y,
            cv=cv,
            scoring="neg_root_mean_squared_error" if regression else "neg_log_loss",
            return_train_score=train,
            n_jobs=folds,
        )


def search(n_rows: int, seed: int, n_trials: int, limit_seconds: float) -> dict[str, Any]:
    """Time a naive study, then ours until it has a trial as good on the same folds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    X, y = table(n_rows, "binary", seed=seed)
    bench = make_bench(X, y, "binary", seed=seed)
    cv = [(fold.train, fold.test) for fold in bench.plan.folds]

    def objective(trial: Any) -> float:
        params = {
            "n_estimators": trial.suggest_int("n_estimators", 10, 500, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 2, 128, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 2, 100, log=True),
            "lambda_l1": trial.suggest_float("lambda_l1", 1e-4, 10, log=True),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-4, 100, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "bagging_freq": 1,
        }
        scores = cross_validated(X, y, cv, bench, params, threads=1, folds=CORES, train=False)
        return float(-scores["test_score"].mean())

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    started = time.perf_counter()
    study.optimize(objective, n_trials=n_trials, timeout=limit_seconds)
    naive = time.perf_counter() - started
    started_at = time.time()
    result = run(X, y, time_budget=naive, random_state=seed, families=["lightgbm"])
    good = [trial.completed - started_at for trial in result.trials if best_loss(trial) <= study.best_value]
    ran = time.time() - started_at
    return {
        "naive_trials": len(study.trials),
        "naive_seconds": naive,
        "naive_loss": study.best_value,
        "reached": bool(good),
        "ours_seconds": min(good, default=ran),
        "ran_seconds": ran,
        "ratio": naive / min(good, default=ran),
    }


def best_loss(trial: TrialRecord) -> float:
    """Return the smallest mean validation loss on the path: what the naive study minimises over rounds."""
    if trial.curves is None:
        return np.inf
    return float(np.min(np.mean(trial.curves.validation, axis=0)))


def run(X: Any, y: Any, **options: Any) -> Any:
    """Tune without estimate and tracking unless told otherwise."""
    defaults = {"estimate": None, "tracking": False, "verbose": 0, "time_budget": None, "random_state": 0}
    return tune(X, y, config=TuningConfig(**{**defaults, **options}))


def share(n_rows: int, trial: int, *, tracking: bool) -> dict[str, Any]:
    """Return the share of core time in fits over the 40 trials around one."""
    X, y = table(n_rows, "binary")
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        result = run(X, y, max_trials=trial + 20, tracking=tracking, tracking_uri=uri if tracking else None)
    window = result.trials[trial - 20 : trial + 20]
    wall = max(each.completed for each in window) - min(each.started for each in window)
    seconds = sum(each.fit_seconds for each in window)
    return {"share": seconds / (CORES * wall), "trial_ms": 1e3 * seconds / len(window)}


def logging(*, storage: bool) -> dict[str, Any]:
    """Return milliseconds that listeners take on the search thread, a trial."""
    taken: list[float] = []
    notify = Listeners.notify

    def timed(self: Listeners, record: TrialRecord) -> None:
        started = time.perf_counter()
        notify(self, record)
        taken.append(1e3 * (time.perf_counter() - started))

    Listeners.notify = timed  # type: ignore[method-assign]
    X, y = table(200, "binary")
    with tempfile.TemporaryDirectory() as folder:
        run(
            X,
            y,
            max_trials=100,
            tracking=True,
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
            storage=f"sqlite:///{folder}/tuner.db" if storage else None,
        )
    return {"ms": float(np.mean(taken)), "p95_ms": float(np.percentile(taken, 95))}


def overrun(run: int, seconds: float) -> dict[str, Any]:
    """Return by how much a run with everything on exceeds its budget."""
    tables: dict[str, Callable[[], tuple[Any, Any]]] = {
        "diabetes": lambda: load_diabetes(return_X_y=True),
        "digits": lambda: load_digits(return_X_y=True),
        "binary 1,000": lambda: table(1_000, "binary"),
        "10 classes 5,000": lambda: table(5_000, "multiclass"),
        "regression 20,000": lambda: table(20_000, "regression"),
        "binary 50,000": lambda: table(50_000, "binary"),
    }
    name = list(tables)[run % len(tables)]
    X, y = tables[name]()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        config = TuningConfig(
            time_budget=seconds, random_state=run, tracking_uri=f"sqlite:///{folder}/mlflow.db", verbose=0
        )
        tune(X, y, config=config)
        took = time.monotonic() - started
    return {"table": name, "took": took, "overrun": took - seconds}


def memory(n_rows: int) -> dict[str, Any]:
    """Return the peak of a run on n_rows x 50, beyond the libraries, the user's own table included."""
    run(*table(200, "binary"), max_trials=3)  # whatever is imported late is imported now
    before = resident_mb()
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 50))
    y = (X[:, :5].sum(axis=1) + rng.standard_normal(n_rows) > 0).astype(int)
    run(X, y, time_budget=120.0, estimate="auto")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table_mb = X.nbytes / 2**20
    return {"mb": peak - before, "table_mb": table_mb, "limit_mb": 4 * table_mb + 200}


def resident_mb() -> float:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def scaling(n_rows: int) -> dict[str, Any]:
    """Return the seconds of one trial of the default, path stopped by its own curves."""
    X, y = table(n_rows, "binary")
    bench = make_bench(X, y, "binary")
    started = time.perf_counter()
    with threadpool_limits(1):
        done = evaluate(Configuration("lightgbm", SPACES["lightgbm"].default()), bench)
    return {"seconds": time.perf_counter() - started, "points": len(done.curves.path_values)}


def networks(n_rows: int, width: int) -> dict[str, Any]:
    """Time the same epochs of five folds' networks on one thread: as one, one by one, by plain torch.

    Plain: `torch.nn` modules, autograd and AdamW as its manual shows them, one fold after the other; the same
    shapes, steps and dropout, without the average, L1 and the predictions that the path is read by.
    """
    bench = make_bench(*table(n_rows, "binary"), "binary")
    family = FAMILIES["mlp"]
    params = SPACES["mlp"].complete({"width": width})
    prepared = [bench.prepared(family, params, fold) for fold in range(5)]
    seconds: dict[str, list[float]] = {"together": [], "alone": [], "plain": []}
    n_epochs = int(family.path_values(params)[EPOCH_POINTS - 1])
    with threadpool_limits(1):
        for _ in range(3):
            for name, spent in seconds.items():
                started = time.perf_counter()
                if name == "plain":
                    for fold in prepared:
                        plain_training(fold.rows, params, n_epochs)
                    spent.append(time.perf_counter() - started)
                    continue
                if name == "together":
                    fits = family.start_together(params, prepared, range(5))
                else:
                    fits = [family.start(params, fold, seed=seed) for seed, fold in enumerate(prepared)]
                for _ in range(EPOCH_POINTS):
                    for fit in fits:
                        fit.advance()
                spent.append(time.perf_counter() - started)
    together, alone, plain = (median(spent) for spent in seconds.values())
    return {
        "together_ms": 1e3 * together,
        "alone_ms": 1e3 * alone,
        "plain_ms": 1e3 * plain,
        "ratio": alone / together,
        "ratio_plain": plain / together,
    }


def plain_training(rows: Any, params: dict[str, Any], n_epochs: int) -> None:
    """Train one fold's network of two classes as torch's manual does."""
    import torch

    from tuner.families._stack import steps_an_epoch

    torch.set_num_threads(1)
    layers, below = [], rows.X.shape[1]
    for _ in range(params["depth"]):
        layers += [
            torch.nn.Linear(below, params["width"]),
            torch.nn.SiLU(),
            torch.nn.Dropout(params["dropout"]),
        ]
        below = params["width"]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(below, 1))
    adam = torch.optim.AdamW(model.parameters(), lr=params["learning_rate"], weight_decay=params["l2"])
    loss_of = torch.nn.BCEWithLogitsLoss()
    X, target = torch.from_numpy(rows.X), torch.from_numpy(rows.target)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(X)).tensor_split(steps_an_epoch(len(X))):
            adam.zero_grad()
            loss_of(model(X[batch])[:, 0], target[batch]).backward()
            adam.step()


CELLS: dict[str, Callable[..., dict[str, Any]]] = {
    section.__name__: section
    for section in (same_work, search, share, logging, overrun, memory, scaling, networks)
}
