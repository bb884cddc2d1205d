"""Contracts to run on a family or an augmentation of your own: they raise AssertionError where it breaks one.

The families here pass the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tuner._folds.splits import Fold
from tuner._metrics.metrics import resolve_metric
from tuner._rows.columns import MISSING
from tuner._rows.data import make_dataset
from tuner._rows.table import Table
from tuner._trials.bench import training_rows
from tuner._types import FloatArray, Scalar
from tuner.families import Designs, Family, PathFit, TrainingRows

__all__ = ["check_augmentation", "check_family"]

TASKS = ("binary", "multiclass", "regression")
N_ROWS, N_TRAIN, POINTS = 90, 60, 3


def check_family(family: Family, params: Mapping[str, Scalar]) -> None:
    """Check that a family keeps the contract of `tuner.families.Family` on a small table, for every task.

    Parameters
    ----------
    family : Family
    params : mapping of str to scalar
        A complete configuration.

    Raises
    ------
    AssertionError
        If predictions have another shape than the task's, or are no probabilities or not finite; if the seed
        does not decide alone; if a stored model predicts something else than what was scored; or if held-out
        rows were learned from.
    """
    values = family.path_values(params)
    steps = np.diff(values)
    _require(len(values) >= POINTS, f"the path has at least {POINTS} points")
    _require(bool((steps > 0).all() or (steps < 0).all()), "path values rise, or fall, throughout")
    for task in TASKS:
        _check_task(family, params, task)


def _check_task(family: Family, params: Mapping[str, Scalar], task: str) -> None:
    rows = _rows(task)
    fit, held_out, fitted = _walk(family, params, rows)
    columns = (3,) if task == "multiclass" else ()
    _require(held_out.shape == (POINTS, N_ROWS - N_TRAIN, *columns), f"held-out shape for {task}")
    _require(fitted.shape == (POINTS, N_TRAIN, *columns), f"training shape for {task}")
    _require(bool(np.isfinite(held_out).all()), f"finite predictions for {task}")
    if task != "regression":
        _require(bool(((held_out >= 0) & (held_out <= 1)).all()), f"probabilities for {task}")
    if task == "multiclass":
        _require(bool(np.allclose(held_out.sum(axis=2), 1.0)), "probabilities of all classes sum to 1")
    _, again, _ = _walk(family, params, rows)
    _require(np.array_equal(held_out, again), f"the same seed gives the same bits for {task}")
    for point in (POINTS - 1, 0):
        predicted = fit.predictor(point).predict(rows.validation)
        _require(
            np.allclose(predicted, held_out[point], rtol=1e-5), f"the model is what was scored for {task}"
        )
    wild = replace(rows.validation, numeric=rows.validation.numeric * 1e3)
    _, _, other = _walk(family, params, replace(rows, validation=wild, designs=Designs()))
    _require(np.array_equal(fitted, other), f"held-out rows are not learned from for {task}")


def check_augmentation(
    transform: Callable[[Any, Scalar, np.random.Generator, Any], Any],
    copies: FloatArray | Table,
    strength: Scalar,
) -> None:
    """Check that a transform keeps the contract of `tuner._augmentation.images` or `.tables`.

    Parameters
    ----------
    transform : callable
        Takes copies, a strength, a generator and the training rows; returns the changed copies.
    copies : array of shape (n, h, w) or (n, h, w, c), or Table
        At least two images or rows. Numbers of a table may become missing, pixels may not.
    strength : scalar
        Above 0.

    Raises
    ------
    AssertionError
        If the shape changes, values are not finite, nothing or the input itself is changed, a category
        appears that no training row has, or the generator does not decide alone.
    """
    before = tuple(part.copy() for part in _parts(copies))
    changed = _parts(transform(copies, strength, np.random.default_rng(0), copies))
    _require(_same(_parts(copies), before), "the input is left as it was")
    _require([part.shape for part in changed] == [part.shape for part in before], "the shape stays")
    if isinstance(copies, Table):
        _require(not np.isinf(changed[0]).any(), "values are finite or missing")
        _require(
            bool(np.isin(changed[1], [*np.unique(before[1]), MISSING]).all()), "categories are known ones"
        )
    else:
        _require(bool(np.isfinite(changed[0]).all()), "values are finite")
    _require(not _same(changed, before), "a strength above 0 changes something")
    again = _parts(transform(copies, strength, np.random.default_rng(0), copies))
    _require(_same(changed, again), "the generator decides alone")
    other = _parts(transform(copies, strength, np.random.default_rng(1), copies))
    _require(not _same(changed, other), "another generator draws something else")


def _parts(rows: Any) -> tuple[Any, ...]:
    """Return the arrays that rows consist of."""
    return (rows.numeric, rows.categorical) if isinstance(rows, Table) else (np.asarray(rows),)


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(one, other, equal_nan=one.dtype.kind == "f") for one, other in pairs)


def _rows(task: str) -> TrainingRows:
    """Return training and held-out rows of a small table with signal and gaps."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(N_ROWS, 4))
    signal = 2 * X[:, 0] + X[:, 1] + 0.3 * generator.normal(size=N_ROWS)
    X[::7, 2] = np.nan
    n_classes = {"binary": 2, "multiclass": 3}.get(task)
    y = signal if n_classes is None else np.argsort(np.argsort(signal)) * n_classes // N_ROWS
    dataset = make_dataset(X, y)
    fold = Fold(0, 0, np.arange(N_TRAIN), np.arange(N_TRAIN, N_ROWS))
    return training_rows(dataset, fold, resolve_metric(None, dataset.task))


def _walk(
    family: Family, params: Mapping[str, Scalar], rows: TrainingRows
) -> tuple[PathFit, FloatArray, FloatArray]:
    fit = family.start(params, family.prepare(params, rows, seed=0), seed=1)
    held_out, fitted = [], []
    for _ in range(POINTS):
        fit.advance()
        held_out.append(fit.validation_prediction())
        fitted.append(fit.train_prediction())
    return fit, np.array(held_out), np.array(fitted)


def _require(holds: bool, rule: str) -> None:  # noqa: FBT001
    if not holds:
        raise AssertionError(f"Contract broken: {rule}.")
