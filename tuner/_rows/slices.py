"""Slices: the rows of each value of a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import pairwise

import numpy as np

from tuner._rows.data import LEAST_ROWS, Dataset
from tuner._types import FloatArray, IntArray
from tuner.exceptions import InputError

MAX_LABELS = 20  # of a column; rarer values share one
MAX_DISTINCT_NUMBERS = 10  # a column of more is cut into quarters


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


def slice_labels(dataset: Dataset, name: str) -> tuple[tuple[str, ...], IntArray]:
    """Return the labels of a column's slices and every row's position among them.

    Categories and numbers of few values are slices of their own, at most ``MAX_LABELS``; other numbers and
    dates are cut into quarters of the rows; missing values are a slice.
    """
    column, place = next(each for each in dataset.schema.places() if each[0].name == name)
    values = dataset.table.vector(column, place)
    is_category = column.kind == "categorical"
    missing = np.isnan(values)
    known = values[~missing]
    levels = np.unique(known)
    if not is_category and len(levels) > MAX_DISTINCT_NUMBERS:
        ends = np.unique(np.quantile(known, (0.25, 0.5, 0.75)))
        ends = ends[ends < known.max()]
        bounds = [known.min(), *ends, known.max()]
        ends_in_words = _in_words(bounds, is_date=column.kind == "datetime")
        names = [f"{low} to {high}" for low, high in pairwise(ends_in_words)]
        codes = np.searchsorted(ends, values, side="left")
    else:
        counts = np.unique(known, return_counts=True)[1]
        kept = np.sort(levels[np.argsort(-counts, kind="stable")[:MAX_LABELS]])
        names = (
            [column.categories[int(level)] for level in kept]
            if is_category
            else _in_words(kept, is_date=column.kind == "datetime")
        )
        codes = np.searchsorted(kept, values)
        rest = ~missing & ~np.isin(values, kept)
        if rest.any():
            codes[rest] = len(names)
            names.append("other values")
    if missing.any():
        codes[missing] = len(names)
        names.append("missing")
    return tuple(names), codes


def _in_words(values: FloatArray | Sequence[float], *, is_date: bool) -> list[str]:
    """Return numbers or days since 1970 in words: days, minutes or digits, as many as tell them apart."""
    if is_date:
        days = np.floor(values).astype("datetime64[D]")
        minutes = np.floor(np.multiply(values, 1440)).astype("datetime64[m]")
        return [str(each) for each in (days if len(set(days)) == len(days) else minutes)]
    short = [f"{value:.4g}" for value in values]
    return short if len(set(short)) == len(short) else [f"{value:.15g}" for value in values]
