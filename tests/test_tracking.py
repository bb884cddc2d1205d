"""The MLflow listener: what a run holds, that nothing is lost or doubled, and that the model reloads."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from scipy import sparse

from search_spaces import SPACES
from tuner._model import Blended, Delivered, Member, deliver
from tuner._process.secrets import mask_secrets
from tuner._records import Configuration, Curves, Scores, TrialRecord
from tuner._rows.data import Dataset, make_dataset
from tuner._tracking import tracking as _tracking
from tuner._tracking.info import DatasetInfo, RunSummary, TrackingInfo
from tuner._tracking.items import BestSoFar, Metric, Param, Tag, log_items
from tuner._tracking.model import REQUIRED_PACKAGES, UntrustedTypeError, input_schema, trusted_types
from tuner._tracking.registry import Registry
from tuner._tracking.tracking import Tracker
from tuner._tracking.write import Place, _put, artifacts_beside, create_database, writer_settings
from tuner.families import FAMILIES, TrainingRows

pytestmark = [
    # MLflow's SQL store uses a loader that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    # Importing mlflow.pyfunc infers a schema from its own type hints, and warns in colour.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

ROOT = Path(__file__).resolve().parent.parent
PNG = bytes.fromhex("89504e470d0a1a0a")
INFO = DatasetInfo(name="churn", digest="abc123", fold_plan_hash="f01d", n_rows=100, n_columns=3)
NAN = math.nan

SCORES = Scores(
    nested_loss=0.5,
    train_loss=0.4,
    gap=0.1,
    standard_error=0.02,
    fold_losses=(0.48, 0.52),
    fold_train_losses=(0.4, 0.4),
    fold_points=(1, 1),
    path_point=1,
    path_value=4.0,
    threshold=None,
    skipped_folds=0,
)
CURVES = Curves(
    path_values=(1.0, 4.0, 7.0),
    thresholds=None,
    repeats=(0, 0),
    train=((0.6, 0.4, 0.2), (0.6, 0.4, 0.4)),
    validation=((0.7, 0.48, 0.5), (0.6, 0.52, NAN)),
)


def make_record(number: int = 0, **changes: Any) -> TrialRecord:
    """Return a complete search trial."""
    base = TrialRecord(
        study="churn-1",
        phase="search",
        outer=0,
        number=number,
        state="COMPLETE",
        configuration=Configuration("lightgbm", {"num_leaves": 15, "extra_trees": False}),
        scores=SCORES,
        curves=CURVES,
        gap_weight=0.5,
        penalty_cap=0.1,
        gap_penalty=0.04,
        objective=0.54,
        fit_seconds=1.5,
        started=1000.0,
        completed=1002.5,
    )
    return replace(base, **changes)


def unfinished(number: int, state: str, reason: str, **changes: Any) -> TrialRecord:
    """Return a trial without scores."""
    return make_record(
        number,
        state=state,
        reason=reason,
        scores=None,
        curves=None,
        gap_weight=None,
        gap_penalty=None,
        objective=None,
        **changes,
    )


def metrics_of(record: TrialRecord) -> dict[str, dict[int, float]]:
    """Return ``{name: {step: value}}``."""
    found: dict[str, dict[int, float]] = {}
    for item in log_items(record):
        if isinstance(item, Metric):
            found.setdefault(item.name, {})[item.step] = item.value
    return found


def tags_of(record: TrialRecord) -> dict[str, str]:
    """Return the tags."""
    return {item.name: item.value for item in log_items(record) if isinstance(item, Tag)}


# What a trial's run holds.


def test_params_are_the_resolved_configuration() -> None:
    """The family and every parameter, fixed ones included, under the names used outside."""
    params = {item.name: item.value for item in log_items(make_record()) if isinstance(item, Param)}
    assert params == {"family": "lightgbm", "lightgbm.num_leaves": "15", "lightgbm.extra_trees": "False"}


def test_a_complete_trial_has_all_metrics() -> None:
    """Single values at step 0, fold losses by fold, mean curves by path point."""
    found = metrics_of(make_record())
    assert found.pop("fold_loss") == {0: 0.48, 1: 0.52}
    # (0.7 + 0.6) / 2, (0.48 + 0.52) / 2, and 0.5 alone where the other fold cannot be scored
    assert found.pop("validation_curve") == pytest.approx({0: 0.65, 1: 0.5, 2: 0.5})
    assert found.pop("train_curve") == pytest.approx({0: 0.6, 1: 0.4, 2: 0.3})
    assert found == {
        "objective": {0: 0.54},
        "nested_loss": {0: 0.5},
        "train_loss": {0: 0.4},
        "gap": {0: 0.1},
        "gap_penalty": {0: 0.04},
        "standard_error": {0: 0.02},
        "fit_seconds": {0: 1.5},
        "path_point": {0: 1.0},
        "path_value": {0: 4.0},
    }


def test_metrics_carry_the_time_of_the_trial() -> None:
    """Timestamps come from the record, so that writing it again changes nothing."""
    assert {item.at for item in log_items(make_record()) if isinstance(item, Metric)} == {1002.5}


def test_curves_with_thresholds_show_the_chosen_threshold() -> None:
    """Of 2 sizes x 2 thresholds, the columns of the chosen threshold: one point a size."""
    curves = Curves(
        path_values=(1.0, 4.0),
        thresholds=(0.3, 0.5),
        repeats=(0, 0),
        train=((0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
        validation=((0.5, 0.6, 0.7, 0.8), (0.5, 0.8, 0.7, 0.9)),
    )
    found = metrics_of(make_record(curves=curves, scores=replace(SCORES, path_point=3, threshold=0.5)))
    assert found["validation_curve"] == pytest.approx({1: 0.7, 3: 0.85})  # the path points of that threshold
    assert found["train_curve"] == pytest.approx({1: 0.2, 3: 0.4})


def test_a_guide_is_shown_beside_the_metric() -> None:
    """Where another loss chose the point, its mean curve says why it is not where the metric is best."""
    assert "guide_curve" not in metrics_of(make_record())
    guided = replace(CURVES, guide=((0.9, 0.5, 0.6), (0.7, 0.3, 0.5)))
    found = metrics_of(make_record(curves=guided))
    assert found["guide_curve"] == pytest.approx({0: 0.8, 1: 0.4, 2: 0.55})
    assert found["validation_curve"] == metrics_of(make_record())["validation_curve"]


def test_long_curves_are_thinned() -> None:
    """At most 64 points; the ends and the chosen point stay."""
    losses = tuple(float(point) for point in range(500))
    curves = Curves(losses, None, (0,), train=(losses,), validation=(losses,))
    found = metrics_of(make_record(curves=curves, scores=replace(SCORES, path_point=333)))
    steps = found["validation_curve"]
    assert len(steps) <= 64
    assert {0, 333, 499} <= set(steps)
    assert all(value == step for step, value in steps.items())


def test_non_finite_values_are_skipped_and_named() -> None:
    """NaN and infinities ruin charts: they are left out and a tag says which."""
    record = make_record(objective=math.inf, scores=replace(SCORES, fold_losses=(0.5, NAN)))
    found = metrics_of(record)
    assert "objective" not in found
    assert found["fold_loss"] == {0: 0.5}
    assert tags_of(record)["tuner.non_finite"] == "fold_loss,objective"


@pytest.mark.parametrize("state", ["PRUNED", "FAIL"])
def test_an_unfinished_trial_says_why_and_what_it_cost(state: str) -> None:
    """Without scores: the reason, the state, and the seconds."""
    record = unfinished(3, state, "worse than the incumbent")
    assert metrics_of(record) == {"fit_seconds": {0: 1.5}}
    tags = tags_of(record)
    assert (tags["tuner.state"], tags["tuner.reason"]) == (state, "worse than the incumbent")


def test_tags_name_the_trial() -> None:
    """Phase, outer fold, number, family and the unique key."""
    tags = tags_of(make_record(12, phase="outer_fold", outer=2))
    assert tags["tuner.trial_key"] == "churn-1/outer_fold/2/12"
    assert (tags["tuner.phase"], tags["tuner.outer"], tags["tuner.number"]) == ("outer_fold", "2", "12")
    assert (tags["tuner.family"], tags["tuner.study"]) == ("lightgbm", "churn-1")
    assert tags["mlflow.runName"] == "outer_fold-2-12 lightgbm"
    assert tags_of(make_record(12))["mlflow.runName"] == "search-12 lightgbm"


def test_best_so_far_waits_for_earlier_numbers() -> None:
    """A value is final once all lower numbers are known; other phases and failures add none."""
    best = BestSoFar()
    best.add(make_record(1, objective=0.3))
    best.add(make_record(0, phase="finalist", objective=0.0))
    assert best.take() == []
    best.add(make_record(0, objective=0.5))
    best.add(unfinished(2, "FAIL", "broken"))
    best.add(make_record(4, objective=0.2))
    assert [(m.step, m.value) for m in best.take()] == [(0, 0.5), (1, 0.3)]
    assert [(m.step, m.value) for m in best.take(everything=True)] == [(4, 0.2)]


@given(st.permutations(range(8)), st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_best_so_far_does_not_depend_on_arrival(order: list[int], objectives: list[float]) -> None:
    """Any order of arrival gives the running minimum by number."""
    best, found = BestSoFar(), []
    for number in order:
        best.add(make_record(number, objective=objectives[number]))
        found += best.take()
    found += best.take(everything=True)
    assert [m.value for m in found] == list(np.minimum.accumulate(objectives))


def test_secrets_are_masked() -> None:
    """Passwords, also ones with an @, and tokens in a query never reach a message."""
    text = "cannot reach postgresql://ann:p@ss@db/x and http://h/?token=abc&a=1"
    assert mask_secrets(text) == "cannot reach postgresql://***@db/x and http://h/?token=***&a=1"


def test_artifacts_lie_beside_an_embedded_database(tmp_path: Path) -> None:
    """Only an SQLite file gets a folder; a server decides for itself."""
    assert artifacts_beside(f"sqlite:///{tmp_path}/mlflow.db") == (tmp_path / "mlartifacts").as_uri()
    assert artifacts_beside("sqlite://") is None
    assert artifacts_beside("http://127.0.0.1:5000") is None


# A real store.


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with MLflow's tables, made once: it takes seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    code = f"import mlflow; mlflow.MlflowClient('sqlite:///{path}').search_experiments()"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder: a store made by mistake lands there."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    """Return the URI of a fresh store in a folder whose name has a space."""
    folder = tmp_path / "my store"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


def make_tracker(uri: str | None, **changes: Any) -> Tracker:
    """Return a tracker that has not started."""
    settings: dict[str, Any] = {
        "uri": uri,
        "experiment": "churn",
        "run_name": "churn",
        "study": "churn-1",
        "job_key": "churn--1",
        "dataset": INFO,
    }
    return Tracker(**(settings | changes))


def summary(**changes: Any) -> RunSummary:
    """Return a summary without a model."""
    base = RunSummary(
        params={"metric": "log_loss", "long": "x" * 9000},
        metrics={"estimate": 0.5, "optimism": NAN},
        tags={"tuner.winner": "lightgbm"},
        note="# Report" + "." * 9000,
        texts={"report.md": "# Report", "config.json": "{}"},
        figures={"curves.png": PNG},
        model=None,
        sample=None,
    )
    return replace(base, **changes)


def track(uri: str | None, records: list[TrialRecord], end: RunSummary, **changes: Any) -> TrackingInfo:
    """Track a whole run."""
    tracker = make_tracker(uri, **changes)
    tracker.start()
    for record in records:
        tracker.trial(record)
    return tracker.finish(end, timeout=60.0)


@dataclass
class Stored:
    """What a store holds of a run."""

    client: Any
    parent: Any
    children: dict[str, Any]

    def history(self, run: Any, name: str) -> dict[int, float]:
        """Return ``{step: value}`` of a metric."""
        return {m.step: m.value for m in self.client.get_metric_history(run.info.run_id, name)}


def stored(info: TrackingInfo, uri: str) -> Stored:
    """Read a run back; fails on two children of one trial."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    assert info.experiment_id is not None
    assert info.run_id is not None
    children = client.search_runs(
        [info.experiment_id], f"tags.`mlflow.parentRunId` = '{info.run_id}'", max_results=1000
    )
    keyed = {run.data.tags["tuner.trial_key"]: run for run in children}
    assert len(keyed) == len(children)
    return Stored(client, client.get_run(info.run_id), keyed)


