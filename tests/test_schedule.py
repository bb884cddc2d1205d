"""What a scheduled job asks of its file, and how rows are read and scored; whole retunes are in `chaos`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tuner._jobs.file import load_job
from tuner._line.checked import check_run
from tuner._metrics.metrics import METRICS
from tuner._model import DeliveredRegressor
from tuner._movement.movement import Movement
from tuner._movement.reference import Reference, remember
from tuner._options.config import TuningConfig
from tuner._records import Finding
from tuner._schedule.contest import Contestant, hold_contest, time_blocks
from tuner._schedule.outcome import model_description
from tuner._schedule.questions import told
from tuner._schedule.retune import Verdict, _Arena, _grown, _Model, decide
from tuner._schedule.scheduled import (
    Champion,
    Scheduled,
    _judged,
    judge_champion,
    load_champion,
    open_registry,
    read_scheduled,
    unseen_rows,
)
from tuner._schedule.workshop import BEFORE, MADE, NONE, Workshop, cheaper_config, study
from tuner._statistics.intervals import Interval
from tuner._tracking.registry import KEY, DecisionRun, Registry, Version
from tuner.exceptions import ChecksFailedError, InputError, RegistryError
from tuner.jobs import job_config, sync_job
from tuner.schedule import COMMAND, RETUNE, check_job, report_job, retune_job, rollback_job, status_job

# MLflow's SQL store uses a loader that SQLAlchemy 2.1 deprecates.
MLFLOW_WARNS = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

MINIMAL = '[job]\nname = "churn"\n[data]\ntrain = "rows.csv"\ntarget = "label"\n'
NAMED = '[tracking]\nuri = "sqlite:///mlflow.db"\nregister_as = "churn"\n'
STORED = '[storage]\nurl = "sqlite:///tuner.db"\n'
SLIDING = '[retune]\nwindow = "sliding"\nwindow_rows = 60\n'


def write_job(folder: Path, more: str = "", *, label=None) -> Path:
    """Write a job on sixty rows."""
    size = np.random.default_rng(0).normal(size=60)
    rows = pd.DataFrame({"size": size, "label": [0, 1] * 30 if label is None else label})
    rows.to_csv(folder / "rows.csv", index=False)
    path = folder / "job.toml"
    path.write_text(MINIMAL + more, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("more", "key"), [("", "tracking.register_as"), (NAMED, "storage.url")], ids=["no name", "no store"]
)
def test_a_retune_needs_a_registered_model_and_a_store(tmp_path, more, key):
    """The error names the key that is missing and what to write; nothing is left behind."""
    path = write_job(tmp_path, more)
    with pytest.raises(InputError) as caught:
        retune_job(path)
    assert key in caught.value.rule
    assert sorted(each.name for each in tmp_path.iterdir()) == ["job.toml", "rows.csv"]


@pytest.mark.parametrize(
    "more", ['window = "sliding"', "window_rows = 100"], ids=["no size", "a size without a window"]
)
def test_a_window_and_its_size_go_together(tmp_path, more):
    """A sliding window without rows, and rows without a sliding window, are errors."""
    with pytest.raises(InputError, match="window_rows"):
        load_job(write_job(tmp_path, f"[retune]\n{more}\n"))


def test_rows_without_a_label_are_set_apart_and_labels_stay_whole(tmp_path):
    """Ten gaps make floats of the labels 0 and 1; what is left is a binary task on fifty rows."""
    path = write_job(tmp_path, label=[0, 1] * 25 + [None] * 10)
    rows = read_scheduled(load_job(path))
    assert (rows.dataset.task, rows.dataset.n_rows, len(rows.unlabelled)) == ("binary", 50, 10)
    assert rows.dataset.classes.tolist() == [0, 1]


def test_a_check_says_what_a_run_would_refuse(tmp_path):
    """Rows without a target are set aside by the check as by a retune; a run takes none of them."""
    path = write_job(tmp_path, label=[0, 1] * 25 + [None] * 10)
    outcome = check_job(path)
    assert outcome.summary["n_unlabelled"] == 10
    assert "10 rows have no target" in outcome.text


def test_a_check_without_a_champion_is_the_gate_alone(tmp_path):
    """No registry is made by looking for one, and nothing is said of movement."""
    told = check_job(write_job(tmp_path, NAMED), run_key="w47").summary
    assert set(told) == {"status", "job", "job_key", "study", "checks"}
    assert told["job_key"].replace("+w47", "") == told["study"]
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("look", "rule"),
    [
        (status_job, None),
        (report_job, "finished run"),
        (rollback_job, "previous version"),
        (sync_job, "Only what was run"),
    ],
)
def test_looking_at_a_job_that_never_ran_makes_no_database(tmp_path, look, rule):
    """There is nothing to show or to undo, and no database is made by looking for it."""
    path = write_job(tmp_path, NAMED + STORED)
    if rule is None:
        told = look(path).summary
        assert (told["champion"], told["challenger"], told["decisions"]) == (None, None, [])
    else:
        with pytest.raises(InputError, match=rule):
            look(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["job.toml", "rows.csv"]


def test_bad_rows_of_a_first_retune_make_no_database(tmp_path):
    """A column that gives the target away is found before a registry, a store or a lock is made."""
    path = write_job(tmp_path, NAMED + STORED)
    rows = pd.read_csv(tmp_path / "rows.csv")
    rows.assign(copy=rows["label"] + 1).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(ChecksFailedError, match="G003"):
        retune_job(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["job.toml", "rows.csv"]


@pytest.fixture
def registry(tmp_path) -> Registry:
    """Return the registry of a job that is in the test's folder; there is no version yet."""
    path = write_job(tmp_path, NAMED + STORED)
    job = load_job(path)
    registry = open_registry(job, job_config(job))
    registry._client.create_registered_model("churn")
    return registry


