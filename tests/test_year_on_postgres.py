"""A year of a scheduled job on what a team runs: `mlflow server`, PostgreSQL, one process a period."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # Debian's place
N_PERIODS, FIRST_CHANGED, ROWS_A_PERIOD = 12, 7, 60
JOB = """
[job]
name = "churn"
[data]
train = "rows.csv"
target = "label"
[search]
families = ["linear"]
max_trials = 2
n_folds = 3
seed = 0
[retune]
holdout = 0.4
[tracking]
uri = "{mlflow}"
register_as = "churn"
[storage]
url = "{storage}"
"""


@dataclass(frozen=True)
class Site:
    """Where the job lives, and its registry."""

    job: Path
    mlflow: str


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready, *, seconds: float = 60) -> None:
    """Ask until it is so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{ready.__name__} stayed false"
        time.sleep(0.2)


@contextmanager
def running(command: list[str], **options) -> Iterator[None]:
    """Run a server in a process group of its own; end the group, and see that it has gone."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **quiet, **options)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)  # PostgreSQL: disconnect everybody, and stop
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

        def group_has_gone() -> bool:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return True
            return False

        wait_until(group_has_gone, seconds=20)


@pytest.fixture
def postgres() -> Iterator[str]:
    """Start a new PostgreSQL with the databases `mlflow` and `tuner`, and give its URL up to their name.

    It refuses to run as root, and root's temporary folders are closed to others: its folder lies beside.
    """
    if not PROGRAMS:
        if os.environ.get("CI"):
            pytest.fail("CI has PostgreSQL")
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    import psycopg

    programs, port = PROGRAMS[-1].parent, free_port()
    account = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    folder = Path(tempfile.mkdtemp(prefix="tuner-postgres-", dir="/tmp"))
    try:
        os.chown(folder, account.pw_uid, account.pw_gid)
        own = {"user": account.pw_uid, "group": account.pw_gid, "cwd": folder} if os.getuid() == 0 else {}
        data = str(folder / "data")
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync"],
            check=True, capture_output=True, **own,
        )  # fmt: skip
        server = [str(programs / "postgres"), "-D", data, "-p", str(port), "-k", str(folder)]
        address = f"//tester@127.0.0.1:{port}"

        def answers() -> bool:
            try:
                psycopg.connect(f"postgresql:{address}/postgres").close()
            except psycopg.OperationalError:
                return False
            return True

        with running([*server, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"], **own):
            wait_until(answers)
            with psycopg.connect(f"postgresql:{address}/postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE mlflow")
                connection.execute("CREATE DATABASE tuner")
            yield f"postgresql+psycopg:{address}"
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def site(tmp_path, postgres) -> Iterator[Site]:
    """Start `mlflow server` on the database, artifacts on disk, and write the job file."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", f"{postgres}/mlflow"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    job = tmp_path / "job.toml"
    job.write_text(JOB.format(mlflow=address, storage=f"{postgres}/tuner"))
    with running(command, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}):
        wait_until(answers)
        yield Site(job, address)


def rows_of(period: int) -> pd.DataFrame:
    """Return a period's rows: who leaves depends on use, from the seventh on the other way round."""
    generator = np.random.default_rng(period)
    use, age = generator.normal(size=(2, ROWS_A_PERIOD))
    sign = -1 if period >= FIRST_CHANGED else 1
    label = np.where(sign * 2 * use + 0.5 * age + generator.logistic(0, 0.5, ROWS_A_PERIOD) > 0, "yes", "no")
    return pd.DataFrame({"use": use, "age": age, "label": label})


def call(site: Site, command: str, *options: str) -> dict:
    """Run a command in a process of its own and return its JSON object."""
    done = subprocess.run(
        [sys.executable, "-m", "tuner", command, str(site.job), "--json", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def retune(site: Site, period: int) -> dict:
    """Let the job's file grow by a period and call the scheduler's command."""
    rows = pd.concat([rows_of(each) for each in range(1, period + 1)])
    rows.to_csv(site.job.with_name("rows.csv"), index=False)
    return call(site, "retune", "--run-key", f"2026-{period:02}")


def versions(site: Site) -> dict[str, str]:
    """Return the version of every alias."""
    from mlflow import MlflowClient

    return dict(MlflowClient(site.mlflow).get_registered_model("churn").aliases)


def test_a_year_on_postgres(site):
    """Rows come for six periods, then the world changes: refits, searches, a rollback, all in MLflow."""
    from mlflow import MlflowClient

    year = [retune(site, period) for period in range(1, N_PERIODS + 1)]
    decisions = [each["decision"] for each in year]
    searched = [each["challenger"] is not None for each in year]
    assert decisions[:6] == ["first", *["refitted"] * 5]
    assert not any(searched[:6])
    assert set(decisions[FIRST_CHANGED - 1 :]) <= {"promoted", "refitted", "kept", "not needed"}
    moved = [each for each in year[: FIRST_CHANGED + 1] if each["moved"]]  # one changed period, or two
    assert moved
    assert "M001" in [reason["code"] for reason in moved[0]["reasons"]]
    assert any(searched)

    again = retune(site, N_PERIODS)  # the scheduler calls twice
    assert again == year[-1]
    champion = year[-1]["champion"]["version"]
    before = versions(site)
    assert before["champion"] == champion
    delivered = [
        each["champion"]["version"] for each in year if each["decision"] in ("first", "refitted", "promoted")
    ]
    assert (before["previous"], before["champion"]) == tuple(delivered[-2:])

    rolled = call(site, "rollback")
    assert rolled["decision"] == "rolled back"
    assert versions(site) | {"challenger": None} == {
        "champion": before["previous"], "previous": before["champion"], "challenger": None,
    }  # fmt: skip

    client = MlflowClient(site.mlflow)
    experiment = client.get_experiment_by_name("churn").experiment_id
    runs = client.search_runs([experiment], "tags.`tuner.role` = 'decision'", max_results=100)
    assert {run.info.status for run in runs} == {"FINISHED"}
    written = [run.data.tags["tuner.decision"] for run in runs]
    assert sorted(written) == sorted([*decisions, "rolled back"])
    assert len(client.search_model_versions("name = 'churn'")) == len(delivered) + sum(searched)
