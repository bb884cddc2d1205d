"""Who hears of a run: how long its end waits for MLflow, and what the store keeps for a replay."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tuner import tune
from tuner._line import listeners as _listeners
from tuner._line.listeners import Listeners, RunContext, _run_key, parent_of, replay
from tuner._metrics.metrics import resolve_metric
from tuner._options.config import TuningConfig
from tuner._rows.data import make_dataset
from tuner._store import TrialStore
from tuner._tracking.info import TrackingInfo
from tuner.exceptions import TimeBudgetWarning

CONFIG = TuningConfig(
    task="regression", families=("linear",), max_trials=3, time_budget=None, n_folds=3, estimate=None,
    random_state=0, n_jobs=1, tracking=False, verbose=0,
)  # fmt: skip
NOTHING = TrackingInfo("", None, "", None, None, 0, 0)


@pytest.fixture(scope="module")
def rows():
    """Return sixty rows of two numbers, one of which tells the target."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 2))
    return X, X[:, 0] + generator.normal(size=60)


@pytest.fixture(scope="module")
def result(rows):
    """Return the result of a run without MLflow."""
    return tune(*rows, config=CONFIG)


def ended(rows, result, finish, *, config=CONFIG, context=None, store=None, run_key="k"):
    """Return what the listeners make of a result, with a tracker that ends as told."""
    context = context or RunContext()
    metric, dataset = resolve_metric("rmse", "regression"), make_dataset(*rows)
    parent = parent_of(dataset, context, "study", "")
    listeners = Listeners(dataset, metric, config, context, parent, store, started=0.0)
    listeners._tracker = SimpleNamespace(finish=finish, run_key=run_key)
    return listeners.finish(result)


@pytest.mark.parametrize(
    ("time_budget", "at_least", "timeout", "patience"),
    [
        (None, 0.0, 60.0, 5.0),
        (200.0, 0.0, 109.5, 5.0),
        (104.0, 0.0, 8.7, 5.0),  # 4 s are left, and all but .5 s of the tolerance of 5.2
        (102.0, 0.0, 6.6, 5.0),
        (30.0, 0.0, 1.5, 1.5),
        (91.0, 0.0, 4.05, 4.05),  # over since 9 s
        (91.0, 60.0, 60.0, 60.0),
    ],
)
def test_the_end_waits_for_mlflow_within_limits(
    rows, result, monkeypatch, time_budget, at_least, timeout, patience
):
    """At 100 s: in the budget while it works, a minute without one; 5 s where it fails; or what is told."""
    monkeypatch.setattr(_listeners, "monotonic", lambda: 100.0)
    waited = []

    def finish(_, *, timeout, patience):
        waited.append((timeout, patience))
        return NOTHING

    config, context = replace(CONFIG, time_budget=time_budget), RunContext(flush_seconds=at_least)
    ended(rows, result, finish, config=config, context=context)
    assert waited == [pytest.approx((timeout, patience))]


def test_an_overrun_counts_the_wait_for_mlflow(rows, result, monkeypatch):
    """A run of 10 s that was done after 9 and waited 60 more has taken 69, which is warned of once."""
    clock = [9.0]
    monkeypatch.setattr(_listeners, "monotonic", lambda: clock[0])
    told = []

    def finish(summary, **_):
        told.append(summary.note)
        clock[0] += 60.0
        return NOTHING

    late = replace(result, time_budget=10.0)
    with pytest.warns(
        TimeBudgetWarning, match=r"took 69\.0 s where `time_budget` is 10: MLflow took the last 60\.0 s"
    ):
        found = ended(rows, late, finish, config=replace(CONFIG, time_budget=10.0))
    assert found.seconds == 69.0
    assert sum("The run took" in note for note in found.notes) == 1
    assert "The run took" not in told[0]


def test_an_overrun_may_be_of_the_estimate(rows, result, monkeypatch):
    """What took a run of 10 s to 30 is not known: a step, or bootstraps."""
    monkeypatch.setattr(_listeners, "monotonic", lambda: 30.0)
    late = replace(result, time_budget=10.0)
    with pytest.warns(
        TimeBudgetWarning, match=r"one penalty\), or bootstraps of the estimate, took longer than the time"
    ):
        ended(rows, late, lambda *_, **__: NOTHING, config=replace(CONFIG, time_budget=10.0))


def test_what_mlflow_misses_is_where_it_is_said_to_be(rows, result, tmp_path, make_settings):
    """Without a trial store the trials end with the process: the result alone has them."""

    def finish(_, **__):
        return replace(NOTHING, n_missing=3)

    (note,) = (note for note in ended(rows, result, finish).notes if "misses" in note)
    assert note == "MLflow misses 3 trial(s); the result alone has them all."
    with TrialStore(f"sqlite:///{tmp_path}/tuner.db", "study") as store:
        store.open(seed=0, spaces=make_settings().spaces, lag=4)
        notes = ended(rows, result, finish, store=store).notes
    assert "MLflow misses 3 trial(s); the result and the trial store have them all." in notes


def test_a_replay_tells_each_run_its_own_end(rows, result, tmp_path, make_settings):
    """Runs of two keys share a study: what one ended with is not written into the other's run."""
    heard = []
    tracker = {
        "trial": lambda _: None,
        "connects": lambda **_: True,
        "finish": lambda summary, **_: heard.append(summary.note),
        "abort": lambda *_, **__: heard.append(None),
    }
    with TrialStore(f"sqlite:///{tmp_path}/tuner.db", "study") as store:
        store.open(seed=0, spaces=make_settings().spaces, lag=4)
        for key in ("one", "two"):
            noted = replace(result, notes=(f"of run {key}",))
            ended(rows, noted, lambda *_, **__: NOTHING, store=store, run_key=key)
        for key in ("one", "two", "three"):
            replay(store, SimpleNamespace(**tracker, run_key=key), timeout=1.0)
    one, two, three = heard
    assert "of run one" in one
    assert "of run two" in two
    assert three is None


def test_a_run_that_is_stopped_says_its_best_as_the_metric_counts(rows, result):
    """Of R2 not the loss, 1 - R2 with the gap's penalty, but R2."""
    metric, dataset = resolve_metric("r2", "regression"), make_dataset(*rows)
    listeners = Listeners(
        dataset, metric, CONFIG, RunContext(), parent_of(dataset, RunContext(), "s", ""), None, started=0.0
    )
    assert listeners._so_far() == "after 0 trials, in memory only"
    listeners.notify(replace(result.trials[0], objective=0.3))
    value = metric.natural(result.trials[0].scores.nested_loss)
    assert f"after 1 trials, in memory only; best r2 so far {value:.4g} by linear (" in listeners._so_far()


def test_studies_of_one_job_key_have_runs_of_their_own(rows):
    """`tuner run` on the rows that `tuner retune` has searched against its champion is another study."""
    dataset, context = make_dataset(*rows), RunContext(job_key="churn-1a")
    keys = [_run_key(parent_of(dataset, context, study, "")) for study in ("churn-1a", "churn-1a-v3")]
    assert keys == ["churn-1a churn-1a", "churn-1a churn-1a-v3"]
    assert _run_key(parent_of(dataset, RunContext(), "mine", "")) == "mine"
