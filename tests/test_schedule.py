"""What a scheduled job asks of its file, and how rows are read and scored; whole retunes are in `chaos`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tuner._contest import Contestant, hold_contest, time_blocks
from tuner._contestants import Truth
from tuner._job_file import load_job
from tuner._metrics import METRICS
from tuner._scheduled import read_scheduled
from tuner.exceptions import InputError
from tuner.schedule import check_job, retune_job

MINIMAL = '[job]\nname = "churn"\n[data]\ntrain = "rows.csv"\ntarget = "label"\n'
NAMED = '[tracking]\nuri = "sqlite:///mlflow.db"\nregister_as = "churn"\n'


def write_job(folder: Path, more: str = "", *, label=None) -> Path:
    """Write a job on sixty rows."""
    size = np.random.default_rng(0).normal(size=60)
    rows = pd.DataFrame({"size": size, "label": [0, 1] * 30 if label is None else label})
    rows.to_csv(folder / "rows.csv", index=False)
    path = folder / "job.toml"
    path.write_text(MINIMAL + more, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("more", "key"), [("", "tracking.register_as"), (NAMED, "storage.url")], ids=["no name", "no store"]
)
def test_a_retune_needs_a_registered_model_and_a_store(tmp_path, more, key):
    """The error names the key that is missing and what to write; nothing is left behind."""
    path = write_job(tmp_path, more)
    with pytest.raises(InputError) as caught:
        retune_job(path)
    assert key in caught.value.rule
    assert sorted(each.name for each in tmp_path.iterdir()) == ["job.toml", "rows.csv"]


@pytest.mark.parametrize(
    "more", ['window = "sliding"', "window_rows = 100"], ids=["no size", "a size without a window"]
)
def test_a_window_and_its_size_go_together(tmp_path, more):
    """A sliding window without rows, and rows without a sliding window, are errors."""
    with pytest.raises(InputError, match="window_rows"):
        load_job(write_job(tmp_path, f"[retune]\n{more}\n"))


def test_rows_without_a_label_are_set_apart_and_labels_stay_whole(tmp_path):
    """Ten gaps make floats of the labels 0 and 1; what is left is a binary task on fifty rows."""
    path = write_job(tmp_path, label=[0, 1] * 25 + [None] * 10)
    rows = read_scheduled(load_job(path))
    assert (rows.dataset.task, rows.dataset.n_rows, len(rows.unlabelled)) == ("binary", 50, 10)
    assert rows.dataset.classes.tolist() == [0, 1]


def test_a_check_without_a_champion_is_the_gate_alone(tmp_path):
    """No registry is made by looking for one, and nothing is said of movement."""
    told = check_job(write_job(tmp_path, NAMED)).summary
    assert set(told) == {"status", "checks"}
    assert not (tmp_path / "mlflow.db").exists()


def test_truth_keeps_rows_and_weights_together():
    """Rows 2 and 0, in this order, with their targets and weights."""
    truth = Truth(METRICS["mae"], np.arange(3.0), np.array([1.0, 2.0, 3.0]), ())
    part = truth.take(np.array([2, 0]))
    assert (part.y.tolist(), part.weights.tolist()) == ([2.0, 0.0], [3.0, 1.0])


def test_choosing_when_to_retune_by_the_champions_loss_lets_few_equals_through():
    """Of 400 pairs of equal models only contests are held where the champion looks bad; 2.5% of all are 10.

    The check looks at the rows the contest is decided on: a champion in bad luck there is challenged more
    often. Per call, promotions of equals stay below the contest's own 2.5% all the same.
    """
    generator = np.random.default_rng(11)
    held = promoted = 0
    for _ in range(400):
        signal = generator.normal(size=200)
        y = signal + generator.normal(0, 0.5, 200)
        old, new = (Contestant(signal + generator.normal(0, 1, 200), None, 4) for _ in range(2))
        squares = (old.prediction - y) ** 2
        # The rule of forward windows: the lower end above the promised 1 + .25, here with one sd to spare.
        if squares.mean() - squares.std() / np.sqrt(200) > 1.25:
            held += 1
            contest = hold_contest(METRICS["rmse"], y, None, time_blocks(200), champion=old, challenger=new)
            promoted += contest.promotes
    assert held >= 20
    assert promoted <= 10
