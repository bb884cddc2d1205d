"""A scheduled job over real processes: twice at once, again, killed anywhere, and with the registry away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]

ROOT = Path(__file__).parents[2]
JOB = """
[job]
name = "churn"
[data]
train = "rows.csv"
target = "label"
time = "day"
[search]
families = ["linear"]
max_trials = 3
n_folds = 3
outer_folds = 2
seed = 0
n_jobs = 2
[final]
estimate = "nested"
[tracking]
uri = "sqlite:///mlflow.db"
register_as = "churn"
[storage]
url = "sqlite:///tuner.db"
"""
# Where a retune that promotes ends itself.
PLACES = (
    "schedule.noted",
    "schedule.champion_set",
)


def rows(n_rows: int, start: int, sign: float) -> pd.DataFrame:
    """Return rows in which `size` speaks for (or with sign -1 against) the label."""
    generator = np.random.default_rng(start)
    size, age = generator.normal(size=(2, n_rows))
    label = np.where(2 * sign * size + age / 2 + generator.normal(size=n_rows) > 0, "yes", "no")
    return pd.DataFrame({"size": size, "age": age, "day": np.arange(start, start + n_rows), "label": label})


def write_job(folder: Path, text: str = JOB) -> Path:
    """Write a job on 200 rows."""
    rows(200, 0, 1.0).to_csv(folder / "rows.csv", index=False)
    path = folder / "job.toml"
    path.write_text(text)
    return path


def grow(job: Path, sign: float) -> None:
    """Append 300 rows."""
    table = pd.read_csv(job.parent / "rows.csv")
    pd.concat([table, rows(300, len(table), sign)]).to_csv(job.parent / "rows.csv", index=False)


def start(job: Path, *arguments: str, failpoint: str | None = None) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    settings = {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    settings |= {} if failpoint is None else {"TUNER_FAILPOINT": failpoint}
    return subprocess.Popen(
        [sys.executable, "-m", "tuner", *arguments, str(job), "--json"],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def call(job: Path, *arguments: str, code: int = 0, failpoint: str | None = None) -> dict[str, Any]:
    """Run the command, look at its exit code and return what it printed."""
    process = start(job, *arguments, failpoint=failpoint)
    out, err = process.communicate(timeout=180)
    assert process.returncode == code, err
    return json.loads(out) if out else {}


def aliases(job: Path) -> dict[str, str]:
    """Return the registry's aliases, and under "versions" how many versions there are."""
    client = mlflow.MlflowClient(f"sqlite:///{job.parent / 'mlflow.db'}")
    versions = client.search_model_versions("name = 'churn'")
    found = client.get_registered_model("churn").aliases
    return {**{alias: str(version) for alias, version in found.items()}, "versions": str(len(versions))}


@pytest.fixture(scope="module")
def first_job(tmp_path_factory) -> Path:
    """Return a job with a champion whose rows have moved since; nobody goes on with this one."""
    job = write_job(tmp_path_factory.mktemp("first"))
    assert call(job, "retune", "--run-key", "1")["decision"] == "first"
    grow(job, -1.0)
    return job


