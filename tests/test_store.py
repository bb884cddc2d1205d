from __future__ import annotations

import getpass
import math
import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from search_spaces import SPACES
from tuner._folds.splits import plan_choosing
from tuner._line.study import to_go_on_with
from tuner._metrics.metrics import resolve_metric
from tuner._options.config import TuningConfig
from tuner._options.settings import resolve
from tuner._process.deadline import Deadline
from tuner._process.lock import StudyLock
from tuner._records import Configuration
from tuner._rows.data import make_dataset
from tuner._search import search as _search
from tuner._search.interrupted import Interrupted
from tuner._search.search import LAG, Search
from tuner._store import TrialStore
from tuner._trials.bench import Bench
from tuner._trials.trials import Place
from tuner.exceptions import InputError, LockedError, StoreError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SPACES_USED = (SPACES["lightgbm"].override({"learning_rate": 0.05}), SPACES["linear"])
CONFIGURATIONS = (
    Configuration("lightgbm", SPACES_USED[0].default()),
    Configuration("lightgbm", SPACES_USED[0].complete({"boosting": "dart", "extra_trees": True})),
    Configuration("linear", SPACES_USED[1].complete({"penalty": "elastic_net", "l1_ratio": 0.1})),
)


@pytest.fixture
def url(tmp_path):
    """Return the URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path}/tuner.db"


@contextmanager
def held(url, name="study", *, seed=7):
    """Hold an open store."""
    with TrialStore(url, name) as store:
        store.open(seed=seed, spaces=SPACES_USED, lag=LAG)
        yield store


@pytest.fixture
def records(make_trial, make_curves, make_scores):
    """Three judged records: complete with a skipped fold, failed, pruned."""
    complete = make_trial(
        0,
        scores=make_scores([0.1 + 0.2, 1 / 3, math.nan], threshold=0.4),
        curves=make_curves([[0.1, math.nan], [1e-300, 2.0]]),
        configuration=CONFIGURATIONS[0],
        gap_weight=0.05,
        penalty_cap=0.1,
        gap_penalty=0.001,
        objective=1 / 7,
    )
    failed = make_trial(1, state="FAIL", configuration=CONFIGURATIONS[1])
    pruned = make_trial(2, state="PRUNED", configuration=CONFIGURATIONS[2], reason="time budget")
    return [complete, failed, pruned]


def test_records_come_back_bit_for_bit(url, records):
    """What was saved is loaded by another store, NaN and states included."""
    with held(url) as store:
        assert store.load() == {}
        for record in records:
            store.save(record)
    with held(url) as store:
        loaded = store.load()
    assert list(loaded) == [0, 1, 2]
    assert [loaded[number].to_json() for number in loaded] == [record.to_json() for record in records]
    assert loaded[1] == records[1]


def test_a_saved_record_is_durable_at_once(url, records):
    """A second connection sees the trial as soon as `save` returns."""
    with held(url) as store:
        for count, record in enumerate(records, start=1):
            store.save(record)
            assert len(optuna.load_study(study_name="study", storage=url).trials) == count


def test_a_value_beyond_the_range_is_kept(url, records):
    """With `widen` a search goes on beyond the range its study was opened with; Optuna reads that, too."""
    params = {**records[0].configuration.params, "num_leaves": 5000}
    beyond = replace(records[0], configuration=replace(records[0].configuration, params=params))
    with held(url) as store:
        store.save(beyond)
    with held(url) as store:
        assert store.load()[0].to_json() == beyond.to_json()
    (trial,) = optuna.load_study(study_name="study", storage=url).trials
    assert trial.params["lightgbm.num_leaves"] == 5000


def test_a_record_is_saved_once(url, records):
    """Saving again, also after a reopening, adds nothing."""
    with held(url) as store:
        for record in (*records, *records):
            store.save(record)
    with held(url) as store:
        store.load()
        store.save(records[0])
    assert len(optuna.load_study(study_name="study", storage=url).trials) == 3


def test_a_trial_that_the_clock_had_cut_may_be_judged_again(url, records):
    """The later record counts; what ended by itself is saved once."""
    _, _, pruned = records
    cut = replace(pruned, reason="time budget: after 3 points")
    whole = replace(pruned, reason="racing: behind", partial_losses=(0.5, 0.6))
    with held(url) as store:
        store.save(cut)
    with held(url) as store:
        store.load()
        store.save(whole)
        store.save(replace(whole, state="FAIL", reason="another"))
    with held(url) as store:
        assert store.load()[2] == whole


def test_what_the_clock_cut_last_is_judged_again(make_trial):
    """Of 0 to 9 the last four were in flight at the end: 7 was cut. 3 ran away, long before."""

    def stored(*cut):
        return {
            number: make_trial(number, state="PRUNED", reason="time budget: over")
            if number in cut
            else make_trial(number)
            for number in range(10)
        }

    assert list(to_go_on_with(stored(3, 7))) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert list(to_go_on_with(stored(3))) == list(range(10))
    assert to_go_on_with({0: replace(make_trial(0), shortened=True)}) == {}
    assert to_go_on_with({}) == {}


def test_sqlite_writes_ahead(url, records, tmp_path):
    """The database is in WAL mode, so that readers do not block a run."""
    with held(url) as store:
        store.save(records[0])
    with sqlite3.connect(tmp_path / "tuner.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_study_is_a_real_optuna_study(url, records):
    """Optuna itself loads it: states, values, names with their family, fixed values not among them."""
    with held(url) as store:
        for record in records:
            store.save(record)
    study = optuna.load_study(study_name="study", storage=url)
    assert [trial.state for trial in study.trials] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.PRUNED,
    ]
    assert study.best_value == records[0].objective
    first, second, third = (trial.params for trial in study.trials)
    assert first["lightgbm.num_leaves"] == 31
    assert "lightgbm.learning_rate" not in first
    assert second["lightgbm.extra_trees"] is True
    assert second["lightgbm.drop_rate"] == 0.1
    assert third == {
        "family": "linear",
        "linear.penalty": "elastic_net",
        "linear.l1_ratio": 0.1,
        "linear.numeric": "standardize",
    }
    assert study.trials[0].duration.total_seconds() == 1.0


def test_the_first_seed_stays_with_the_study(url):
    """A continued study goes on with the seed it began with, and remembers its lag."""
    for name, seed, kept in (("study", 7, 7), ("study", 8, 7), ("other", 8, 8)):
        with TrialStore(url, name) as store:
            assert store.open(seed=seed, spaces=SPACES_USED, lag=LAG) == kept
    assert optuna.load_study(study_name="study", storage=url).user_attrs["lag"] == LAG


def test_studies_in_one_database_are_apart(url, records):
    """Another name sees none of the trials."""
    with held(url, "one") as one, held(url, "two") as two:
        one.save(records[0])
        assert two.load() == {}


@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/folder/tuner.db", "nodatabase://x", "no url at all", "sqlite:////"]
)
def test_a_store_that_cannot_be_opened_is_bad_input(url):
    """A missing folder or an unknown kind of URL: rule, value, cure."""
    with pytest.raises(InputError) as caught, TrialStore(url, "study"):
        pass
    assert caught.value.rule.startswith("The trial store must be a database")
    assert "storage=" in caught.value.cure


def test_a_database_that_does_not_answer_is_no_bad_input(monkeypatch):
    """It may answer tomorrow: the run failed, the job file is right. Passwords are masked."""

    def refuse(url):
        raise OperationalError("select 1", {}, OSError(f"refused: {url}"))

    monkeypatch.setattr(optuna.storages, "RDBStorage", refuse)
    with pytest.raises(StoreError, match="reachable") as caught:
        TrialStore("postgresql://me:secret@db/x", "study").__enter__()
    assert "secret" not in str(caught.value)


def test_a_machine_without_user_names_has_locks_too(monkeypatch):
    """In a container without a user database the user's number stands for the name."""

    def nameless():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert StudyLock("postgresql://db/x", "study").path.parent.name == f"tuner-{os.getuid()}"
    monkeypatch.delattr(os, "getuid")  # Windows has none
    assert StudyLock("postgresql://db/x", "study").path.parent.name == "tuner-nobody"