def add_version(registry: Registry) -> Version:
    """Register a version without a model."""
    made = registry._client.create_model_version("churn", "nowhere", None, await_creation_for=0)
    return registry.numbered(made.version)


@MLFLOW_WARNS
def test_bad_rows_of_a_later_retune_leave_no_open_decision(tmp_path, registry, monkeypatch):
    """The decision is given up with the reason: the same rows break the same rule in every call."""
    monkeypatch.setattr(
        "tuner.schedule.decide", broken(InputError("Rows must be good.", "bad ones", "Mend."))
    )
    with pytest.raises(InputError, match="bad ones"):
        retune_job(tmp_path / "job.toml")
    [decision] = registry.decisions(" and attributes.status = 'KILLED'")
    assert decision.tags["tuner.reason"] == "Rows must be good. Got bad ones. Mend."


@MLFLOW_WARNS
def test_a_decision_that_goes_on_gives_up_older_ones(tmp_path, registry, monkeypatch):
    """And the run of its study. Where MLflow failed in the call that began it, the next call does it."""
    registry.begin("older", "1", {COMMAND: RETUNE})
    tags = {"tuner.role": "parent", "tuner.job_key": "older", "mlflow.runName": "1: study"}
    client, place = registry._client, registry._experiment_id
    study = client.create_run(place, tags=tags).info.run_id
    another = client.create_run(place, tags={**tags, "tuner.job_key": "other"}).info.run_id
    monkeypatch.setattr("tuner.schedule.decide", lambda *_: Verdict("not needed", "nothing moved"))
    with monkeypatch.context() as patched:
        patched.setattr(Registry, "give_up", broken(RegistryError("MLflow must answer.", "nothing", "Mend.")))
        with pytest.raises(RegistryError):
            retune_job(tmp_path / "job.toml")
    assert registry.decision("older") is not None
    assert retune_job(tmp_path / "job.toml").decision == "not needed"
    assert registry.decision("older") is None
    ended = client.get_run(study)
    assert (ended.info.status, "its call was killed" in ended.data.tags["tuner.reason"]) == ("KILLED", True)
    assert client.get_run(another).info.status == "RUNNING"


def broken(error: Exception):
    """Return a function that raises the error."""

    def fail(*_):
        raise error

    return fail


@MLFLOW_WARNS
def test_a_half_done_promotion_is_not_rolled_back(tmp_path, registry):
    """Killed between its two aliases it leaves one version as both: there is nothing to swap."""
    only = add_version(registry)
    for alias in ("champion", "previous"):
        registry.point(alias, only)
    with pytest.raises(InputError, match="version 1 of 'churn' as both") as caught:
        rollback_job(tmp_path / "job.toml")
    assert "`tuner retune` with its key" in caught.value.cure
    assert registry.decisions() == []


@MLFLOW_WARNS
def test_the_first_version_is_the_champion_though_its_alias_failed(tmp_path, registry, monkeypatch):
    """It was registered, and MLflow failed before the alias; one that was set meanwhile stays."""
    job = load_job(tmp_path / "job.toml")
    scheduled = Scheduled(job, job_config(job), read_scheduled(job), registry)
    begun = registry.begin("key", "1", {BEFORE: NONE})
    for _ in range(2):
        version = add_version(registry)
        monkeypatch.setattr("tuner._schedule.retune.study", lambda *_, made=version: made)
        assert decide(scheduled, begun, "key").decision == "first"
        champion = registry.version("champion")
        assert champion is not None
        assert champion.number == "1"


def decide_so(monkeypatch, verdict: Verdict) -> None:
    """Let every call of `retune_job` decide so, whatever the registry's versions remember."""
    monkeypatch.setattr("tuner.schedule.decide", lambda *_: verdict)
    monkeypatch.setattr(Registry, "reference", lambda *_: SimpleNamespace(promise=None))


