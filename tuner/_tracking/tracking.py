"""The MLflow listener: the search puts records on a queue, one thread writes them; it never raises.

The trial store is the truth and MLflow a copy. `log_items` says what a trial's run holds, `Place` writes
it, `Tracker` is what the search sees. MLflow is imported on the writer's thread only.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread

from tuner._process.failpoints import failpoint
from tuner._process.secrets import mask_secrets
from tuner._records import TrialRecord
from tuner._tracking.info import DatasetInfo, RunSummary, TrackingInfo
from tuner._tracking.items import MAX_TAG, REASON, BestSoFar, Metric, Param, Tag, log_items, summary_items
from tuner._tracking.model import import_what_logs_models, log_model, register_model
from tuner._tracking.write import (
    Place,
    artifacts_beside,
    children,
    create_database,
    create_run,
    delete_echoes,
    find_experiment,
    find_run,
    log_dataset,
    log_files,
    origin_tags,
    store_errors,
    write_items,
    write_summary,
    writer_settings,
)

__all__ = ["DatasetInfo", "Metric", "Param", "RunSummary", "Tag", "Tracker", "TrackingInfo", "log_items"]

DEFAULT_EXPERIMENT = "tuner"
REFUSED = "INVALID_PARAMETER_VALUE"  # MLflow's code for what no repetition mends, such as a folder as URI
TRIES = 3
FIRST_DELAY, MAX_DELAY = 0.25, 3.0  # seconds between tries
BEST_BATCH, IDLE_SECONDS = 50, 2.0  # best-so-far is written every so many trials, or when nothing happens
POLL_SECONDS = 0.1  # whoever waits for the end looks so often whether the store still fails
TRIALS_SHARE = 0.6  # of the time `finish` may take; the rest belongs to the summary and the model


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
        Name of the experiment; None: "tuner". Artifacts of a new one lie in ``mlartifacts`` beside an
        embedded SQLite database, else where the server keeps them.
    run_name : str
        Name of the parent run.
    study : str
    job_key : str or None
        None: the study's name.
    dataset : DatasetInfo
    run_key : str or None
        What a run that is continued finds its parent run by; None: no run is continued.

    Attributes
    ----------
    run_key : str
        As given, else one of its own.
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
        run_key: str | None = None,
    ) -> None:
        self.run_key = run_key or uuid.uuid4().hex
        self._uri = uri
        self._experiment = experiment or DEFAULT_EXPERIMENT
        self._dataset = dataset
        self._child_tags = {**origin_tags(), "tuner.job_key": job_key or study}
        self._parent_tags = {
            **self._child_tags,
            "mlflow.runName": run_name,
            "tuner.study": study,
            "tuner.role": "parent",
            "tuner.run_key": self.run_key,
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
        self._failing = self._done = False
        self._trials_until = math.inf
        self._connected, self._given_up = Event(), Event()
        self._thread = Thread(target=self._run, name="mlflow-writer", daemon=True)

    def start(self) -> None:
        """Start the writer; returns at once.

        MLflow imports polars where it is installed, and scikit-learn, in the fits, looks whether polars is
        there: half-imported by the writer it would fail them. So it is imported whole, here, first.
        """
        if find_spec("polars") is not None:
            import_module("polars")
        self._thread.start()

    def trial(self, record: TrialRecord) -> None:
        """Hand over a record; returns at once."""
        with self._count:
            self._n_records += 1
        self._queue.put(record)

    def connects(self, *, timeout: float) -> bool:
        """Wait until the store is reached, at most ``timeout`` seconds; return whether it was."""
        return self._connected.wait(timeout)

    def finish(self, summary: RunSummary, *, timeout: float, patience: float = math.inf) -> TrackingInfo:
        """Let the writer end the parent run as FINISHED.

        Parameters
        ----------
        summary : RunSummary
        timeout : float
            Seconds to wait at most.
        patience : float
            Seconds to wait at most while the store fails.
        """
        return self._stop(_End("FINISHED", summary=summary), timeout, patience)

    def abort(self, status: str = "FAILED", reason: str = "", *, timeout: float = 5.0) -> TrackingInfo:
        """Let the writer end the parent run as FAILED or KILLED; wait at most ``timeout`` seconds."""
        return self._stop(_End(status, reason=reason), timeout)

    def _stop(self, end: _End, timeout: float, patience: float = math.inf) -> TrackingInfo:
        self._trials_until = time.monotonic() + TRIALS_SHARE * timeout
        self._queue.put(end)
        waited = self._wait(timeout, patience)
        if self._thread.is_alive():
            cure = "" if self._failing else "; of a stored study `tuner sync` writes the rest"
            self._problems.setdefault("time", f"not done within {waited:.1f} s{cure}")
        elif not self._done and not self._problems:
            self._problems["writer"] = "stopped before the end of the run; see its traceback on stderr"
        self._given_up.set()
        return self.info()

    def _wait(self, timeout: float, patience: float) -> float:
        """Wait for the writer's end; return how long it took."""
        began = now = worked = time.monotonic()
        while self._thread.is_alive():
            now = time.monotonic()
            if not self._failing:
                worked = now
            left = min(began + timeout, worked + patience) - now
            if left <= 0:
                break
            self._thread.join(min(left, POLL_SECONDS))
        return now - began

    def info(self) -> TrackingInfo:
        """Return how things stand now."""
        n_missing = self._n_records - self._n_logged
        problems = [f"{what}: {text}" for what, text in self._problems.copy().items()]
        return TrackingInfo(
            uri=mask_secrets(self._uri or ""),
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
        with writer_settings():
            try:
                self._errors = store_errors()
            except (ImportError, Warning) as error:
                self._problem("import", error)
                return
            place = self._connect()
            if place is not None:
                with suppress(*self._errors):  # they are needed, and may fail, at the end
                    import_what_logs_models()
                self._end(place, self._drain(place))

    def _connect(self) -> Place | None:
        """Reach the store, unless it refuses the URI for good; trials wait on the queue meanwhile."""
        delay = FIRST_DELAY
        while not self._given_up.is_set():
            try:
                place = self._open()
            except self._errors as error:
                self._problem("connection", error)
                self._failing = True
                if getattr(error, "error_code", None) == REFUSED:
                    return None
            else:
                self._problems.pop("connection", None)
                self._failing = False
                self._connected.set()
                return place
            self._given_up.wait(delay)
            delay = min(2 * delay, MAX_DELAY)
        return None

    def _open(self) -> Place:
        import mlflow

        self._uri = self._uri or mlflow.get_tracking_uri()
        create_database(self._uri)
        client = mlflow.MlflowClient(self._uri)
        if self._experiment_id is None:
            self._experiment_id = find_experiment(client, self._experiment, artifacts_beside(self._uri))
        left = {}
        if self._run_id is None:
            key = {"tuner.run_key": self._parent_tags["tuner.run_key"]}
            self._run_id = find_run(client, self._experiment_id, key)
        if self._run_id is None:
            self._run_id = create_run(client, self._experiment_id, self._started, self._parent_tags)
            failpoint("tracking.parent_created")
        else:
            client.update_run(self._run_id, status="RUNNING")
            left = children(client, self._experiment_id, self._run_id)
        log_dataset(client, self._run_id, self._dataset)
        return Place(client, self._experiment_id, self._run_id, left)

    def _drain(self, place: Place) -> _End:
        """Write trials until the end comes."""
        while True:
            try:
                item = self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                self._write_best(place)
                self._retry(place)
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
            if late:
                self._problems.setdefault("time", "not every trial fitted into the time left for tracking")

    def _write_best(self, place: Place, *, everything: bool = False) -> None:
        self._best_metrics += self._best.take(everything=everything)
        if self._best_metrics and self._attempt(
            "best so far", lambda _: write_items(place.client, place.run_id, self._best_metrics)
        ):
            self._best_metrics = []
            self._problems.pop("best so far", None)

    def _retry(self, place: Place) -> None:
        """Write what is missing, as far as the store takes it again."""
        missing, self._missing = self._missing, []
        for position, record in enumerate(missing):
            self._replay(place, record, look_up=True)
            if self._failing and not self._queue.empty():
                self._missing += missing[position + 1 :]
                return
        if not self._missing:
            self._problems.pop("trials", None)

    def _end(self, place: Place, end: _End) -> None:
        self._retry(place)
        self._write_best(place, everything=True)
        if not self._missing:
            self._attempt("trials of a killed run", lambda _: place.close_left())
        if end.summary is not None:
            self._write_summary(place, end.summary)
        failpoint("tracking.before_end")
        self._done = self._attempt("end of the run", lambda _: self._terminate(place, end))

    def _write_summary(self, place: Place, summary: RunSummary) -> None:
        client, run_id = place.client, place.run_id
        now = time.time()
        self._attempt("summary", lambda _: write_summary(client, run_id, list(summary_items(summary, now))))
        self._attempt("artifacts", lambda _: log_files(client, run_id, summary.texts, summary.figure_files()))
        model, name = summary.model, summary.register_as
        if model is None:
            return

        def keep_model(_: object) -> None:
            self._model_id = log_model(client, run_id, place.experiment_id, model, summary.sample)
            failpoint("tracking.model_logged")

        if self._attempt("model", keep_model) and name and self._model_id:
            model_id, tags, files = self._model_id, summary.version_tags, summary.files
            self._attempt(
                "registration", lambda _: register_model(client, name, model_id, run_id, tags, files)
            )
            failpoint("tracking.model_registered")

    def _terminate(self, place: Place, end: _End) -> None:
        # Both always: a run that is continued must not keep what was true of its first part.
        tags = [
            Tag(REASON, end.reason[:MAX_TAG]),
            Tag("tuner.missing_trials", str(len(self._missing))),
        ]
        write_items(place.client, place.run_id, tags)
        delete_echoes(place.client, place.experiment_id, place.run_id, self.run_key)
        place.client.set_terminated(place.run_id, end.status)

    def _attempt(self, what: str, action: Callable[[bool], object]) -> bool:
        """Try a few times (once while the store fails); ``action`` is told whether this is a repetition."""
        for attempt in range(1 if self._failing else TRIES):
            if attempt and self._given_up.wait(FIRST_DELAY * 2**attempt):
                break
            try:
                action(attempt > 0)
            except Exception as error:  # noqa: BLE001 - artifacts go to clients whose errors share no class
                self._problem(what, error)
                if isinstance(error, TypeError | AttributeError | Warning):
                    break  # not the store's fault: repeating changes nothing
            else:
                self._failing = False
                if attempt:
                    self._problems.pop(what, None)
                return True
        self._failing = True
        return False

    def _problem(self, what: str, error: Exception) -> None:
        text = mask_secrets(" ".join(str(error).split()))[:300]
        self._problems[what] = f"{type(error).__name__}: {text}"
