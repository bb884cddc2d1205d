from __future__ import annotations

import math
import sqlite3
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from search_spaces import SPACES
from tuner import _search
from tuner._bench import Bench
from tuner._config import TuningConfig, resolve
from tuner._data import make_dataset
from tuner._deadline import Deadline
from tuner._metrics import resolve_metric
from tuner._records import Configuration
from tuner._search import LAG, Search
from tuner._splits import plan_choosing
from tuner._store import TrialStore
from tuner._trials import Place
from tuner.exceptions import InputError

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


def opened(url, name="study", *, seed=7):
    """Return an open store."""
    store = TrialStore(url, name)
    store.open(seed=seed, spaces=SPACES_USED, lag=LAG)
    return store


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
    store = opened(url)
    assert store.load() == {}
    for record in records:
        store.save(record)
    loaded = opened(url).load()
    assert list(loaded) == [0, 1, 2]
    assert [loaded[number].to_json() for number in loaded] == [record.to_json() for record in records]
    assert loaded[1] == records[1]


def test_a_saved_record_is_durable_at_once(url, records):
    """A second connection sees the trial as soon as `save` returns."""
    writer = opened(url)
    for count, record in enumerate(records, start=1):
        writer.save(record)
        assert len(opened(url).load()) == count


def test_a_record_is_saved_once(url, records):
    """Saving again, also after a reopening, adds nothing."""
    store = opened(url)
    for record in (*records, *records):
        store.save(record)
    again = opened(url)
    again.load()
    again.save(records[0])
    assert len(opened(url).load()) == 3


def test_sqlite_writes_ahead(url, records, tmp_path):
    """The database is in WAL mode, so that readers do not block a run."""
    opened(url).save(records[0])
    with sqlite3.connect(tmp_path / "tuner.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_study_is_a_real_optuna_study(url, records):
    """Optuna itself loads it: states, values, names with their family, fixed values not among them."""
    store = opened(url)
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
    store = TrialStore(url, "study")
    assert store.open(seed=7, spaces=SPACES_USED, lag=LAG) == 7
    assert TrialStore(url, "study").open(seed=8, spaces=SPACES_USED, lag=LAG) == 7
    assert TrialStore(url, "other").open(seed=8, spaces=SPACES_USED, lag=LAG) == 8
    assert optuna.load_study(study_name="study", storage=url).user_attrs["lag"] == LAG


def test_studies_in_one_database_are_apart(url, records):
    """Another name sees none of the trials."""
    opened(url, "one").save(records[0])
    assert opened(url, "two").load() == {}


@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/folder/tuner.db", "nodatabase://x", "no url at all", "sqlite:////"]
)
def test_a_store_that_cannot_be_opened_is_bad_input(url):
    """A missing folder or an unknown kind of URL: rule, value, cure."""
    with pytest.raises(InputError) as caught:
        opened(url)
    assert caught.value.rule.startswith("The trial store must be a database")
    assert "storage=" in caught.value.cure


def test_a_password_in_the_url_is_not_repeated():
    """The error names the kind of URL only."""
    with pytest.raises(InputError) as caught:
        opened("nodatabase://user:secret@host/db")
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
            known=known,
            **options,
        )
        return search.run()

    whole = run(lambda _: None)

    def save_then_stop(record):
        store.save(record)
        if record.number + 1 == stopped_after:
            raise KeyboardInterrupt

    store = TrialStore(url, "study")
    store.open(seed=0, spaces=settings.spaces, lag=LAG)
    with pytest.raises(KeyboardInterrupt):
        run(save_then_stop)

    store = TrialStore(url, "study")
    store.open(seed=1, spaces=settings.spaces, lag=LAG)
    known = store.load()
    assert list(known) == list(range(stopped_after))
    fitted = []
    real = _search.run_trial
    monkeypatch.setattr(
        _search, "run_trial", lambda *args, **kwargs: fitted.append(kwargs["number"]) or real(*args, **kwargs)
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
