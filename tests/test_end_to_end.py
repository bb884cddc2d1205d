"""A whole run as MLflow shows it, over the real SQLite store and over a real server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from tuner import TuningConfig, tune

pytestmark = [
    # MLflow's SQL store on SQLAlchemy 2.1, and the import of mlflow.pyfunc.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

METRICS = {
    "objective",
    "nested_loss",
    "train_loss",
    "gap",
    "gap_penalty",
    "standard_error",
    "fit_seconds",
    "path_point",
    "path_value",
    "fold_loss",
    "validation_curve",
    "train_curve",
}


@pytest.fixture(scope="module")
def rows():
    """Return mixed columns with gaps and a text target."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X, y = X.iloc[::4, :6], y.iloc[::4]
    X = X.assign(size=np.where(X["mean radius"] > 14, "large", "small"))
    X.loc[X.index[::7], "mean texture"] = np.nan
    return X, np.where(y == 1, "benign", "malignant")


@pytest.fixture
def server(tmp_path):
    """Start a real `mlflow server` on loopback; leave no process behind."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    process = subprocess.Popen(
        command,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", seconds=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(address: str, *, seconds: float) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.5)
        else:
            return


def run_and_check(uri, rows):
    """Tune with tracking on, then compare every run of the experiment with the result's records."""
    from mlflow import MlflowClient

    X, y = rows
    config = TuningConfig(
        max_trials=4,
        time_budget=None,
        n_folds=3,
        outer_folds=2,
        estimate="nested",
        search_space={"lightgbm": {"learning_rate": 0.3, "boosting": "gbdt"}},
        random_state=0,
        tracking_uri=uri,
        experiment_name="cancer",
        verbose=0,
    )
    result = tune(X, y, config=config)
    assert result.tracking.problems == ()
    assert result.tracking.n_missing == 0
    client = MlflowClient(uri)
    runs = client.search_runs([result.tracking.experiment_id], max_results=1000)
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == result.tracking.run_id]
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_id for run in parents] == [result.tracking.run_id]
    assert parents[0].info.status == "FINISHED"
    phases = Counter(run.data.tags["tuner.phase"] for run in children)
    assert phases["search"] == len(result.trials) == 4
    assert phases["finalist"] == len(result.finalists)
    assert phases["outer_fold"] >= 2 * 4
    assert len({run.data.tags["tuner.trial_key"] for run in children}) == len(children)
    by_number = {int(run.data.tags["tuner.number"]): run for run in children if is_search(run)}
    for trial in result.trials:
        run = by_number[trial.number]
        assert run.info.status == "FINISHED"
        assert set(run.data.metrics) >= METRICS
        assert run.data.metrics["nested_loss"] == pytest.approx(trial.scores.nested_loss)
        flat = trial.configuration.flat()
        assert {name: run.data.params[name] for name in flat} == {name: str(v) for name, v in flat.items()}
        folds = client.get_metric_history(run.info.run_id, "fold_loss")
        assert [point.value for point in sorted(folds, key=lambda point: point.step)] == pytest.approx(
            list(trial.scores.fold_losses)
        )
    assert parents[0].data.metrics["estimate"] == pytest.approx(result.estimate.value)
    [rows_input] = client.get_run(result.tracking.run_id).inputs.dataset_inputs
    assert {tag.key: tag.value for tag in rows_input.tags}["tuner.fold_plan_hash"] == result.fold_plan_hash
    check_report(client, result)
    return result


def check_report(client, result):
    """Find the page with the answer on the parent run, and every figure it shows beside it."""
    run_id = result.tracking.run_id
    page = client.download_artifacts(run_id, "report.html")
    text = Path(page).read_text(encoding="utf-8")
    assert f"<h1>log_loss {result.estimate.value:.4g}</h1>" in text
    figures = {file.path for file in client.list_artifacts(run_id, "figures")}
    assert figures >= {"figures/trials.svg", "figures/gap.svg", "figures/winner_path.svg"}
    assert text.count("<img ") == len(figures)


def is_search(run):
    """Whether the run is a search trial."""
    return run.data.tags["tuner.phase"] == "search"


def check_reloaded(uri, result, X):
    """Reload the logged model both ways: it predicts identically."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    try:
        expected = result.model.predict_proba(X)
        served = mlflow.pyfunc.load_model(result.tracking.model_uri).predict(X)
        native = mlflow.sklearn.load_model(result.tracking.model_uri)
        np.testing.assert_array_equal(np.asarray(served), expected)
        np.testing.assert_array_equal(native.predict_proba(X), expected)
        np.testing.assert_array_equal(native.predict(X), result.model.predict(X))
    finally:
        mlflow.set_tracking_uri(None)


def test_a_run_over_sqlite_is_all_in_mlflow(tmp_path, rows, monkeypatch):
    """One parent, a child for every trial with params, metrics, status; the model predicts identically."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    result = run_and_check(uri, rows)
    check_reloaded(uri, result, rows[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlartifacts", "mlflow.db"]
    assert isinstance(result.trials.to_frame(), pd.DataFrame)


@pytest.mark.slow
def test_a_run_over_a_server_is_all_in_mlflow(server, rows):
    """The same over a real `mlflow server` on loopback."""
    result = run_and_check(server, rows)
    check_reloaded(server, result, rows[0])
