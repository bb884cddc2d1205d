"""Processes whose tables can be drawn again and again: what `coverage.py` tunes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

N_IRRELEVANT = 5
ROWS_A_GROUP = 10


@dataclass(frozen=True)
class Sample:
    """Rows of a process; ``groups`` is None where rows are independent."""

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None = None


def null(generator: np.random.Generator, n_rows: int) -> Sample:
    """Labels that have nothing to do with 20 columns: AUC .5, whatever is done."""
    return Sample(generator.normal(size=(n_rows, 20)), generator.integers(0, 2, n_rows))


def logistic_20(generator: np.random.Generator, n_rows: int) -> Sample:
    """Follow a logistic model of 20 columns, five of which matter."""
    return _logistic(generator, n_rows, 20)


def logistic_100(generator: np.random.Generator, n_rows: int) -> Sample:
    """Follow a logistic model of 100 columns, five of which matter."""
    return _logistic(generator, n_rows, 100)


def _logistic(generator: np.random.Generator, n_rows: int, n_columns: int) -> Sample:
    X = generator.normal(size=(n_rows, n_columns))
    signal = X[:, :5] @ np.array([1.0, -0.8, 0.6, -0.4, 0.2])
    return Sample(X, (generator.random(n_rows) < expit(1.2 * signal)).astype(int))


def rare(generator: np.random.Generator, n_rows: int) -> Sample:
    """Follow a weak logistic model of 50 columns, ten of which matter; 6% of the rows are positive."""
    X = generator.normal(size=(n_rows, 50))
    return Sample(X, (generator.random(n_rows) < expit(0.3 * X[:, :10].sum(axis=1) - 3.1)).astype(int))


def friedman_1(generator: np.random.Generator, n_rows: int) -> Sample:
    """Friedman's first function of five of ten uniform columns, and noise of standard deviation 1."""
    X, mean = _friedman(generator, n_rows)
    return Sample(X, mean + generator.normal(size=n_rows))


def heteroscedastic(generator: np.random.Generator, n_rows: int) -> Sample:
    """Friedman's function with noise that a column raises from .2 to 4: few rows carry most of the loss."""
    X, mean = _friedman(generator, n_rows)
    return Sample(X, mean + generator.normal(size=n_rows) * (0.2 + 3.8 * X[:, 5] ** 2))


def _friedman(generator: np.random.Generator, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    X = generator.random((n_rows, 5 + N_IRRELEVANT))
    mean = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    return X, mean


def grouped(generator: np.random.Generator, n_rows: int) -> Sample:
    """Share a level and half of every column among ten rows; new rows are of new groups."""
    groups = np.arange(n_rows) // ROWS_A_GROUP
    n_groups = int(groups.max()) + 1
    X = np.sqrt(0.5) * (generator.normal(size=(n_rows, 10)) + generator.normal(size=(n_groups, 10))[groups])
    level = generator.normal(size=n_groups)[groups]
    signal = X[:, :3] @ np.array([1.0, -0.8, 0.6]) + level
    return Sample(X, (generator.random(n_rows) < expit(signal)).astype(int), groups)


PROCESSES = {
    draw.__name__: draw
    for draw in (null, logistic_20, logistic_100, rare, friedman_1, heteroscedastic, grouped)
}
METRICS = {
    "null": "roc_auc",
    "logistic_20": "log_loss",
    "logistic_100": "log_loss",
    "rare": "average_precision",
    "friedman_1": "rmse",
    "heteroscedastic": "rmse",
    "grouped": "log_loss",
}
