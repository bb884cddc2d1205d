"""Whether the world has moved since a version was made: its rows against newer ones. One function a code.

A finding of severity "info" explains; a warning or an error says that the rows have moved. Each of them is
an effect of some size, beyond the noise of its interval; no p-value decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tuner._movement.column_drift import ColumnDrift, by_column, is_readable, told_apart
from tuner._movement.promise import LEVEL, check_loss, explain_loss, is_measured
from tuner._movement.reference import ColumnFacts, Reference
from tuner._records import Finding
from tuner._rows.columns import Column
from tuner._statistics.intervals import Interval, wilson
from tuner.checks import CLEAR, SLIGHT

MORE_UNSEEN = 0.05  # of the rows, beyond what was to be expected
OTHER_MISSING = 0.10  # of the rows
FEW = 0.01  # of the rows; less is not worth a word
# Unseen rows, as a share of those the champion was fitted on. What a model loses for want of rows falls about
# as n**-.5, by 5% with a tenth more rows: some 1% of the loss where a fifth of it is due to few rows. A
# contest counts 1% as equal; fewer rows bring less than anybody could see.
GROWN = 0.1
SHOWN = 3


@dataclass(frozen=True, eq=False)
class Movement:
    """What moved between a version's training rows and newer ones.

    Attributes
    ----------
    findings : tuple of Finding
        By code; M001, ...
    auc : Interval or None
        Of the classifier that tells new rows from old ones; .5 would be alike.
    loss, promised : Interval or None
        The champion's loss on the new rows, and what its estimate promised (lower is better).
    columns : tuple of ColumnDrift
        Those that tell most first.
    n_new_rows, n_late_rows, n_unlabelled : int
        Rows with labels the champion has not seen (with ``time``: later than it), those it did not know as
        their labels came late, and rows without labels.
    is_judged : bool
        There were new rows enough to judge.
    """

    findings: tuple[Finding, ...] = ()
    auc: Interval | None = None
    loss: Interval | None = None
    promised: Interval | None = None
    columns: tuple[ColumnDrift, ...] = ()
    n_new_rows: int = 0
    n_late_rows: int = 0
    n_unlabelled: int = 0
    is_judged: bool = True

    @property
    def moved(self) -> bool:
        """Whether a finding says so."""
        return any(finding.severity != "info" for finding in self.findings)

    @property
    def can_predict(self) -> bool:
        """Whether the champion takes the rows: columns that it cannot read are an error (M003)."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def has_grown(self) -> bool:
        """Whether there are rows enough that the champion was not fitted on: M008."""
        return any(finding.code == "M008" for finding in self.findings)


def measure_movement(
    reference: Reference,
    features: pd.DataFrame,
    *,
    loss: Interval | None = None,
    promised: Interval | None = None,
    new_labels: Sequence[str] = (),
    age_days: float = 0.0,
    max_age_days: float | None = None,
    schema: Sequence[Finding] = (),
    seed: int = 0,
    min_rows: int = 0,
    n_new_rows: int,
    n_late_rows: int = 0,
    n_unlabelled: int = 0,
) -> Movement:
    """Judge new rows against what a version remembers.

    Parameters
    ----------
    reference : Reference
    features : DataFrame
        Rows the version has not seen, as the table holds them.
    loss : Interval or None
        The version's loss on them; None where there are no labels or it cannot predict.
    promised : Interval or None
        What its estimate says in the same metric.
    new_labels : sequence of str
        Labels of the new rows that the version does not know.
    age_days, max_age_days : float
    schema : sequence of Finding
        What `check_schema` says of all rows.
    seed : int
        Of the classifier that tells rows apart.
    min_rows : int
        Of fewer new rows with labels there is no growth: nobody could judge what is fitted on them.
    n_new_rows, n_late_rows, n_unlabelled : int
        As in `Movement`.
    """
    readable = [facts for facts in reference.columns if is_readable(facts, features)]
    auc, shares = told_apart(reference, features, readable, seed)
    columns = by_column(reference, features, readable, shares)
    shifts = (
        _check_categories(readable, columns, len(features)),
        _check_missing(reference.n_rows, columns, len(features)),
        _check_range(reference.n_rows, columns, len(features)),
    )
    loss_decides = loss is not None and promised is not None and is_measured(loss)
    found = (
        check_loss(loss, promised, is_forward=reference.promises_windows) or explain_loss(loss, promised),
        _check_rows(auc, columns, loss_decides=loss_decides),
        *schema,
        *_check_labels(new_labels),
        *(_explaining(shift) if loss_decides else shift for shift in shifts),
        _check_age(age_days, max_age_days),
        _check_growth(n_new_rows, n_late_rows, reference.n_rows) if n_new_rows >= min_rows else None,
    )
    return Movement(
        findings=tuple(finding for finding in found if finding is not None),
        auc=auc,
        loss=loss,
        promised=promised,
        columns=columns,
        n_new_rows=n_new_rows,
        n_late_rows=n_late_rows,
        n_unlabelled=n_unlabelled,
    )


