"""A scheduled job over real processes: twice at once, again, killed anywhere, and with the registry away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
# Where a retune that promotes ends itself: inside the challenger's study, and once it is delivered.
PLACES = (
    "store.after_save:2",
    "schedule.champion_set",
)
# What lies no longer on one side of a line calls for another family than the champion's.
SEARCH = ("--run-key", "2", "--set", 'search.families=["kernel"]')


def rows(n_rows: int, start: int, *, bent: bool = False) -> pd.DataFrame:
    """Return rows in which `size` speaks for the label; bent: against it where `age` is below 0."""
    generator = np.random.default_rng(start)
    size, age = generator.normal(size=(2, n_rows))
    sign = np.sign(age) if bent else 1.0
    label = np.where(2 * sign * size + age / 2 + generator.normal(0, 0.5, n_rows) > 0, "yes", "no")
    return pd.DataFrame({"size": size, "age": age, "day": np.arange(start, start + n_rows), "label": label})


def write_job(folder: Path, text: str = JOB) -> Path:
    """Write a job on 200 rows."""
    rows(200, 0).to_csv(folder / "rows.csv", index=False)
    path = folder / "job.toml"
    path.write_text(text)
    return path


def grow(job: Path, *, bent: bool) -> None:
    """Append 300 rows."""
    table = pd.read_csv(job.parent / "rows.csv")
    pd.concat([table, rows(300, len(table), bent=bent)]).to_csv(job.parent / "rows.csv", index=False)


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
    grow(job, bent=True)
    return job


@pytest.fixture
def moved_job(first_job, tmp_path) -> Path:
    """Return a copy of the job; its artifacts stay where its experiment began."""
    shutil.copytree(first_job.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / first_job.name


@pytest.mark.parametrize("place", PLACES)
def test_a_retune_killed_anywhere_ends_as_if_it_had_not_been(moved_job, place):
    """Run again it promotes: version 2 is what met the refit, 3 the same on all rows; each is made once."""
    call(moved_job, "retune", *SEARCH, code=-signal.SIGKILL, failpoint=place)
    told = call(moved_job, "retune", *SEARCH)
    assert told["decision"] == "promoted"
    assert (told["challenger"]["version"], told["champion"]["version"]) == ("2", "3")
    assert aliases(moved_job) == {"champion": "3", "previous": "1", "versions": "3"}
    client = mlflow.MlflowClient(f"sqlite:///{moved_job.parent / 'mlflow.db'}")
    [experiment] = [each.experiment_id for each in client.search_experiments() if each.name == "churn"]
    decisions = client.search_runs([experiment], "tags.`tuner.role` = 'decision'")
    assert sorted((run.data.tags["mlflow.runName"], run.info.status) for run in decisions) == [
        ("1: first", "FINISHED"),
        ("2: promoted", "FINISHED"),
    ]
    searches = client.search_runs([experiment], "tags.`tuner.role` = 'parent'")
    assert [run.info.status for run in searches] == ["FINISHED"] * 2


def test_a_second_call_at_once_is_turned_away(moved_job):
    """While one call holds the lock another ends with 75; then the first one's decision stands.

    The champion's configurations on newer rows keep no promise, and another search by the same family is no
    better: they are refitted, and the promise is what was measured.
    """
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
    told = call(moved_job, "retune", "--run-key", "2")
    assert told["decision"] == "refitted"
    assert [(each["incumbent"], each["contender"], each["verdict"]) for each in told["contests"]] == [
        ("champion", "refit", "better"),
        ("refit", "challenger", "not better"),
    ]
    assert aliases(moved_job) == {"champion": "3", "challenger": "2", "previous": "1", "versions": "3"}
    promised = call(moved_job, "status")["champion"]["estimate"]
    assert promised.startswith(f"{told['contest']['champion_loss']:.6g} [")


def test_a_year_of_decisions_and_two_rollbacks(moved_job):
    """A promotion, growth, a rollback and its undoing; status, report and MLflow tell of them."""
    told = call(moved_job, "retune", *SEARCH)
    assert [reason["code"] for reason in told["reasons"] if reason["severity"] == "warning"] == ["M001"]
    assert told["contest"]["high"] < 0
    again = call(moved_job, "check")
    assert (again["check"]["n_new_rows"], again["moved"]) == (0, False)  # the holdout's are known by now
    grow(moved_job, bent=True)
    grown = call(moved_job, "retune", "--run-key", "3")
    assert (grown["decision"], grown["moved"], grown["contest"]) == ("refitted", False, None)
    assert call(moved_job, "rollback", failpoint="schedule.previous_set", code=-signal.SIGKILL) == {}
    assert call(moved_job, "rollback")["champion"]["version"] == "3"  # it does not swap twice
    assert aliases(moved_job) == {"champion": "3", "previous": "4", "versions": "4"}
    call(moved_job, "rollback", failpoint="schedule.previous_set", code=-signal.SIGKILL)
    assert call(moved_job, "retune", "--run-key", "3") == grown  # decided is decided
    assert call(moved_job, "retune", "--run-key", "4")["champion"]["version"] == "4"  # ends the rollback
    status = call(moved_job, "status")
    assert status["champion"]["version"] == "4"
    assert [each["name"] for each in status["decisions"]] == [
        "4: not needed", "rollback: rolled back", "rollback: rolled back", "3: refitted",
        "2: promoted", "1: first",
    ]  # fmt: skip
    page = moved_job.parent / "page.html"
    assert call(moved_job, "report", "--out", str(page))["path"] == str(page)
    assert "<html" in page.read_text()
    client = mlflow.MlflowClient(f"sqlite:///{moved_job.parent / 'mlflow.db'}")
    assert [each.path for each in client.list_artifacts(told["run_id"], "figures")] == ["figures/drift.svg"]
    version = client.get_model_version("churn", "3")
    assert version.run_id == told["run_id"]
    assert version.tags["tuner.study_run"] == told["challenger"]["run_id"]
    assert "the 150 of the contest among them" in version.description
    [check] = client.search_runs([client.get_run(version.run_id).info.experiment_id],
                                 "tags.`tuner.role` = 'check'")  # fmt: skip
    assert (check.data.tags["mlflow.runName"], check.info.status) == ("check: not moved", "FINISHED")


def test_rows_without_labels_are_checked_and_not_tuned_on(moved_job):
    """200 rows far away and without labels have moved, and there is nothing to tune on yet."""
    table = rows(200, 0)
    far = rows(200, 500).assign(label=None, age=9.0)
    pd.concat([table, far]).to_csv(moved_job.parent / "rows.csv", index=False)
    told = call(moved_job, "retune", "--run-key", "2")
    assert told["decision"] == "not needed"
    assert told["moved"] is True
    assert (told["check"]["n_new_rows"], told["check"]["n_unlabelled"]) == (0, 200)
    assert "M002" in [reason["code"] for reason in told["reasons"] if reason["severity"] == "warning"]


def test_a_champion_that_cannot_predict_is_refitted_without_meeting_anybody(moved_job):
    """Without `age` (M003) the refit takes its place; it loses more than promised, and so does a search."""
    table = pd.concat([rows(200, 0), rows(300, 200)]).drop(columns="age")
    table.to_csv(moved_job.parent / "rows.csv", index=False)
    told = call(moved_job, "retune", "--run-key", "2")
    assert told["decision"] == "refitted"
    assert [(each["incumbent"], each["contender"]) for each in told["contests"]] == [("refit", "challenger")]
    assert aliases(moved_job) == {"champion": "3", "challenger": "2", "previous": "1", "versions": "3"}


def test_with_the_registry_away_the_command_fails_and_later_goes_on(tmp_path):
    """Exit code 1 before a study and in its middle, the password masked; with the server back it goes on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    uri = f"http://user:secret@127.0.0.1:{port}"
    job = write_job(tmp_path, JOB.replace("sqlite:///mlflow.db", uri))
    told = call(job, "retune", "--run-key", "1", code=1)
    assert told["rule"] == "The model registry must be reachable and writable."
    assert "secret" not in json.dumps(told)
    with serving(tmp_path, port):
        assert call(job, "retune", "--run-key", "1")["decision"] == "first"
        grow(job, bent=True)
        n_before = _count_trials(tmp_path / "tuner.db")
        broken = start(job, "retune", *SEARCH)
        until = time.monotonic() + 90
        while _count_trials(tmp_path / "tuner.db") == n_before and time.monotonic() < until:
            time.sleep(0.05)
    out, err = broken.communicate(timeout=180)
    assert broken.returncode == 1, err
    assert json.loads(out)["cure"].startswith("Trials are kept.")
    with serving(tmp_path, port):
        told = call(job, "retune", *SEARCH)
        assert (told["decision"], told["champion"]["version"]) == ("promoted", "3")


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """Serve MLflow from a folder; at the end its processes are killed."""
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port),
         "--backend-store-uri", f"sqlite:///{folder / 'server.db'}",
         "--default-artifact-root", (folder / "artifacts").as_uri()],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _wait(port)
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=30)


def _count_trials(database: Path) -> int:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return int(connection.execute("SELECT count(*) FROM trials").fetchone()[0])


def _wait(port: int) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError("the server did not start")
