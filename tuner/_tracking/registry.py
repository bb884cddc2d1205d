"""The model registry as a schedule sees it: versions and aliases of one model, and the log of decisions.

Everything goes through one `MlflowClient`. What MLflow raises becomes a `RegistryError`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from tuner._movement.reference import Reference
from tuner._process.secrets import mask_secrets
from tuner._tracking.items import MAX_TAG, REASON, LogItem, Tag
from tuner._tracking.model import REFERENCE, REFERENCE_FOLDER, log_model, register_model
from tuner._tracking.write import (
    artifacts_beside,
    create_database,
    create_run,
    database_file,
    find_experiment,
    log_files,
    open_runs,
    origin_tags,
    quoted,
    tagged,
    write_items,
    writer_settings,
)
from tuner.exceptions import InputError, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuner._model import Delivered

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ROLE, DECISION, CHECK = "tuner.role", "decision", "check"
KEY = "tuner.retune_key"
STUDY_RUN = "tuner.study_run"
MAX_DECISIONS = 1_000  # read back at most, newest first
MAX_DESCRIPTION = 5_000  # characters of a registered model's; a server's database refuses longer ones
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # what a missing model or alias raises


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    Attributes
    ----------
    number : str
    run_id : str
    source : str
        Where its model lies: ``models:/...`` or the URI of its artifacts.
    made : float
        Unix time.
    tags : mapping
    """

    number: str
    run_id: str
    source: str
    made: float
    tags: Mapping[str, str]

    @property
    def study_run(self) -> str:
        """The run of the search it comes from: its own, or that of the version it is a refit of."""
        return self.tags.get(STUDY_RUN, self.run_id)

    def summary(self, name: str) -> dict[str, str]:
        """Return it as JSON's types."""
        return {"version": self.number, "run_id": self.run_id, "model_uri": f"models:/{name}/{self.number}"}


@dataclass(frozen=True, eq=False)
class Made:
    """A model that a decision has made, and what is to be known of it.

    Attributes
    ----------
    model : DeliveredClassifier or DeliveredRegressor
    sample : DataFrame
        A few raw input rows, for the signature.
    reference : Reference
    tags : mapping
        Of the version.
    description : str
    """

    model: Delivered
    sample: Any
    reference: Reference
    tags: Mapping[str, str]
    description: str


@dataclass(frozen=True)
class DecisionRun:
    """The MLflow run of one decision.

    Attributes
    ----------
    run_id, name : str
    is_finished : bool
        Else it is open, or was given up.
    tags, metrics : mapping
    started : float
        Unix time.
    """

    run_id: str
    name: str
    is_finished: bool
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    started: float


def is_there(uri: str | None) -> bool:
    """Whether there can be a store to read: an embedded database is not made by looking for it."""
    with _clear_errors():
        import mlflow

        database = database_file(uri or mlflow.get_tracking_uri())
        return database is None or database.exists()  # raises in a folder that may not be searched


