"""What is written with an MLflow client: runs, trials, inputs and files; and how MLflow is set meanwhile.

Everything goes through one `MlflowClient`, so the user's global tracking URI is never touched.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tuner._process.failpoints import failpoint
from tuner._process.user import user_name
from tuner._records import TrialRecord
from tuner._tracking.info import DatasetInfo
from tuner._tracking.items import DIGEST, MAX_TAG, REASON, LogItem, Metric, Param, Tag, log_items

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
NEW = ".new-"  # between the name of a database and the process that is making it
# MLflow's own 7 retries of 120 s hang for minutes: we retry outside, where we can also look up and give up.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a trial on stdout, and a request
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
ANNOUNCING = "mlflow.store.db.utils"  # says which tables are made, and shows the trace of what it raises


@dataclass(frozen=True)
class Child:
    """A trial's run that an interrupted run left behind; the digest is empty where there is none."""

    run_id: str
    status: str
    digest: str = ""


@dataclass(frozen=True)
class Place:
    """Where a tracked run lives in MLflow.

    Attributes
    ----------
    left : dict of str to Child
        By trial key: the children of an interrupted run of the same study that are not dealt with yet.
    """

    client: MlflowClient
    experiment_id: str
    run_id: str
    left: dict[str, Child] = field(default_factory=dict)

    def write_trial(self, record: TrialRecord, shared: Mapping[str, str], *, look_up: bool) -> None:
        """Write a trial as a child run; one that was ended as it should be is left alone.

        Where another trial was judged under its key, as with another budget, or a kill has left its run half
        written, that run makes room: MLflow lets no parameter change.

        Parameters
        ----------
        record : TrialRecord
        shared : mapping
            Tags common to all children.
        look_up : bool
            An earlier try may have created the run: use it where it exists.
        """
        status = RUN_STATUS[record.state]
        known = self.left.get(record.trial_key)
        if known is not None and known.digest != record.digest:
            self.client.delete_run(known.run_id)
            del self.left[record.trial_key]
            known = None
        if known is None or known.status != status:
            items = list(log_items(record))
            tags = {**shared, "mlflow.parentRunId": self.run_id}
            tags |= {item.name: item.value for item in items if isinstance(item, Tag)}
            found = known.run_id if known else self.find(record.trial_key) if look_up else None
            run_id = found or create_run(self.client, self.experiment_id, record.started, tags)
            failpoint("tracking.run_created")
            write_items(self.client, run_id, items if known else (i for i in items if not isinstance(i, Tag)))
            self.client.set_terminated(run_id, status, _milliseconds(record.completed))
            failpoint("tracking.run_ended")
        self.left.pop(record.trial_key, None)

    def find(self, trial_key: str) -> str | None:
        """Return the child run of a trial, if there is one."""
        tags = {"tuner.trial_key": trial_key, "mlflow.parentRunId": self.run_id}
        return find_run(self.client, self.experiment_id, tags)

    def close_left(self) -> None:
        """End what a killed run left running and nobody has taken up.

        It may be written in part: without a digest it makes room for a later run's, pruned ones, too.
        """
        for key, child in list(self.left.items()):
            if child.status == "RUNNING":
                tags = [Tag(REASON, "its run was killed"), Tag(DIGEST, "")]
                write_items(self.client, child.run_id, tags)
                self.client.set_terminated(child.run_id, "KILLED")
            del self.left[key]


def children(client: MlflowClient, experiment_id: str, run_id: str) -> dict[str, Child]:
    """Return the runs of a parent's trials by their key."""
    found: dict[str, Child] = {}
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", max_results=1000, page_token=token
        )
        for run in page:
            key = run.data.tags.get("tuner.trial_key")
            if key is not None:
                found[key] = Child(run.info.run_id, run.info.status, run.data.tags.get(DIGEST, ""))
        token = page.token
        if not token:
            return found


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


def write_summary(client: MlflowClient, run_id: str, items: Sequence[LogItem]) -> None:
    """Write a parent's items; parameters that an earlier part of the run had other values for become a tag.

    MLflow lets no parameter change, and a run may be continued with other limits.
    """
    old = client.get_run(run_id).data.params
    changed = [
        each for each in items if isinstance(each, Param) and old.get(each.name, each.value) != each.value
    ]
    kept: list[LogItem] = [each for each in items if each not in changed]
    if changed:
        text = ", ".join(f"{each.name}: {old[each.name]} -> {each.value}" for each in changed)
        kept.append(Tag("tuner.changed_params", text[:MAX_TAG]))
    write_items(client, run_id, kept)


def find_experiment(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    """Return the experiment's id; create it where there is none."""
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name, artifact_location) if found is None else found.experiment_id)