def decided_in(folder: Path) -> str:
    """Return the run of the decision that a call of the job in a folder comes to."""
    return str(retune_job(folder / "job.toml").summary["run_id"])


def add_unlabelled(folder: Path, size: float = 9.0) -> None:
    """Append a row without a label."""
    rows = pd.read_csv(folder / "rows.csv")
    pd.concat([rows, pd.DataFrame({"size": [size]})]).to_csv(folder / "rows.csv", index=False)


@MLFLOW_WARNS
@pytest.mark.parametrize(
    "movement", [None, Movement(n_new_rows=49, is_judged=False)], ids=["first", "few labels"]
)
def test_a_decided_key_looks_at_more_rows_without_labels(tmp_path, registry, monkeypatch, movement):
    """Labels come monthly, calls every night: the same key is decided anew, once for all that is there."""
    decide_so(monkeypatch, Verdict("not needed", "nothing moved", movement))
    registry.point("champion", add_version(registry))
    first = decided_in(tmp_path)
    assert decided_in(tmp_path) == first
    add_unlabelled(tmp_path)
    second = decided_in(tmp_path)
    assert decided_in(tmp_path) == second != first
    rows = pd.read_csv(tmp_path / "rows.csv")
    rows.iloc[:-1].to_csv(tmp_path / "rows.csv", index=False)
    add_unlabelled(tmp_path, size=8.0)  # as many, others
    assert decided_in(tmp_path) not in (first, second)


@MLFLOW_WARNS
def test_what_labels_have_decided_stands_whatever_has_none(tmp_path, registry, monkeypatch):
    """Fifty new rows have labels: others are not looked at, and no search is held every night."""
    decide_so(monkeypatch, Verdict("kept", "the refit does worse", Movement(n_new_rows=50)))
    registry.point("champion", add_version(registry))
    first = decided_in(tmp_path)
    add_unlabelled(tmp_path)
    assert decided_in(tmp_path) == first


@MLFLOW_WARNS
def test_a_champion_taken_away_is_made_anew_under_the_same_key(tmp_path, registry, monkeypatch):
    """What page M003 advises: the key is decided, and the next call begins with a first run all the same."""
    decide_so(monkeypatch, Verdict("not needed", "the champion cannot predict the rows", Movement()))
    registry.point("champion", add_version(registry))
    first = decided_in(tmp_path)
    registry.drop("champion")
    assert decided_in(tmp_path) != first
    befores = [each.tags[BEFORE] for each in registry.decisions()]
    assert befores == [NONE, "1"]


@MLFLOW_WARNS
def test_a_report_is_that_of_the_job(tmp_path, registry):
    """Other jobs of the experiment, whose names begin alike or not, have run since; so has another key."""
    client, place = registry._client, registry._experiment_id
    for key in ("churn", "churn+w1", "churn+w2", "churn+w1+b", "churn-eu", "churns", "other"):
        tags = {"tuner.role": "parent", "tuner.job_key": f"{key}-0123456789ab"}
        run_id = client.create_run(place, tags=tags).info.run_id
        client.log_text(run_id, key, "report.html")
        client.set_terminated(run_id)
    page = tmp_path / "page.html"
    for run_key, expected in (("", "churn+w1+b"), ("w1", "churn+w1"), ("w2", "churn+w2")):
        report_job(tmp_path / "job.toml", run_key=run_key, out=page)
        assert page.read_text() == expected


@pytest.mark.parametrize(("more", "n_rows"), [("", 60), (SLIDING.replace("60", "50"), 50)])
def test_a_first_study_takes_the_rows_of_the_window(tmp_path, monkeypatch, more, n_rows):
    """The newest fifty of sixty, or all; and these are checked before a database is made."""
    taken, checked = [], []
    monkeypatch.setattr("tuner._schedule.retune.study", lambda *args: taken.append(args[2]))
    registry = SimpleNamespace(version=lambda _: "version")
    job = load_job(write_job(tmp_path, NAMED + STORED + more))
    scheduled = Scheduled(job, job_config(job), read_scheduled(job), registry)
    decide(scheduled, SimpleNamespace(tags={BEFORE: NONE}), "key")
    assert taken[0].tolist() == list(range(60 - n_rows, 60))

    def check(dataset, _):
        checked.append(dataset.n_rows)
        raise InputError("Rows must be good.", "bad ones", "Mend.")

    monkeypatch.setattr("tuner.schedule.check_run", check)
    with pytest.raises(InputError, match="bad ones"):
        retune_job(tmp_path / "job.toml")
    assert checked == [n_rows]