@pytest.fixture
def moved_job(first_job, tmp_path) -> Path:
    """Return a copy of the job; its artifacts stay where its experiment began."""
    shutil.copytree(first_job.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / first_job.name


@pytest.mark.parametrize("place", PLACES)
def test_a_retune_killed_anywhere_ends_as_if_it_had_not_been(moved_job, place):
    """Run again it promotes version 2, once, whatever was done before the kill."""
    call(moved_job, "retune", "--run-key", "2", code=-signal.SIGKILL, failpoint=place)
    told = call(moved_job, "retune", "--run-key", "2")
    assert told["decision"] == "promoted"
    assert told["champion"]["version"] == "2"
    assert aliases(moved_job) == {"champion": "2", "previous": "1", "versions": "2"}
    assert call(moved_job, "retune", "--run-key", "2") == told
    client = mlflow.MlflowClient(f"sqlite:///{moved_job.parent / 'mlflow.db'}")
    [experiment] = [each.experiment_id for each in client.search_experiments() if each.name == "churn"]
    decisions = client.search_runs([experiment], "tags.`tuner.role` = 'decision'")
    assert sorted((run.data.tags["mlflow.runName"], run.info.status) for run in decisions) == [
        ("retune 1: first", "FINISHED"),
        ("retune 2: promoted", "FINISHED"),
    ]


def test_a_second_call_at_once_is_turned_away(moved_job):
    """While one call holds the lock another ends with 75; then the first one's decision stands."""
    first = start(moved_job, "retune", "--run-key", "2")
    lock = next(iter(moved_job.parent.glob("tuner.db-*.lock")), None)
    assert lock is not None
    codes = set()
    while first.poll() is None and 75 not in codes:
        second = start(moved_job, "retune", "--run-key", "2")
        second.communicate(timeout=120)
        codes.add(second.returncode)
    _, err = first.communicate(timeout=120)
    assert first.returncode in (0, 75), err
    assert 75 in codes | {first.returncode}
    assert call(moved_job, "retune", "--run-key", "2")["decision"] == "promoted"
    assert aliases(moved_job) == {"champion": "2", "previous": "1", "versions": "2"}


def test_a_year_of_decisions_and_two_rollbacks(moved_job):
    """Too few new rows, a promotion, a rollback and its undoing; status and report tell of them."""
    told = call(moved_job, "retune", "--run-key", "2")
    assert [reason["code"] for reason in told["reasons"] if reason["severity"] == "warning"] == ["M001"]
    assert told["contest"]["high"] < 0
    again = call(moved_job, "check")
    assert again["check"]["n_new_rows"] == told["contest"]["n_rows"] == 150
    assert again["moved"] is False
    assert call(moved_job, "rollback")["champion"]["version"] == "1"
    assert aliases(moved_job) == {"champion": "1", "previous": "2", "versions": "2"}
    assert call(moved_job, "rollback")["champion"]["version"] == "2"
    status = call(moved_job, "status")
    assert status["champion"]["version"] == "2"
    assert [each["name"] for each in status["decisions"]] == [
        "rollback: rolled back", "rollback: rolled back", "retune 2: promoted", "retune 1: first",
    ]  # fmt: skip
    page = moved_job.parent / "page.html"
    assert call(moved_job, "report", "--out", str(page))["path"] == str(page)
    assert "<html" in page.read_text()
    client = mlflow.MlflowClient(f"sqlite:///{moved_job.parent / 'mlflow.db'}")
    assert [each.path for each in client.list_artifacts(told["run_id"], "figures")] == ["figures/drift.svg"]


def test_a_rollback_killed_between_its_two_steps_is_ended_by_the_next(moved_job):
    """It does not swap twice: after the kill and the second call, version 1 is champion."""
    call(moved_job, "retune", "--run-key", "2")
    call(moved_job, "rollback", code=-signal.SIGKILL, failpoint="schedule.previous_set")
    assert call(moved_job, "rollback")["champion"]["version"] == "1"
    assert aliases(moved_job) == {"champion": "1", "previous": "2", "versions": "2"}


def test_rows_without_labels_are_checked_and_not_tuned_on(moved_job):
    """200 rows far away and without labels have moved, and there is nothing to tune on yet."""
    table = rows(200, 0, 1.0)
    far = rows(200, 500, 1.0).assign(label=None, age=9.0)
    pd.concat([table, far]).to_csv(moved_job.parent / "rows.csv", index=False)
    told = call(moved_job, "retune", "--run-key", "2")
    assert told["decision"] == "not needed"
    assert told["moved"] is True
    assert (told["check"]["n_new_rows"], told["check"]["n_unlabelled"]) == (0, 200)
    assert "M002" in [reason["code"] for reason in told["reasons"] if reason["severity"] == "warning"]


def test_a_missing_column_promotes_without_a_contest(moved_job):
    """The champion cannot predict rows without `age`: M003, and version 2 predicts."""
    table = pd.read_csv(moved_job.parent / "rows.csv")
    table.drop(columns="age").to_csv(moved_job.parent / "rows.csv", index=False)
    told = call(moved_job, "retune", "--run-key", "2")
    assert (told["decision"], told["contest"]) == ("promoted", None)
    assert aliases(moved_job) == {"champion": "2", "previous": "1", "versions": "2"}


def test_with_the_registry_away_the_command_fails_and_later_goes_on(tmp_path):
    """Exit code 1, the password masked; once the server is there, a first version and a promotion."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    uri = f"http://user:secret@127.0.0.1:{port}"
    job = write_job(tmp_path, JOB.replace("sqlite:///mlflow.db", uri))
    told = call(job, "retune", "--run-key", "1", code=1)
    assert told["rule"] == "The model registry must be reachable and writable."
    assert "secret" not in json.dumps(told)
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port),
         "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}",
         "--default-artifact-root", (tmp_path / "artifacts").as_uri()],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _wait(port)
        assert call(job, "retune", "--run-key", "1")["decision"] == "first"
        grow(job, -1.0)
        assert call(job, "retune", "--run-key", "2")["decision"] == "promoted"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def _wait(port: int) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError("the server did not start")
