"""What is written with an MLflow client: runs, trials, inputs and files; and how MLflow is set meanwhile.

Everything goes through one `MlflowClient`, so the user's global tracking URI is never touched.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tuner._records import TrialRecord
from tuner._tracking_info import DatasetInfo
from tuner._tracking_items import LogItem, Metric, Param, Tag, log_items

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
# MLflow's own 7 retries of 120 s hang for minutes: we retry outside, where we can also look up and give up.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a trial on stdout, and a request
}


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
        run_id = found or create_run(self.client, self.experiment_id, record.started, tags)
        write_items(self.client, run_id, (item for item in items if not isinstance(item, Tag)))
        self.client.set_terminated(run_id, RUN_STATUS[record.state], _milliseconds(record.completed))

    def find(self, trial_key: str) -> str | None:
        """Return the child run of a trial, if there is one."""
        tags = {"tuner.trial_key": trial_key, "mlflow.parentRunId": self.run_id}
        return find_run(self.client, self.experiment_id, tags)


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


def find_experiment(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    """Return the experiment's id; create it where there is none."""
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name, artifact_location) if found is None else found.experiment_id)


def find_run(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> str | None:
    """Return the run that has all of these tags, if there is one."""
    conditions = " and ".join(f"tags.`{name}` = {_quoted(value)}" for name, value in tags.items())
    runs = client.search_runs([experiment_id], conditions, max_results=1)
    return str(runs[0].info.run_id) if runs else None


def _quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


def create_run(client: MlflowClient, experiment_id: str, started: float, tags: Mapping[str, str]) -> str:
    """Create a run and return its id."""
    run = client.create_run(experiment_id, start_time=_milliseconds(started), tags=dict(tags))
    return str(run.info.run_id)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def log_dataset(client: MlflowClient, run_id: str, info: DatasetInfo) -> None:
    """Name the rows and the fold plan as the run's input."""
    from mlflow import entities

    source = json.dumps({"uri": info.name, "fold_plan_hash": info.fold_plan_hash})
    profile = json.dumps({"num_rows": info.n_rows, "num_columns": info.n_columns, "target": info.target})
    dataset = entities.Dataset(info.name, info.digest, "local", source, profile=profile)
    context = [entities.InputTag("mlflow.data.context", "training")]
    client.log_inputs(run_id, [entities.DatasetInput(dataset, context)])


def log_files(
    client: MlflowClient, run_id: str, texts: Mapping[str, str], figures: Mapping[str, bytes]
) -> None:
    """Log texts, and figures under ``figures/``, in one upload."""
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {f"figures/{name}": image for name, image in figures.items()}
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
    database = uri.partition(":///")[2].partition("?")[0]
    if not uri.startswith("sqlite") or not database or database == ":memory:":
        return None
    return (Path(database).resolve().parent / "mlartifacts").as_uri()


def origin_tags() -> dict[str, str]:
    """Return the tags MLflow's client does not set by itself."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user database
        user = "unknown"
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
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