@pytest.mark.parametrize("is_first", [True, False])
def test_what_a_first_study_makes_knows_all_rows_again(tmp_path, monkeypatch, is_first):
    """Fitted on fifty rows of sixty it knows sixty; a challenger only those: others may judge it."""
    kept = []

    def tune(_checked, _config, context, **_):
        kept.append(context.reference)
        raise KeyboardInterrupt

    monkeypatch.setattr("tuner._schedule.workshop.tune_checked", tune)
    size = np.random.default_rng(0).normal(size=60)
    scheduled = scheduled_on(tmp_path, pd.DataFrame({"size": size, "label": [0, 1] * 30}))
    champion = None if is_first else Champion(SimpleNamespace(number="1"), reference_on(scheduled), None)
    with pytest.raises(KeyboardInterrupt):
        study(scheduled, SimpleNamespace(tags={}, name="1"), np.arange(10, 60), "key", champion)
    [reference] = kept
    assert (reference.n_rows, len(reference.hashes)) == (50, 60 if is_first else 50)


GROWTH = Finding("M008", "info", "There are rows the champion was not fitted on.", "60 rows", "Refit.")
WORSE = Finding("M001", "warning", "The champion does worse.", "loss 2", "Retune.")


def finished(decision: str, before: str = "1", made: str = "") -> DecisionRun:
    """Return a decision that was made."""
    tags = {"tuner.decision": decision, BEFORE: before, MADE: made}
    return DecisionRun("a", decision, is_finished=True, metrics={}, started=0.0, tags=tags)


def decided(
    folder, monkeypatch, movement, *, n_fitted=60, n_promised=60, version="1", decisions=(), more=""
) -> Verdict:
    """Return what is decided on sixty rows, all new, where a refit and a contest only say their names."""
    job = load_job(write_job(folder, NAMED + more))
    registry = SimpleNamespace(numbered=lambda _: None, decisions=lambda: list(decisions))
    scheduled = Scheduled(job, job_config(job), read_scheduled(job), registry)
    promise = SimpleNamespace(n_rows=n_promised)
    reference = SimpleNamespace(n_rows=n_fitted, recipe="recipe", promise=promise)
    champion = SimpleNamespace(reference=reference, version=SimpleNamespace(number=version))
    module = "tuner._schedule.retune"
    monkeypatch.setattr(f"{module}.load_champion", lambda *_: champion)
    monkeypatch.setattr(f"{module}.unseen_rows", lambda *_: np.ones(60, dtype=bool))
    monkeypatch.setattr(f"{module}.judge_champion", lambda *_: movement)
    monkeypatch.setattr(f"{module}._grown", lambda *_: Verdict("refitted", "nothing moved"))
    arena = SimpleNamespace(verdict=lambda: Verdict("promoted", "better"))
    monkeypatch.setattr(f"{module}._Arena.of", lambda *_: arena)
    return decide(scheduled, SimpleNamespace(tags={BEFORE: version}), "key")


@pytest.mark.parametrize(("finding", "act"), [(GROWTH, "refitted"), (WORSE, "promoted")])
@pytest.mark.parametrize(
    ("n_fitted", "more", "is_whole"), [(60, "", True), (300, "", False), (300, SLIDING, True)]
)
def test_a_table_that_lost_its_rows_fits_no_champion(
    tmp_path, monkeypatch, finding, act, n_fitted, more, is_whole
):
    """Sixty rows, all new: a rolling window is fitted on, what is left of three hundred is asked about.

    Whatever moved; a window of sixty rows says that sixty are enough.
    """
    movement = Movement(findings=(finding,), n_new_rows=60)
    verdict = decided(tmp_path, monkeypatch, movement, n_fitted=n_fitted, more=more)
    assert verdict.decision == (act if is_whole else "not needed")
    if not is_whole:
        assert "; only 60 rows to fit on, the champion was fitted on 300: is the table whole?" in verdict.why
        assert verdict.movement is movement


def test_growth_whose_labels_look_incomplete_is_not_fitted_on(tmp_path, monkeypatch):
    """The loss of [.2, .4] is far below the promise of [.5, .7]: late outcomes would look like that."""
    loss, promised = Interval(0.3, 0.2, 0.4), Interval(0.6, 0.5, 0.7)
    movement = Movement(findings=(GROWTH,), loss=loss, promised=promised, n_new_rows=60)
    verdict = decided(tmp_path, monkeypatch, movement)
    assert (verdict.decision, "are the labels complete?" in verdict.why) == ("not needed", True)
    # Twice the rows of the promise may well be the reason: growth would bar itself else.
    assert decided(tmp_path, monkeypatch, movement, n_promised=30).decision == "refitted"
    usual = replace(movement, promised=loss)
    assert decided(tmp_path, monkeypatch, usual).decision == "refitted"


