"""The gate: what the data says against being tuned on, before any fit. One function a code."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from tuner._records import Finding
from tuner._rows.data import Dataset
from tuner.checks._copies import check_conflicts, check_copies, check_near_copies, find_copies
from tuner.checks._features import drawn_rows, features
from tuner.checks._giveaway import check_giveaway, check_id, check_target_encoded
from tuner.checks._groups import check_groups
from tuner.checks._holdout import CLEAR, SLIGHT, check_holdout, table_drift
from tuner.checks._order import check_future, check_order
from tuner.checks._shape import check_rare, check_standardized
from tuner.exceptions import ChecksFailedError

__all__ = ["CLEAR", "SLIGHT", "check_dataset", "check_holdout", "refuse", "table_drift", "with_copies"]


def with_copies(dataset: Dataset, allow: Collection[str] = ()) -> Dataset:
    """Return the dataset with copies of rows marked, for folds to keep together, unless G001 is allowed."""
    return dataset if "G001" in allow else replace(dataset, copies=find_copies(dataset))


def check_dataset(
    dataset: Dataset, *, allow: Collection[str] = (), slices: tuple[str, ...] = ()
) -> tuple[Finding, ...]:
    """Return what speaks against tuning on these rows, by code.

    Parameters
    ----------
    dataset : Dataset
        All rows that will be tuned on, copies marked by `with_copies`.
    allow : collection of str
        Codes that may stand; only G001 is judged by it here.
    slices : tuple of str
        Columns whose values must not be too rare.
    """
    marked = replace(dataset, copies=find_copies(dataset)) if "G001" in allow else dataset
    columns = tuple(features(dataset))
    rows = drawn_rows(dataset, columns)
    found = (
        check_copies(marked, may_straddle="G001" in allow),
        check_near_copies(dataset, columns),
        check_giveaway(rows),
        check_id(dataset, columns, rows),
        check_groups(dataset, rows),
        check_order(dataset, rows),
        check_future(dataset, columns),
        check_target_encoded(dataset, columns),
        check_standardized(columns),
        check_rare(dataset, slices),
        check_conflicts(dataset),
    )
    return tuple(finding for finding in found if finding is not None)


def refuse(findings: Sequence[Finding], allow: Collection[str]) -> None:
    """Stop where a finding is an error that is not allowed.

    Raises
    ------
    ChecksFailedError
        Naming the findings, and how to go on all the same.
    """
    errors = [finding for finding in findings if finding.severity == "error" and finding.code not in allow]
    if errors:
        raise ChecksFailedError(errors)
