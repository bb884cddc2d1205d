from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tuner._choice import (
    FINALS_SHARE,
    Pace,
    choose,
    choosing_plan,
    elect_without,
    first_repeat,
    wanted_repeats,
)
from tuner._config import TuningConfig
from tuner._data import make_dataset
from tuner._deadline import Deadline
from tuner._metrics import resolve_metric
from tuner._settings import resolve
from tuner._trials import Place

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
    return choose(dataset, metric, how, plan, place=PLACE, deadline=Deadline(), notify=lambda _: None)


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
    return elect_without(
        choice,
        settings(**options),
        outer,
        place=Place("s", "outer_fold", outer),
        deadline=Deadline(),
        notify=(lambda _: None) if heard is None else heard.append,
    )


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
    np.testing.assert_array_equal(first.model.predict(probe), second.model.predict(probe))
    np.testing.assert_array_equal(first.default_model.predict(probe), second.default_model.predict(probe))


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
    tested = np.concatenate([choice.bench.plan.folds[i].test for i in first_repeat(choice.bench.plan)])
    np.testing.assert_array_equal(np.sort(tested), np.arange(N_ROWS))


def test_finalists_walk_no_further_than_the_search(choice):
    """On fresh folds a path is as long as it was for the search, or shorter: its cost was reserved."""
    for finalist in choice.finals.finalists:
        searched = choice.search.trials[finalist.number].curves.path_values
        assert finalist.curves.path_values == searched[: len(finalist.curves.path_values)]


# Time


@pytest.mark.parametrize(("n_rows", "repeats"), [(100, 3), (1_999, 3), (2_000, 2), (50_000, 2)])
def test_small_tables_are_divided_anew_more_often(n_rows, repeats):
    """Three fresh repeats below 2,000 rows, two from there on."""
    assert wanted_repeats(n_rows) == repeats


@pytest.mark.parametrize(("left", "repeats"), [(1000.0, 6), (6.0, 4), (1.0, 1)])
def test_fresh_repeats_that_fit(make_trial, left, repeats):
    """A trial of 1 s is reserved 1.2 s a repeat, the assembly .3 s: four repeats take 5.1 s, five 6.3 s."""
    trial = replace(make_trial(0), objective=0.5, fit_seconds=1.0)
    pace = Pace(settings(), Deadline.after(left), wanted_repeats=6)
    assert pace.fresh_folds([trial]) == (N_FOLDS, repeats)


@pytest.mark.parametrize(("left", "division"), [(3.5, (6, 2)), (3.2, (3, 2)), (1.0, (3, 1))])
def test_finer_folds_where_time_allows(make_trial, left, division):
    """Two repeats of six folds are worth five of three: 2 * (6 - 1) / (3 - 1).

    For a trial of .5 s that is 3 s with the reserve of 1.2, and .3 s for the assembly.
    """
    trial = replace(make_trial(0), objective=0.5, fit_seconds=0.5)
    pace = Pace(replace(settings(), n_folds=3), Deadline.after(left), wanted_repeats=2, finest=6)
    assert pace.fresh_folds([trial]) == division


@pytest.mark.parametrize(("final", "division"), [("ensemble", (2 * N_FOLDS, 2)), ("refit", (N_FOLDS, 2))])
def test_an_ensemble_of_all_rows_is_elected_on_finer_folds_too(make_trial, final, division):
    """Their models train on nearly all rows: what they choose fits models of all rows better."""
    trial = replace(make_trial(0), objective=0.5, fit_seconds=0.1)
    pace = Pace(settings(final=final), Deadline(), wanted_repeats=2, finest=2 * N_FOLDS, refits=True)
    assert pace.fresh_folds([trial]) == division


def test_the_finals_are_finer_than_the_search():
    """200 rows of a regression allow ten fresh folds of 20 rows where five choose."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    dataset = make_dataset(X, X[:, 0] + rng.normal(size=200), task="regression")
    choice = chosen(dataset, resolve_metric(None, "regression"), replace(settings(), n_folds=5))
    assert len(choice.bench.plan.folds) == 5
    assert len(choice.finals.finalists[0].curves.validation) == 10 * 2


def test_the_finals_never_take_more_than_their_share(make_trial):
    """However dear the trials, the search keeps the larger part of the time."""
    trial = replace(make_trial(0), objective=0.5, fit_seconds=1e6)
    pace = Pace(settings(), Deadline.after(10.0), wanted_repeats=6)
    assert pace.finals_seconds([trial]) == pytest.approx(FINALS_SHARE * 10.0, rel=0.01)