@pytest.mark.parametrize(
    ("version", "decisions", "stays"),
    [
        ("1", [finished("not needed"), finished("rolled back", "2", "1"), finished("refitted")], True),
        ("2", [finished("rolled back", "1", "2"), finished("rolled back", "2", "1")], False),
        ("3", [finished("promoted", "1", "2"), finished("rolled back", "2", "1")], False),
        ("1", [], False),
    ],
    ids=["rolled back", "and undone", "and promoted", "never"],
)
def test_growth_does_not_undo_a_rollback(tmp_path, monkeypatch, version, decisions, stays):
    """The version gone back to stays until something moves: a refit would be what was taken back."""
    grown = Movement(findings=(GROWTH,), n_new_rows=60)
    verdict = decided(tmp_path, monkeypatch, grown, version=version, decisions=decisions)
    assert verdict.decision == ("not needed" if stays else "refitted")
    assert ("version 1 was rolled back to" in verdict.why) is stays
    moved = Movement(findings=(WORSE, GROWTH), n_new_rows=60)
    verdict = decided(tmp_path, monkeypatch, moved, version=version, decisions=decisions)
    assert verdict.decision == "promoted"


def test_the_reason_says_what_moved():
    """An old search alone is no movement of rows; columns that cannot be read are more than that."""
    old = Finding("M007", "warning", "The champion is older than the job wants.", "9 days", "Retune.")
    gone = Finding("M003", "error", "The champion cannot predict the rows.", "gone: `size`", "Retune.")
    assert told(Movement(findings=(old, GROWTH))) == "the last search is too old"
    assert told(Movement(findings=(WORSE, old))) == "rows moved"
    assert told(Movement(findings=(gone,), is_judged=False)) == "the champion cannot predict the rows"
    assert told(Movement(findings=(GROWTH,))) == "nothing moved"
    assert told(Movement(is_judged=False)) == "too few new rows"


def scheduled_on(folder: Path, rows: pd.DataFrame, registry=None, more: str = NAMED) -> Scheduled:
    """Return a job on these rows."""
    path = write_job(folder, more)
    rows.to_csv(folder / "rows.csv", index=False)
    job = load_job(path)
    return Scheduled(job, job_config(job), read_scheduled(job), registry)


def people(n_rows: int) -> pd.DataFrame:
    """Return rows of whole numbers, no two alike."""
    income = np.arange(n_rows)
    return pd.DataFrame({"income": income, "age": income * 7 % 31, "label": income % 2})


def reference_on(scheduled: Scheduled) -> Reference:
    """Return what a version remembers that was fitted on a job's rows."""
    rows = scheduled.rows.labelled
    return remember(rows.features, rows.target, scheduled.dataset, seed=0, now=time())


def judged(
    folder: Path, before: pd.DataFrame, now: pd.DataFrame, more: str = NAMED
) -> tuple[Champion, Movement]:
    """Return a champion fitted on the rows of before as it is loaded on those of now, and what moved."""
    reference = reference_on(scheduled_on(folder, before, more=more))
    registry = SimpleNamespace(reference=lambda _: reference, model=lambda _: "model")
    scheduled = scheduled_on(folder, now, registry, more)
    champion = load_champion(scheduled, Version("1", "run", "nowhere", 0.0, {}))
    return champion, judge_champion(scheduled, champion, unseen_rows(champion, scheduled))


def test_rows_that_are_alike_are_counted(tmp_path):
    """Of four kinds of rows there were ten each: five more of the first kind are new, the last five."""
    coins = pd.DataFrame({"income": [0, 0, 1, 1] * 10, "label": [0, 1] * 20})
    champion = Champion(None, reference_on(scheduled_on(tmp_path, coins)), "model")
    more = scheduled_on(tmp_path, pd.concat([coins, coins.iloc[[0] * 5]]))
    assert np.flatnonzero(unseen_rows(champion, more)).tolist() == [40, 41, 42, 43, 44]
    assert not unseen_rows(champion, scheduled_on(tmp_path, coins.iloc[::-1])).any()


def test_rows_that_cannot_be_known_again_are_counted_as_well(tmp_path):
    """Forty rows there were, the last twenty fitted on: of forty-five the last five are new."""
    reference = replace(reference_on(scheduled_on(tmp_path, people(40))), n_rows=20)
    now = scheduled_on(tmp_path, people(45).drop(columns="age"))
    assert np.flatnonzero(unseen_rows(Champion(None, reference, None), now)).tolist() == [40, 41, 42, 43, 44]


def test_a_champion_that_cannot_predict_says_so_whatever_the_number_of_rows(tmp_path):
    """A column was renamed and no row is new: too few to judge, and an error all the same."""
    champion, movement = judged(tmp_path, people(60), people(60).rename(columns={"age": "years"}))
    assert champion.model is None
    assert [(each.code, each.severity) for each in movement.findings] == [("M003", "error"), ("M003", "info")]
    assert (movement.is_judged, movement.moved, movement.can_predict) == (False, True, False)