RECORDS = [
    make_record(0),
    make_record(1, objective=0.44),
    unfinished(2, "PRUNED", "worse than the incumbent"),
    unfinished(3, "FAIL", "LightGBMError: no"),
    make_record(0, phase="finalist"),
    make_record(0, phase="outer_fold", outer=1),
]


def test_the_store_holds_every_trial(uri: str) -> None:
    """One child per record, with status, params, metrics, curves, times and tags."""
    info = track(uri, RECORDS, summary())
    assert (info.problems, info.n_logged, info.n_missing) == ((), 6, 0)
    found = stored(info, uri)
    assert sorted(found.children) == sorted(record.trial_key for record in RECORDS)
    for record in RECORDS:
        run = found.children[record.trial_key]
        status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}[record.state]
        assert run.info.status == status
        assert (run.info.start_time, run.info.end_time) == (1_000_000, 1_002_500)
        assert run.data.params == {k: str(v) for k, v in record.configuration.flat().items()}
        assert run.data.tags.items() >= tags_of(record).items()
        assert run.data.tags.keys() >= {"mlflow.user", "mlflow.source.name"}
        assert run.data.tags["tuner.job_key"] == "churn--1"
        for name, by_step in metrics_of(record).items():
            assert found.history(run, name) == pytest.approx(by_step)
        assert set(run.data.metrics) == set(metrics_of(record))


