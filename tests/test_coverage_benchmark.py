"""The coverage benchmark: its interval and its counting by hand, and a run whose truth is known."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

FOLDER = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks, which are scripts beside each other."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_interval_by_rows_by_hand(load):
    """Losses 1, 2, 3, 4: mean 2.5, squared deviations sum to 5, half 1.96 * sqrt(5) / 4 = 1.0957."""
    interval = load("coverage_table").interval_by_rows
    assert interval([1, 2, 3, 4], range(4), squared=False) == pytest.approx([1.4043, 3.5957], abs=1e-4)
    # In groups (1, 2) and (3, 4) deviations sum to -2 and 2: half 1.96 * sqrt(8) / 4 = 1.3859
    assert interval([1, 2, 3, 4], [7, 7, 9, 9], squared=False) == pytest.approx([1.1141, 3.8859], abs=1e-4)
    roots = np.sqrt([1.4043, 3.5957])
    assert interval([1, 2, 3, 4], range(4), squared=True) == pytest.approx(roots, abs=1e-4)


def test_coverage_is_counted_against_both_truths(load, capsys):
    """Delivered .5 and .9, one inside [.4, .8]; the folds lose .6, inside both; claims are 10% above."""
    lines = [
        {"key": f"toy/9/1/crossfit/{i}", "intervals": {"t": [0.4, 0.8]}, "value": 0.66, "delivered": truth,
         "folds": [0.5, 0.7]}
        for i, truth in enumerate([0.5, 0.9])
    ]  # fmt: skip
    found = load("coverage_table").print_table(lines)["pooled"]
    assert found["crossfit/t/model"] == {"coverage": 0.5, "runs": 2}
    assert found["crossfit/t/procedure"] == {"coverage": 1.0, "runs": 2}
    assert "+10.0%" in capsys.readouterr().out


def test_the_delivered_claim_is_judged_by_the_delivered_loss(load, capsys):
    """Claims .54 and .66 of .5 and .7 are .6 on average, as is the truth: no bias; one of two is covered."""
    lines = [
        {"key": f"toy/9/1/bbc/{i}", "intervals": {"delivered": [claim - 0.05, claim + 0.03]}, "value": 0.9,
         "delivered_value": claim, "delivered": truth, "folds": []}
        for i, (claim, truth) in enumerate([(0.54, 0.5), (0.66, 0.7)])
    ]  # fmt: skip
    unclaimed = {"key": "toy/9/1/bbc/2", "intervals": {}, "value": 0.9, "delivered_value": None,
                 "delivered": 0.5, "folds": []}  # fmt: skip
    found = load("coverage_table").print_table([unclaimed, *lines])["pooled"]
    assert found["bbc/delivered/model"] == {"coverage": 0.5, "runs": 2}
    assert "+0.0%" in capsys.readouterr().out


def test_an_interrupted_study_goes_on(load, tmp_path):
    """A torn last line is dropped, and what is there is not run again."""
    coverage = load("coverage")
    path = tmp_path / "coverage.jsonl"
    cell = coverage.Cell("null", 200, 10, "bbc", 0)
    whole = json.dumps({"key": cell.key}) + "\n"
    path.write_text(whole + '{"key": "nu')
    coverage.run_all([cell], path, coverage.run, seconds=0.0, workers=1)
    assert path.read_text() == whole


def test_every_process_can_be_drawn_again(load):
    """Equal seeds give equal tables, and every process has a metric."""
    processes = load("coverage_processes")
    assert processes.PROCESSES.keys() == processes.METRICS.keys()
    for draw in processes.PROCESSES.values():
        first, second = (draw(np.random.default_rng(3), 40) for _ in range(2))
        np.testing.assert_array_equal(first.X, second.X)
        np.testing.assert_array_equal(first.y, second.y)


@pytest.mark.slow
def test_labels_without_signal_are_covered(load):
    """On random labels the claim's interval holds an AUC of .5, and the truth that was scored is .5."""
    coverage = load("coverage")
    line = coverage.run(coverage.Cell("null", 200, 10, "crossfit", 0))
    low, high = line["intervals"]["t"]
    assert low <= 0.5 <= high
    assert line["folds"] == pytest.approx([0.5] * 5, abs=0.03)
    assert line["delivered"] == pytest.approx(0.5, abs=0.03)
    assert "rows" not in line["intervals"]  # AUC is no mean over rows


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kind"), [("bbc", "bootstrap"), ("crossfit", "t")])
def test_two_cells_of_fifty_hold_what_they_promise(load, method, kind):
    """Linear models of Friedman's function: no interval's coverage is surely below .93, no claim far off.

    40 of 50 inside or fewer fail; a claim that is wrong by a tenth does, too.
    """
    n_runs = 50
    coverage, table = load("coverage"), load("coverage_table")
    cells = [coverage.Cell("friedman_1", 100, 4, method, replicate) for replicate in range(n_runs)]
    runs = [coverage.run(cell, families=["linear"]) for cell in cells]
    truth = table._with_common_truth(runs)[0][1]
    promised = [low <= truth <= high for low, high in (run["intervals"][kind] for run in runs)]
    delivered = [
        low <= run["delivered"] <= high for run in runs for low, high in [run["intervals"]["delivered"]]
    ]
    for hits in (promised, delivered):
        assert binomtest(sum(hits), n_runs).proportion_ci(0.99, method="exact").high >= 0.93
    assert abs(table._bias(runs, kind)) < 0.1
    assert abs(table._bias(runs, "delivered")) < 0.1
