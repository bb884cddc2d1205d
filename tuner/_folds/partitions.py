"""Partitions of the rows: shuffled, dealt by group or cut in time, and forward windows over such cuts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Literal

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from tuner._rows.data import Dataset
from tuner._seeds import child_seed
from tuner._types import FloatArray, IntArray

_Purpose = Literal["choosing", "fresh", "reporting"]

# Spread (sd of the log) of the order in which groups are dealt: big groups still go first, roughly.
_DEALING_NOISE = 0.5


def draws(dataset: Dataset, n_folds: int, purpose: _Purpose, seed: int) -> Iterator[IntArray]:
    """Yield one candidate repeat after another, each as the fold number of every row."""
    if dataset.time is not None:
        yield from _blocks(_time_order(dataset.time, dataset.groups), n_folds, purpose)
        return
    n_units = dataset.n_rows if dataset.units is None else np.unique(dataset.units).size
    for draw in [0] if n_units == n_folds else count():  # one unit a fold: every seed gives the same
        yield _shuffled(dataset, n_folds, child_seed(seed, purpose, draw))


def _shuffled(dataset: Dataset, n_folds: int, seed: int) -> IntArray:
    """Return the fold number of every row, drawn from the seed; copies of a row go together."""
    if dataset.groups is None and dataset.copies is not None:
        _, first, copy_of = np.unique(dataset.copies, return_index=True, return_inverse=True)
        order = np.argsort(first)  # the rows that are left once copies are dropped, in their order
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        return _shuffled(replace(dataset.take(first[order]), copies=None), n_folds, seed)[place[copy_of]]
    if dataset.groups is not None and dataset.task != "regression":
        return _dealt_groups(dataset.groups, dataset.y, n_folds, seed)
    rows = np.zeros((dataset.n_rows, 1))
    if dataset.groups is not None:
        splits = GroupKFold(n_folds, shuffle=True, random_state=seed).split(rows, groups=dataset.groups)
    elif dataset.task == "regression":
        splits = KFold(n_folds, shuffle=True, random_state=seed).split(rows)
    else:
        strata = _strata(dataset.y, n_folds)
        splits = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, strata)
    fold_of = np.empty(dataset.n_rows, dtype=np.intp)
    for index, (_, test) in enumerate(splits):
        fold_of[test] = index
    return fold_of


def _strata(y: IntArray, n_folds: int) -> IntArray:
    """Return the classes, those with fewer rows than folds merged into the most frequent one."""
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    return np.where(counts[codes] < n_folds, counts.argmax(), codes)


def _dealt_groups(groups: IntArray, y: IntArray, n_folds: int, seed: int) -> IntArray:
    """Deal whole groups to folds, each to the fold that has least of the classes it brings.

    scikit-learn's StratifiedGroupKFold shuffles ties only: where groups differ in their class counts,
    every seed gives the same partition and no repeat would be fresh. Here the order is random, large
    groups first on the whole. Empty folds are filled first, so none stays empty.
    """
    _, classes = np.unique(y, return_inverse=True)
    _, members = np.unique(groups, return_inverse=True)
    rows = np.zeros((members.max() + 1, classes.max() + 1))
    np.add.at(rows, (members, classes), 1)
    shares = rows / rows.sum(axis=0)
    rng = np.random.default_rng(seed)
    noise = rng.lognormal(sigma=_DEALING_NOISE, size=len(rows))
    load = np.zeros((n_folds, rows.shape[1]))
    fold_of_group = np.empty(len(rows), dtype=np.intp)
    for group in np.argsort(-rows.sum(axis=1) * noise, kind="stable"):
        # Adding s to load L raises the sum of squares over folds by 2 L.s + s.s: the least L.s is best.
        fold = np.lexsort((load.sum(axis=1), load @ shares[group]))[0]
        load[fold] += shares[group]
        fold_of_group[group] = fold
    return fold_of_group[members]


def _blocks(place: IntArray, n_folds: int, purpose: _Purpose) -> Iterator[IntArray]:
    """Yield contiguous blocks in time, boundaries shifted more finely from repeat to repeat."""
    sizes = np.bincount(place)
    for shift in _shifts(purpose):
        first = 0 if shift else 1  # unshifted, the boundary at 0 is the edge of the data
        fractions = [(j + shift) / n_folds for j in range(first, n_folds)]
        if len(fractions) < sizes.size:
            yield _cut(sizes, fractions)[place]


def _shifts(purpose: _Purpose) -> Iterator[float]:
    """Yield shifts in units of a block: 0 (choosing) or 1/2 (fresh) first, then 1/4, 3/4, 1/8, ..."""
    yield 0.0 if purpose == "choosing" else 0.5
    for denominator in (4, 8, 16, 32):
        for numerator in range(1, denominator, 2):
            yield numerator / denominator


def _cut(sizes: IntArray, fractions: list[float]) -> IntArray:
    """Return the block of each unit: cut nearest to these fractions of the rows, no block empty."""
    starts = np.cumsum(sizes) - sizes
    cuts: list[int] = []
    for left, fraction in zip(range(len(fractions), 0, -1), fractions, strict=True):
        nearest = int(np.abs(starts - fraction * sizes.sum()).argmin())
        lowest = cuts[-1] + 1 if cuts else 1
        cuts.append(min(max(nearest, lowest), sizes.size - left))
    return np.searchsorted(cuts, np.arange(sizes.size), side="right")


def _time_order(time: FloatArray, groups: IntArray | None) -> IntArray:
    """Return each row's place in time: that of its timestamp or, with groups, of its group."""
    if groups is None:
        _, place_of_row = np.unique(time, return_inverse=True)
        return np.asarray(place_of_row, dtype=np.intp)
    members, medians = _group_medians(time, groups)
    place = np.empty(medians.size, dtype=np.intp)
    place[np.argsort(medians, kind="stable")] = np.arange(medians.size)
    return place[members]


def _group_medians(time: FloatArray, groups: IntArray) -> tuple[IntArray, FloatArray]:
    """Return each row's group, numbered from 0, and each group's median time."""
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    ordered = time[np.lexsort((time, members))]
    starts = np.cumsum(sizes) - sizes
    low, high = ordered[starts + (sizes - 1) // 2], ordered[starts + sizes // 2]
    return members, low + (high - low) / 2


def windows(time: FloatArray, groups: IntArray | None, n_folds: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the train and test rows of forward windows; a part can be empty where groups overlap in time."""
    place = _time_order(time, groups)
    fractions = [j / (n_folds + 1) for j in range(1, n_folds + 1)]
    block = _cut(np.bincount(place), fractions)[place]
    placed_at = time
    if groups is not None:
        members, medians = _group_medians(time, groups)
        placed_at = medians[members]
    for index in range(n_folds):
        boundary = placed_at[block == index + 1].min()
        train = np.flatnonzero((block <= index) & (time < boundary))
        test = np.flatnonzero((block == index + 1) & (time >= boundary))
        yield train, test
