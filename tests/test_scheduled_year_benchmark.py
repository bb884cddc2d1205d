"""The benchmark of scheduled re-tunes: its arithmetic by hand, and windows that keep the order of time."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks, which are scripts beside each other."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")  # put back what the import sets
    return importlib.import_module


def year_of(losses, seconds=((0, 0), (0, 0))):
    """Return a year of (ours, always) losses and seconds."""
    named = [
        {"losses": dict(zip(("ours", "always"), each, strict=True)),
         "seconds": dict(zip(("ours", "always"), spent, strict=True))}
        for each, spent in zip(losses, seconds, strict=True)
    ]  # fmt: skip
    return {"table": "toy", "year": named}


def test_arms_are_compared_period_by_period(load):
    """Log ratios 0 and .2: mean .1, standard error .1, t of one degree 12.706: half 1.2706."""
    year = year_of([(1.0, 1.0), (np.exp(0.2), 1.0)])
    found = load("scheduled_year_report").paired(year, "ours", "always")
    assert found == pytest.approx((0.1, -1.1706, 1.3706), abs=1e-4)


def test_seconds_are_counted_after_the_common_first_period(load):
    """Of 99 + 3 and 99 + 12 seconds, 3 and 12 count."""
    year = year_of([(1, 1), (1, 1)], [(99, 99), (3, 12)])
    assert load("scheduled_year_report").share_of_seconds(year) == 0.25


def test_windows_follow_time_and_shuffled_ones_do_not(load):
    """In time order windows hold the rows of their days; times become distinct, days stay in order."""
    benchmark = load("scheduled_year")
    n_rows = benchmark.N_WINDOWS * benchmark.ROWS_A_WINDOW
    day = np.repeat(np.arange(n_rows // 30), 30)
    rows = SimpleNamespace(X=pd.DataFrame({"day": day}), y=day % 2, time=day)
    windows = benchmark.cut(rows, 0, None)
    whole = pd.concat(windows)
    assert [len(window) for window in windows] == [benchmark.ROWS_A_WINDOW] * benchmark.N_WINDOWS
    assert whole["day"].is_monotonic_increasing
    assert (np.diff(whole["__time__"]) > 0).all()
    np.testing.assert_array_equal(np.floor(whole["__time__"]), whole["day"])
    shuffled = pd.concat(benchmark.cut(rows, 0, 0))
    assert sorted(shuffled["day"]) == sorted(whole["day"])
    assert abs(np.corrcoef(shuffled["day"], shuffled["__time__"])[0, 1]) < 0.1