class Registry:
    """One registered model and its decisions.

    Parameters
    ----------
    uri : str or None
        Tracking URI; None: MLflow's own setting.
    name : str
        Of the registered model.
    experiment : str
        Where decisions are logged.

    Raises
    ------
    RegistryError
        From every method, where the registry cannot be reached or written.
    """

    def __init__(self, uri: str | None, name: str, experiment: str) -> None:
        self.name = name
        self._references: dict[str, Reference] = {}  # by version, which never changes: one download each
        with _clear_errors():
            import mlflow

            self.uri = uri or mlflow.get_tracking_uri()
            create_database(self.uri)
            self._client: MlflowClient = mlflow.MlflowClient(self.uri)
            self._experiment_id = find_experiment(self._client, experiment, artifacts_beside(self.uri))

    def version(self, alias: str) -> Version | None:
        """Return the version an alias points at, if there is one."""
        from mlflow.exceptions import MlflowException

        with _clear_errors():
            try:
                return _version(self._client.get_model_version_by_alias(self.name, alias))
            except MlflowException as error:
                if error.error_code in ABSENT:
                    return None
                raise

    def numbered(self, number: str) -> Version:
        """Return a version by its number."""
        with _clear_errors():
            return _version(self._client.get_model_version(self.name, number))

    def version_of_run(self, run_id: str, study: str) -> Version | None:
        """Return the newest version that a study has made in a run, if there is one.

        A decision that is begun anew has the run of the one given up, and may search on other rows: a version
        of that study may have trained on those that this one is to be judged by.
        """
        with _clear_errors():
            found = self._client.search_model_versions(f"run_id = '{run_id}'")
        made = (_version(each) for each in found if each.name == self.name)
        return next((each for each in made if each.tags.get("tuner.study") == study), None)

    def point(self, alias: str, version: Version) -> None:
        """Let an alias point at a version."""
        with _clear_errors():
            self._client.set_registered_model_alias(self.name, alias, version.number)

    def drop(self, alias: str) -> None:
        """Take an alias away; one that is not there is no error."""
        with _clear_errors():
            self._client.delete_registered_model_alias(self.name, alias)

    def describe(self, text: str) -> None:
        """Write the registered model's description; what is too long is cut at its end."""
        with _clear_errors():
            self._client.update_registered_model(self.name, text[:MAX_DESCRIPTION])

    def deliver(self, run_id: str, made: Made) -> Version:
        """Log a model to a decision and make it a version; one that a killed call has made is the one."""
        with _clear_errors():
            model_id = log_model(self._client, run_id, self._experiment_id, made.model, made.sample)
            files = made.reference.files()
            number = register_model(self._client, self.name, model_id, run_id, made.tags, files)
            self._client.update_model_version(self.name, number, made.description)
        return self.numbered(number)

    def tag_version(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with _clear_errors():
            for name, value in tags.items():
                self._client.set_model_version_tag(self.name, version.number, name, value[:MAX_TAG])

    def reference(self, version: Version) -> Reference:
        """Return what a version remembers of its rows.

        Raises
        ------
        InputError
            If the version was not made by a tuner that remembers.
        """
        if version.number in self._references:
            return self._references[version.number]
        folder = version.tags.get(REFERENCE, REFERENCE_FOLDER)
        try:
            reference = Reference.from_files(self.files(version.run_id, folder))
        except KeyError as error:
            raise InputError(
                "A champion must remember its training rows.",
                f"version {version.number} of {self.name!r}, whose run has no {folder}/{error.args[0]}",
                "Take its alias `champion` away; the next `tuner retune` makes a version that does.",
            ) from error
        self._references[version.number] = reference
        return reference

    def model(self, version: Version) -> Delivered:
        """Load what a version predicts with."""
        from mlflow.artifacts import download_artifacts
        from mlflow.sklearn import load_model

        with _clear_errors(), TemporaryDirectory(prefix="tuner-model-") as folder:
            location = version.source
            if location.startswith("models:/"):
                logged = self._client.get_logged_model(location.removeprefix("models:/"))
                location = logged.artifact_location
            path = download_artifacts(artifact_uri=location, dst_path=folder, tracking_uri=self.uri)
            return cast("Delivered", load_model(path))  # type: ignore[no-untyped-call]

    def files(self, run_id: str, folder: str) -> dict[str, bytes]:
        """Return the artifacts in a folder of a run by name; nothing where there is none."""
        with _clear_errors(), TemporaryDirectory(prefix="tuner-files-") as there:
            if not self._client.list_artifacts(run_id, folder):
                return {}
            path = Path(self._client.download_artifacts(run_id, folder, there))
            return {each.name: each.read_bytes() for each in path.iterdir() if each.is_file()}

    def file(self, run_id: str, path: str) -> bytes:
        """Return one artifact of a run."""
        with _clear_errors(), TemporaryDirectory(prefix="tuner-files-") as there:
            return Path(self._client.download_artifacts(run_id, path, there)).read_bytes()

    def decisions(self, conditions: str = "") -> list[DecisionRun]:
        """Return decisions about this model, newest first."""
        from mlflow.entities import ViewType

        text = tagged({ROLE: DECISION, "tuner.model": self.name}) + conditions
        with _clear_errors():
            found = self._client.search_runs(
                [self._experiment_id],
                text,
                ViewType.ACTIVE_ONLY,
                MAX_DECISIONS,
                ["attributes.start_time DESC"],
            )
        return [_decision(run) for run in found]

    def decision(self, key: str) -> DecisionRun | None:
        """Return the decision of a key, if it was begun and not given up: what it began with has passed."""
        begun = self.decisions(f" and tags.`{KEY}` = {quoted(key)} and attributes.status != 'KILLED'")
        return next(iter(begun), None)

    def begin(self, key: str, name: str, tags: Mapping[str, str]) -> DecisionRun:
        """Begin a decision: from now on it is known what it started from."""
        return self._begin({ROLE: DECISION, KEY: key, **tags}, name)

    def begin_check(self, name: str) -> DecisionRun:
        """Begin the run of a check, which decides nothing."""
        return self._begin({ROLE: CHECK}, name)

    def _begin(self, tags: Mapping[str, str], name: str) -> DecisionRun:
        own = {**origin_tags(), "tuner.model": self.name, "mlflow.runName": name, **tags}
        now = time.time()
        with _clear_errors():
            run_id = create_run(self._client, self._experiment_id, now, own)
        return DecisionRun(run_id, name, is_finished=False, tags=own, metrics={}, started=now)

    def note(self, run_id: str, items: Sequence[LogItem]) -> None:
        """Add items to a decision."""
        with _clear_errors():
            write_items(self._client, run_id, items)

    def finish(self, run_id: str, items: Sequence[LogItem], files: Mapping[str, bytes]) -> None:
        """End a decision; its artifacts come first, so that a finished one has them."""
        with _clear_errors():
            log_files(self._client, run_id, {}, files)
            write_items(self._client, run_id, items)
            self._client.set_terminated(run_id, "FINISHED")

    def give_up(self, decision: DecisionRun, reason: str) -> None:
        """End a decision that nobody continues: its process was killed, or its rows break a rule.

        The run of its study ends first: a call that is killed in between finds the decision open.
        """
        tags = {ROLE: "parent", "tuner.job_key": decision.tags[KEY]}
        with _clear_errors():
            studies = open_runs(self._client, self._experiment_id, tags)
        for run_id in (*studies, decision.run_id):
            self.note(run_id, [Tag(REASON, mask_secrets(reason)[:MAX_TAG])])
            with _clear_errors():
                self._client.set_terminated(run_id, "KILLED")

    def last_report(self, job: str, run_key: str = "") -> bytes | None:
        """Return the report of a job's latest finished run, if there is one.

        Parameters
        ----------
        job : str
            Its name: other jobs may share the experiment.
        run_key : str
            That of the run; empty: any.
        """
        start = f"{job}+{run_key}-" if run_key else job  # see `Job.key`
        wanted = re.escape(start) + ("" if run_key else r"(\+.*)?-") + "[0-9a-f]{12}"
        # Where LIKE matches more, by a wildcard of SQL or as a name begins so, the newest is looked for.
        condition = f"{tagged({ROLE: 'parent'})} and attributes.status = 'FINISHED'"
        condition += f" and tags.`tuner.job_key` LIKE {quoted(start + '%')}"
        with _clear_errors():
            runs = self._client.search_runs([self._experiment_id], condition, max_results=MAX_DECISIONS)
        found = (
            run for run in runs if re.fullmatch(wanted, run.data.tags.get("tuner.job_key", ""), re.DOTALL)
        )
        newest = next(found, None)
        return None if newest is None else self.report(str(newest.info.run_id))

    def report(self, run_id: str) -> bytes | None:
        """Return a run's report, if it has one."""
        with _clear_errors():
            if all(each.path != "report.html" for each in self._client.list_artifacts(run_id)):
                return None
        return self.file(run_id, "report.html")


def _version(found: Any) -> Version:
    made = found.creation_timestamp / 1000
    return Version(str(found.version), str(found.run_id), str(found.source), made, dict(found.tags))


def _decision(run: Any) -> DecisionRun:
    tags = dict(run.data.tags)
    return DecisionRun(
        run_id=str(run.info.run_id),
        name=tags.get("mlflow.runName", ""),
        is_finished=run.info.status == "FINISHED",
        tags=tags,
        metrics=dict(run.data.metrics),
        started=run.info.start_time / 1000,
    )


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what MLflow raises into one clear error; a broken rule of ours passes."""
    with writer_settings():
        try:
            yield
        except (InputError, RegistryError):
            raise
        except Exception as error:  # artifacts go to clients whose errors share no class
            reason = " ".join(mask_secrets(f"{type(error).__name__}: {error}").split())[:300]
            raise RegistryError(
                "The model registry must be reachable and writable.",
                reason,
                "Trials are kept. Start or mend MLflow, then run the command again.",
            ) from error