def test_a_bad_cell_of_a_known_row_is_not_overlooked(tmp_path):
    """The champion is not loaded for it: what it cannot read among all rows has moved, though no new row."""
    now = people(120)
    now["income"] = now["income"].astype(object)
    now.loc[3, "income"] = "unknown"
    champion, movement = judged(tmp_path, people(60), now)
    assert champion.model is None
    assert movement.n_new_rows == 60
    assert ("M003", "error") in [(each.code, each.severity) for each in movement.findings]


def test_a_bad_cell_without_a_label_turns_no_column_into_categories(tmp_path, monkeypatch):
    """It makes texts of all numbers: the champion reads them, but rows have moved, so no refit is let by."""
    fine = Interval(0.5, 0.4, 0.6)
    monkeypatch.setattr("tuner._schedule.scheduled._judged", lambda *_: (fine, fine, []))
    now = people(121)
    now["income"] = now["income"].astype(object)
    now.loc[120, "income"] = "unknown"
    now["label"] = now["label"].where(now.index < 120)
    champion, movement = judged(tmp_path, people(60), now)
    assert champion.model == "model"
    assert (movement.n_new_rows, movement.has_grown, movement.can_predict) == (60, True, True)
    assert [each.code for each in movement.findings if each.severity == "warning"] == ["M003"]


def test_rows_without_labels_are_no_growth(tmp_path):
    """Twenty new rows are a fifth of a hundred, but too few; sixty without labels may be looked at."""
    now = people(180)
    now["label"] = now["label"].where(now.index < 120)
    _, movement = judged(tmp_path, people(100), now)
    assert (movement.n_new_rows, movement.n_unlabelled, movement.is_judged) == (20, 60, True)
    assert not movement.has_grown


@pytest.mark.parametrize(("n_later", "grown"), [(50, True), (49, False)])
def test_labels_that_come_late_are_growth(tmp_path, monkeypatch, n_later, grown):
    """Of 1,200 days 600 had labels, the others have them since, and 50 later days judge.

    Fifty rows are less than a tenth of 600; on 49 nobody is judged.
    """
    fine = Interval(0.5, 0.4, 0.6)
    monkeypatch.setattr("tuner._schedule.scheduled._judged", lambda *_: (fine, fine, []))
    rows = people(1_200 + n_later).assign(day=lambda frame: frame["income"])
    before = rows.iloc[:1_200].assign(label=lambda frame: frame["label"].where(frame["day"] % 4 > 1))
    champion, movement = judged(tmp_path, before, rows, 'time = "day"\n' + NAMED)
    assert (champion.reference.n_rows, movement.n_new_rows, movement.has_grown) == (600, n_later, grown)
    if grown:
        [evidence] = [each.evidence for each in movement.findings if each.code == "M008"]
        assert evidence == "650 rows, 108% of the 600 it was fitted on; the labels of 600 came late"


def test_a_refit_says_how_many_rows_are_new_to_it(monkeypatch):
    """Fifty later rows, and 600 whose labels came late."""
    shop = SimpleNamespace(
        n_rows=1_250, renewed=lambda _: SimpleNamespace(model=None, recipe=None), made=lambda *_, **__: "made"
    )
    monkeypatch.setattr(Workshop, "of", lambda *_: shop)
    champion = SimpleNamespace(
        reference=SimpleNamespace(promise=None, made=0.0), version=SimpleNamespace(number="1")
    )
    verdict = _grown(None, champion, Movement(n_new_rows=50, n_late_rows=600), None, "key")
    assert verdict.why == "nothing moved; 650 rows the champion was not fitted on"


@pytest.mark.parametrize(("model", "decision"), [("model", "kept"), (None, "refitted")])
def test_a_refit_that_cannot_be_judged_replaces_no_champion_that_predicts(monkeypatch, model, decision):
    """Rows held out of one class give no AUC: nobody searches, and no promise is said to be kept."""
    reference = SimpleNamespace(recipe="recipe", n_rows=9, promise=None, made=0.0)
    champion = SimpleNamespace(model=model, reference=reference, version=SimpleNamespace(number="1"))
    renewed = SimpleNamespace(model=None, recipe="renewed")
    shop = SimpleNamespace(
        n_rows=9, renewed=lambda _: renewed, delivered=lambda _: None,
        as_elected=lambda _: None, made=lambda *_, **__: "made",
    )  # fmt: skip
    monkeypatch.setattr(_Arena, "_loss", lambda *_: Interval(np.nan, -np.inf, np.inf))
    rows = np.arange(3)
    arena = _Arena(None, champion, Movement(), shop, shop, rows, rows, None, "key", np.zeros(3), 1)
    verdict = arena.verdict()
    assert (verdict.decision, verdict.contests) == (decision, ())
    assert "the refit cannot be judged" in verdict.why
    assert (verdict.made == "made") is (model is None)


