"""The progress line: what stands where a run is."""

from __future__ import annotations

import time

import pytest

from tuner._line.progress import Progress
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
