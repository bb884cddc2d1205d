"""The MLflow listener: the search puts records on a queue, one thread writes them; it never raises.

The trial store is the truth and MLflow a copy. `log_items` says what a trial's run holds, `Place` writes
it, `Tracker` is what the search sees. MLflow is imported on the writer's thread only.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from tuner._records import TrialRecord
from tuner._tracking_info import (
    MAX_TAG,
    BestSoFar,
    DatasetInfo,
    LogItem,
    Metric,
    Param,
    RunSummary,
    Tag,
    TrackingInfo,
    log_items,
    masked,
    summary_items,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["DatasetInfo", "Metric", "Param", "RunSummary", "Tag", "Tracker", "TrackingInfo", "log_items"]

DEFAULT_EXPERIMENT = "tuner"
RUN_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
# MLflow's own 7 retries of 120 s hang for minutes: we retry outside, where we can also look up and give up.
HTTP_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
TRIES = 3
FIRST_DELAY, MAX_DELAY = 0.25, 3.0  # seconds between tries
BEST_BATCH, IDLE_SECONDS = 50, 2.0  # best-so-far is written every so many trials, or when nothing happens
TRIALS_SHARE = 0.6  # of the time `finish` may take; the rest belongs to the summary and the model


def write_items(client: MlflowClient, run_id: str, items: Iterable[LogItem]) -> None:
    """Write items to a run in one batch (the client cuts it where MLflow has limits)."""
    from mlflow import entities

    metrics, params, tags = list[entities.Metric](), list[entities.Param](), list[entities.RunTag]()
    for item in items:
        match item:
            case Metric(name, value, step, at):
                metrics.append(entities.Metric(name, value, _milliseconds(at), step))
            case Param(name, value):
                params.append(entities.Param(name, value))
            case Tag(name, value):
                tags.append(entities.RunTag(name, value))
    client.log_batch(run_id, metrics, params, tags)


@dataclass(frozen=True)
class Place:
    """Where a tracked run lives in MLflow."""

    client: MlflowClient
    experiment_id: str
    run_id: str

    def write_trial(self, record: TrialRecord, shared: Mapping[str, str], *, look_up: bool) -> None:
        """Write a trial as a child run.

        Parameters
        ----------
        record : TrialRecord
        shared : mapping
            Tags common to all children.
        look_up : bool
            An earlier try may have created the run: use it where it exists.
        """
        items = list(log_items(record))
        tags = {**shared, "mlflow.parentRunId": self.run_id}
        tags |= {item.name: item.value for item in items if isinstance(item, Tag)}
        found = self.find(tags["tuner.trial_key"]) if look_up else None
        run_id = found or _create_run(self.client, self.experiment_id, record.started, tags)
        write_items(self.client, run_id, (item for item in items if not isinstance(item, Tag)))
        self.client.set_terminated(run_id, RUN_STATUS[record.state], _milliseconds(record.completed))

    def find(self, trial_key: str) -> str | None:
        """Return the child run of a trial, if there is one."""
        tags = {"tuner.trial_key": trial_key, "mlflow.parentRunId": self.run_id}
        return _find_run(self.client, self.experiment_id, tags)


def _find_run(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> str | None:
    conditions = " and ".join(f"tags.`{name}` = {_quoted(value)}" for name, value in tags.items())
    runs = client.search_runs([experiment_id], conditions, max_results=1)
    return str(runs[0].info.run_id) if runs else None


def _quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


def _create_run(client: MlflowClient, experiment_id: str, started: float, tags: Mapping[str, str]) -> str:
    run = client.create_run(experiment_id, start_time=_milliseconds(started), tags=dict(tags))
    return str(run.info.run_id)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


@dataclass(frozen=True)
class _End:
    """The last thing on the queue."""

    status: str
    reason: str = ""
    summary: RunSummary | None = None


class Tracker:
    """What the search sees of MLflow: records go on a queue, one daemon thread writes them.

    Parameters
    ----------
    uri : str or None
        Tracking URI; None: MLflow's own setting.
    experiment : str or None
        Name of the experiment; None: "tuner".
    run_name : str
        Name of the parent run.
    study : str
    job_key : str or None
    dataset : DatasetInfo
    artifact_location : str or None
        For a new experiment; None: ``mlartifacts`` beside an embedded SQLite database, else the server's.
    """

    def __init__(
        self,
        *,
        uri: str | None,
        experiment: str | None,
        run_name: str,
        study: str,
        job_key: str | None,
        dataset: DatasetInfo,
        artifact_location: str | None = None,
    ) -> None:
        self._uri = uri
        self._experiment = experiment or DEFAULT_EXPERIMENT
        self._artifact_location = artifact_location
        self._dataset = dataset
        self._child_tags = {**_origin(), **({"tuner.job_key": job_key} if job_key else {})}
        self._parent_tags = {
            **self._child_tags,
            "mlflow.runName": run_name,
            "tuner.study": study,
            "tuner.role": "parent",
            "tuner.run_key": uuid.uuid4().hex,
            "tuner.dataset": dataset.digest,
            **({"tuner.fold_plan_hash": dataset.fold_plan_hash} if dataset.fold_plan_hash else {}),
        }
        self._started = time.time()
        self._queue: SimpleQueue[TrialRecord | _End] = SimpleQueue()
        self._count = Lock()
        self._n_records = self._n_logged = 0
        self._missing: list[TrialRecord] = []
        self._best, self._best_metrics = BestSoFar(), list[Metric]()
        self._experiment_id: str | None = None
        self._run_id: str | None = None
        self._model_id: str | None = None
        self._problems: dict[str, str] = {}
        self._errors: tuple[type[Exception], ...] = ()
        self._failing = False
        self._trials_until = math.inf
        self._given_up = Event()
        self._thread = Thread(target=self._run, name="mlflow-writer", daemon=True)

    def start(self) -> None:
        """Start the writer; returns at once."""
        self._thread.start()

    def trial(self, record: TrialRecord) -> None:
        """Hand over a record; returns at once."""
        with self._count:
            self._n_records += 1
        self._queue.put(record)

    def finish(self, summary: RunSummary, *, timeout: float) -> TrackingInfo:
        """Let the writer end the parent run as FINISHED; wait at most ``timeout`` seconds."""
        return self._stop(_End("FINISHED", summary=summary), timeout)

    def abort(self, status: str = "FAILED", reason: str = "", *, timeout: float = 5.0) -> TrackingInfo:
        """Let the writer end the parent run as FAILED or KILLED; wait at most ``timeout`` seconds."""
        return self._stop(_End(status, reason=reason), timeout)

    def _stop(self, end: _End, timeout: float) -> TrackingInfo:
        self._trials_until = time.monotonic() + TRIALS_SHARE * timeout
        self._queue.put(end)
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._thread.is_alive():
            self._problems.setdefault("time", f"not done within {timeout:.1f} s; raise the time for tracking")
        self._given_up.set()
        return self._info()

    def _info(self) -> TrackingInfo:
        n_missing = self._n_records - self._n_logged
        problems = [f"{what}: {text}" for what, text in self._problems.copy().items()]
        return TrackingInfo(
            uri=masked(self._uri or ""),
            experiment_id=self._experiment_id,
            experiment=self._experiment,
            run_id=self._run_id,
            model_uri=None if self._model_id is None else f"models:/{self._model_id}",
            n_logged=self._n_logged,
            n_missing=n_missing,
            problems=tuple(problems),
        )

    # From here on: the writer's thread.

    def _run(self) -> None:
        with _settings():
            try:
                self._errors = _store_errors()
            except (ImportError, Warning) as error:
                self._problem("import", error)
                return
            place = self._connect()
            if place is not None:
                self._end(place, self._drain(place))

    def _connect(self) -> Place | None:
        """Reach the store; trials wait on the queue meanwhile."""
        delay = FIRST_DELAY
        while not self._given_up.is_set():
            try:
                place = self._open()
            except self._errors as error:
                self._problem("connection", error)
            else:
                self._problems.pop("connection", None)
                return place
            self._given_up.wait(delay)
            delay = min(2 * delay, MAX_DELAY)
        return None

    def _open(self) -> Place:
        import mlflow
        import mlflow.sklearn  # needed at the end; better imported now
        from mlflow import entities

        self._uri = self._uri or mlflow.get_tracking_uri()
        client = mlflow.MlflowClient(self._uri)
        if self._experiment_id is None:
            found = client.get_experiment_by_name(self._experiment)
            location = self._artifact_location or _artifacts_beside(self._uri)
            self._experiment_id = (
                client.create_experiment(self._experiment, location) if found is None else found.experiment_id
            )
        if self._run_id is None:
            key = {"tuner.run_key": self._parent_tags["tuner.run_key"]}
            self._run_id = _find_run(client, self._experiment_id, key) or _create_run(
                client, self._experiment_id, self._started, self._parent_tags
            )
        info = self._dataset
        described = entities.Dataset(
            info.name,
            info.digest,
            source_type="local",
            source=json.dumps({"uri": info.name, "fold_plan_hash": info.fold_plan_hash}),
            profile=json.dumps(
                {"num_rows": info.n_rows, "num_columns": info.n_columns, "target": info.target}
            ),
        )
        context = [entities.InputTag("mlflow.data.context", "training")]
        client.log_inputs(self._run_id, [entities.DatasetInput(described, context)])
        return Place(client, self._experiment_id, self._run_id)

    def _drain(self, place: Place) -> _End:
        """Write trials until the end comes."""
        while True:
            try:
                item = self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                self._write_best(place)
                continue
            if isinstance(item, _End):
                return item
            self._write_trial(place, item)

    def _write_trial(self, place: Place, record: TrialRecord) -> None:
        self._best.add(record)
        self._replay(place, record, look_up=False)
        if (self._n_logged + len(self._missing)) % BEST_BATCH == 0:
            self._write_best(place)

    def _replay(self, place: Place, record: TrialRecord, *, look_up: bool) -> None:
        late = time.monotonic() > self._trials_until
        if not late and self._attempt(
            "trials", lambda again: place.write_trial(record, self._child_tags, look_up=look_up or again)
        ):
            self._n_logged += 1
        else:
            self._missing.append(record)

    def _write_best(self, place: Place, *, everything: bool = False) -> None:
        self._best_metrics += self._best.take(everything=everything)
        if self._best_metrics and self._attempt(
            "best so far", lambda _: write_items(place.client, place.run_id, self._best_metrics)
        ):
            self._best_metrics = []

    def _end(self, place: Place, end: _End) -> None:
        missing, self._missing = self._missing, []
        for record in missing:
            self._replay(place, record, look_up=True)
        self._write_best(place, everything=True)
        if end.summary is not None:
            self._write_summary(place, end.summary)
        self._attempt("end of the run", lambda _: self._terminate(place, end))

    def _write_summary(self, place: Place, summary: RunSummary) -> None:
        from tuner._tracking_model import log_files, log_model, register_model

        client, run_id = place.client, place.run_id
        now = time.time()
        self._attempt("summary", lambda _: write_items(client, run_id, summary_items(summary, now)))
        self._attempt("artifacts", lambda _: log_files(client, run_id, summary.texts, summary.figures))
        model, name = summary.model, summary.register_as
        if model is None:
            return

        def keep_model(_: object) -> None:
            self._model_id = log_model(client, run_id, place.experiment_id, model, summary.sample)

        if self._attempt("model", keep_model) and name and self._model_id:
            model_id = self._model_id
            self._attempt("registration", lambda _: register_model(client, name, model_id, run_id))

    def _terminate(self, place: Place, end: _End) -> None:
        tags = {"tuner.reason": end.reason[:MAX_TAG]} if end.reason else {}
        if self._missing:
            tags["tuner.missing_trials"] = str(len(self._missing))
        write_items(place.client, place.run_id, [Tag(*tag) for tag in tags.items()])
        place.client.set_terminated(place.run_id, end.status)

    def _attempt(self, what: str, action: Callable[[bool], object]) -> bool:
        """Try a few times (once while the store fails); ``action`` is told whether this is a repetition."""
        for attempt in range(1 if self._failing else TRIES):
            if attempt and self._given_up.wait(FIRST_DELAY * 2**attempt):
                break
            try:
                action(attempt > 0)
            except self._errors as error:
                self._problem(what, error)
            else:
                self._failing = False
                if attempt:
                    self._problems.pop(what, None)
                return True
        self._failing = True
        return False

    def _problem(self, what: str, error: Exception) -> None:
        text = masked(" ".join(str(error).split()))[:300]
        self._problems[what] = f"{type(error).__name__}: {text}"


def _origin() -> dict[str, str]:
    """Return the tags MLflow's client does not set by itself."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user database
        user = "unknown"
    script = sys.argv[0] if sys.argv and sys.argv[0] else "python"
    return {"mlflow.user": user, "mlflow.source.name": script, "mlflow.source.type": "LOCAL"}


def _artifacts_beside(uri: str) -> str | None:
    """Return ``mlartifacts`` beside an SQLite file as a URI; None for anything else."""
    database = uri.partition(":///")[2].partition("?")[0]
    if not uri.startswith("sqlite") or not database or database == ":memory:":
        return None
    return (Path(database).resolve().parent / "mlartifacts").as_uri()


def _store_errors() -> tuple[type[Exception], ...]:
    """Return what stores, their drivers and a strict warning filter raise; importing MLflow on the way."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    built_in = (
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ImportError,
        Warning,
    )
    return MlflowException, SQLAlchemyError, *built_in


@contextmanager
def _settings() -> Iterator[None]:
    """Short HTTP time-outs while the writer works, unless the user chose his own."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    added = {name: value for name, value in HTTP_SETTINGS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
