"""Changed copies of table rows, and rows between two rows; named in `TABLE_TRANSFORMS` or by `augmentation`.

A transform takes the copies, a strength above 0, a generator and the training rows to learn spreads and
values from. imbalanced-learn's SMOTE knows no missing values, weights, or rows that new ones come from, so
`minority_rows` is our own, on scikit-learn's neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tuner._rows.columns import MISSING
from tuner._rows.table import Table
from tuner._types import BoolArray, FloatArray, IntArray, Scalar

TableTransform = Callable[[Table, Scalar, np.random.Generator, Table], Table]
QUARTILES_OF_NORMAL = 1.349  # their distance in standard deviations
N_NEIGHBORS = 5
C_MIXUP_WIDTH = 0.5  # of the kernel that picks partners with a similar target, in its standard deviations


def noisy(copies: Table, strength: Scalar, generator: np.random.Generator, rows: Table) -> Table:
    """Add Gaussian noise to numbers, by the robust spread of their column."""
    noise = generator.normal(size=copies.numeric.shape) * float(strength) * spreads(rows.numeric)
    return Table(copies.numeric + noise, copies.categorical)


def swapped(copies: Table, strength: Scalar, generator: np.random.Generator, rows: Table) -> Table:
    """Take a share of the cells from random training rows."""
    parts = []
    for cells, given in ((copies.numeric, rows.numeric), (copies.categorical, rows.categorical)):
        others = generator.integers(0, rows.n_rows, cells.shape)
        taken = given[others, np.arange(cells.shape[1])]
        parts.append(np.where(generator.random(cells.shape) < float(strength), taken, cells))
    return Table(*parts)


def masked(
    copies: Table,
    strength: Scalar,
    generator: np.random.Generator,
    rows: Table,  # noqa: ARG001
) -> Table:
    """Set a share of the cells to missing."""
    hidden = [
        generator.random(cells.shape) < float(strength) for cells in (copies.numeric, copies.categorical)
    ]
    return Table(
        np.where(hidden[0], np.nan, copies.numeric), np.where(hidden[1], MISSING, copies.categorical)
    )


TABLE_TRANSFORMS: dict[str, TableTransform] = {
    "augment_noise": noisy,
    "augment_swap": swapped,
    "augment_mask": masked,
}
"""The transforms by the name of their strength, in the order in which they are applied."""


def spreads(numbers: FloatArray) -> FloatArray:
    """Return each column's distance of quartiles in units of a normal's; 0 for mostly one value."""
    if not numbers.shape[1]:
        return np.zeros(0)
    known = np.where(np.isnan(numbers).all(axis=0), 0.0, numbers)
    first, third = np.nanquantile(known, [0.25, 0.75], axis=0)
    return np.asarray((third - first) / QUARTILES_OF_NORMAL)


@dataclass(frozen=True, eq=False)
class MixedRows:
    """Rows between two training rows.

    Attributes
    ----------
    table : Table
    y : array of shape (n_made,)
    shares : array of shape (n_made,)
        Of the source's weight.
    source : int array of shape (n_made,)
    """

    table: Table
    y: Any
    shares: FloatArray
    source: IntArray


def mixed_rows(
    table: Table, y: Any, alpha: Scalar, generator: np.random.Generator, *, has_classes: bool
) -> MixedRows:
    """Mix every row with another one by a share drawn from Beta(alpha, alpha).

    A mixed label is two rows that share the weight, so every family can fit it. Partners for a number as
    target have similar targets (C-Mixup).
    """
    n_rows = table.n_rows
    share = generator.beta(float(alpha), float(alpha), n_rows)
    source = np.arange(n_rows)
    partner = generator.permutation(n_rows) if has_classes else _similar(y, generator)
    mixed = _between(table, source, partner, share, generator)
    if not has_classes:
        return MixedRows(mixed, share * y + (1 - share) * y[partner], np.ones(n_rows), source)
    twice = mixed.take(np.tile(source, 2))
    both = np.concatenate([source, partner])
    return MixedRows(twice, y[both], np.concatenate([share, 1 - share]), both)


def minority_rows(
    table: Table,
    y: Any,
    strength: Scalar,  # noqa: ARG001 - on or off
    generator: np.random.Generator,
    *,
    has_classes: bool,
) -> MixedRows:
    """Add rows between a row and a neighbour of its class until every class is as frequent as the largest."""
    assert has_classes  # a number as target has no rare class
    counts = np.bincount(y)
    has_numbers = table.numeric.shape[1] > 0
    cells, metric = (_comparable(table), "euclidean") if has_numbers else (table.categorical, "hamming")
    sources, partners = [np.arange(0)], [np.arange(0)]
    for label in np.flatnonzero((counts > 1) & (counts < counts.max())):
        own = np.flatnonzero(y == label)
        n_neighbors = min(N_NEIGHBORS, len(own) - 1)
        neighbors = NearestNeighbors(n_neighbors=n_neighbors + 1, metric=metric).fit(cells[own])
        nearest = neighbors.kneighbors(cells[own], return_distance=False)[:, 1:]
        picked = generator.integers(0, len(own), counts.max() - len(own))
        chosen = nearest[picked, generator.integers(0, n_neighbors, len(picked))]
        sources.append(own[picked])
        partners.append(own[chosen])
    source, partner = np.concatenate(sources), np.concatenate(partners)
    made = _between(table, source, partner, generator.random(len(source)), generator)
    return MixedRows(made, y[source], np.ones(len(source)), source)


def _between(
    table: Table, source: IntArray, partner: IntArray, share: FloatArray, generator: np.random.Generator
) -> Table:
    """Return rows between source (share 1) and partner (share 0); a category is one of theirs."""
    numeric = share[:, None] * table.numeric[source] + (1 - share[:, None]) * table.numeric[partner]
    own: BoolArray = generator.random((len(source), table.categorical.shape[1])) < share[:, None]
    return Table(numeric, np.where(own, table.categorical[source], table.categorical[partner]))


def _similar(y: FloatArray, generator: np.random.Generator) -> IntArray:
    """Draw a partner for each row with probability proportional to exp(-(difference)^2 / 2 width^2)."""
    width = C_MIXUP_WIDTH * float(np.std(y)) or 1.0
    order = np.argsort(y, kind="stable")
    wanted = y + width * generator.normal(size=len(y))  # the kernel, drawn; then the row that is nearest
    return np.asarray(order[np.clip(np.searchsorted(y[order], wanted), 0, len(y) - 1)])


def _comparable(table: Table) -> FloatArray:
    """Return numbers in robust spreads with missing ones in the middle, to measure distances by."""
    scale = spreads(table.numeric)
    middle = np.nanmedian(np.where(np.isnan(table.numeric).all(axis=0), 0.0, table.numeric), axis=0)
    scaled = (table.numeric - middle) / np.where(scale > 0, scale, 1.0)
    return np.asarray(np.nan_to_num(scaled))