def test_a_password_in_the_url_is_not_repeated():
    """The error names the kind of URL only."""
    with pytest.raises(InputError) as caught, TrialStore("nodatabase://user:secret@host/db", "study"):
        pass
    assert "secret" not in str(caught.value)
    assert "nodatabase" in str(caught.value)


# Resuming


@pytest.mark.parametrize("stopped_after", [1, 5, 9])
def test_an_interrupted_search_resumes_identically(url, monkeypatch, stopped_after):
    """Stopped after some trials and continued from the store: records equal those of one straight run."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=list("ab"))
    data = make_dataset(X, X["a"].to_numpy() + rng.normal(size=60))
    plan = plan_choosing(data, n_folds=3, n_repeats=1, seed=0)
    config = TuningConfig(
        max_trials=10, time_budget=None, random_state=0, n_jobs=2, families=["lightgbm", "linear"]
    )
    settings = resolve(config, task="regression", has_time=False)
    settings = replace(settings, portfolios={"lightgbm": (), "linear": ({"penalty": "l1"},)})

    def run(notify, known=None, **options):
        bench = Bench(data, plan, resolve_metric("rmse", "regression"), 0)
        search = Search(
            bench,
            settings,
            Place("study", "search"),
            deadline=Deadline(),
            reserve=lambda _: 0.0,
            notify=notify,
            interrupted=Interrupted(known or {}),
            **options,
        )
        return search.run()

    whole = run(lambda _: None)

    def save_then_stop(record):
        store.save(record)
        if record.number + 1 == stopped_after:
            raise KeyboardInterrupt

    with TrialStore(url, "study") as store:
        store.open(seed=0, spaces=settings.spaces, lag=LAG)
        with pytest.raises(KeyboardInterrupt):
            run(save_then_stop)

    with TrialStore(url, "study") as store:
        store.open(seed=1, spaces=settings.spaces, lag=LAG)
        known = store.load()
        assert list(known) == list(range(stopped_after))
        fitted = []
        real = _search.run_trial
        monkeypatch.setattr(
            _search,
            "run_trial",
            lambda *args, **kwargs: fitted.append(kwargs["number"]) or real(*args, **kwargs),
        )
        resumed = run(store.save, known)
        assert sorted(fitted) == list(range(stopped_after, 10))
        for one, other in zip(whole.trials, resumed.trials, strict=True):
            assert one.configuration == other.configuration
            assert replace(one, fit_seconds=0, started=0, completed=0) == replace(
                other, fit_seconds=0, started=0, completed=0
            )
        assert (whole.cap, len(store.load())) == (resumed.cap, 10)
        with_predictions = run(store.save, known, keep_predictions=True)
    complete = [trial.number for trial in whole.trials if trial.state == "COMPLETE"]
    assert list(with_predictions.predictions) == complete
    assert [trial.objective for trial in with_predictions.trials] == [t.objective for t in whole.trials]


# Holding


def test_a_second_run_is_refused_at_once_and_a_third_goes_on(url, records):
    """While one holds the study another gets an error; afterwards it finds what the first left."""
    with held(url) as store:
        store.save(records[0])
        with pytest.raises(LockedError) as caught, TrialStore(url, "study"):
            pass
        assert "'study'" in caught.value.cure
    with held(url) as store:
        assert list(store.load()) == [0]


def test_however_the_path_is_spelt_the_lock_is_one(url, tmp_path, monkeypatch):
    """A linked folder or file, a relative path and options of the driver lead to the same study."""
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "other.db").symlink_to(tmp_path / "tuner.db")
    monkeypatch.chdir(tmp_path)
    spelt = ("linked/tuner.db", "other.db", "tuner.db", f"{tmp_path}/tuner.db?timeout=30")
    with held(url):
        for path in spelt:
            with pytest.raises(LockedError), TrialStore(f"sqlite:///{path}", "study"):
                pass
        with TrialStore("sqlite:///tuner.db", "another"):
            pass


def test_finalists_and_outer_trials_lie_beside_the_search(url, make_trial):
    """They come back by key, the later of two, and the search's study does not show them."""
    first, second = (
        make_trial(0, phase="finalist", configuration=CONFIGURATIONS[0], fit_seconds=seconds, **fields)
        for seconds, fields in ((1.0, {"state": "PRUNED", "reason": "time"}), (2.0, {"objective": 0.5}))
    )
    with held(url) as store:
        store.save(first)
        store.save(second)
        store.save(second)
    with held(url) as store:
        assert store.load() == {}
        assert [record.fit_seconds for record in store.records()] == [2.0]
    assert optuna.load_study(study_name="study", storage=url).trials == []
    assert len(optuna.load_study(study_name="study.finals", storage=url).trials) == 2