def test_a_study_that_is_noted_is_the_challenger(tmp_path, monkeypatch):
    """Killed at the note, after which a call that goes on takes its version up without another word."""
    pointed = []
    result = SimpleNamespace(tracking=SimpleNamespace(run_id="run", problems=()), study_name="study")
    monkeypatch.setattr("tuner._schedule.workshop.tune_checked", lambda *_, **__: result)
    registry = SimpleNamespace(
        version_of_run=lambda *_: SimpleNamespace(number="2"),
        point=lambda alias, version: pointed.append((alias, version.number)),
        note=broken(KeyboardInterrupt()),
    )
    size = np.random.default_rng(0).normal(size=60)
    scheduled = scheduled_on(tmp_path, pd.DataFrame({"size": size, "label": [0, 1] * 30}), registry)
    champion = Champion(SimpleNamespace(number="1"), reference_on(scheduled), None)
    begun = SimpleNamespace(tags={}, name="2", run_id="decision")
    with pytest.raises(KeyboardInterrupt):
        study(scheduled, begun, np.arange(60), "key", champion)
    assert pointed == [("challenger", "2")]


def test_rows_of_the_contest_are_checked_before_a_study(tmp_path, monkeypatch):
    """The challenger's forty rows pass; all sixty do not, and that costs no study."""
    job = load_job(write_job(tmp_path, NAMED))
    scheduled = Scheduled(job, job_config(job), read_scheduled(job), SimpleNamespace(decisions=lambda _: []))

    def check(dataset, config):
        if dataset.n_rows > 40:
            raise InputError("Rows must be few.", dataset.n_rows, "Take fewer.")
        return check_run(dataset, config)

    monkeypatch.setattr("tuner._schedule.workshop.check_run", check)
    is_new = np.arange(60) >= 20  # half of these forty are held out
    with pytest.raises(InputError, match="Got 60"):
        _Arena.of(scheduled, None, None, is_new, None, "key")


def test_a_later_study_has_half_the_time_and_claims_nothing():
    """The contest makes the claim: 60 s and nested folds become 30 s and none; trials stay as they are."""
    cheaper = cheaper_config(TuningConfig(time_budget=60.0, max_trials=7, estimate="nested"))
    assert (cheaper.time_budget, cheaper.max_trials, cheaper.estimate) == (30.0, 7, None)
    assert cheaper_config(TuningConfig(time_budget=None, max_trials=7)).time_budget is None


def test_what_was_decided_before_stands_in_the_models_description():
    """The last decision in full, then a line for each one before it, newest first."""
    earlier = [
        DecisionRun("b", "retune 2: refitted", is_finished=True, metrics={}, started=86_400.0,
                    tags={"tuner.why": "nothing moved; 9 rows", "tuner.champion": "2"}),
        DecisionRun("a", "1: first", is_finished=True, metrics={}, started=0.0, tags={}),
    ]  # fmt: skip
    text = model_description("retune 3: promoted", "better", "decision    promoted\n", earlier)
    assert text.startswith("**retune 3: promoted** (better)\n\n```text\ndecision    promoted\n```\n")
    assert text.splitlines()[-2:] == [
        "| 1970-01-02 | retune 2: refitted | nothing moved; 9 rows | 2 |",
        "| 1970-01-01 | 1: first |  |  |",
    ]


SLICED = 'slices = ["site"]\n[objective]\nmetric = "mae"\naggregate = "worst_slice"\n' + NAMED


def at_two_sites(folder: Path, more: str = SLICED) -> Scheduled:
    """Return a job on sixty rows, 1 at site a and 3 at site b by turns."""
    rows = pd.DataFrame({"site": ["a", "b"] * 30, "size": np.arange(60.0), "label": [1.5, 3.5] * 30})
    return scheduled_on(folder, rows, more=more)


def always(value: float) -> DeliveredRegressor:
    """Return a model that says one value of every row."""
    schema = SimpleNamespace(input_names=(), roles=(), encode=len)
    blended = SimpleNamespace(
        schema=schema, predict=lambda n_rows: np.full(n_rows, value), threshold=None, n_fits=1
    )
    return DeliveredRegressor(blended)


@pytest.mark.parametrize(("more", "expected"), [(SLICED, 3.5), (SLICED.replace("worst_slice", "mean"), 2.5)])
def test_a_champion_is_judged_by_its_worst_slice(tmp_path, more, expected):
    """It says 0 and errs by 1.5 at a, by 3.5 at b."""
    champion = Champion(None, SimpleNamespace(n_rows=20, promise=None), always(0.0))
    loss, _, _ = _judged(at_two_sites(tmp_path, more), champion, np.arange(20, 60))
    assert loss is not None
    assert loss.value == pytest.approx(expected)


