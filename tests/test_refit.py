"""What was elected, on other rows: the same model on the same ones, and never a row it was not given."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import numpy as np
import pandas as pd
import pytest

from tuner._line.checked import check_run
from tuner._line.listeners import RunContext
from tuner._line.promise import recipe_of_result
from tuner._line.tune import tune_checked
from tuner._options.config import TuningConfig
from tuner._process.threads import one_thread_a_fit
from tuner._records import Configuration
from tuner._rows.data import make_dataset
from tuner._schedule.refit import fit_as_elected, renew


def table(n_rows: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Return rows of two numbers and a target that one of them tells, with noise."""
    generator = np.random.default_rng(seed)
    X = pd.DataFrame(generator.normal(size=(n_rows, 2)), columns=["a", "b"])
    return X, pd.Series(2 * X["a"] + generator.normal(0, 0.5, n_rows))


def checked(n_rows: int, *, final: str = "ensemble", has_time: bool = False, n_jobs: int = 1, seed: int = 0):
    """Return checked rows and how to tune on them."""
    config = TuningConfig(
        task="regression", families=("linear",), max_trials=3, time_budget=None, n_folds=3, estimate=None,
        random_state=0, final=final, n_jobs=n_jobs, tracking=False, verbose=0,
    )  # fmt: skip
    X, y = table(n_rows, seed)
    return check_run(make_dataset(X, y, time=np.arange(n_rows) if has_time else None), config), config


def elected(rows, config):
    """Return the result of a run and its recipe."""
    result = tune_checked(rows, config, RunContext(study_name="s"), started=monotonic())
    recipe = recipe_of_result(result)
    assert recipe is not None
    return result, recipe


@pytest.mark.parametrize(
    ("final", "has_time", "is_refitted", "n_repeats", "n_models"),
    [("bag", False, False, 2, 12), ("refit", False, True, 3, 1), ("bag", True, True, 3, 1)],
)
def test_a_recipe_makes_a_model_of_the_elected_form(final, has_time, is_refitted, n_repeats, n_models):
    """Twice three folds, two fresh repeats, make twelve models; a refit, and rows in time, make one.

    One and not three, as a linear model is the same with every seed.
    """
    rows, config = checked(90, final=final, has_time=has_time)
    result, recipe = elected(rows, config)
    assert (recipe.is_refitted, recipe.n_repeats) == (is_refitted, n_repeats)
    assert [each.configuration for each in recipe.portions] == [result.shipped.configuration]
    with one_thread_a_fit():
        model = fit_as_elected(recipe, rows.dataset, rows.metric, rows.settings)
    assert model.n_models == n_models == result.model.blended.n_models
    X, _ = table(50, 1)
    old, new = (each.predict(each.schema.encode(X)) for each in (result.model.blended, model))
    assert np.corrcoef(old, new)[0, 1] > 0.99


def test_a_refit_on_the_same_rows_is_the_delivered_model():
    """With one fit on all rows nothing is left to chance: both predict the same, bit for bit."""
    rows, config = checked(90, final="refit")
    result, recipe = elected(rows, config)
    with one_thread_a_fit():
        model = fit_as_elected(recipe, rows.dataset, rows.metric, rows.settings)
    X, _ = table(50, 1)
    np.testing.assert_array_equal(
        model.predict(model.schema.encode(X)), result.model.blended.predict(model.schema.encode(X))
    )


@pytest.mark.parametrize("has_time", [False, True])
def test_renewing_is_a_function_of_the_rows_whatever_the_threads(has_time):
    """One thread and two make one recipe and one model; its shares sum to one, its family is the elected."""
    rows, config = checked(90, has_time=has_time)
    _, recipe = elected(rows, config)
    more, _ = checked(150, has_time=has_time, seed=3)
    with one_thread_a_fit():
        made = [
            renew(recipe, more.dataset, more.metric, replace(more.settings, n_jobs=n_jobs))
            for n_jobs in (1, 2)
        ]
    assert made[0] is not None
    assert made[1] is not None
    assert made[0].recipe == made[1].recipe
    assert sum(each.weight for each in made[0].recipe.portions) == pytest.approx(1.0)
    assert all(each.configuration in recipe.configurations for each in made[0].recipe.portions)
    X, _ = table(50, 1)
    encoded = made[0].model.schema.encode(X)
    np.testing.assert_array_equal(made[0].model.predict(encoded), made[1].model.predict(encoded))


def test_configurations_that_cannot_be_fitted_make_no_model():
    """A path that fails on every fold is no refit: the caller searches anew."""
    rows, config = checked(60)
    _, recipe = elected(rows, config)
    broken = replace(recipe.portions[0], configuration=Configuration("linear", {"l1_ratio": "much"}))
    with one_thread_a_fit():
        assert renew(replace(recipe, portions=(broken,)), rows.dataset, rows.metric, rows.settings) is None
