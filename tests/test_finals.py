"""What averaging the fits of several repeats gains, on rows that none of them trained on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tuner import _finals, tune
from tuner._bench import Bench
from tuner._config import TuningConfig
from tuner._data import make_dataset
from tuner._deadline import Deadline
from tuner._evaluation import Evaluation
from tuner._finals import N_REFITS, Searched, assemble, is_refitted, n_refits, rescore
from tuner._held_out import FoldScorer
from tuner._metrics import resolve_metric
from tuner._records import BagLosses
from tuner._reference import recipe_of_result
from tuner._selection import Nomination
from tuner._splits import Fold, FoldPlan
from tuner._trials import Place, Trial
from tuner._tune import check_run


def bench_of(metric, task="regression", y=(0.0, 1.0, 2.0, 3.0), n_repeats=2, **roles):
    """Return four rows, halved along and across."""
    halves = [(0, 1), (2, 3), (0, 2), (1, 3)][: 2 * n_repeats]
    folds = tuple(
        Fold(place // 2, place % 2, np.setdiff1d(range(4), test), np.array(test))
        for place, test in enumerate(halves)
    )
    dataset = make_dataset(np.column_stack([np.arange(4.0), [0.0, 1.0, 1.0, 0.0]]), np.array(y), **roles)
    return Bench(dataset, FoldPlan("iid", folds, ()), resolve_metric(metric, task), 0)


def scorer(metric, task="regression", y=(0.0, 1.0, 2.0, 3.0), n_repeats=2):
    """Return their scorer."""
    return FoldScorer(bench_of(metric, task, y, n_repeats), n_averaged=n_repeats)


# Held-out predictions of rows (0, 1), (2, 3), then of (0, 2), (1, 3).
PREDICTIONS = [np.array([2.0, 1.0]), np.array([2.0, 1.0]), np.array([-2.0, 2.0]), np.array([3.0, 3.0])]


def test_alone_and_averaged_by_hand():
    """Rows 0 and 1 are missed by 2, 0, then 2, 2 (means 1 and 2); averages 0 and 2 miss by 0 and 1.

    Rows 2 and 3 by 0, 2, then 0, 0 (means 1 and 0); averages 2 and 2 by 0 and 1.
    """
    assert scorer("mae").bag(PREDICTIONS) == BagLosses(2, (1.5, 0.5), (0.5, 0.5))
    # Squares: (4 + 0) / 2 and (4 + 4) / 2, averages 1/2; (0 + 4) / 2 and 0, averages 1/2
    found = scorer("rmse").bag(PREDICTIONS)
    assert found.alone == pytest.approx((3.0, 1.0))
    assert found.averaged == pytest.approx((0.5, 0.5))


def test_nothing_is_said_where_it_cannot_be_told():
    """Not with one repeat, nor for orders and decisions, which are no means over rows or have thresholds."""
    assert scorer("mae", n_repeats=1).bag(PREDICTIONS[:2]) is None
    labels = (0, 1, 0, 1)
    guesses = [np.array([0.2, 0.7])] * 4
    assert scorer("log_loss", "binary", labels).bag(guesses) is not None
    for metric in ("roc_auc", "accuracy"):
        assert scorer(metric, "binary", labels).bag(guesses) is None


def test_search_and_fresh_folds_elect_and_weigh_together(make_trial, make_scores, make_curves):
    """One finalist misses every row by 0 on fresh folds and by 2 in the search, the other by 1 and .5.

    Fresh folds alone elect the first and give it the larger share; both prefer the second (1 and .75).
    """
    bench = bench_of("mae", n_repeats=1, groups=np.arange(4))  # with groups fold models are delivered
    targets = [bench.dataset.y[fold.test] for fold in bench.plan.folds]
    trials = [make_trial(number, family=family) for number, family in enumerate(("linear", "lightgbm"))]

    def off_by(*values):
        return [tuple(y + value for y in targets) for value in values]

    def judged(losses):
        return [
            replace(trial, scores=make_scores([loss] * 2), curves=make_curves([[loss]] * 2))
            for trial, loss in zip(trials, losses, strict=True)
        ]

    def finals(searched):
        fresh = [
            Trial(record, Evaluation(record.curves, record.scores, predictions, (None, None), 0.0))
            for record, predictions in zip(judged((0.0, 1.0)), off_by(0.0, 1.0), strict=True)
        ]
        nominations = [Nomination(0, ()), Nomination(1, ())]
        how = replace(checked("regression", "ensemble").settings, final="ensemble", max_members=None)
        return assemble(fresh, nominations, bench, how, searched=searched)

    searched = Searched(bench, tuple(judged((2.0, 0.5))), dict(enumerate(off_by(2.0, 0.5))))
    alone, both = finals(None), finals(searched)
    assert (alone.winner, both.winner) == (0, 1)
    assert alone.blend.weights[0] > 0.5 > both.blend.weights[0]
    assert both.selection_loss == pytest.approx(both.blend.weights[1])  # read off the fresh folds alone


def checked(task, final, **roles):
    """Return sixty checked rows and how to tune on them."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 3))
    y = X[:, 0] + generator.normal(size=60) if task == "regression" else (X[:, 0] > 0).astype(int)
    config = TuningConfig(
        task=task, max_trials=3, time_budget=None, estimate=None, final=final, random_state=0,
        tracking=False, verbose=0,
    )  # fmt: skip
    return check_run(make_dataset(X, y, **roles), config)


