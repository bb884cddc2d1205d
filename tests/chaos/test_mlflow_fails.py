"""A real `mlflow server` that fails, lies, sleeps and dies during runs: one right run a trial at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tuner import TuningConfig, tune
from tuner._line.listeners import RunContext, parent_of, start_tracker
from tuner._line.listeners import replay as replay_store
from tuner._rows.data import make_dataset
from tuner._store import TrialStore
from tuner._tracking.tracking import Tracker

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

N_TRIALS = 12


class Server:
    """A real server on loopback that can be stopped and started again on its port."""

    def __init__(self, folder) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--backend-store-uri", f"sqlite:///{self._folder}/server.db"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < end, "the server did not start"
                time.sleep(0.3)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server and its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, number)
        if number is signal.SIGKILL:
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            self.send(signal.SIGKILL)


@pytest.fixture
def server(tmp_path):
    """Start a server; leave no process behind."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.close()


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, and harms some of the writes.

    Of every nine writes the third is refused with 500, the sixth gets no answer in time, and the ninth is
    written but its answer lost.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.target = target
        self.harmed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._writes = 0

    @property
    def uri(self) -> str:
        """Where clients turn to."""
        return f"http://127.0.0.1:{self.server_port}"

    def harm(self, path: str) -> str | None:
        """Return what befalls the next write."""
        if not path.endswith(("runs/create", "runs/update", "runs/log-batch")):
            return None
        with self._lock:
            self._writes += 1
            harm = {3: "refused", 6: "silent", 0: "lost"}.get(self._writes % 9)
            if harm:
                self.harmed[harm] += 1
            return harm


class Passing(BaseHTTPRequestHandler):
    """One request through the proxy."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        harm = self.server.harm(self.path)
        if harm == "refused":
            self.send_error(500)
            return
        if harm == "silent":
            time.sleep(3.0)  # longer than the client waits
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host",)}
        request = urllib.request.Request(
            self.server.target + self.path, data=body or None, headers=headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content, kind = answer.status, answer.read(), answer.headers.get("Content-Type")
        except urllib.error.HTTPError as error:
            status, content, kind = error.code, error.read(), error.headers.get("Content-Type")
        if harm == "lost":
            return
        self.send_response(status)
        self.send_header("Content-Type", kind or "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def run(uri, folder, *, store=True):
    """Tune a small table for a fixed number of trials."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(150, 4))
    y = (X[:, 0] + X[:, 1] ** 2 + generator.normal(size=150) > 1).astype(int)
    config = TuningConfig(
        max_trials=N_TRIALS,
        time_budget=None,
        n_folds=3,
        estimate=None,
        families=["lightgbm", "linear"],
        search_space={"lightgbm": {"learning_rate": 0.1, "boosting": "gbdt"}},
        random_state=0,
        tracking_uri=uri,
        experiment_name="churn",
        storage=f"sqlite:///{folder}/tuner.db" if store else None,
        study_name="churn",
        verbose=0,
    )
    return tune(X, y, config=config), make_dataset(X, y), config


def sync(dataset, config):
    """Replay what MLflow misses, as `tuner sync` does."""
    with TrialStore(config.storage, "churn") as store:
        assert store.attach()
        parent = parent_of(dataset, RunContext(), "churn", "")
        tracker = start_tracker(config, parent, is_stored=True)
        return replay_store(store, tracker, timeout=120.0)


def assert_all_right(uri, result):
    """One parent that is finished, and for every trial one run with its status, params and metrics."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("churn").experiment_id], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    children = {
        run.data.tags["tuner.trial_key"]: run for run in runs if "mlflow.parentRunId" in run.data.tags
    }
    assert len(children) == len(runs) - 1, "a trial is doubled"
    records = {record.trial_key: record for record in (*result.trials, *result.finalists)}
    assert set(records) <= set(children), "a trial is missing"
    expected = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
    for key, record in records.items():
        run = children[key]
        assert run.info.status == expected[record.state]
        assert run.data.params["family"] == record.configuration.family
        if record.scores is not None:
            assert run.data.metrics["nested_loss"] == pytest.approx(record.scores.nested_loss)


@pytest.fixture
def impatient(monkeypatch):
    """Wait a second for an answer."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.mark.usefixtures("impatient")
def test_errors_silence_and_lost_answers(server, tmp_path):
    """A proxy harms every third write in three ways; afterwards every trial has one right run."""
    proxy = Proxy(server.uri)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        result, dataset, config = run(proxy.uri, tmp_path)
        if result.tracking.n_missing or result.tracking.problems:
            info = sync(dataset, config)
            assert info.n_missing == 0
        assert set(proxy.harmed) == {"refused", "silent", "lost"}
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
    sync(dataset, replaced(config, tracking_uri=server.uri))
    assert_all_right(server.uri, result)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("harm", ["paused", "killed"])
def test_a_server_that_is_paused_or_killed_and_comes_back(server, tmp_path, harm, monkeypatch):
    """The run neither waits nor fails; what is missing then is synced; the search spent no time on it."""
    spent = []
    handed = Tracker.trial

    def timed(self, record):
        began = time.perf_counter()
        handed(self, record)
        spent.append(time.perf_counter() - began)
        if len(spent) == 4:
            server.send(signal.SIGSTOP if harm == "paused" else signal.SIGKILL)

    monkeypatch.setattr(Tracker, "trial", timed)
    monkeypatch.setattr("tuner._line.listeners.PATIENT_FLUSH_SECONDS", 3.0)
    began = time.perf_counter()
    result, dataset, config = run(server.uri, tmp_path)
    wall = time.perf_counter() - began
    assert len(spent) > N_TRIALS
    assert sum(spent[:3]) + sum(spent[4:]) < 0.01 * wall  # the fourth holds the test's own signal
    server.send(signal.SIGCONT) if harm == "paused" else server.start()
    assert sync(dataset, config).n_missing == 0
    assert_all_right(server.uri, result)
    again = sync(dataset, config)  # with all there, nothing changes
    assert (again.n_missing, again.problems) == (0, ())
    assert_all_right(server.uri, result)


def replaced(config, **changes):
    """Return the options with changes."""
    from dataclasses import replace

    return replace(config, **changes)