def _explaining(shift: Finding | None) -> Finding | None:
    """Let a shift of columns explain: where the loss can be held against its promise, the loss decides."""
    return None if shift is None else replace(shift, severity="info")


def _check_rows(
    auc: Interval | None, columns: Sequence[ColumnDrift], *, loss_decides: bool
) -> Finding | None:
    """M002: new rows can be told from the training rows, more than a little."""
    if auc is None or auc.low <= SLIGHT:
        return None
    telling = [each for each in columns if each.share is not None][:SHOWN]
    names = ", ".join(f"`{each.name}` ({each.share:.0%})" for each in telling)
    return Finding(
        "M002",
        "warning" if auc.low > CLEAR and not loss_decides else "info",
        f"New rows differ from the champion's training rows, mostly in {names}.",
        f"a classifier tells them apart with AUC {auc.value:.3f}, "
        f"{LEVEL:.0%} interval [{auc.low:.3f}, {auc.high:.3f}]; .5 would be alike",
        "Look at these columns; tune again if the change is there to stay, drop ids and clocks.",
    )


def check_schema(
    reference: Reference, features: pd.DataFrame, columns: Sequence[Column]
) -> Iterator[Finding]:
    """M003: columns that went, came or changed their kind.

    Parameters
    ----------
    reference : Reference
    features : DataFrame
        All rows as the table holds them, not the new ones alone: a refit would be fitted on all of them.
    columns : sequence of Column
        How they are read now.
    """
    there = [str(name) for name in features.columns]
    missing = [each.name for each in reference.columns if each.name not in there]
    unreadable = [
        each.name for each in reference.columns if each.name in there and not is_readable(each, features)
    ]
    new = [name for name in there if name not in reference.inputs]
    if missing or unreadable:
        yield Finding(
            "M003",
            "error",
            "The champion cannot predict the rows: columns are gone or changed their kind.",
            "; ".join(
                f"{what}: {_listed(names)}"
                for what, names in (("gone", missing), ("of another kind", unreadable))
                if names
            ),
            "Bring the columns back, or tune again without them.",
        )
    kinds = {each.name: each.kind for each in columns if each.name not in unreadable}
    turned = [each.name for each in reference.columns if kinds.get(each.name, each.kind) != each.kind]
    if turned:
        now = ", ".join(sorted({kinds[name] for name in turned}))
        yield Finding(
            "M003",
            "warning",
            "Columns are of another kind than those the champion was trained on.",
            f"{now} by now: {_listed(turned)}",
            "Look for a cell that is unlike all others, a text among numbers; mend it, or tune again."
            if "categorical" in now
            else "Tune again: `tuner retune`.",
        )
    if new:
        yield Finding(
            "M003",
            "info",
            "There are columns the champion does not know.",
            f"new: {_listed(new)}",
            "The next version will use them.",
        )


def _check_labels(new_labels: Sequence[str]) -> Iterator[Finding]:
    """M003 as well: labels the version can never say."""
    if new_labels:
        yield Finding(
            "M003",
            "warning",
            "New rows have labels the champion does not know.",
            f"new: {_listed(list(new_labels))}",
            "Tune again on rows that have them.",
        )