@pytest.mark.parametrize(
    ("task", "final", "role", "expected"),
    [
        ("regression", "ensemble", None, N_REFITS),
        ("regression", "ensemble", "time", N_REFITS),
        ("regression", "ensemble", "groups", 0),
        ("regression", "bag", None, 0),
        ("regression", "bag", "time", N_REFITS),
        ("regression", "refit", None, 1),
        ("classification", "ensemble", None, 0),
        ("classification", "ensemble", "time", N_REFITS),
        ("classification", "refit", "groups", 1),
    ],
)
def test_who_is_fitted_on_all_rows_and_how_often(task, final, role, expected):
    """Whatever has a time; what is asked to be; ensembles of regressions on plain rows. 0: fold models."""
    values = {"time": np.arange(60), "groups": np.repeat(np.arange(12), 5)}
    rows = checked(task, final, **({} if role is None else {role: values[role]}))
    found = n_refits(rows.settings) if is_refitted(rows.dataset, rows.settings) else 0
    assert found == expected


def test_the_dearest_finalists_begin_first(make_trial, monkeypatch):
    """1, 1, 9 and 3 s: after the default, which must be there, comes 9; they return as nominated."""
    rows, begun = checked("classification", "ensemble"), []
    trials = [make_trial(number, fit_seconds=each) for number, each in enumerate((1.0, 1.0, 9.0, 3.0))]

    def run(configuration, bench, *, number, **options):  # noqa: ARG001
        begun.append(number)
        return Trial(trials[number], None)

    monkeypatch.setattr(_finals, "run_trial", run)
    found = rescore(
        [Nomination(number, ()) for number in range(4)],
        trials,
        SimpleNamespace(dataset=rows.dataset, n_threads=1),
        replace(rows.settings, n_jobs=1),
        place=Place("study", "finalist"),
        cap=0.0,
        first_number=None,
        may_cut_default=True,
        deadline=Deadline(),
    )
    assert begun == [0, 2, 3, 1]
    assert [trial.record.number for trial in found] == [0, 1, 2, 3]


def test_an_ensemble_of_regressions_is_of_fits_on_all_rows():
    """The claim about it is for all rows and one fit a member: other seeds are no other rows."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(150, 3))
    y = X[:, 0] + generator.normal(size=150)
    config = TuningConfig(
        task="regression", families=("lightgbm", "linear"), max_trials=4, time_budget=None, estimate="bbc",
        n_folds=3, random_state=0, tracking=False, verbose=0,
    )  # fmt: skip
    result = tune(X, y, config=config)
    model = result.model.blended
    assert model.is_refitted
    assert model.n_averaged == 1
    assert all(len(member.models) <= N_REFITS for member in model.members)
    linear = next(member for member in model.members if member.family == "linear")
    assert [each.n_train for each in linear.models] == [150]
    recipe = recipe_of_result(result)
    assert (recipe.is_refitted, recipe.n_repeats) == (True, 2)
    assert [(step.what, step.after) for step in result.delivered_estimate.steps] == [("rows", 150)]


def test_without_a_fit_on_all_rows_the_fold_models_are_delivered(monkeypatch):
    """What a fit raises after the whole search loses no run; it is said."""

    def fails(*_, **__):
        raise FloatingPointError("no tree")

    monkeypatch.setattr("tuner._whole.refit", fails)
    generator = np.random.default_rng(0)
    X = generator.normal(size=(80, 3))
    config = TuningConfig(
        task="regression", families=("linear",), max_trials=2, time_budget=None, estimate=None,
        n_folds=3, random_state=0, tracking=False, verbose=0,
    )  # fmt: skip
    result = tune(X, X[:, 0] + generator.normal(size=80), config=config)
    assert not result.model.blended.is_refitted
    assert result.model.blended.n_averaged > 1
    [note] = [each for each in result.notes if "all rows" in each]
    assert note == "Fold models are delivered: a fit on all rows failed (FloatingPointError: no tree)."