def test_a_text_is_kept_with_its_study(url):
    """It comes back under its name; a study that never began has nothing to say."""
    with TrialStore(url, "study") as store:
        assert store.kept("a") is None
    with held(url) as store:
        store.keep("a", "the outcome")
    with TrialStore(url, "study") as store:
        assert store.kept("a") == "the outcome"
        assert store.kept("b") is None


def test_a_new_study_begins_with_the_old_winner(url, make_trial):
    """The best trial of the job's latest other study; kept, so that a continued run begins alike."""
    old, new = "churn-0123456789ab", "churn-ba9876543210"
    for name, loss in (("churn-eu-0123456789ab", 0.1), (old, 0.3)):
        with held(url, name) as store:
            for number, objective in ((0, loss + 0.1), (1, loss)):
                configuration = CONFIGURATIONS[number]
                store.save(make_trial(number, configuration=configuration, objective=objective))
    with held(url, new) as store:
        assert store.old_winner("churn") == CONFIGURATIONS[1]
        store.save(make_trial(0, configuration=CONFIGURATIONS[2], objective=0.01))
    with held(url, new) as store:
        assert store.old_winner("churn") == CONFIGURATIONS[1]
    with held(url, "first-0123456789ab") as store:
        assert store.old_winner("first") is None


def test_the_study_of_a_retune_has_a_winner_too(url, make_trial):
    """Its name ends with the version that it was to replace."""
    with held(url, "churn-0123456789ab-v12") as store:
        store.save(make_trial(0, configuration=CONFIGURATIONS[1], objective=0.3))
    with held(url, "churn-ba9876543210") as store:
        assert store.old_winner("churn") == CONFIGURATIONS[1]


