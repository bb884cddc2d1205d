"""Rows that are there more than once: copies, near copies, and equal rows that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tuner._records import Finding
from tuner._types import FloatArray, IntArray
from tuner.checks._features import Feature, explained, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuner._rows.data import Dataset
    from tuner._rows.table import Table

    Hashes = NDArray[np.uint64]

MAX_CHANCE_ROWS = 20_000
MAX_CHANCE_COLUMNS = 100
SPARSE_PARTS = 32
HASHED_CELLS = 2**18  # at a time: 2 MB, whatever the table's size
LEAST_DISTINCT = 10  # rows; fewer cannot be divided without their copies
NEAR_ROWS, NEAR_QUERIES = 3_000, 1_000
NEAR_CELLS = 400_000  # of the queries: fewer rows of tables wider than 400 columns
QUERIES_AT_ONCE = 50  # their differences to all rows fit a processor's cache
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
    target = _mixed(np.asarray(dataset.y, dtype=np.float64), salt=0)
    whole = _row_hashes(dataset.table) + target
    distinct, codes = np.unique(whole, return_inverse=True)
    if not LEAST_DISTINCT <= len(distinct) < dataset.n_rows:
        return None
    rows = sample(dataset.n_rows, MAX_CHANCE_ROWS, "copies")
    equal, nearly = _equal_pairs(whole[rows]), 0
    for column in _some_columns(dataset.table, rows).T:
        nearly += _equal_pairs(whole[rows] - column) - equal
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
    _, codes, counts = np.unique(_row_hashes(dataset.table), return_inverse=True, return_counts=True)
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
    within a tenth of the fifth's distance has probability 1 - (1 - 0.1^d)^4. Categories and gaps have no
    dimension: the cloud is that of the numbers, and a near copy agrees in all of them, which makes it rarer.

    References
    ----------
    Facco et al. (2017), Estimating the intrinsic dimension of datasets by a minimal neighborhood information.
    """
    rows = sample(dataset.n_rows, NEAR_ROWS, "near")
    _, first = np.unique(_row_hashes(dataset.table, rows), return_index=True)
    rows = rows[np.sort(first)]
    if len(rows) < 50:
        return None
    queries = sample(len(rows), min(NEAR_QUERIES, NEAR_CELLS // len(columns)), "near queries")
    picked = [Feature(each.name, each.kind, each.values[rows]) for each in columns]
    distances, own = _distances(picked, queries), np.arange(len(queries))
    distances[own, queries] = np.inf
    fifth, tenth = np.sqrt(np.partition(distances, (4, 9), axis=1)[:, [4, 9]]).T
    usable = (fifth > 0) & (tenth > fifth)
    if usable.sum() < 50:
        return None
    dimension = np.log(0.5) / np.log(np.median(fifth[usable] / tenth[usable]))
    by_chance = 1 - (1 - NEAR**dimension) ** 4
    kinds = _kinds(picked)
    distances[kinds[queries, None] != kinds] = np.inf
    nearest = np.argmin(distances, axis=1)
    near = np.sqrt(distances[own, nearest]) < NEAR * fifth
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
    """Return squared distances of the queried rows to all in the numbers, in units of their spread."""
    scaled = [_scaled(column.values) for column in columns if column.kind != "categorical"]
    total = np.zeros((len(queries), len(columns[0].values)), dtype=np.float32)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        some, part = queries[start : start + QUERIES_AT_ONCE], total[start : start + QUERIES_AT_ONCE]
        for values in scaled:
            difference = (values[some, None] - values).astype(np.float32)
            difference *= difference
            part += difference
    return total


def _scaled(values: FloatArray) -> FloatArray:
    missing = np.isnan(values)
    if missing.all():
        return np.zeros(len(values))
    spread = np.nanstd(values) or 1.0
    return np.clip(np.where(missing, 0.0, (values - np.nanmean(values)) / spread), -5, 5)


def _kinds(columns: list[Feature]) -> Hashes:
    """Return a hash of every row's categories and of where it has gaps."""
    total = np.zeros(len(columns[0].values), dtype=np.uint64)
    for i, column in enumerate(columns):
        told = column.values if column.kind == "categorical" else np.isnan(column.values).astype(np.float64)
        total += _mixed(told, salt=i + 1)
    return total


def _row_hashes(table: Table, rows: IntArray | None = None) -> Hashes:
    """Return a hash of every row, the sum (modulo 2^64) of those of its cells."""
    every = np.arange(table.n_rows) if rows is None else rows
    return np.concatenate([cells.sum(axis=1) for cells in _cell_hashes(table, every)])


def _some_columns(table: Table, rows: IntArray) -> Hashes:
    """Return the hashes of the cells of at most ``MAX_CHANCE_COLUMNS`` columns."""
    parts = (
        cells[:, sample(cells.shape[1], MAX_CHANCE_COLUMNS, "copied columns")]
        for cells in _cell_hashes(table, rows)
    )
    return np.concatenate(list(parts))


def _cell_hashes(table: Table, rows: IntArray) -> Iterator[Hashes]:
    """Yield the hashes of all cells of some of the rows, shape (some rows, n_columns), in their order."""
    width = table.n_columns
    if table.is_sparse:
        width = SPARSE_PARTS + table.categorical.shape[1] + table.numeric.nnz // table.n_rows
    step = max(1, HASHED_CELLS // width)
    for start in range(0, len(rows), step):
        yield _hashed(table.take(rows[start : start + step]))


def _hashed(table: Table) -> Hashes:
    if not table.is_sparse:
        numbers = np.hstack([table.numeric, table.categorical])
        return _mixed(numbers, salt=np.arange(1, numbers.shape[1] + 1))
    # Zeros hash to 0, so the sum over the stored cells is that over all; columns share ``SPARSE_PARTS`` sums.
    entries = table.numeric.tocoo()
    n_parts = min(SPARSE_PARTS, table.numeric.shape[1])
    hashes = np.zeros((table.n_rows, n_parts), dtype=np.uint64)
    odd = 2 * entries.col.astype(np.uint64) + np.uint64(1)
    cells = _mixed(entries.data.astype(np.float64), salt=1) * odd
    cells[entries.data == 0] = 0
    np.add.at(hashes, (entries.row, entries.col % n_parts), cells)
    return np.hstack([hashes, _mixed(table.categorical, salt=np.arange(2, table.categorical.shape[1] + 2))])


def _mixed(values: FloatArray | IntArray, *, salt: int | IntArray) -> Hashes:
    """Hash numbers to 64 bits; equal ones alike, missing ones too (splitmix64)."""
    clean = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
    bits = np.ascontiguousarray(clean, dtype=np.float64).view(np.uint64)
    bits = bits + np.asarray(salt, dtype=np.uint64) * np.array(0x9E3779B97F4A7C15, dtype=np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = bits ^ (bits >> np.uint64(31))
    return mixed


def _equal_pairs(hashes: Hashes) -> int:
    counts = np.unique(hashes, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())
