"""Rows that are there more than once: copies, near copies, and equal rows that disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuner._records import Finding
from tuner._types import FloatArray, IntArray
from tuner.checks._features import Feature, explained, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuner._rows.data import Dataset

    Hashes = NDArray[np.uint64]

MAX_CHANCE_ROWS = 20_000
MAX_CHANCE_COLUMNS = 100
SPARSE_PARTS = 32
LEAST_DISTINCT = 10  # rows; fewer cannot be divided without their copies
NEAR_ROWS, NEAR_QUERIES = 3_000, 1_000
NEAR = 0.1  # of the distance to the fifth neighbour
MATTERS = 0.01  # share of rows


def find_copies(dataset: Dataset) -> IntArray | None:
    """Return a number for every row, the same for copies of each other; None where no row is a copy.

    Equal rows are copies where they are no coincidence. Where columns take few values, rows meet by chance,
    and then many more pairs agree in all columns but one than in all of them. Copies have no such relatives.

    Returns
    -------
    int array of shape (n_rows,) or None
    """
    if dataset.table.n_columns < 2:
        return None
    by_column = _column_hashes(dataset)
    target = _mixed(np.asarray(dataset.y, dtype=np.float64), salt=0)
    whole = by_column.sum(axis=1) + target
    distinct, codes = np.unique(whole, return_inverse=True)
    if not LEAST_DISTINCT <= len(distinct) < dataset.n_rows:
        return None
    rows = sample(dataset.n_rows, MAX_CHANCE_ROWS, "copies")
    equal, nearly = _equal_pairs(whole[rows]), 0
    for column in sample(by_column.shape[1], MAX_CHANCE_COLUMNS, "copied columns"):
        nearly += _equal_pairs(whole[rows] - by_column[rows, column]) - equal
    return codes if nearly <= equal else None


def check_copies(dataset: Dataset, *, may_straddle: bool) -> Finding | None:
    """G001: copies of rows, and whether folds keep them together."""
    copies = dataset.copies
    if copies is None:
        return None
    counts = np.bincount(copies)
    evidence = f"{int((counts - 1).sum())} of {dataset.n_rows} rows repeat another, features and target alike"
    apart = _straddle(dataset, copies)
    if not may_straddle and not apart:
        return Finding(
            "G001",
            "info",
            "Some rows are copies of others; all copies of a row are kept on one side of every fold.",
            evidence,
            "Drop the copies where they are the same observation; keep them where they are many alike.",
        )
    why = "by `groups` or `time`" if apart else "as G001 is allowed"
    return Finding(
        "G001",
        "warning",
        f"Copies of rows lie on both sides of folds, {why}: their scores flatter.",
        evidence,
        "Drop the copies, or give `groups` that hold them together.",
    )


def _straddle(dataset: Dataset, copies: IntArray) -> bool:
    """Whether the groups or times given can part the copies of a row."""
    for role in (dataset.groups, dataset.time):
        if role is not None:
            units = np.unique(role, return_inverse=True)[1]
            return bool(len(np.unique(np.stack([copies, units]), axis=1).T) > copies.max() + 1)
    return False


def check_conflicts(dataset: Dataset) -> Finding | None:
    """G012: rows with equal features and different targets, and the error no model can avoid by it."""
    _, codes, counts = np.unique(_column_hashes(dataset).sum(axis=1), return_inverse=True, return_counts=True)
    if len(counts) == dataset.n_rows:
        return None
    if dataset.task == "regression":
        y = np.asarray(dataset.y, dtype=np.float64)
        means = np.bincount(codes, weights=y) / counts
        differs = ~np.isclose(y, means[codes], rtol=0.0, atol=1e-8 * float(y.std()))
        total, left = float(((y - y.mean()) ** 2).sum()), float(((y - means[codes]) ** 2).sum())
        share, what = 1.0 - explained(total, left), "of the target's variance lies between equal rows"
    else:
        table = np.zeros((len(counts), dataset.n_classes))
        np.add.at(table, (codes, dataset.y), 1)
        best, known = table.max(axis=1).sum(), table.sum(axis=0).max()
        differs = (table.max(axis=1) < counts)[codes]
        errors, blind = dataset.n_rows - best, dataset.n_rows - known
        share, what = errors / blind, "of the errors of always guessing the largest class cannot be avoided"
    if not differs.any():
        return None
    return Finding(
        "G012",
        "warning" if share >= 0.1 else "info",
        "Rows with equal features have different targets: no model can tell them apart.",
        f"{int(differs.sum())} of {dataset.n_rows} rows; {share:.2%} {what}",
        "Check how these rows were labelled, or add a column that tells them apart.",
    )


def check_near_copies(dataset: Dataset, columns: tuple[Feature, ...]) -> Finding | None:
    """G002: rows ten times closer to another than their fifth neighbour, far more often than by chance.

    Around a point of a d-dimensional cloud, (d5 / d10)^d has median 1/2, which gives d, and a first neighbour
    within a tenth of the fifth's distance has probability 1 - (1 - 0.1^d)^4.

    References
    ----------
    Facco et al. (2017), Estimating the intrinsic dimension of datasets by a minimal neighborhood information.
    """
    rows = sample(dataset.n_rows, NEAR_ROWS, "near")
    _, first = np.unique(_column_hashes(dataset)[rows].sum(axis=1), return_index=True)
    rows = rows[np.sort(first)]
    if len(rows) < 50:
        return None
    queries = sample(len(rows), NEAR_QUERIES, "near queries")
    distances = _distances([Feature(each.name, each.kind, each.values[rows]) for each in columns], queries)
    distances[np.arange(len(queries)), queries] = np.inf
    nearest = np.argmin(distances, axis=1)
    ordered = np.sqrt(np.partition(distances, (0, 4, 9), axis=1)[:, [0, 4, 9]])
    usable = (ordered[:, 1] > 0) & (ordered[:, 2] > ordered[:, 1])
    if usable.sum() < 50:
        return None
    dimension = np.log(0.5) / np.log(np.median(ordered[usable, 1] / ordered[usable, 2]))
    by_chance = 1 - (1 - NEAR**dimension) ** 4
    near = (ordered[:, 0] < NEAR * ordered[:, 1]) & np.isfinite(ordered[:, 0])
    if dataset.groups is not None:  # relatives within a group stay together
        groups = dataset.groups[rows]
        near &= groups[queries] != groups[nearest]
    expected = by_chance * len(queries)
    if near.mean() < MATTERS or near.sum() < 5 + expected + 4 * np.sqrt(expected):
        return None
    return Finding(
        "G002",
        "warning",
        "Rows have near copies: a fold's model has seen what it is tested on.",
        f"{near.mean():.1%} of rows are ten times closer to another row than to their fifth neighbour; "
        f"{by_chance:.1%} would be by chance",
        "Give `groups` that name what the rows are taken from, such as the patient or the machine.",
    )


def _distances(columns: list[Feature], queries: IntArray) -> FloatArray:
    """Return squared distances of the queried rows to all, numbers in units of their spread."""
    total = np.zeros((len(queries), len(columns[0].values)), dtype=np.float32)
    for column in columns:
        values = column.values
        missing = np.isnan(values)
        if column.kind == "categorical":
            codes = np.where(missing, -1, values)
            total += np.not_equal(codes[queries, None], codes)
            continue
        if missing.all():
            continue
        spread = np.nanstd(values)
        scaled = np.clip(np.where(missing, 0.0, (values - np.nanmean(values)) / (spread or 1.0)), -5, 5)
        difference = (scaled[queries, None] - scaled).astype(np.float32)
        total += difference * difference
        if missing.any():
            total += np.not_equal(missing[queries, None], missing)
    return total


def _column_hashes(dataset: Dataset) -> Hashes:
    """Return a hash of every cell, shape (n_rows, n_columns); a row's is their sum (modulo 2^64)."""
    table = dataset.table
    if not table.is_sparse:
        numbers = np.hstack([table.numeric, table.categorical])
        return np.stack([_mixed(column, salt=i + 1) for i, column in enumerate(numbers.T)], axis=1)
    # Zeros hash to 0, so the sum over the stored cells is that over all; columns share ``SPARSE_PARTS`` sums.
    entries = table.numeric.tocoo()
    n_parts = min(SPARSE_PARTS, table.numeric.shape[1])
    hashes = np.zeros((dataset.n_rows, n_parts), dtype=np.uint64)
    odd = 2 * entries.col.astype(np.uint64) + np.uint64(1)
    cells = _mixed(entries.data.astype(np.float64), salt=1) * odd
    cells[entries.data == 0] = 0
    np.add.at(hashes, (entries.row, entries.col % n_parts), cells)
    codes = [_mixed(column.astype(np.float64), salt=i + 2) for i, column in enumerate(table.categorical.T)]
    return np.column_stack([hashes, *codes])


def _mixed(values: FloatArray, *, salt: int) -> Hashes:
    """Hash floats to 64 bits; equal numbers alike, missing ones too (splitmix64)."""
    clean = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
    bits = np.ascontiguousarray(clean, dtype=np.float64).view(np.uint64)
    bits = bits + np.uint64((salt * 0x9E3779B97F4A7C15) % 2**64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = bits ^ (bits >> np.uint64(31))
    return mixed


def _equal_pairs(hashes: Hashes) -> int:
    counts = np.unique(hashes, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())
