from __future__ import annotations

from threading import Event

import numpy as np
import pandas as pd
import pytest

from search_spaces import SPACES
from tuner._folds.splits import plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._process.deadline import Deadline
from tuner._records import Configuration, TrialRecord
from tuner._rows.data import make_dataset
from tuner._trials.bench import Bench
from tuner._trials.evaluation import Effort
from tuner._trials.trials import Place, run_trial

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PLACE = Place("study", "outer_fold", 2)


@pytest.fixture(scope="module")
def bench():
    """Return a bench over 60 rows."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=list("ab"))
    data = make_dataset(X, (X["a"] + rng.normal(size=60) > 0).astype(int))
    plan = plan_choosing(data, n_folds=3, n_repeats=1, seed=0)
    return Bench(data, plan, resolve_metric(None, "binary"), 0)


def configuration(**partial):
    """Return a linear configuration."""
    return Configuration("linear", SPACES["linear"].complete(partial))


def test_a_complete_trial_has_scores_curves_and_place(bench):
    """COMPLETE: scores and curves are those of its evaluation; objective and penalty are not yet judged."""
    trial = run_trial(configuration(), bench, Effort(keep_models=True), place=PLACE, number=5)
    record = trial.record
    assert (record.state, record.reason) == ("COMPLETE", None)
    assert record.trial_key == "study/outer_fold/2/5"
    assert (record.scores, record.curves) == (trial.evaluation.scores, trial.evaluation.curves)
    assert (record.objective, record.gap_penalty) == (None, None)
    assert len(trial.evaluation.models) == 3
    assert record.completed >= record.started
    assert TrialRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"penalty": "l2", "numeric": "no such scaling", "l1_ratio": "half"}, "ValueError"),
        ({"numeric": "standardize"}, "KeyError: 'penalty'"),
    ],
)
def test_a_failure_is_recorded_with_its_reason(bench, params, reason):
    """FAIL: the class and message of what went wrong; no score is invented."""
    trial = run_trial(Configuration("linear", params), bench, place=PLACE, number=0)
    record = trial.record
    assert (record.state, trial.evaluation) == ("FAIL", None)
    assert record.reason.startswith(reason)
    assert record.scores is record.curves is record.objective is None
    assert record.configuration.params == params
    assert TrialRecord.from_json(record.to_json()) == record


def test_an_unknown_family_is_a_failure(bench):
    """Whatever a configuration breaks, the search goes on."""
    trial = run_trial(Configuration("forest", {}), bench, place=PLACE, number=0)
    assert (trial.record.state, trial.record.reason) == ("FAIL", "KeyError: 'forest'")


def test_a_reached_deadline_prunes(bench):
    """PRUNED: with the path value it was cut at, and without scores."""
    effort = Effort(stop=Deadline.after(-1).until(Event()))
    trial = run_trial(configuration(), bench, effort, place=PLACE, number=1)
    assert (trial.record.state, trial.evaluation) == ("PRUNED", None)
    assert trial.record.reason == "time budget: cut at path value 10"
    assert trial.record.scores is None


def test_interrupts_are_not_failures(bench, monkeypatch):
    """Ctrl-C is not a reason of a configuration: it passes through."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tuner._trials.trials.evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_trial(configuration(), bench, place=PLACE, number=1)