def test_the_parent_holds_the_summary(uri: str) -> None:
    """Config, estimate, dataset with fold plan, best-so-far, description, files; status FINISHED."""
    info = track(uri, RECORDS, summary())
    found = stored(info, uri)
    parent = found.parent
    assert parent.info.status == "FINISHED"
    assert parent.data.params["metric"] == "log_loss"
    assert parent.data.metrics["estimate"] == 0.5
    assert found.history(parent, "best_objective") == {0: 0.54, 1: 0.44}
    tags = parent.data.tags
    assert (tags["tuner.winner"], tags["tuner.non_finite"]) == ("lightgbm", "optimism")
    assert (tags["tuner.fold_plan_hash"], tags["tuner.study"]) == ("f01d", "churn-1")
    assert len(tags["mlflow.note.content"]) == 8000
    [dataset_input] = parent.inputs.dataset_inputs
    assert dataset_input.dataset.digest == "abc123"
    assert {tag.key: tag.value for tag in dataset_input.tags}["tuner.fold_plan_hash"] == "f01d"
    folder = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / parent.info.run_id / "artifacts"
    assert (folder / "report.md").read_text() == "# Report"
    assert (folder / "figures" / "curves.png").read_bytes() == PNG


def test_an_aborted_run_keeps_its_trials(uri: str) -> None:
    """The parent ends as told, with the reason; trials handed over before are there."""
    tracker = make_tracker(uri)
    tracker.start()
    tracker.trial(make_record(0))
    info = tracker.abort("KILLED", "SIGTERM", timeout=60.0)
    found = stored(info, uri)
    assert (found.parent.info.status, found.parent.data.tags["tuner.reason"]) == ("KILLED", "SIGTERM")
    assert len(found.children) == info.n_logged == 1


