"""Predictions in the words of all labels: codes, unknown labels, permuted columns."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tuner._metrics.metrics import METRICS
from tuner._model import DeliveredRegressor
from tuner._schedule.contestants import Truth, _in_words_of, contestant


def test_a_label_the_model_does_not_know_gets_what_one_row_more_would_give():
    """97 rows and three labels: 1 / 100 for the unknown one, the others shrink to .99."""
    probabilities = _in_words_of(np.array([0.25]), ["a", "b"], ["a", "b", "c"], 97)
    np.testing.assert_allclose(probabilities, [[0.7425, 0.2475, 0.01]])


def test_two_known_labels_stay_one_column():
    """Nothing changes for a model of both labels; in the other order it is the other probability."""
    prediction = np.array([0.2, 0.9])
    np.testing.assert_allclose(_in_words_of(prediction, ["a", "b"], ["a", "b"], 10), prediction)
    np.testing.assert_allclose(_in_words_of(prediction, ["b", "a"], ["a", "b"], 10), 1 - prediction)


@pytest.mark.parametrize(
    ("metric", "log_target", "says", "scored"),
    [
        ("rmsle", False, [0.0, np.e - 1, -2.0], [0.0, 1.0, 0.0]),
        ("rmse", True, [0.0, 1.0, -1.0], [0.0, np.e - 1, 0.0]),
        ("rmsle", True, [0.0, 1.0, -1.0], [0.0, 1.0, -1.0]),
        ("rmse", False, [0.0, 1.0, -1.0], [0.0, 1.0, -1.0]),
    ],
)
def test_predictions_are_brought_to_the_scale_of_the_targets(metric, log_target, says, scored):
    """A champion trained for RMSE is judged by RMSLE, and the other way round; as it would be delivered."""
    blended = SimpleNamespace(
        schema=SimpleNamespace(input_names=(), roles=(), encode=lambda rows: rows),
        predict=lambda _: np.array(says), threshold=None, n_fits=1,
    )  # fmt: skip
    model = DeliveredRegressor(blended, log_target)
    own = contestant(model, 9, pd.DataFrame(index=range(3)), Truth(METRICS[metric], None, ()))
    np.testing.assert_allclose(own.prediction, scored)


def test_rows_sum_to_one():
    """However many labels are unknown."""
    own = np.array([[0.2, 0.5, 0.3]])
    every = _in_words_of(own, ["a", "b", "c"], ["c", "x", "a", "y", "b"], 20)
    assert every.sum() == pytest.approx(1.0)
    assert every[0, 2] / every[0, 0] == pytest.approx(0.2 / 0.3)
