"""Predictions in the words of all labels: codes, unknown labels, permuted columns."""

from __future__ import annotations

import numpy as np
import pytest

from tuner._schedule.contestants import _in_words_of


def test_a_label_the_model_does_not_know_gets_what_one_row_more_would_give():
    """97 rows and three labels: 1 / 100 for the unknown one, the others shrink to .99."""
    probabilities = _in_words_of(np.array([0.25]), ["a", "b"], ["a", "b", "c"], 97)
    np.testing.assert_allclose(probabilities, [[0.7425, 0.2475, 0.01]])


def test_two_known_labels_stay_one_column():
    """Nothing changes for a model of both labels; in the other order it is the other probability."""
    prediction = np.array([0.2, 0.9])
    np.testing.assert_allclose(_in_words_of(prediction, ["a", "b"], ["a", "b"], 10), prediction)
    np.testing.assert_allclose(_in_words_of(prediction, ["b", "a"], ["a", "b"], 10), 1 - prediction)


def test_rows_sum_to_one():
    """However many labels are unknown."""
    own = np.array([[0.2, 0.5, 0.3]])
    every = _in_words_of(own, ["a", "b", "c"], ["c", "x", "a", "y", "b"], 20)
    assert every.sum() == pytest.approx(1.0)
    assert every[0, 2] / every[0, 0] == pytest.approx(0.2 / 0.3)
