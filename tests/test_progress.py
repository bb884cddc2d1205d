"""The progress line: what stands where a run is."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from tuner._line.progress import Progress, say
from tuner._metrics.metrics import resolve_metric


@pytest.mark.parametrize(
    ("phase", "outer", "stage"),
    [
        ("search", 0, "search, trial 1 |"),
        ("finalist", 0, "finalists, trial 1 on fresh folds |"),
        ("outer_fold", 0, "estimate, outer fold 1, trial 1 |"),
    ],
)
def test_every_stage_counts_from_one(make_trial, capsys, phase, outer, stage):
    """The first trial of each phase, and the first outer fold, are number 1."""
    progress = Progress(resolve_metric("log_loss", "binary"), 60.0, None, time.monotonic())
    progress.trial(make_trial(0, phase=phase, outer=outer, objective=0.5))
    line = capsys.readouterr().err
    assert stage in line
    assert line.endswith("s left\n")


def test_nobody_has_to_read_it(make_trial, monkeypatch):
    """A closed pipe, or a log on a full disk, behind stderr loses no run."""

    def fail(_):
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=fail))
    progress = Progress(resolve_metric("log_loss", "binary"), None, 3, time.monotonic())
    progress.trial(make_trial(0))
    assert progress._count == 1


def test_nobody_hears(monkeypatch, capsys):
    """Without stderr (`2>&-`) the run goes on."""
    with monkeypatch.context() as closed:
        closed.setattr("sys.stderr", None)
        say("told to nobody")
    say("told to somebody")
    assert capsys.readouterr().err == "told to somebody\n"
