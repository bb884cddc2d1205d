"""Fits on whole tables: once each, then again with other seeds while these differ and time is left."""

from __future__ import annotations

from time import sleep

import numpy as np
import pytest

from search_spaces import SPACES
from tuner._metrics.metrics import resolve_metric
from tuner._process.deadline import Deadline
from tuner._records import Configuration
from tuner._rows.data import make_dataset
from tuner._trials import whole as _whole
from tuner._trials.bench import all_rows
from tuner._trials.whole import Refit, refits

BAGGED = {"bagging_fraction": 0.5, "min_data_in_leaf": 5}


@pytest.fixture
def rows():
    """Return sixty rows of which one column tells the target."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 3))
    dataset = make_dataset(X, X[:, 0] + generator.normal(size=60))
    return all_rows(dataset, resolve_metric("rmse", "regression"), n_threads=1)


@pytest.fixture
def wanted(rows):
    """Return what asks for a fit of a configuration on the rows."""

    def build(params, family="lightgbm"):
        value = {"lightgbm": 10.0, "linear": 0.1}[family]
        return Refit(Configuration(family, SPACES[family].complete(params)), value, rows, seed=0)

    return build


def test_other_seeds_make_other_models(wanted, rows):
    """Three bags of rows; the first is the one that a single fit makes."""
    [made] = refits([wanted(BAGGED)], n_fits=3)
    predicted = [model.predict(rows.table) for model in made]
    assert len(predicted) == 3
    assert not any(np.allclose(predicted[0], other) for other in predicted[1:])
    [[alone]] = refits([wanted(BAGGED)])
    np.testing.assert_array_equal(alone.predict(rows.table), predicted[0])


def test_a_fit_that_repeats_itself_is_kept_once(wanted):
    """Nothing is drawn in a ridge regression, nor by LightGBM without bags."""
    assert [len(made) for made in refits([wanted({}, "linear"), wanted({}), wanted(BAGGED)], n_fits=3)] == [
        1,
        1,
        3,
    ]


def test_workers_change_nothing(wanted, rows):
    """One and two make the same models in the same order."""
    asked = [wanted(BAGGED), wanted({}, "linear"), wanted({**BAGGED, "num_leaves": 4})]
    made = [refits(asked, n_fits=2, n_workers=n_workers) for n_workers in (1, 2)]
    for one, two in zip(*made, strict=True):
        for model, other in zip(one, two, strict=True):
            np.testing.assert_array_equal(model.predict(rows.table), other.predict(rows.table))


def test_every_first_fit_comes_before_any_further_one(wanted, monkeypatch):
    """Four fits of .1 s and time for five or six: all four are there, and no more than time allowed."""
    order = []

    def slow(wanted, seed, check):
        order.append(seed)
        sleep(0.1)
        return original(wanted, seed, check)

    original = _whole._fitted
    monkeypatch.setattr(_whole, "_fitted", slow)
    made = refits([wanted(BAGGED)] * 4, n_fits=3, deadline=Deadline.after(0.6))
    assert order[:4] == [0] * 4
    assert 0 not in order[4:]
    assert len(made[0]) in (1, 2)
    assert len(made[3]) == 1


def test_time_that_is_over_leaves_one_fit_each(wanted):
    """The first is made in any case: there would be no model."""
    assert [len(made) for made in refits([wanted(BAGGED)] * 2, n_fits=3, deadline=Deadline.after(0.0))] == [
        1,
        1,
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_a_first_fit_must_work_and_a_further_one_may_fail(wanted, monkeypatch, number):
    """The first raises what it raised; with a further one that fails, seeds end there."""
    original, calls = _whole._fitted, []

    def fails_once(*arguments):
        calls.append(arguments)
        if len(calls) == number + 1:
            raise FloatingPointError("no tree")
        return original(*arguments)

    monkeypatch.setattr(_whole, "_fitted", fails_once)
    if number == 0:
        with pytest.raises(FloatingPointError, match="no tree"):
            refits([wanted(BAGGED)], n_fits=3)
    else:
        assert [len(made) for made in refits([wanted(BAGGED)], n_fits=3)] == [1]


def test_an_interrupt_ends_fits_at_their_next_step(wanted, monkeypatch):
    """The one beside it would take ten seconds; it ends when the other one is interrupted."""
    steps = []

    def interrupted(asked, seed, check):  # noqa: ARG001 - as the fit it stands for
        if asked.configuration.family == "linear":
            sleep(0.05)
            raise KeyboardInterrupt
        for step in range(1000):
            steps.append(step)
            sleep(0.01)
            check()

    monkeypatch.setattr(_whole, "_fitted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        refits([wanted({}, "linear"), wanted({})], n_workers=2)
    assert 0 < len(steps) < 500


def test_predictions_that_are_not_finite_are_refused(wanted, monkeypatch):
    """A model that says NaN is none."""

    class Broken:
        def predict(self, table):
            return np.full(table.n_rows, np.nan)

    monkeypatch.setattr(_whole, "_fitted", lambda *_: Broken())
    with pytest.raises(ValueError, match="not finite"):
        refits([wanted({})])
