"""How finalists are judged again, and which final models are of fits on all rows."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic, sleep
from types import SimpleNamespace

import numpy as np
import pytest

from tuner import tune
from tuner._decisions.selection import Nomination
from tuner._finals import finals as _finals
from tuner._finals.finals import N_REFITS, is_refitted, n_refits, rescore
from tuner._line.checked import check_run
from tuner._line.promise import recipe_of_result
from tuner._options.config import TuningConfig
from tuner._process.deadline import Deadline
from tuner._rows.data import make_dataset
from tuner._trials.trials import Place, Trial


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

    def run(configuration, bench, effort, *, number, **options):  # noqa: ARG001
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


def test_an_interrupt_ends_the_finals(make_trial, monkeypatch):
    """The default is interrupted: the fit in flight is told to stop, those that wait are not begun."""
    rows, begun, stopped = checked("classification", "ensemble"), [], []

    def run(configuration, bench, effort, *, number, **options):  # noqa: ARG001
        begun.append(number)
        if number == 0:
            raise KeyboardInterrupt
        end = monotonic() + 10.0
        while not effort.stop() and monotonic() < end:
            sleep(0.01)
        stopped.append(effort.stop())
        return Trial(make_trial(number), None)

    monkeypatch.setattr(_finals, "run_trial", run)
    with pytest.raises(KeyboardInterrupt):
        rescore(
            [Nomination(number, ()) for number in range(4)],
            [make_trial(number) for number in range(4)],
            SimpleNamespace(dataset=rows.dataset, n_threads=1),
            replace(rows.settings, n_jobs=1),
            place=Place("study", "finalist"),
            cap=0.0,
            first_number=None,
            may_cut_default=False,
            deadline=Deadline(),
        )
    assert len(begun) <= 2
    assert all(stopped)


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

    monkeypatch.setattr("tuner._trials.whole._fitted", fails)
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
