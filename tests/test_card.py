"""The model card: what went into a run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tuner._metrics.metrics import resolve_metric
from tuner._options.config import TuningConfig
from tuner._options.settings import resolve
from tuner._report.card import describe
from tuner._rows.data import make_dataset, with_log_target


def card_of(X, y, *, metric=None, log_target=False, **roles):
    """Return the card of a run that was not made."""
    dataset = make_dataset(X, y, **roles)
    if log_target:
        dataset = with_log_target(dataset)
    config = TuningConfig(max_trials=7, families=["linear", "lightgbm"], final="bag", random_state=0)
    settings = resolve(config, task=dataset.task, has_time=dataset.time is not None)
    return describe(dataset, resolve_metric(metric, dataset.task), settings)


def test_card_of_a_classification_by_hand():
    """Six rows, two classes, a number, a text and a date; two customers."""
    X = pd.DataFrame(
        {
            "size": [1.0, 2, 3, 4, 5, 6],
            "colour": list("rgrgrg"),
            "day": pd.date_range("2024-01-01", periods=6),
            "same": [1.0] * 6,  # constant: dropped, so not counted
        }
    )
    card = card_of(X, ["no"] * 4 + ["yes"] * 2, groups=list("aaabbb"), metric="roc_auc")
    assert (card.n_rows, card.n_columns) == (6, 3)
    assert card.column_kinds == (("categorical", 1), ("datetime", 1), ("numeric", 1))
    assert card.target == (("no", 4), ("yes", 2))
    assert card.roles == ("2 groups",)
    assert card.families == ("lightgbm", "linear")  # the default's first
    assert (card.final, card.max_trials) == ("bag", 7)
    assert card.natural(0.25) == 0.75
    assert card.loss_name("roc_auc") == "1 - roc_auc"
    assert {"python", "lightgbm", "numpy"} <= {package for package, _ in card.versions}


def test_card_of_a_regression_is_in_the_units_of_the_target():
    """The metric rmsle trains on logarithms; the card shows what was given: 0, 1 and 8, mean 3."""
    y = np.array([0.0, 1.0, 8.0])
    card = card_of(np.arange(6.0).reshape(3, 2), y, metric="rmsle", log_target=True, time=[1, 2, 3])
    assert dict(card.target) == pytest.approx({"minimum": 0, "mean": 3, "maximum": 8})
    assert card.roles == ("time",)
    assert (card.natural(0.25), card.loss_name("rmsle")) == (0.25, "rmsle")