def test_a_run_that_was_created_in_spite_of_an_error_is_not_doubled(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out after the store created the run: the next try finds it by its key."""
    from mlflow import MlflowClient

    create_run = MlflowClient.create_run
    lost: list[Any] = []

    def create_and_lose(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = create_run(self, *args, **kwargs)
        if len(lost) < 2:
            lost.append(run)
            raise TimeoutError("no answer")
        return run

    monkeypatch.setattr(MlflowClient, "create_run", create_and_lose)
    info = track(uri, [make_record(0), make_record(1)], summary())
    assert (info.problems, info.n_missing) == ((), 0)
    found = stored(info, uri)
    assert len(found.children) == 2
    assert found.parent.info.run_id == lost[0].info.run_id  # the parent was the first to be lost
    assert found.history(found.children["churn-1/search/0/0"], "fold_loss") == {0: 0.48, 1: 0.52}


def test_a_trial_the_store_refused_is_tried_again_at_the_end(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three failures in a row put the trial aside; the search's end brings it back."""
    write_trial = Place.write_trial
    failures = iter(range(3))

    def fail_at_first(self: Place, record: TrialRecord, *args: Any, **kwargs: Any) -> None:
        if record.number == 0 and next(failures, None) is not None:
            raise OSError("disk full")
        write_trial(self, record, *args, **kwargs)

    monkeypatch.setattr(Place, "write_trial", fail_at_first)
    info = track(uri, [make_record(0), make_record(1)], summary())
    assert (info.problems, info.n_logged, info.n_missing) == ((), 2, 0)


def test_a_trial_that_cannot_be_written_is_counted(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are written, the parent says how many are missing, and why."""
    write_trial = Place.write_trial

    def fail(self: Place, record: TrialRecord, *args: Any, **kwargs: Any) -> None:
        if record.number == 0:
            raise OSError("disk full")
        write_trial(self, record, *args, **kwargs)

    monkeypatch.setattr(Place, "write_trial", fail)
    info = track(uri, [make_record(0), make_record(1)], summary())
    assert (info.n_logged, info.n_missing, info.problems) == (1, 1, ("trials: OSError: disk full",))
    parent = stored(info, uri).parent
    assert (parent.info.status, parent.data.tags["tuner.missing_trials"]) == ("FINISHED", "1")


def test_a_killed_run_is_continued_as_itself(uri: str) -> None:
    """What is there stays, a child left RUNNING is ended with its trial's status, the rest is added."""
    from mlflow import MlflowClient

    first = make_tracker(uri, run_key="k1")
    first.start()
    for record in RECORDS[:3]:
        first.trial(record)
    info = first.abort("KILLED", timeout=60.0)
    client = MlflowClient(uri)
    half = stored(info, uri).children[RECORDS[1].trial_key].info.run_id
    client.update_run(half, status="RUNNING")
    lost = client.create_run(
        info.experiment_id, tags={"mlflow.parentRunId": info.run_id, "tuner.trial_key": "x"}
    )
    client.update_run(info.run_id, status="RUNNING")
    again = track(uri, RECORDS, summary(), run_key="k1")
    assert (again.problems, again.n_missing, again.run_id) == ((), 0, info.run_id)
    found = stored(again, uri)
    assert found.parent.info.status == "FINISHED"
    assert set(found.children) == {record.trial_key for record in RECORDS} | {"x"}
    assert found.children[RECORDS[1].trial_key].info.run_id == half
    assert client.get_run(half).info.status == "FINISHED"
    assert client.get_run(lost.info.run_id).info.status == "KILLED"


def test_a_continued_run_keeps_nothing_of_how_it_was_interrupted(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reason and its count of missing trials are those of its end."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    tracker = make_tracker(uri, run_key="k1")
    with monkeypatch.context() as patched:
        patched.setattr(Place, "write_trial", fail)
        tracker.start()
        tracker.trial(make_record(0))
        info = tracker.abort("KILLED", "SIGTERM", timeout=60.0)
    tags = stored(info, uri).parent.data.tags
    assert (tags["tuner.reason"], tags["tuner.missing_trials"]) == ("SIGTERM", "1")
    tags = stored(track(uri, [make_record(0)], summary(), run_key="k1"), uri).parent.data.tags
    assert (tags["tuner.reason"], tags["tuner.missing_trials"]) == ("", "0")


def test_what_was_written_in_part_is_written_again(uri: str) -> None:
    """A child that a kill left, and an interrupted run closed, is no pruned trial yet, nor a whole one."""
    from mlflow import MlflowClient

    client, records = MlflowClient(uri), [RECORDS[1], RECORDS[2]]
    tracker = make_tracker(uri, run_key="k1")
    tracker.start()
    info = tracker.abort("KILLED", timeout=60.0)
    for record in records:
        client.create_run(info.experiment_id, tags={**tags_of(record), "mlflow.parentRunId": info.run_id})
    tracker = make_tracker(uri, run_key="k1")
    tracker.start()
    tracker.abort("KILLED", timeout=60.0)
    left = stored(info, uri).children
    assert [left[record.trial_key].info.status for record in records] == ["KILLED", "KILLED"]
    found = stored(track(uri, records, summary(), run_key="k1"), uri).children
    for record in records:
        run = found[record.trial_key]
        assert run.info.run_id != left[record.trial_key].info.run_id
        assert run.data.params["family"] == "lightgbm"
        assert run.data.tags.get("tuner.reason") == record.reason
        assert run.data.tags.items() >= tags_of(record).items()
        assert set(run.data.metrics) == set(metrics_of(record))


def test_what_a_paused_server_made_later_is_deleted(uri: str) -> None:
    """A run of the same key that holds nothing answers a request given up on; one with trials stays."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    tracker = make_tracker(uri, run_key="k1")
    tracker.start()
    while tracker.info().run_id is None:
        time.sleep(0.01)
    place = str(tracker.info().experiment_id)
    empty, full, other = (
        client.create_run(place, tags={"tuner.run_key": key}).info.run_id for key in ("k1", "k1", "k2")
    )
    client.create_run(place, tags={"mlflow.parentRunId": full, "tuner.trial_key": "a"})
    info = tracker.abort("KILLED", timeout=60.0)
    assert info.problems == ()
    stages = [client.get_run(each).info.lifecycle_stage for each in (empty, full, other, info.run_id)]
    assert stages == ["deleted", "active", "active", "active"]


def test_another_trial_under_the_same_key_takes_its_place(uri: str) -> None:
    """With another budget a finalist may be another configuration, or be scored otherwise."""
    old = [make_record(0, phase="finalist"), make_record(1, phase="finalist")]
    configuration = Configuration("lightgbm", {"num_leaves": 7, "extra_trees": False})
    new = [replace(old[0], configuration=configuration, scores=replace(SCORES, gap=0.25)), old[1]]
    first = track(uri, old, summary(), run_key="k1")
    kept = stored(first, uri).children[old[1].trial_key].info.run_id
    info = track(uri, new, summary(), run_key="k1")
    assert (info.problems, info.n_missing) == ((), 0)
    found = stored(info, uri).children
    assert found[new[0].trial_key].data.params["lightgbm.num_leaves"] == "7"
    assert found[new[0].trial_key].data.metrics["gap"] == 0.25
    assert found[old[1].trial_key].info.run_id == kept


def test_a_problem_that_has_passed_is_not_told(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best so far could not be written after the first trial; after the second all of it was."""
    write_items = _tracking.write_items
    failures = iter(range(_tracking.TRIES))

    def fail_at_first(*args: Any) -> None:
        if next(failures, None) is not None:
            raise OSError("no answer")
        write_items(*args)

    monkeypatch.setattr(_tracking, "BEST_BATCH", 1)
    monkeypatch.setattr(_tracking, "write_items", fail_at_first)
    info = track(uri, [make_record(0), make_record(1)], summary())
    assert next(failures, None) is None
    assert (info.problems, info.n_missing) == ((), 0)


def test_a_decision_that_was_given_up_is_not_continued(uri: str) -> None:
    """What it began with has passed: its key begins anew."""
    registry = Registry(uri, "churn", "churn")
    begun = registry.begin("k", "retune", {})
    found = registry.decision("k")
    assert found is not None
    assert found.run_id == begun.run_id
    registry.give_up(begun, "another followed")
    assert registry.decision("k") is None


@pytest.mark.parametrize("key", ["churn+it's-1", 'churn+24"-1'])
def test_a_decision_is_found_by_a_key_with_a_quote(uri: str, key: str) -> None:
    """Its filter uses the other kind of quotes."""
    registry = Registry(uri, "churn", "churn")
    begun = registry.begin(key, "retune", {})
    assert [each.run_id for each in registry.decisions()] == [begun.run_id]
    found = registry.decision(key)
    assert found is not None
    assert found.run_id == begun.run_id


def test_a_description_is_cut_to_what_databases_take(uri: str) -> None:
    """5,000 characters fit into the column of a server's database; what was decided last stands first."""
    registry = Registry(uri, "churn", "churn")
    registry._client.create_registered_model("churn")
    registry.describe("new " + 6_000 * "x")
    description = registry._client.get_registered_model("churn").description
    assert (len(description), description[:4]) == (5_000, "new ")


def test_a_run_may_hold_versions_of_several_studies(uri: str) -> None:
    """The newest of the study asked for is returned, not that of a decision given up."""
    registry = Registry(uri, "churn", "churn")
    run_id = registry.begin("k", "retune", {}).run_id
    registry._client.create_registered_model("churn")
    for study in ("churn-a-v1", "churn-a-v1", "churn-b-v1"):
        registry._client.create_model_version("churn", "s", run_id, {"tuner.study": study})
    found = [registry.version_of_run(run_id, f"churn-{name}-v1") for name in "abc"]
    assert [None if each is None else each.number for each in found] == ["2", "3", None]


def test_parameters_of_a_continued_run_may_change(uri: str) -> None:
    """MLflow lets no parameter change: what other limits ask for becomes a tag."""
    track(uri, RECORDS[:1], summary(params={"max_trials": "1"}), run_key="k1")
    info = track(uri, RECORDS[:2], summary(params={"max_trials": "2", "metric": "log_loss"}), run_key="k1")
    assert info.problems == ()
    parent = stored(info, uri).parent
    assert parent.data.params == {"max_trials": "1", "metric": "log_loss"}
    assert parent.data.tags["tuner.changed_params"] == "max_trials: 1 -> 2"


def test_the_database_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends while MLflow makes its tables leaves no database, and nothing else."""
    from mlflow.store.tracking import sqlalchemy_store

    folder = tmp_path / "new"
    folder.mkdir()
    address = f"sqlite:///{folder}/mlflow.db"

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sqlalchemy_store.SqlAlchemyStore, "__init__", die)
        with pytest.raises(KeyboardInterrupt):
            create_database(address)
    assert list(folder.iterdir()) == []
    (folder / "mlflow.db.new-999999999").touch()  # of a process that was killed there
    create_database(address)
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]


def test_a_database_is_made_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has none it is renamed; one that is there stays."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no hard links")

    monkeypatch.setattr(os, "link", refuse)
    create_database(f"sqlite:///{tmp_path}/mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    new = tmp_path / "new"
    new.touch()
    _put(new, tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").stat().st_size > 0


def test_a_folder_that_may_not_be_written_to_costs_no_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused for good, as a missing one is."""
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(MlflowException, match="written to") as caught:
        create_database(f"sqlite:///{tmp_path}/mlflow.db")
    assert caught.value.error_code == _tracking.REFUSED


def test_making_a_database_is_not_announced(tmp_path: Path) -> None:
    """MLflow's lines about making tables do not stand amid the progress; its warnings do, and later all."""
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    announcing = logging.getLogger("mlflow.store.db.utils")
    announcing.addHandler(handler)
    try:
        with writer_settings():
            create_database(f"sqlite:///{tmp_path}/mlflow.db")
            announcing.warning("The disk is full.")
        announcing.info("Updating database tables")
    finally:
        announcing.removeHandler(handler)
    assert heard == ["The disk is full.", "Updating database tables"]


def test_global_state_is_left_alone(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracking URI, active run, environment and working directory are as before."""
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    before = (mlflow.get_tracking_uri(), dict(os.environ))
    info = track(uri, [make_record(0)], summary())
    assert info.problems == ()
    assert (mlflow.get_tracking_uri(), dict(os.environ)) == before
    assert mlflow.active_run() is None
    assert [path.name for path in tmp_path.iterdir()] == ["my store"]


def test_without_a_uri_mlflows_own_setting_holds(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`MLFLOW_TRACKING_URI` decides; the experiment is called tuner, and the key is the study."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    info = track(None, [make_record(0)], summary(), experiment=None, job_key=None)
    assert (info.uri, info.experiment, info.n_logged) == (uri, "tuner", 1)
    tags = stored(info, uri).parent.data.tags
    assert tags["tuner.job_key"] == tags["tuner.study"]


def test_an_unreachable_server_costs_the_timeout_and_no_more() -> None:
    """Every trial is missing, the password is not shown, nothing is raised."""
    tracker = make_tracker(f"http://ann:s3cret@127.0.0.1:{free_port()}")
    tracker.start()
    for number in range(4):
        tracker.trial(make_record(number))
    begun = time.monotonic()
    info = tracker.finish(summary(), timeout=2.0)
    assert time.monotonic() - begun < 3.0
    assert (info.n_logged, info.n_missing, info.run_id) == (0, 4, None)
    assert info.problems[0].startswith("connection: ")
    assert "s3cret" not in info.uri + str(info.problems)


def test_a_store_that_fails_is_not_waited_for() -> None:
    """With a minute's time and a second's patience a server that refuses costs a second."""
    tracker = make_tracker(f"http://127.0.0.1:{free_port()}")
    tracker.start()
    tracker.trial(make_record(0))
    while not tracker.info().problems:
        time.sleep(0.05)
    begun = time.monotonic()
    info = tracker.finish(summary(), timeout=60.0, patience=1.0)
    assert 1.0 <= time.monotonic() - begun < 5.0
    assert [problem.split(":")[0] for problem in info.problems] == ["connection", "time"]
    assert "more time" not in info.problems[1]


def test_patience_is_for_a_store_that_fails(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that works, however slowly, has all the time there is."""
    write_trial = Place.write_trial

    def slowly(self: Place, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.5)
        write_trial(self, *args, **kwargs)

    monkeypatch.setattr(Place, "write_trial", slowly)
    tracker = make_tracker(uri)
    tracker.start()
    for number in range(3):
        tracker.trial(make_record(number))
    info = tracker.finish(summary(), timeout=60.0, patience=0.1)
    assert (info.problems, info.n_missing) == ((), 0)


def test_what_a_cloud_client_raises_is_a_problem_like_any_other(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its errors share no class with others: the model is missing, with a reason, and the run is ended."""

    class ClientError(Exception):
        pass

    def refuse(*_: object) -> str:
        raise ClientError("no such bucket")

    monkeypatch.setattr(_tracking, "log_model", refuse)
    dataset = make_dataset(*mixed_rows(missing=False))
    info = track(uri, RECORDS[:1], summary(model=small_model(dataset), sample=dataset.sample))
    assert (info.problems, info.model_uri) == (("model: ClientError: no such bucket",), None)
    assert stored(info, uri).parent.info.status == "FINISHED"


@pytest.mark.parametrize("address", ["FOLDER/mlruns", "cabinet://x", "sqlite:///FOLDER/none/mlflow.db"])
def test_a_uri_that_mlflow_refuses_costs_no_waiting(address: str, tmp_path: Path) -> None:
    """A folder, an unknown kind, a database in no folder: no second try, and no end at the time-out."""
    tracker = make_tracker(address.replace("FOLDER", str(tmp_path)))
    tracker.start()
    tracker.trial(make_record(0))
    begun = time.monotonic()
    info = tracker.finish(summary(), timeout=60.0)
    assert time.monotonic() - begun < 20.0
    assert (info.n_missing, info.run_id) == (1, None)
    assert [problem.split(":")[0] for problem in info.problems] == ["connection"]


def test_a_slow_store_costs_the_timeout_and_the_run_still_ends(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials may use part of the time; the rest closes the parent, which counts what is missing."""
    write_trial = Place.write_trial

    def slowly(self: Place, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.3)
        write_trial(self, *args, **kwargs)

    monkeypatch.setattr(Place, "write_trial", slowly)
    tracker = make_tracker(uri)
    tracker.start()
    for number in range(40):
        tracker.trial(make_record(number))
    while tracker.info().n_logged == 0:
        time.sleep(0.05)
    begun = time.monotonic()
    info = tracker.finish(summary(), timeout=5.0)
    assert time.monotonic() - begun < 5.5
    assert 0 < info.n_logged < 40
    assert info.n_logged + info.n_missing == 40
    assert info.problems != ()
    found = stored(info, uri)
    assert len(found.children) == info.n_logged
    assert found.parent.info.status == "FINISHED"
    assert found.parent.data.tags["tuner.missing_trials"] == str(info.n_missing)


def test_a_tracker_that_never_started_reports_it() -> None:
    """Finish does not hang or raise."""
    tracker = make_tracker("sqlite://")
    tracker.trial(make_record(0))
    info = tracker.finish(summary(), timeout=1.0)
    assert (info.n_missing, len(info.problems)) == (1, 1)


def test_mlflow_is_imported_by_the_writer_only() -> None:
    """Importing the listener and handing it a record does not import MLflow."""
    code = "import sys, tuner._tracking.tracking, tuner._tracking.model; print('mlflow' in sys.modules)"
    assert run_python(code, cwd=ROOT) == "False"


# A real server.


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def closes_within(port: int, seconds: float) -> bool:
    """Whether nobody listens on the port any more, asked until then: a killed worker takes a moment to go."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)


@pytest.fixture
def server(uri: str, tmp_path: Path) -> Iterator[tuple[str, threading.Event]]:
    """Give a server's URI and an event that lets it start; kill its whole group afterwards."""
    port, go = free_port(), threading.Event()
    processes: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        go.wait()
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--backend-store-uri", uri]
        command += ["--artifacts-destination", str(tmp_path / "served")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    starter = threading.Thread(target=serve)
    starter.start()
    yield f"http://127.0.0.1:{port}", go
    go.set()
    starter.join()
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert closes_within(port, seconds=10.0)  # no worker is left


@pytest.mark.slow
def test_trials_wait_for_a_server_that_comes_late(server: tuple[str, threading.Event]) -> None:
    """Records handed over before the server runs arrive, with files and model, once it does."""
    address, go = server
    dataset = make_dataset(*mixed_rows(missing=False))
    tracker = make_tracker(address)
    tracker.start()
    for record in RECORDS:
        tracker.trial(record)
    go.set()
    model = small_model(dataset)
    info = tracker.finish(summary(model=model, sample=dataset.sample, register_as="churn"), timeout=60.0)
    assert (info.problems, info.n_logged, info.n_missing) == ((), 6, 0)
    found = stored(info, address)
    assert len(found.children) == 6
    assert found.parent.info.status == "FINISHED"
    assert {file.path for file in found.client.list_artifacts(info.run_id)} >= {"report.md", "figures"}
    version = found.client.get_model_version("churn", "1")
    assert (version.source, version.run_id) == (info.model_uri, info.run_id)
    again = tracker.finish(summary(), timeout=1.0)  # a second end changes nothing
    assert again == info


# The model.


def mixed_rows(*, missing: bool = True, n: int = 200) -> tuple[pd.DataFrame, pd.Series]:
    """Return numbers, integers, booleans, texts, categories and dates, and labels."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "amount": rng.normal(size=n),
            "count": rng.integers(0, 50, n),
            "flag": rng.random(n) < 0.5,
            "city": rng.choice(["u", "v", "w"], n),
            "kind": pd.Categorical(rng.choice(["p", "q"], n)),
            "level": pd.Categorical(rng.integers(0, 3, n)),
            "day": pd.date_range("2020-01-01", periods=n, freq="h"),
        }
    )
    if missing:
        X.loc[::7, "amount"] = np.nan
        X.loc[::9, "kind"] = None
        X.loc[::11, "city"] = None
        X.loc[::13, "day"] = pd.NaT
        X["maybe"] = X["count"].astype("Int64").where(X.index % 3 != 0)
    y = (X["count"] + 5 * rng.normal(size=n) > 25).map({True: "yes", False: "no"})
    return X, y


def predictor(dataset: Dataset, family: str, n_points: int = 5) -> Any:
    """Return a family's default fitted on all rows."""
    params = SPACES[family].default()
    rows = TrainingRows(
        dataset.table,
        dataset.y,
        dataset.weights,
        dataset.table.take(np.arange(1)),
        dataset.task,
        dataset.n_classes,
    )
    fit = FAMILIES[family].start(params, FAMILIES[family].prepare(params, rows, seed=0), seed=0)
    for _ in range(n_points):
        fit.advance()
    return fit.predictor(n_points - 1)


def small_model(dataset: Dataset) -> Delivered:
    """Return an ensemble of every family, assembled by hand."""
    members = tuple(Member(1 / len(FAMILIES), name, (predictor(dataset, name),)) for name in FAMILIES)
    return deliver(Blended(members, dataset.schema), dataset)


def log_one(
    uri: str, dataset: Dataset, *, run_key: str | None = None, **changes: Any
) -> tuple[Delivered, TrackingInfo]:
    """Log a small model."""
    model = small_model(dataset)
    info = track(uri, [], summary(model=model, sample=dataset.sample, **changes), run_key=run_key)
    assert info.problems == ()
    return model, info


@pytest.fixture
def reading(uri: str) -> Iterator[None]:
    """Point MLflow's global URI at the store, as a reader of the model would."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield
    mlflow.set_tracking_uri(before)


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("missing", [False, True])
def test_a_classifier_reloads_and_predicts_identically(uri: str, missing: bool) -> None:  # noqa: FBT001
    """Frames of all column types, with and without missing values, through both loaders."""
    import mlflow.pyfunc
    import mlflow.sklearn

    X, y = mixed_rows(missing=missing)
    model, info = log_one(uri, make_dataset(X, y))
    served = mlflow.pyfunc.load_model(info.model_uri)
    assert np.array_equal(served.predict(X), model.predict_proba(X))
    reloaded = mlflow.sklearn.load_model(info.model_uri)
    assert np.array_equal(reloaded.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(reloaded.predict(X), model.predict(X))


@pytest.mark.usefixtures("reading")
def test_column_types_may_change_after_fit(uri: str) -> None:
    """Integers where floats were and the reverse, booleans as integers, texts as categories."""
    import mlflow.pyfunc

    X, y = mixed_rows(missing=False)
    model, info = log_one(uri, make_dataset(X, y))
    served = mlflow.pyfunc.load_model(info.model_uri)
    changed = X.assign(
        amount=X["amount"].round().astype(int),
        count=X["count"].astype(float).where(X.index != 0),
        flag=X["flag"].astype(int),
        kind=X["kind"].astype(object),
    )
    assert np.array_equal(served.predict(changed), model.predict_proba(changed))


def dated_rows() -> tuple[pd.DataFrame, pd.Series]:
    """Return mixed rows with dates of the year 9999, dates in Arrow with a zone and without, and as texts."""
    X, y = mixed_rows(missing=False)
    days = X["day"].astype("datetime64[us]")
    open_ended = days.where(X.index % 3 > 0, pd.Timestamp("9999-12-31"))
    return X.assign(
        amount=X["amount"].round(3),
        end=open_ended,
        gone=open_ended.where(X.index % 5 > 0).astype("timestamp[us][pyarrow]"),
        seen=days.dt.tz_localize("UTC").where(X.index % 7 > 0).astype("timestamp[us, tz=UTC][pyarrow]"),
        told=days.astype(str),
    ), y


@pytest.mark.usefixtures("reading")
def test_dates_and_texts_are_served_in_any_form(uri: str) -> None:
    """As at fit, all missing, as categories, as texts, as dates and with a zone: as our own predict."""
    import mlflow.pyfunc

    X, y = dated_rows()
    model, info = log_one(uri, make_dataset(X, y))
    served = mlflow.pyfunc.load_model(info.model_uri)
    for changes in (
        {},
        {"city": np.nan, "day": np.nan, "told": np.nan, "seen": np.nan},
        {"city": X["city"].astype("category"), "kind": X["kind"].astype(str)},
        {"told": X["day"], "day": X["told"]},
        {"day": X["day"].dt.tz_localize("UTC"), "seen": X["day"]},
    ):
        changed = X.assign(**changes)
        assert np.array_equal(served.predict(changed), model.predict_proba(changed)), changes


@pytest.mark.usefixtures("reading")
def test_rows_sent_as_json_are_read_like_the_frame(uri: str) -> None:
    """What MLflow's scoring server makes of ``dataframe_split`` predicts what the frame does."""
    import mlflow.pyfunc
    from mlflow.utils.proto_json_utils import dataframe_from_parsed_json

    X, y = dated_rows()
    model, info = log_one(uri, make_dataset(X, y))
    served = mlflow.pyfunc.load_model(info.model_uri)
    sent = json.loads(X.to_json(orient="split", date_format="iso"))
    rows = dataframe_from_parsed_json(sent, "split", served.metadata.get_input_schema())
    assert np.array_equal(served.predict(rows), model.predict_proba(X))


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("kind", ["array", "integers", "sparse"])
def test_a_regressor_on_arrays_reloads_and_predicts_identically(uri: str, kind: str) -> None:
    """Float, integer and sparse matrices; arrays may change between floats and integers."""
    import mlflow.pyfunc
    import mlflow.sklearn

    rng = np.random.default_rng(0)
    X: Any = rng.normal(size=(200, 4)) * (rng.random((200, 4)) < 0.5)
    X = {"array": X, "integers": (X * 10).astype(int), "sparse": sparse.csr_matrix(X)}[kind]
    model, info = log_one(uri, make_dataset(X, np.asarray(X.sum(axis=1)).ravel() + rng.normal(size=200)))
    served = mlflow.pyfunc.load_model(info.model_uri)
    others = [X] if kind == "sparse" else [X, X.astype(float), X.astype(int)]
    for rows in others:
        assert np.array_equal(served.predict(rows), model.predict(rows))
    assert np.array_equal(mlflow.sklearn.load_model(info.model_uri).predict(X), model.predict(X))


def run_python(code: str, *, cwd: Path) -> str:
    """Run code in a fresh interpreter that finds no package of ours but through the cwd."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_the_model_reloads_elsewhere_without_our_packages(uri: str, tmp_path: Path) -> None:
    """A fresh process in another folder has the code from the model itself and predicts identically.

    With BLAS on one thread, as here: the last bits of a network's single-precision sums depend on threads.
    """
    X, y = mixed_rows(missing=False)
    model, info = log_one(uri, make_dataset(X, y))
    X.to_pickle(tmp_path / "X.pkl")
    code = f"""
import mlflow, pandas as pd, threadpoolctl
mlflow.set_tracking_uri({uri!r})
model = mlflow.pyfunc.load_model({info.model_uri!r})
threadpoolctl.threadpool_limits(1)
import tuner
assert "mlartifacts" in tuner.__file__ or "artifacts" in tuner.__file__, tuner.__file__
print(model.predict(pd.read_pickle("X.pkl")).tobytes().hex())
"""
    expected = np.ascontiguousarray(model.predict_proba(X)).tobytes().hex()
    assert run_python(code, cwd=tmp_path) == expected


@pytest.mark.usefixtures("reading")
def test_the_logged_model_describes_itself(uri: str) -> None:
    """Signature, pinned packages, code, trusted types; no study and no URL inside."""
    import mlflow.models

    model, info = log_one(uri, make_dataset(*mixed_rows()), register_as="churn")
    assert info.model_uri is not None
    logged = mlflow.models.get_model_info(info.model_uri)
    assert logged.run_id == info.run_id
    assert logged.signature.inputs.input_names()[:2] == ["amount", "count"]
    assert logged.signature.outputs.inputs[0].shape == (-1, 2)
    flavor = logged.flavors["sklearn"]
    assert flavor["serialization_format"] == "skops"
    assert flavor["skops_trusted_types"] == trusted_types(model)
    parent = stored(info, uri).parent
    assert [output.model_id for output in parent.outputs.model_outputs] == [logged.model_id]
    folder = Path(uri.removeprefix("sqlite:///")).parent
    [requirements] = folder.rglob("requirements.txt")
    assert {line.split("==")[0] for line in requirements.read_text().split()} == {
        "mlflow",
        *REQUIRED_PACKAGES,
    }
    code = requirements.parent / "code"
    assert {path.name for path in code.iterdir()} == {"tuner", "search_spaces"}


@pytest.mark.usefixtures("reading")
def test_registering_again_makes_a_new_version(uri: str, tmp_path: Path) -> None:
    """The registered model is created once; every run adds a version, which loads."""
    import mlflow

    X, y = mixed_rows(missing=False)
    dataset = make_dataset(X, y)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/other.db")  # the store is not found through global state
    logged = [log_one(uri, dataset, register_as="churn") for _ in range(2)]
    assert not (tmp_path / "other.db").exists()
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    versions = [client.get_model_version("churn", str(number)) for number in (1, 2)]
    assert [version.run_id for version in versions] == [info.run_id for _, info in logged]
    served = mlflow.pyfunc.load_model("models:/churn/2")
    assert np.array_equal(served.predict(X), logged[1][0].predict_proba(X))


def test_versions_of_one_run_remember_each_their_own(uri: str) -> None:
    """A job run again with another budget goes on in its run; what the first version remembers stays."""
    registry = Registry(uri, "churn", "churn")
    for number, size in (("1", 200), ("2", 150)):
        dataset = make_dataset(*mixed_rows(missing=False, n=size))
        log_one(uri, dataset, register_as="churn", files={"facts": number.encode()}, run_key="k1")
    versions = [registry.numbered(number) for number in ("1", "2")]
    assert versions[0].run_id == versions[1].run_id
    found = [registry.files(each.run_id, each.tags["tuner.reference"]) for each in versions]
    assert found == [{"facts": b"1"}, {"facts": b"2"}]


def test_a_stranger_inside_the_model_is_not_trusted(uri: str) -> None:
    """A type from elsewhere keeps the model out of MLflow, and says so; the rest is logged."""
    dataset = make_dataset(*mixed_rows(missing=False))
    stranger: Any = Stranger()
    model = deliver(Blended((Member(1.0, "stranger", (stranger,)),), dataset.schema), dataset)
    with pytest.raises(UntrustedTypeError, match="Stranger"):
        trusted_types(model)
    info = track(uri, [make_record(0)], summary(model=model, sample=dataset.sample))
    assert (info.model_uri, info.n_logged) == (None, 1)
    assert info.problems[0].startswith("model: UntrustedTypeError")
    assert stored(info, uri).parent.info.status == "FINISHED"


@dataclass
class Stranger:
    """Not one of our predictors."""

    probability: float = 0.5

    def predict(self, table: Any) -> Any:
        """Return a constant."""
        return np.full(table.n_rows, self.probability)


def test_images_keep_their_shape_in_the_signature() -> None:
    """Images are tensors of their own dtype and shape."""
    schema = input_schema(np.zeros((5, 8, 8), dtype=np.uint8))
    [spec] = schema.to_dict()
    assert spec["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 8, 8)}


def test_requirements_cover_what_the_model_imports() -> None:
    """Of our dependencies, those that `import tuner._model` loads are pinned, or come with what is."""
    code = "import sys, tuner._model; print(*{name.split('.')[0] for name in sys.modules})"
    imported = set(run_python(code, cwd=ROOT).split())
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    dependencies = {Requirement(line).name for line in declared}
    distributions = packages_distributions()
    loaded = {name for module in imported for name in distributions.get(module, [])} & dependencies
    covered = set(REQUIRED_PACKAGES)
    for package in REQUIRED_PACKAGES:
        covered |= {Requirement(line).name for line in requires(package) or [] if "extra ==" not in line}
    # pandas and joblib import them where they are installed, and work without.
    assert loaded - covered == {"psutil", "pyarrow"}


def test_importing_what_logs_models_does_not_warn() -> None:
    """MLflow's warnings about its own type hints stay out of the progress, whatever the filters are then."""
    code = (
        "import warnings, mlflow.types.type_hints as hints; from tuner._tracking import model; "
        "warnings.simplefilter('error', UserWarning); warn = hints.color_warning; "
        "model.import_what_logs_models(); print(hints.color_warning is warn)"
    )
    assert run_python(code, cwd=ROOT) == "True"


def test_polars_is_imported_whole_before_the_writer_starts(tmp_path: Path) -> None:
    """No fit can meet the half-imported polars of the writer's `import mlflow`."""
    pytest.importorskip("polars")
    code = (
        "import sys\n"
        "from tuner._tracking.tracking import DatasetInfo, Tracker\n"
        "assert 'polars' not in sys.modules\n"
        "info = DatasetInfo(name='d', digest='d', n_rows=1, n_columns=1)\n"
        "names = dict(experiment='e', run_name='r', study='s', job_key=None)\n"
        "tracker = Tracker(uri=sys.argv[1], dataset=info, **names)\n"
        "tracker._thread.start = lambda: print(hasattr(sys.modules['polars'], 'DataFrame'))\n"
        "tracker.start()\n"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/mlflow.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("True", "")
