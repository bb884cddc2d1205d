"""What the table's shape says: columns scaled before, classes and slices too rare to judge."""

from __future__ import annotations

import numpy as np

from tuner._records import Finding
from tuner._rows.data import Dataset
from tuner._rows.slices import slice_labels
from tuner._types import FloatArray
from tuner.checks._features import Feature

EXACT = 1e-6
LEAST_VALUES = 10  # a column of few values can have mean 0 and variance 1 by design
WIDEST = 0.2  # half-width of the 95% interval of a class's accuracy
LEAST_ROWS = int(np.ceil((1.96 * 0.5 / WIDEST) ** 2))  # 25: 1.96 * sqrt(.25 / n) <= .2


def check_standardized(columns: tuple[Feature, ...]) -> Finding | None:
    """G010: columns with mean 0 and variance (or length) 1 over exactly these rows."""
    scaled = [column.name for column in columns if column.kind == "numeric" and _is_scaled(column.values)]
    if not scaled:
        return None
    rest = f" and {len(scaled) - 3} more" if len(scaled) > 3 else ""
    return Finding(
        "G010",
        "info",
        f"{len(scaled)} column(s) were standardized over the whole table: held-out rows had a say.",
        f"mean 0 and variance 1 to six digits: {', '.join(scaled[:3])}{rest}",
        "Harmless on large tables; give raw columns where rows are few. Scaling is done inside the folds.",
    )


def _is_scaled(values: FloatArray) -> bool:
    known = values[np.isfinite(values)]
    if len(known) < 2 or len(np.unique(known)) < LEAST_VALUES:
        return False
    length = float(np.sqrt(((known - known.mean()) ** 2).sum()))
    if length == 0 or abs(known.mean()) * np.sqrt(len(known)) > EXACT * length:
        return False
    return any(
        abs(length / unit - 1) <= EXACT for unit in (1.0, np.sqrt(len(known)), np.sqrt(len(known) - 1))
    )


def check_rare(dataset: Dataset, slices: tuple[str, ...]) -> Finding | None:
    """G011: a class or a slice with too few rows to say how well it is predicted."""
    rare = []
    if dataset.task != "regression":
        counts = np.bincount(dataset.y, minlength=dataset.n_classes)
        few = np.flatnonzero(counts < LEAST_ROWS)
        rare += [f"class {dataset.classes[code]!s}: {counts[code]} rows" for code in few]
    for name in slices:
        labels, codes = slice_labels(dataset, name)
        sizes = np.bincount(codes, minlength=len(labels))
        rare += [
            f"`{name}` = {labels[code]}: {sizes[code]} rows" for code in np.flatnonzero(sizes < LEAST_ROWS)
        ]
    if not rare:
        return None
    return Finding(
        "G011",
        "warning",
        "Some classes or slices are too rare to judge: their scores are mostly chance.",
        f"{'; '.join(rare[:3])}; fewer than {LEAST_ROWS} rows leave a rate open by more than {WIDEST:.0%}"
        " to either side",
        "Collect more of them, merge them with others, or read their scores as anecdotes.",
    )
