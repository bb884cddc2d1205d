"""What the generalization benchmark says of results: log ratios, ranks, claims and overtuning by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def results(monkeypatch):
    """Import the records of the benchmark, a script beside others."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("generalization_results")


@pytest.fixture
def report(monkeypatch):
    """Import what computes the figures."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("generalization_report")


@pytest.fixture
def make_result(results):
    """Return a maker of one finished cell of a minute."""

    def make(table, method, loss, *, seed=0, split="iid", **options):
        return results.Result(table, seed, method, 60.0, split, loss, **options)

    return make


@pytest.fixture
def make_problem(monkeypatch):
    """Return a maker of a regression by MAE that has test rows alone."""
    monkeypatch.syspath_prepend(str(FOLDER))
    data = importlib.import_module("generalization_data")

    def make(y_test):
        return data.Problem("t", 0, "regression", "mae", "iid", *[None] * 3, y_test, *[None] * 3)

    return make


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_finds_what_it_imports(path, monkeypatch):
    """They use parts of the package from outside, so a renaming must not pass unseen."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.__doc__


def test_seeds_are_averaged_within_a_table_and_tables_with_each_other(report, make_result):
    """On a: log(.5) and log(2), mean 0; on b: log(.5). Over tables log(.5) / 2; better on one of two."""
    losses = [("a", 0, 0.1, 0.2), ("a", 1, 0.4, 0.2), ("b", 0, 0.1, 0.2)]
    cells = [
        make_result(table, method, loss, seed=seed)
        for table, seed, mine, other in losses
        for method, loss in (("ours", mine), ("optuna", other))
    ]
    ratios = report.table_ratios(cells, "ours", "optuna")
    assert ratios["a"].mean == pytest.approx(0)
    assert ratios["b"].mean == pytest.approx(np.log(0.5))
    found = report.aggregate(ratios)
    assert found.mean == pytest.approx(np.log(0.5) / 2)
    assert found.wins == 0.5
    assert found.worst_table == "a"


@pytest.mark.parametrize(
    ("ratios", "worse"),
    [
        ([0.1], None),  # one seed says nothing
        ([0.02, 0.02], True),
        ([0.009, 0.009], False),  # within 1%
        ([0.0, 0.1], False),  # .05 +- .05, within two standard errors
    ],
)
def test_worse_is_beyond_one_percent_and_two_standard_errors(report, ratios, worse):
    """One percent is .00995 as a log ratio."""
    assert report.summarize(ratios).is_worse is worse


def test_ranks_share_ties_and_leave_variants_out(report, make_result):
    """Table a: ours 1, optuna and default 2.5 each; the copy of Optuna with the right folds takes no rank."""
    cells = [
        make_result("a", method, loss) for method, loss in [("ours", 0.1), ("optuna", 0.2), ("default", 0.2)]
    ]
    cells = report.select(cells, tables=["a"], seeds=[0], seconds=60.0)
    assert any(each.method == "optuna_folds" for each in cells)
    cells.append(make_result("a", "ours:off=racing", 0.05))
    methods = ["optuna_folds", "ours:off=racing", "ours", "optuna", "default"]
    assert report.average_ranks(cells, methods) == ({"ours": 1.0, "optuna": 2.5, "default": 2.5}, 1)


@pytest.mark.parametrize(
    ("incumbents", "expected"),
    [
        ((1.0, 0.8, 0.6), 0.0),  # the last is the best
        ((1.0, 0.6, 0.8), 0.5),  # .2 of a possible .4 lost
        ((1.0, 0.6, 1.2), 1.5),  # worse than the first
        ((1.0, 1.1), np.inf),  # nothing was better
        ((1.0, 1.0), None),
    ],
)
def test_relative_overtuning(report, incumbents, expected):
    """(last - best) / (first - best)."""
    found = report.relative_overtuning(incumbents)
    assert found == expected or found == pytest.approx(expected)