def find_run(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> str | None:
    """Return the run that has all of these tags, if there is one."""
    runs = client.search_runs([experiment_id], tagged(tags), max_results=1)
    return str(runs[0].info.run_id) if runs else None


def open_runs(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> list[str]:
    """Return the runs that have all of these tags and have not ended."""
    runs = client.search_runs([experiment_id], f"{tagged(tags)} and attributes.status = 'RUNNING'")
    return [str(run.info.run_id) for run in runs]


def delete_echoes(client: MlflowClient, experiment_id: str, run_id: str, run_key: str) -> None:
    """Delete empty runs of the same key: a server that was paused answers later to what was given up on."""
    for echo in open_runs(client, experiment_id, {"tuner.run_key": run_key}):
        if echo != run_id and not children(client, experiment_id, echo):
            client.delete_run(echo)


def tagged(tags: Mapping[str, str]) -> str:
    """Return the condition of runs that have all of these tags."""
    return " and ".join(f"tags.`{name}` = {quoted(value)}" for name, value in tags.items())


def quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


def create_run(client: MlflowClient, experiment_id: str, started: float, tags: Mapping[str, str]) -> str:
    """Create a run and return its id."""
    run = client.create_run(experiment_id, start_time=_milliseconds(started), tags=dict(tags))
    return str(run.info.run_id)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def log_dataset(client: MlflowClient, run_id: str, info: DatasetInfo) -> None:
    """Name the rows as the run's input, the fold plan beside them: MLflow keeps rows once for all runs."""
    from mlflow import entities

    source = json.dumps({"uri": info.name})
    profile = json.dumps({"num_rows": info.n_rows, "num_columns": info.n_columns, "target": info.target})
    dataset = entities.Dataset(info.name, info.digest, "local", source, profile=profile)
    context = [entities.InputTag("mlflow.data.context", "training")]
    if info.fold_plan_hash:
        context.append(entities.InputTag("tuner.fold_plan_hash", info.fold_plan_hash))
    client.log_inputs(run_id, [entities.DatasetInput(dataset, context)])


def log_files(
    client: MlflowClient, run_id: str, texts: Mapping[str, str], files: Mapping[str, bytes]
) -> None:
    """Log texts and files by their paths, in one upload."""
    contents = {name: text.encode() for name, text in texts.items()} | dict(files)
    if not contents:
        return
    with TemporaryDirectory(prefix="tuner-files-") as folder:
        for name, content in contents.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, folder)


def artifacts_beside(uri: str) -> str | None:
    """Return ``mlartifacts`` beside an SQLite file as a URI; None for anything else."""
    database = database_file(uri)
    return None if database is None else (database.resolve().parent / "mlartifacts").as_uri()


def database_file(uri: str) -> Path | None:
    """Return the file of an embedded SQLite database; None for anything else, SQLite's own URIs among it."""
    database = uri.partition(":///")[2].partition("?")[0]
    is_path = uri.startswith("sqlite") and database and not database.startswith((":memory:", "file:"))
    return Path(database) if is_path else None


def create_database(uri: str) -> None:
    """Make the tables of an embedded database that is not there, in one step.

    MLflow makes them one by one, and cannot open a database of which a killed process has made some.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database = database_file(uri)
    if database is None or database.exists():
        return
    folder = database.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):  # MLflow would try for minutes, and say so
        text = f"no folder {folder} that may be written to, for the database"
        raise MlflowException(text, error_code=INVALID_PARAMETER_VALUE)
    for left in folder.glob(f"{database.name}{NEW}*"):
        if not _is_alive(left.name.rpartition(NEW)[2].partition("-")[0]):
            left.unlink(missing_ok=True)
    new = database.with_name(f"{database.name}{NEW}{os.getpid()}")
    try:
        store: Any = SqlAlchemyStore(f"sqlite:///{new}", artifacts_beside(uri))  # type: ignore[no-untyped-call]
        store.engine.dispose()
        _put(new, database)
    finally:
        new.unlink(missing_ok=True)


def _put(new: Path, database: Path) -> None:
    """Give a database its name, unless another process was faster."""
    try:
        os.link(new, database)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links, where two that are equally fast are not told apart
        if not database.exists():
            new.rename(database)


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def origin_tags() -> dict[str, str]:
    """Return the tags MLflow's client does not set by itself."""
    user = user_name("unknown")
    script = sys.argv[0] if sys.argv and sys.argv[0] else "python"
    return {"mlflow.user": user, "mlflow.source.name": script, "mlflow.source.type": "LOCAL"}


def store_errors() -> tuple[type[Exception], ...]:
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
def writer_settings() -> Iterator[None]:
    """Short HTTP time-outs and no printing while the writer works, unless the user chose his own."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    added = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    os.environ.update(added)
    announcing = logging.getLogger(ANNOUNCING)

    def is_warning(record: logging.LogRecord) -> bool:  # one of its own for each that works
        return logging.INFO < record.levelno < logging.ERROR  # what is raised as well is told by us

    announcing.addFilter(is_warning)
    try:
        yield
    finally:
        announcing.removeFilter(is_warning)
        for name in added:
            os.environ.pop(name, None)