def _check_categories(
    readable: Sequence[ColumnFacts], columns: Sequence[ColumnDrift], n_new: int
) -> Finding | None:
    """M004: categories that no training row has, more than the single ones among these let expect."""
    expected = {each.name: each.unseen for each in readable if each.kind == "categorical"}
    shares = {
        each.name: each.outside
        for each in columns
        if each.name in expected and wilson(each.outside, n_new).low > expected[each.name]
    }
    much = [n for n, share in shares.items() if wilson(share, n_new).low > expected[n] + MORE_UNSEEN]
    return _about_columns("M004", "New rows have categories the champion does not know", shares, much,
                          "of the new rows; more than rare categories let expect")  # fmt: skip


def _check_missing(n_before: int, columns: Sequence[ColumnDrift], n_new: int) -> Finding | None:
    """M005: values are missing more, or less, often than they were."""
    changes: dict[str, float] = {}
    much = []
    for each in columns:
        change = each.missing_now - each.missing_before
        before, now = wilson(each.missing_before, n_before), wilson(each.missing_now, n_new)
        # Newcombe's interval of a difference, its end nearer to 0
        nearer = abs(change) - (
            np.hypot(now.value - now.low, before.high - before.value)
            if change > 0
            else np.hypot(now.high - now.value, before.value - before.low)
        )
        if nearer > 0:
            changes[each.name] = change
            if nearer > OTHER_MISSING:
                much.append(each.name)
    return _about_columns("M005", "Values are missing more or less often than they were", changes, much,
                          "more of the new rows than of the training rows")  # fmt: skip


def _check_range(n_before: int, columns: Sequence[ColumnDrift], n_new: int) -> Finding | None:
    """M006: numbers below the smallest or above the largest one of the training rows."""
    expected = 2 / (n_before + 1) + FEW  # so often a new row is the smallest or largest of all
    seen = [each for each in columns if each.kind == "numeric" and each.share is not None]
    shares = {each.name: each.outside for each in seen if wilson(each.outside, n_new).low > expected}
    much = [name for name, share in shares.items() if wilson(share, n_new).low > MORE_UNSEEN]
    return _about_columns("M006", "Numbers lie outside the range of the training rows", shares, much,
                          "of the new rows; trees say the same for all of them")  # fmt: skip


def _check_age(age_days: float, max_age_days: float | None) -> Finding | None:
    """M007: the version is older than the job wants."""
    if max_age_days is None or age_days <= max_age_days:
        return None
    return Finding(
        "M007",
        "warning",
        "The champion is older than the job wants.",
        f"{age_days:.1f} days, at most {max_age_days:g}",
        "Tune again: `tuner retune`.",
    )


def _check_growth(n_new: int, n_late: int, n_fitted: int) -> Finding | None:
    """M008: there are rows the champion was not fitted on, enough for the same configurations to gain by."""
    n_more = n_new + n_late
    if n_more < GROWN * n_fitted:
        return None
    return Finding(
        "M008",
        "info",
        "There are rows the champion was not fitted on.",
        f"{n_more} rows, {n_more / n_fitted:.0%} of the {n_fitted} it was fitted on"
        + (f"; the labels of {n_late} came late" if n_late else ""),
        "`tuner retune` fits its configurations on all rows, without a search.",
    )


def _about_columns(
    code: str, title: str, shares: dict[str, float], much: Sequence[str], unit: str
) -> Finding | None:
    """Return the finding about some columns: a warning where one of them differs by much."""
    if not shares:
        return None
    ordered = sorted(shares, key=lambda name: -abs(shares[name]))
    evidence = ", ".join(f"`{name}` {shares[name]:+.1%}" for name in ordered[:SHOWN])
    more = f" and {len(ordered) - SHOWN} columns more" if len(ordered) > SHOWN else ""
    next_step = "Ask what changed where the table is made; tune again if it is there to stay."
    return Finding(code, "warning" if much else "info", f"{title}.", f"{evidence}{more} {unit}", next_step)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
