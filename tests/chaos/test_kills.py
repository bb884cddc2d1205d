"""A run killed anywhere and run again ends as one that was left alone: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from tuner._search.interrupted import KILLS_BEFORE_FAILED

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

ROOT = Path(__file__).parents[2]
N_TRIALS = 8
N_ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))  # see examples/benchmarks/chaos.py
KILLS_A_ROUND = 3
MOST_RUNS = 12  # a round; a run that ends before its kill is followed by another
START_SHARE = 0.4  # of a whole run: what a run that is continued takes at least
JOB = f"""
[job]
name = "churn"
[data]
train = "rows.csv"
target = "label"
[search]
families = ["lightgbm", "linear"]
max_trials = {N_TRIALS}
n_folds = 3
outer_folds = 2
seed = 0
n_jobs = 2
[search.space.lightgbm]
learning_rate = 0.3
boosting = "gbdt"
[final]
estimate = "nested"
[tracking]
uri = "sqlite:///mlflow.db"
register_as = "churn"
[storage]
url = "sqlite:///tuner.db"
"""
# Where the process ends itself: the place, and at which passing of it.
PLACES = (
    "store.before_save:1",
    "store.after_save:5",
    "store.before_save:14",
    "finals.before:1",
    "finals.after:1",
    "tracking.parent_created:1",
    "tracking.run_created:3",
    "tracking.run_ended:6",
    "tracking.model_logged:1",
    "tracking.model_registered:1",
    "job.before_finish:1",
)


@dataclass(frozen=True)
class Left:
    """What a job has left behind.

    Attributes
    ----------
    trials : dict of int to float or None
        Number and objective of the store's search trials.
    runs : dict of str to str
        MLflow's children by trial key, with their status.
    predictions : array
        Of the logged model on the job's rows.
    """

    trials: dict[int, float | None]
    runs: dict[str, str]
    predictions: np.ndarray


def make_job(folder: Path) -> Path:
    """Write a job on a small learnable table."""
    generator = np.random.default_rng(0)
    size, age = generator.normal(size=(2, 120))
    label = np.where(size + age**2 + generator.normal(size=120) > 1, "yes", "no")
    pd.DataFrame({"size": size, "age": age, "label": label}).to_csv(folder / "rows.csv", index=False)
    path = folder / "job.toml"
    path.write_text(JOB)
    return path


def start(job: Path, *, failpoint: str | None = None, n_jobs: int = 2) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    settings = {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    settings |= {} if failpoint is None else {"TUNER_FAILPOINT": failpoint}
    return subprocess.Popen(
        [sys.executable, "-m", "tuner", "run", str(job), "--json", "--set", f"search.n_jobs={n_jobs}"],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(job: Path, *, n_jobs: int = 2) -> Left:
    """Run the job to its end and look at all it has left."""
    process = start(job, n_jobs=n_jobs)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return look(job.parent, json.loads(out))


def look(folder: Path, summary: dict) -> Left:
    """Read store and MLflow; every key must be there once, and every run ended."""
    import mlflow
    from mlflow import MlflowClient

    study = optuna.load_study(study_name=summary["study"], storage=f"sqlite:///{folder}/tuner.db")
    keys = [json.loads(trial.user_attrs["record"])["number"] for trial in study.trials]
    assert sorted(keys) == list(range(N_TRIALS)), "a trial is missing or doubled in the store"
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("churn").experiment_id], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    counts = Counter(run.data.tags["tuner.trial_key"] for run in children)
    assert set(counts.values()) == {1}, "a trial is doubled in MLflow"
    assert len(client.search_model_versions("name = 'churn'")) == 1
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        model = mlflow.sklearn.load_model(summary["model_uri"])
    finally:
        mlflow.set_tracking_uri(None)
    rows = pd.read_csv(folder / "rows.csv").drop(columns="label")
    return Left(
        {key: trial.value for key, trial in zip(keys, study.trials, strict=True)},
        {run.data.tags["tuner.trial_key"]: run.info.status for run in children},
        model.predict_proba(rows),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Left:
    """Return what a run leaves that nobody kills."""
    return finish(make_job(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def seconds(request, tmp_path_factory) -> float:
    """Return how long a whole run takes where another went before: the first reads all from the disk."""
    request.getfixturevalue("whole")
    job = make_job(tmp_path_factory.mktemp("warm"))
    began = time.monotonic()
    start(job).communicate(timeout=120)
    return time.monotonic() - began


def assert_equal(left: Left, whole: Left) -> None:
    """Find the same trials with the same values, the same runs, the same model."""
    assert left.trials == whole.trials
    assert left.runs == whole.runs
    np.testing.assert_array_equal(left.predictions, whole.predictions)


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_write_and_run_again(tmp_path, whole, place):
    """The process ends itself by SIGKILL there; the next run completes what it began."""
    job = make_job(tmp_path)
    process = start(job, failpoint=place)
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err
    assert_equal(finish(job), whole)


def test_killed_over_one_trial_again_and_again(tmp_path):
    """Run after run dies before trial 4 is stored, as where memory is short: then that one has failed."""
    job = make_job(tmp_path)
    for passing in (5, *[1] * KILLS_BEFORE_FAILED):
        process = start(job, failpoint=f"store.before_save:{passing}")
        _, err = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, err
    assert f"The last {KILLS_BEFORE_FAILED - 1} runs were killed before" in err
    left = finish(job)
    assert left.trials[4] is None
    assert [key[-10:] for key, status in left.runs.items() if status == "FAILED"] == ["search/0/4"]


@pytest.mark.parametrize("number", range(N_ROUNDS))
def test_killed_at_random_moments_and_run_again(tmp_path, whole, seconds, number):
    """Three kills, wherever the runs are by then; a last run on one thread completes what was killed last."""
    generator = np.random.default_rng([number, int(time.time())])
    n_kills = n_runs = 0
    while n_kills < KILLS_A_ROUND:
        folder = tmp_path / str(n_runs)
        folder.mkdir()
        job, left, was_killed = make_job(folder), seconds, True
        while was_killed and n_kills < KILLS_A_ROUND:
            assert n_runs < MOST_RUNS, f"only {n_kills} of {n_runs} runs were still there to be killed"
            moment = float(generator.uniform(0.05, 0.95)) * left
            was_killed = kill_after(job, moment)
            n_kills, n_runs = n_kills + was_killed, n_runs + 1
            left = max(left - moment, START_SHARE * seconds)
        assert_equal(finish(job, n_jobs=1), whole)
    print(f"round {number}: {n_kills} of {n_runs} runs killed")  # noqa: T201  the benchmark counts them


def kill_after(job: Path, moment: float) -> bool:
    """Run the job, kill it after so many seconds; return whether it was still there to be killed."""
    process = start(job)
    try:
        _, err = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return process.returncode == -signal.SIGKILL
    assert process.returncode == 0, err
    return False
