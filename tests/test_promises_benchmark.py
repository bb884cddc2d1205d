"""The promises benchmark: windows that do not overlap, promises counted by hand, refused runs kept."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tuner import InputError

FOLDER = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def promises(monkeypatch):
    """Import the benchmark, a script beside others."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("promises")


def test_the_window_follows_the_cut_and_is_as_long_as_one_of_the_estimate(promises):
    """600 times, cut at half: rows 0 to 299 tune, and a sixth of as many, 300 to 350, are scored."""
    before, after = promises.window(np.arange(600), 0.5, seed=0)
    np.testing.assert_array_equal(before, np.arange(300))
    np.testing.assert_array_equal(after, np.arange(300, 351))


def test_rows_of_one_time_stay_on_one_side(promises):
    """Ten rows a year: whichever the cut, no year tunes and is scored."""
    years = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 10))
    for cut in promises.CUTS:
        before, after = promises.window(years, cut, seed=0)
        assert years[before].max() < years[after].min()


def test_promises_are_counted_by_hand(promises):
    """[.6, .8] holds .7 and not .9: one of two is kept; a run without a claim is counted apart."""
    lines = [
        {"table": "toy", "roles": True, "promise": [0.7, 0.6, 0.8], "came": came} for came in (0.7, 0.9)
    ] + [{"table": "toy", "roles": True, "promise": None}]
    assert promises.print_table(lines) == {"kept": {"toy/roles": 0.5}, "runs": 3, "without_a_claim": 1}


def test_a_refused_run_is_kept_and_the_others_go_on(promises, monkeypatch, tmp_path):
    """A table that cannot be tuned on at one cut does not end the benchmark, nor is it tried again."""
    calls = []

    def refuse(suite, table, cut, arguments, *, has_roles):  # noqa: ARG001
        calls.append((table, cut, has_roles))
        raise InputError("Rule.", "value", "Cure.")

    out = tmp_path / "promises.jsonl"
    monkeypatch.setattr(promises, "run", refuse)
    monkeypatch.setattr(promises, "load_suite", lambda folder: folder)
    monkeypatch.setattr(sys, "argv", ["promises.py", "--data", "x", "--tables", "toy", "--out", str(out)])
    promises.main()
    promises.main()
    assert len(calls) == 20  # ten cuts, with roles and without, once each
    assert all("Rule." in json.loads(line)["refused"] for line in out.read_text().splitlines())
