"""Rows of one entity on both sides of a fold: a column that looks like its key, or neighbours that agree."""

from __future__ import annotations

import numpy as np

from tuner._records import Finding
from tuner._rows.data import Dataset
from tuner._types import FloatArray
from tuner.checks._features import Feature, Rows, sample

LEAST_LEVELS, MOST_ROWS_A_LEVEL = 20, 20.0
LEAST_PAIRS = 50
FAR = 50  # rows: as far apart, drift is the same and the entity is another
ALIKE_WITHIN_KEY, ALIKE_IN_ORDER = 0.1, 0.7  # of the difference between entities
LEAST_ALIKE = 3  # columns; one or two go with many a measurement
MOST_OTHERS = 50  # columns a key is compared with
PLACE_COUNTS = 2  # columns: rows that stand together in the table were taken down together
LEAST_ALIKE_SHARE = 0.25  # of the columns, in rows that merely follow each other


def check_groups(dataset: Dataset, rows: Rows) -> Finding | None:
    """G005: no `groups` are given, and rows come in families that agree in many columns at once.

    A key's rows differ less from each other than from those of the next key in order, in many columns. A mere
    measurement does not pass: what goes with it is as alike at the next value. Where the key is not there,
    rows that follow each other agree more than rows ``FAR`` apart, which share any drift. A key is compared
    with ``MOST_OTHERS`` columns at most: of wider tables one that a few columns go with may be missed.
    """
    if dataset.groups is not None:
        return None
    columns = [_ranked(column) for column in rows.features]
    place = np.linspace(0, 1, len(rows.target)) if dataset.time is None else None
    found = {}
    for i, column in enumerate(rows.features):
        others = columns[:i] + columns[i + 1 :]
        picked = sample(len(others), MOST_OTHERS, "others of a key")
        alike = _alike_within(column, [others[j] for j in picked], place)
        if alike >= LEAST_ALIKE:
            found[column.name] = alike, len(np.unique(column.values))
    if found:
        name = max(found, key=lambda each: found[each])  # the finest of those that say as much
        return Finding(
            "G005",
            "warning",
            f"`{name}` looks like the key of an entity with several rows, and no `groups` are given: "
            "random folds test on entities they trained on.",
            f"rows with one value of it are nearly alike in other columns or in their place in the table "
            f"({found[name][0]} signs), and rows with the next value are not",
            f'Give groups=X["{name}"], or what it belongs to, if predictions are about new ones.',
        )
    alike = 0 if place is None else _alike_in_order(columns)  # blocks of time keep neighbours together
    if alike < max(LEAST_ALIKE, LEAST_ALIKE_SHARE * len(columns)):
        return None
    return Finding(
        "G005",
        "warning",
        "Rows that follow each other are alike, as rows of one person, place or event are, "
        "and no `groups` are given.",
        f"in {alike} of {len(columns)} columns consecutive rows differ by less than {ALIKE_IN_ORDER:.0%} of "
        f"what rows {FAR} apart differ by",
        "Give `groups` that name what the rows belong to.",
    )


def _ranked(column: Feature) -> FloatArray:
    """Return codes as they are (negative: compared for equality), numbers as positive ranks."""
    levels, codes = np.unique(column.values, return_inverse=True)
    return -1.0 - codes if column.kind == "categorical" or len(levels) <= 2 else codes / (len(levels) - 1)


def _alike_within(column: Feature, others: list[FloatArray], place: FloatArray | None) -> int:
    """Return how many signs say that rows with one value of the column are one entity's; 0: it is no key."""
    levels, codes, counts = np.unique(column.values, return_inverse=True, return_counts=True)
    n = len(codes)
    if (
        column.kind == "datetime"
        or not LEAST_LEVELS <= len(levels) < n
        or n / len(levels) > MOST_ROWS_A_LEVEL
    ):
        return 0
    # At random within a level: in the table's order whatever follows that order would be alike in it.
    order = np.lexsort((np.random.default_rng(0).random(n), codes))
    same = codes[order][1:] == codes[order][:-1]
    if same.sum() < LEAST_PAIRS or (~same).sum() < LEAST_PAIRS or counts.max() > n / 10:
        return 0

    def is_alike(other: FloatArray) -> bool:
        differences = _differences(other[order], 1)
        between = differences[~same].mean()
        return bool(between > 0 and differences[same].mean() <= ALIKE_WITHIN_KEY * between)

    signs = sum(map(is_alike, others))
    return signs + PLACE_COUNTS * bool(place is not None and is_alike(place))


def _alike_in_order(columns: list[FloatArray]) -> int:
    """Return in how many columns consecutive rows are alike, and rows a little further apart are not."""
    if not columns or len(columns[0]) < 4 * FAR:
        return 0
    alike = 0
    for column in columns:
        near, far = _differences(column, 1).mean(), _differences(column, FAR).mean()
        alike += bool(far > 0 and near <= ALIKE_IN_ORDER * far)
    return alike


def _differences(values: FloatArray, lag: int) -> FloatArray:
    """Return squared differences of rows ``lag`` apart, 0 or 1 for codes."""
    first, second = values[:-lag], values[lag:]
    apart: FloatArray = np.where(first < 0, np.not_equal(first, second), (first - second) ** 2)
    return apart