def test_runs_without_progress_count_as_lost_and_are_told_apart(report, make_result):
    """Of four runs one lost all it had gained, one had nothing to lose: 2 of 4, 1 of 3 with progress."""
    runs = [(1.0, 0.5), (1.0, 0.5, 1.0), (1.0, 0.5, 0.6), (1.0, 1.1)]
    cells = [make_result("a", "ours", 1.0, seed=seed, incumbents=run) for seed, run in enumerate(runs)]
    found = report.overtuning(cells, "ours")
    assert (found.above_0, found.above_1) == (0.75, 0.5)
    assert found.above_1_of_progress == pytest.approx(1 / 3)
    assert found.no_progress == 0.25
    low, high = found.above_1_interval
    assert (low, high) == pytest.approx((0.0676, 0.9324), abs=1e-4)  # of 2 in 4, by the beta distribution


def test_claims_against_test_losses_and_against_the_defaults(report, make_result):
    """Claims of .09 and .11 for .1 and .2: -10% and -45%; the default's claim was as far off on table b."""
    details = {"procedure": 0.11, "default_claim": 0.165}
    cells = [
        make_result("a", "ours", 0.1, claim=0.09),
        make_result("b", "ours", 0.2, claim=0.11, details=details),
        make_result("b", "default", 0.3),
    ]
    found = report.claim_bias(cells, "ours")
    assert found.mean == pytest.approx((-0.1 - 0.45) / 2)
    assert found.standard_error == pytest.approx(0.175)  # half the distance of two
    assert found.mean_absolute == pytest.approx(0.275)
    assert found.beyond_default == pytest.approx(0.0)  # log(.11 / .2) - log(.165 / .3)


def test_a_run_is_worse_than_the_default_or_not(report, make_result):
    """One of two; the interval of Clopper and Pearson of 1 in 2 is 1.3% to 98.7%."""
    cells = [make_result(table, "default", 0.2) for table in "ab"]
    cells += [make_result("a", "ours", 0.1), make_result("b", "ours", 0.3)]
    share, interval = report.share_worse(cells, "ours")
    assert share == 0.5
    assert interval == pytest.approx((0.0126, 0.9874), abs=1e-4)


def test_a_run_is_clearly_worse_beyond_one_percent_and_two_standard_errors(report, make_result):
    """log(.3 / .2) is .41: beyond an error of .2, not of .21; .2% more is not worse whatever the error."""
    cells = [make_result(table, "default", 0.2) for table in "abcd"]
    cells += [
        make_result("a", "ours", 0.3, noise=0.2),
        make_result("b", "ours", 0.3, noise=0.21),
        make_result("c", "ours", 0.2004),
        make_result("d", "ours", 0.3),
    ]
    assert report.share_clearly_worse(cells, "ours")[0] == 0.5


def test_the_error_of_a_ratio_is_that_of_its_logarithms(make_problem):
    """Absolute errors of 1 and 2 in every row do not vary; an error in half of the rows alone does."""
    problem = make_problem(np.zeros(100))
    one, two = np.ones(100), np.full(100, 2.0)
    assert problem.ratio_error(one, two) == pytest.approx(0.0, abs=1e-12)
    half = np.repeat([0.0, 1.0], 50)  # mean .5 with a standard error of .05, so .1 of its logarithm
    assert problem.ratio_error(half, one) == pytest.approx(0.1, rel=0.2)


def test_a_line_torn_by_an_interruption_is_dropped(results, make_result, tmp_path):
    """The cells before and after it stay."""
    path = tmp_path / "cells.jsonl"
    results.append_result(path, make_result("a", "ours", 0.1, incumbents=(0.2, 0.1)))
    path.write_text(path.read_text() + '{"table": "b", "se')
    results.append_result(path, make_result("b", "ours", 0.3))
    known = [make_result("a", "ours", 0.1, incumbents=(0.2, 0.1)), make_result("b", "ours", 0.3)]
    assert list(results.read_results(path).values()) == known