def test_slices_of_few_new_rows_have_no_loss(tmp_path):
    """Nine rows of each site are new; ten are asked for, as of a fold."""
    champion = Champion(None, SimpleNamespace(n_rows=42, promise=None), always(0.0))
    loss, _, _ = _judged(at_two_sites(tmp_path), champion, np.arange(42, 60))
    assert loss is not None
    assert np.isnan(loss.value)


def test_models_meet_by_their_worst_slices(tmp_path):
    """Zeros err by 1.5 and 3.5, threes by 1.5 and .5: b is the worst of the one, a of the other."""
    rows, holdout = np.arange(20), np.arange(20, 60)
    arena = _Arena(at_two_sites(tmp_path), None, None, None, None, rows, holdout, None, "key", None, 1)
    zeros, threes = (_Model(name, always(value), 20) for name, value in (("refit", 0.0), ("challenger", 3.0)))
    assert arena._loss(zeros).value == pytest.approx(3.5)
    contest = arena._meet(zeros, threes).contest
    assert (contest.champion_loss, contest.challenger_loss) == pytest.approx((3.5, 1.5))


def test_a_slice_that_is_no_column_is_an_input_error(tmp_path):
    """Told before anything is judged."""
    scheduled = at_two_sites(tmp_path, SLICED.replace("site", "sites"))
    with pytest.raises(InputError, match="Did you mean 'site'"):
        _ = scheduled.sliced


def test_an_earlier_contest_under_the_same_key_counts(tmp_path):
    """Decided anew, as other rows without a target are there, it is the second contest on the same rows."""
    earlier = list[DecisionRun]()
    registry = SimpleNamespace(decisions=lambda _: earlier, file=lambda *_: arena.hashes.tobytes())
    job = load_job(write_job(tmp_path, NAMED))
    scheduled = Scheduled(job, job_config(job), read_scheduled(job), registry)
    arena = _Arena.of(scheduled, None, None, np.arange(60) >= 20, None, "key")
    kept = finished("kept")
    earlier.append(replace(kept, tags={**kept.tags, KEY: "key"}))
    again = _Arena.of(scheduled, None, None, np.arange(60) >= 20, None, "key")
    assert (arena.n_uses, again.n_uses) == (1, 2)


def test_a_call_that_goes_on_draws_as_the_killed_one_did(tmp_path):
    """Without `search.seed` the seed of a refit follows from its rows: what is fitted twice is the same."""
    job = load_job(write_job(tmp_path, NAMED))
    scheduled = Scheduled(job, job_config(job), read_scheduled(job), None)
    first, again, fewer = (
        Workshop.of(scheduled, rows).checked.settings.seed for rows in (None, None, np.arange(50))
    )
    assert first == again != fewer


def test_a_class_of_one_row_is_left_out_of_what_is_fitted(tmp_path, capsys):
    """Row 59 alone has its class among the rows taken; with both of its rows it is there."""
    job = load_job(write_job(tmp_path, NAMED, label=[*["a", "b"] * 29, "c", "c"]))
    scheduled = Scheduled(job, job_config(job), read_scheduled(job), None)
    rows = np.r_[:58, 59]
    assert list(Workshop.of(scheduled, rows).checked.dataset.classes) == ["a", "b"]
    assert "class there: 1 row(s)." in capsys.readouterr().err
    assert list(Workshop.of(scheduled).checked.dataset.classes) == ["a", "b", "c"]


def test_choosing_when_to_retune_by_the_champions_loss_lets_few_equals_through():
    """Of 400 pairs of equal models only contests are held where the champion looks bad; 2.5% of all are 10.

    The promise is looked for on the rows the contest is decided on: a champion, or its refit, in bad luck
    there is challenged more often. Per call, promotions of equals stay below the contest's own 2.5% all the
    same.
    """
    generator = np.random.default_rng(11)
    held = promoted = 0
    for _ in range(400):
        signal = generator.normal(size=200)
        y = signal + generator.normal(0, 0.5, 200)
        old, new = (Contestant(signal + generator.normal(0, 1, 200), None, 4) for _ in range(2))
        squares = (old.prediction - y) ** 2
        # The rule of forward windows: the lower end above the promised 1 + .25, here with one sd to spare.
        if squares.mean() - squares.std() / np.sqrt(200) > 1.25:
            held += 1
            contest = hold_contest(METRICS["rmse"], y, None, time_blocks(200), champion=old, challenger=new)
            promoted += contest.promotes
    assert held >= 20
    assert promoted <= 10
