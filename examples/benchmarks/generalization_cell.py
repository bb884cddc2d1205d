"""One cell: fit on the tuning rows against the clock, then judge the delivered model on the test rows."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from generalization_data import Problem
from generalization_lightgbm import N_CORES, Fitted, fit_default, fit_tuned_default
from generalization_optuna import fit_optuna
from generalization_ours import ALIASES, fit_at_equal_fits, fit_ours, options_of
from generalization_peers import MISSING, PEERS, rows_per_second
from generalization_results import Result
from provenance import commit

PEERS_SCRIPT = Path(__file__).parent / "generalization_peers.py"
EQUAL_FITS = "optuna_objective"
OWN = {
    "default": fit_default,
    "tuned_default": fit_tuned_default,
    "optuna": fit_optuna,
    "optuna_folds": partial(fit_optuna, right_folds=True),
}
METHODS = (*OWN, EQUAL_FITS, *PEERS, *ALIASES)  # and ours:KEY=VALUE

Fit = Callable[[Problem, float], Fitted]


class PeerMissingError(Exception):
    """The peer has no environment, or cannot be imported there."""


@dataclass(frozen=True)
class Request:
    """What to run on a problem.

    Attributes
    ----------
    method : str
    seconds : float
        From entering the method's fit to its return, imports excluded.
    pythons : mapping of str to str
        Interpreters of the peers.
    optuna_trials : int or None
        What Optuna tried on this problem, for the comparison at equal fits.
    """

    method: str
    seconds: float
    pythons: Mapping[str, str]
    optuna_trials: int | None = None


def is_method(name: str) -> bool:
    """Whether the name is one of ``METHODS`` or a lever of ours."""
    try:
        return name in METHODS or bool(options_of(name))
    except ValueError:
        return False


def run_cell(problem: Problem, request: Request) -> Result:
    """Run one method on one problem.

    Raises
    ------
    PeerMissingError
        If a peer is not there.
    """
    use_same_cores()
    if request.method in PEERS:
        return _judge_peer(problem, request)
    return _judge(problem, request, _fit_of(request))


def use_same_cores() -> None:
    """Bind this process and its children to the first ``N_CORES`` cores it may use, where possible."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_CORES])


def _fit_of(request: Request) -> Fit:
    if request.method in OWN:
        return OWN[request.method]
    if request.method == EQUAL_FITS:
        assert request.optuna_trials is not None  # the caller knows them
        return partial(fit_at_equal_fits, optuna_trials=request.optuna_trials)
    return partial(fit_ours, options=options_of(request.method))


def _judge(problem: Problem, request: Request, fit: Fit) -> Result:
    started = time.monotonic()
    fitted = fit(problem, request.seconds)
    took = time.monotonic() - started
    prediction = np.asarray(fitted.predict(problem.X_test))
    loss = problem.test_loss(prediction)
    speed = rows_per_second(fitted.predict, problem.X_test)
    earlier = [problem.test_loss(refit()(problem.X_test)) for refit in fitted.incumbents]
    searched = fitted.trials is not None and fitted.trials > 1
    return Result(
        table=problem.table,
        seed=problem.seed,
        method=request.method,
        seconds=request.seconds,
        split=problem.split,
        loss=loss,
        took=took,
        claim=fitted.claim,
        trials=fitted.trials,
        rows_per_second=speed,
        incumbents=(*earlier, loss) if searched else (),
        noise=_noise(problem, prediction),
        details={"commit": commit(), **fitted.details},
    )


def _noise(problem: Problem, prediction: np.ndarray) -> float:
    """Return how well the test rows tell a prediction from the default's, which is fitted again for it."""
    default = fit_default(problem, np.inf).predict(problem.X_test)
    return problem.ratio_error(prediction, np.asarray(default))


def _judge_peer(problem: Problem, request: Request) -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder, problem, request)
        run_peer(folder, request)
        outcome = json.loads((folder / "outcome.json").read_text())
        prediction = np.load(folder / "prediction.npy")
    return Result(
        table=problem.table,
        seed=problem.seed,
        method=request.method,
        seconds=request.seconds,
        split=problem.split,
        loss=problem.test_loss(prediction),
        noise=_noise(problem, prediction),
        **outcome,
    )


def write_folder(folder: Path, problem: Problem, request: Request) -> None:
    """Leave rows and settings for a peer: plain lists, no test target."""
    rows = {
        "X": _columns(problem.X),
        "X_test": _columns(problem.X_test),
        "y": problem.y.tolist(),
        "labels": None if problem.classes is None else problem.classes.tolist(),
        "groups": None if problem.groups is None else problem.groups.tolist(),
        "time": None if problem.time is None else problem.time.tolist(),
    }
    settings = {
        "peer": request.method,
        "kind": problem.kind,
        "metric": problem.metric,
        "log_target": problem.log_target,
        "seconds": request.seconds,
        "seed": problem.seed,
        "n_cores": N_CORES,
    }
    (folder / "rows.pickle").write_bytes(pickle.dumps(rows))
    (folder / "settings.json").write_text(json.dumps(settings))


def _columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): frame[name].tolist() for name in frame.columns}


def run_peer(folder: Path, request: Request) -> None:
    """Run a peer in its own interpreter; without one, in ours.

    Raises
    ------
    PeerMissingError
        If there is no such interpreter, or no peer in it.
    RuntimeError
        If it ends with an error: the last line it wrote.
    """
    python = request.pythons.get(request.method, sys.executable)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [python, str(PEERS_SCRIPT), str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    except OSError as error:
        raise PeerMissingError(f"no interpreter: {error}") from error
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode == MISSING:
        raise PeerMissingError(f"{last} (with {python}; give --env {request.method}=PYTHON)")
    if done.returncode:
        raise RuntimeError(f"{request.method} ended with {done.returncode}: {last}")
