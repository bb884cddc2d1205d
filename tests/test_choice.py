from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tuner._line import election as _election
from tuner._line.choice import choose, choosing_plan, elect_without
from tuner._line.election import Turn
from tuner._metrics.metrics import resolve_metric
from tuner._options.config import TuningConfig
from tuner._options.settings import resolve
from tuner._process.deadline import Deadline
from tuner._rows.data import make_dataset
from tuner._trials.trials import Place

PLACE = Place("s", "search")
N_ROWS, N_FOLDS = 120, 4


def settings(**options):
    """Return settings of a small run without a clock."""
    options = {"max_trials": 6, "time_budget": None, "random_state": 0, "n_jobs": 1, "n_folds": 4, **options}
    families = ["lightgbm", "linear"]
    space = {"lightgbm": {"learning_rate": 0.3, "boosting": "gbdt"}}
    return resolve(
        TuningConfig(families=families, search_space=space, **options), task="binary", has_time=False
    )


def chosen(dataset, metric, how):
    """Choose without a clock."""
    plan = choosing_plan(dataset, how)
    return choose(dataset, metric, how, plan, turn=Turn(PLACE, Deadline(), lambda _: None))


@pytest.fixture(scope="module")
def choice():
    """Return a choice on rows with signal."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 4))
    dataset = make_dataset(X, (X[:, 0] + rng.normal(size=N_ROWS) > 0).astype(int))
    metric = resolve_metric(None, "binary")
    return chosen(dataset, metric, settings())


def without(choice, outer, heard=None, **options):
    """Elect without one fold."""
    notify = (lambda _: None) if heard is None else heard.append
    turn = Turn(PLACE, Deadline(), notify).of_fold(outer, Deadline())
    return elect_without(choice, settings(**options), outer, turn=turn)


# Electing without a fold


@pytest.mark.parametrize("final", ["ensemble", "bag", "refit"])
def test_rows_left_out_change_nothing(choice, final):
    """Other labels and numbers in the rows of a fold leave the models elected without it as they are."""
    bench = choice.bench
    rows = bench.plan.folds[2].test
    wild = bench.dataset.table.numeric.copy()
    wild[rows] *= 100.0
    y = bench.dataset.y.copy()
    y[rows] = 1 - y[rows]
    table = replace(bench.dataset.table, numeric=wild)
    other = replace(bench, dataset=replace(bench.dataset, table=table, y=y), _prepared={})
    first = without(choice, 2, final=final)
    second = without(replace(choice, bench=other), 2, final=final)
    probe = bench.dataset.table.part(0, N_ROWS)
    for one, other in ((first.tuned, second.tuned), (first.default, second.default)):
        np.testing.assert_array_equal(one.model.predict(probe), other.model.predict(probe))


def test_stored_losses_of_the_fold_left_out_have_no_say(choice):
    """A trial that owes its place to the fold left out is not nominated without it."""
    trials = list(choice.search.trials)
    lucky = trials[3]
    fold = np.array(lucky.curves.validation)
    fold[1] = 0.0  # perfect there ...
    fold[[0, 2, 3]] = 9.0  # ... and the worst elsewhere
    curves = replace(lucky.curves, validation=tuple(map(tuple, fold.tolist())))
    trials[3] = replace(lucky, curves=curves)
    search = replace(choice.search, trials=tuple(trials))
    finals = without(replace(choice, search=search), 1)
    # Six trials and ten places: all are nominated, the lucky one under no weight but as the last of all.
    assert finals.nominations[-1].number == 3


def test_every_outer_fold_is_told_apart(choice):
    """Its finalists are heard under their outer fold, with numbers behind the search's."""
    heard = []
    without(choice, 3, heard)
    assert {record.outer for record in heard} == {3}
    assert {record.phase for record in heard} == {"outer_fold"}
    assert [record.number for record in heard] == list(range(6, 6 + len(heard)))
    assert all(len(record.curves.validation) == N_FOLDS - 1 for record in heard if record.curves)


def test_inner_folds_that_cannot_train_are_dropped():
    """Positives in two of eight groups: without the fold of one, that of the other cannot train."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 10)
    y = ((groups < 2) & (np.arange(80) % 2 == 0)).astype(int)
    dataset = make_dataset(rng.normal(size=(80, 3)), y, groups=groups)
    choice = chosen(dataset, resolve_metric(None, "binary"), settings())
    for outer, fold in enumerate(choice.bench.plan.folds):
        finals = without(choice, outer)
        n_inner = len(finals.finalists[0].curves.validation)
        assert n_inner == N_FOLDS - 1 - (y[fold.test].sum() > 0)


def test_the_first_repeat_tests_every_row_once(choice):
    """The positions name a partition."""
    tested = np.concatenate([choice.bench.plan.folds[i].test for i in choice.bench.plan.first_repeat])
    np.testing.assert_array_equal(np.sort(tested), np.arange(N_ROWS))


def test_finalists_walk_no_further_than_the_search(choice):
    """On fresh folds a path is as long as it was for the search, or shorter: its cost was reserved."""
    for finalist in choice.finals.finalists:
        searched = choice.search.trials[finalist.number].curves.path_values
        assert finalist.curves.path_values == searched[: len(finalist.curves.path_values)]


def test_finalists_of_two_benches_are_heard_once(monkeypatch):
    """Fresh folds cannot score the default, the search folds can: each key is heard once, as elected."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    dataset = make_dataset(X, (X[:, 0] > 0).astype(int))
    how, benches, heard = settings(max_trials=3), [], []
    rescore = _election.rescore

    def without_default_at_first(*arguments, **options):
        scored = rescore(*arguments, **options)
        benches.append(arguments[2])
        if len(benches) == 1:
            failed = replace(scored[0].record, state="FAIL", scores=None, reason="no luck")
            scored[0] = replace(scored[0], record=failed, evaluation=None)
        return scored

    monkeypatch.setattr(_election, "rescore", without_default_at_first)
    monkeypatch.setattr(_election.Pace, "has_time_for", lambda *_: True)
    metric = resolve_metric(None, "binary")
    turn = Turn(PLACE, Deadline(), heard.append)
    choice = choose(dataset, metric, how, choosing_plan(dataset, how), turn=turn)
    assert len(benches) == 2
    finalists = [record for record in heard if record.phase == "finalist"]
    assert len({record.trial_key for record in finalists}) == len(finalists)
    assert all(each in finalists for each in choice.finals.finalists)
    assert any("search folds" in note for note in choice.notes)


# Time


def test_the_finals_are_finer_than_the_search():
    """200 rows of a regression allow ten fresh folds of 20 rows where five choose."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    dataset = make_dataset(X, X[:, 0] + rng.normal(size=200), task="regression")
    choice = chosen(dataset, resolve_metric(None, "regression"), replace(settings(), n_folds=5))
    assert len(choice.bench.plan.folds) == 5
    assert len(choice.finals.finalists[0].curves.validation) == 10 * 2
