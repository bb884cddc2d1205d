"""The optimism table: chance by hand, and the lines of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_wine

from tuner import TuningConfig, tune
from tuner._claims.optimism import OptimismTable, ScoreRow, chance_loss, score_texts
from tuner._metrics.metrics import resolve_metric
from tuner._rows.data import make_dataset


@pytest.mark.parametrize(
    ("metric", "y", "loss"),
    [
        ("roc_auc", [0, 0, 0, 1], 0.5),  # a constant orders nothing
        ("accuracy", [0, 0, 0, 1], 0.25),  # always the larger class
        ("brier", [0, 0, 0, 1], 0.1875),  # 3/4 * 1/16 + 1/4 * 9/16
        ("average_precision", [0, 0, 0, 1], 0.75),  # precision 1/4
        ("rmse", [0.0, 0.0, 0.0, 4.0], 3**0.5),  # mean 1: (1 + 1 + 1 + 9) / 4
        ("mae", [0.0, 0.0, 0.0, 4.0], 1.0),  # median 0
        ("r2", [0.0, 0.0, 0.0, 4.0], 1.0),
    ],
)
def test_chance_by_hand(metric, y, loss):
    """The loss of the best constant, for four rows."""
    y = np.repeat(y, 2)
    dataset = make_dataset(np.arange(8.0)[:, None], y)
    assert chance_loss(dataset, resolve_metric(metric, dataset.task)) == pytest.approx(loss)


def test_chance_counts_weights():
    """Weights 3 and 1 on targets 0 and 4 are the rows of the case above."""
    dataset = make_dataset(np.arange(2.0)[:, None], np.array([0.0, 4.0]), sample_weight=[3.0, 1.0])
    assert chance_loss(dataset, resolve_metric("rmse", "regression")) == pytest.approx(3**0.5)
    assert chance_loss(dataset, resolve_metric("mae", "regression")) == pytest.approx(1.0)


def test_chance_of_the_worst_slice():
    """Targets 0 (30 rows) and 4 (10): the mean 1 is wrong by 3 on the rarer ones, the median 0 by 4."""
    y = np.repeat([0.0, 4.0], [30, 10])
    dataset = replace(make_dataset(np.arange(40.0)[:, None], y), slice_masks=np.array([y == 0, y == 4]))
    assert chance_loss(dataset, resolve_metric("rmse", "regression")) == pytest.approx(3.0)
    assert chance_loss(dataset, resolve_metric("mae", "regression")) == pytest.approx(4.0)


def test_the_table_is_aligned_text():
    """One line a score, the interval where there is a claim."""
    table = OptimismTable(
        "roc_auc", (ScoreRow("search folds", 0.9, 0.1), ScoreRow("estimate", 0.85, 0.15, 0.8, 0.9))
    )
    assert str(table).splitlines() == [
        "              roc_auc",
        "search folds  0.9000",
        "estimate      0.8500  [0.8000, 0.9000]",
    ]
    assert table.line() == "search folds 0.9000; estimate 0.8500"


@pytest.mark.parametrize("estimate", ["nested", None])
def test_a_run_tells_its_scores(estimate):
    """The table holds what was measured: with an estimate five lines, without three."""
    X, y = load_wine(return_X_y=True)
    config = TuningConfig(
        max_trials=2, time_budget=None, families=["linear"], estimate=estimate, outer_folds=3, n_folds=3,
        tracking=False, verbose=0, random_state=0,
    )  # fmt: skip
    result = tune(X, y, config=config)
    rows = {row.label: row for row in result.optimism_table.rows}
    claims = ["estimate", "default"] if estimate else []
    assert list(rows) == ["search folds", "fresh folds", *claims, "chance"]
    assert rows["fresh folds"].loss == result.selection_loss
    assert rows["chance"].loss == pytest.approx(-(np.bincount(y) / 178 * np.log(np.bincount(y) / 178)).sum())
    if estimate:
        assert rows["estimate"].value == result.estimate.value
    assert "search folds" in str(result)


def test_tiny_scores_keep_their_digits():
    """Four decimals, as far as these say something: a target in millionths has none left."""
    assert score_texts(0.0788, 0.0, 0.1812) == ["0.0788", "0.0000", "0.1812"]
    assert score_texts(3.21e-6, 2.5e-6, 4e-6) == ["3.21e-06", "2.5e-06", "4e-06"]
    assert score_texts(0.0, 0.0, 0.01) == ["0.0000", "0.0000", "0.0100"]


def test_no_score_is_called_fresh_where_folds_were_not():
    """Three groups make three folds, whatever the seed: finalists meet those of the search again."""
    X, y = load_wine(return_X_y=True)
    config = TuningConfig(
        families=("linear",), max_trials=2, time_budget=None, n_folds=3, estimate=None, random_state=0,
        n_jobs=1, tracking=False, verbose=0,
    )  # fmt: skip
    result = tune(X, y, groups=np.arange(len(y)) % 3, config=config)
    labels = [row.label for row in result.optimism_table.rows]
    assert labels == ["search folds", "search folds again", "chance"]
    assert any("Fresh folds could not be used" in note for note in result.notes)