@pytest.mark.parametrize(("direction", "n_trials"), [("maximize", 0), ("minimize", 1)])
def test_a_study_of_another_program_is_left_as_it_is(url, direction, n_trials):
    """A user's own study of the same name is refused before anything is written to it."""
    theirs = optuna.create_study(storage=url, study_name="study", direction=direction)
    theirs.set_user_attr("seed", 1)
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=n_trials)
    with pytest.raises(InputError, match="another program") as caught, held(url):
        pass
    assert "study_name" in caught.value.cure
    assert optuna.get_all_study_names(url) == ["study"]
    assert optuna.load_study(study_name="study", storage=url).user_attrs == {"seed": 1}


def test_a_study_that_was_killed_at_its_birth_is_begun(url):
    """One without trials and attributes may be ours."""
    optuna.create_study(storage=url, study_name="study")
    with held(url, seed=3) as store:
        assert store.open(seed=4, spaces=SPACES_USED, lag=LAG) == 3


def test_runs_that_were_killed_are_counted(url, records):
    """In a row, and without another record: one more record, or an end of its own, begins the count anew."""

    def killed_after(*saved):
        with held(url) as store:
            store.load()
            count = store.counted()  # never left
            n_kills = count.__enter__()
            for record in saved:
                store.save(record)
            counts.append(count)
            return n_kills

    counts = []
    assert [killed_after(), killed_after(), killed_after()] == [0, 1, 2]
    assert [killed_after(records[0]), killed_after(), killed_after()] == [3, 0, 1]
    with held(url) as store:
        store.load()
        with suppress(KeyError), store.counted() as n_kills:
            assert n_kills == 2
            raise KeyError
    assert [killed_after(), killed_after()] == [0, 1]


def test_a_database_locked_by_another_process_is_a_clear_error(url, records, tmp_path, monkeypatch):
    """Rule, value, cure; what was saved before is kept, and saving works once the database is free."""
    monkeypatch.setattr("tuner._store.BUSY_SECONDS", 0.2)
    with held(url) as store:
        store.save(records[0])
        other = sqlite3.connect(tmp_path / "tuner.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as caught:
            store.save(records[1])
        other.execute("ROLLBACK")
        other.close()
        assert "locked" in caught.value.value
        store.save(records[1])
    assert len(optuna.load_study(study_name="study", storage=url).trials) == 2


def test_a_full_disk_is_a_clear_error_and_keeps_what_was_saved(url, records):
    """A file that may not grow stands for a disk that is full."""
    import resource

    with held(url) as store:
        store.save(records[0])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(StoreError) as caught:
                store.save(records[1])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "Free the disk" in caught.value.cure
    with held(url) as store:
        assert list(store.load()) == [0]


TAKE_TURNS = """
import sys, time
from dataclasses import replace
from pathlib import Path
from search_spaces import SPACES
from tuner._records import TrialRecord
from tuner._store import TrialStore
from tuner.exceptions import LockedError

url, record = sys.argv[1], TrialRecord.from_json(Path(sys.argv[2]).read_text())
spaces = (SPACES["lightgbm"].override({"learning_rate": 0.05}), SPACES["linear"])
for _ in range(20):
    while True:
        try:
            with TrialStore(url, "study") as store:
                store.open(seed=0, spaces=spaces, lag=4)
                store.save(replace(record, number=len(store.load())))
            break
        except LockedError:
            time.sleep(0.002)
    time.sleep(0.01)
"""


def test_two_processes_on_a_study_lose_and_double_nothing(url, records, tmp_path):
    """In 20 rounds each, either holds the study alone: 40 trials with 40 numbers."""
    (tmp_path / "record.json").write_text(records[0].to_json())
    command = [sys.executable, "-c", TAKE_TURNS, url, str(tmp_path / "record.json")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
    with held(url) as store:
        assert sorted(store.load()) == list(range(40))
    assert len(optuna.load_study(study_name="study", storage=url).trials) == 40
