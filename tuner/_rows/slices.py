"""Slices: how well the rows of each value of a column are predicted by models that did not train on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tuner._records import SliceScore
from tuner._rows.columns import MISSING, N_NUMBERS
from tuner._statistics.intervals import corrected_t
from tuner._types import FloatArray, IntArray
from tuner.exceptions import InputError

if TYPE_CHECKING:
    from tuner._folds.splits import Fold
    from tuner._metrics.metrics import Metric
    from tuner._rows.data import Dataset

MAX_LABELS = 20  # of a column; rarer values share one
MAX_DISTINCT_NUMBERS = 10  # a column of more is cut into quarters
LEVEL = 0.95
LEAST_ROWS = 10  # of a fold, to be judged: the largest of several means over fewer is mostly chance


def check_slices(dataset: Dataset, columns: Sequence[str]) -> None:
    """Refuse names that are no feature columns.

    Raises
    ------
    InputError
        Naming the nearest column.
    """
    known = [column.name for column in dataset.schema.columns]
    for name in columns:
        if name not in known:
            close = get_close_matches(str(name), known, n=1, cutoff=0.0)
            raise InputError(
                "`slices` must name feature columns that vary.", repr(name), f"Did you mean {close[0]!r}?"
            )


def with_slices(dataset: Dataset, columns: Sequence[str], *, n_folds: int) -> Dataset:
    """Return the dataset with the rows of every slice of the columns, to be judged by the worst of them.

    Quarters are cut over all rows, once: they say which rows are scored together, and no fit sees them.

    Raises
    ------
    InputError
        If no slice has rows enough for every fold.
    """
    labelled = [slice_labels(dataset, name) for name in columns]
    masks = np.concatenate([codes == np.arange(len(labels))[:, None] for labels, codes in labelled])
    largest = int(masks.sum(axis=1).max())
    if largest < LEAST_ROWS * n_folds:
        raise InputError(
            f'With `aggregate="worst_slice"` a slice needs at least {LEAST_ROWS} rows in each of '
            f"{n_folds} folds.",
            f"{largest} rows in the largest slice of {', '.join(map(repr, columns))}",
            "Slice by a column of fewer values, lower `n_folds`, or collect more rows.",
        )
    return replace(dataset, slice_masks=masks)


def skipped_slices(dataset: Dataset, folds: Sequence[Fold]) -> tuple[str, ...]:
    """Return a note that counts the slices which are too rare to be judged on some of the folds."""
    if dataset.slice_masks is None:
        return ()
    rare = np.array([dataset.slice_masks[:, fold.test].sum(axis=1) < LEAST_ROWS for fold in folds])
    n_rare = int(rare.any(axis=0).sum())
    if not n_rare:
        return ()
    return (
        f"{n_rare} of {rare.shape[1]} slices have fewer than {LEAST_ROWS} rows in a search fold: "
        f"they do not count there ({int(rare.sum())} times in {len(folds)} folds).",
    )


def slice_labels(dataset: Dataset, name: str) -> tuple[tuple[str, ...], IntArray]:
    """Return the labels of a column's slices and every row's position among them.

    Categories and numbers of few values are slices of their own, at most ``MAX_LABELS``; other numbers and
    dates are cut into quarters of the rows; missing values are a slice.
    """
    values, categories = _column(dataset, name)
    missing = np.isnan(values)
    known = values[~missing]
    levels = np.unique(known)
    if categories is None and len(levels) > MAX_DISTINCT_NUMBERS:
        ends = np.unique(np.quantile(known, (0.25, 0.5, 0.75)))
        ends = ends[ends < known.max()]
        bounds = [known.min(), *ends, known.max()]
        names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(bounds)]
        codes = np.searchsorted(ends, values, side="left")
    else:
        counts = np.unique(known, return_counts=True)[1]
        kept = np.sort(levels[np.argsort(-counts, kind="stable")[:MAX_LABELS]])
        names = [f"{level:g}" if categories is None else categories[int(level)] for level in kept]
        codes = np.searchsorted(kept, values)
        rest = ~missing & ~np.isin(values, kept)
        if rest.any():
            codes[rest] = len(names)
            names.append("other values")
    if missing.any():
        codes[missing] = len(names)
        names.append("missing")
    return tuple(names), codes


def _column(dataset: Dataset, name: str) -> tuple[FloatArray, tuple[str, ...] | None]:
    """Return a column's numbers, or its category codes and their names."""
    numeric = categorical = 0
    for column in dataset.schema.columns:
        if column.name == name and column.kind == "categorical":
            codes = dataset.table.categorical[:, categorical]
            return np.where(codes == MISSING, np.nan, codes), column.categories
        if column.name == name:
            values = dataset.table.numeric[:, [numeric]]
            dense = values.toarray() if dataset.table.is_sparse else values
            return np.asarray(dense, dtype=np.float64).ravel(), None
        categorical += column.kind == "categorical"
        numeric += N_NUMBERS[column.kind]
    raise KeyError(name)


def slice_scores(
    dataset: Dataset,
    metric: Metric,
    folds: Sequence[Fold],
    predictions: Sequence[FloatArray],
    *,
    columns: Sequence[str],
    threshold: float | None,
    simultaneous: bool = False,
) -> tuple[SliceScore, ...]:
    """Score every slice on each fold, then average over folds, never pooled over fold models.

    What it estimates: the loss on such rows of what is delivered, before it averages over folds. The interval
    is a corrected t over the folds in which the slice can be scored. It is wide, and rough, where few can.

    Parameters
    ----------
    folds, predictions : sequences
        Fresh folds and the predictions of their test rows.
    columns : sequence of str
    threshold : float or None
        Decision threshold of the delivered model.
    simultaneous : bool
        Intervals hold for all slices at once (Bonferroni), not one at a time: what the worst of them needs.
    """
    column_of_threshold = 0
    if metric.thresholds is not None and threshold is not None:
        column_of_threshold = metric.thresholds.index(threshold)

    def loss(rows: IntArray, prediction: FloatArray) -> float:
        if not len(rows):
            return np.nan
        y, weights = dataset.targets(rows)
        return float(metric.losses(y, prediction, weights)[0][column_of_threshold])

    share = float(np.mean([len(fold.test) / len(fold.train) for fold in folds]))
    labelled = [(name, *slice_labels(dataset, name)) for name in columns]
    n_claims = sum(len(labels) for _, labels, _ in labelled) if simultaneous else 1
    level = 1 - (1 - LEVEL) / n_claims
    scored = []
    for name, labels, codes in labelled:
        for code, label in enumerate(labels):
            inside = [codes[fold.test] == code for fold in folds]
            parts = list(zip(folds, predictions, inside, strict=True))
            own = [loss(fold.test[mask], predicted[mask]) for fold, predicted, mask in parts]
            others = [
                loss(fold.test[~mask], predicted[~mask]) if fold.repeat == 0 else np.nan
                for fold, predicted, mask in parts
            ]
            interval = corrected_t(own, test_share=share, level=level, squared=metric.squared_scale)
            low, high = metric.natural_ends(interval.low, interval.high)
            scored.append(
                SliceScore(
                    column=name,
                    label=label,
                    n_rows=int((codes == code).sum()),
                    value=metric.natural(interval.value),
                    low=low,
                    high=high,
                    loss=interval.value,
                    excess=tuple(np.subtract(own, others).tolist()),
                )
            )
    return tuple(scored)
