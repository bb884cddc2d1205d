"""How the columns of newer rows differ from those a version was made of: measured, not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import ks_2samp

from tuner._movement.reference import ColumnFacts, Reference
from tuner._rows.columns import encode_columns, plain_columns
from tuner._rows.table import Schema, Table
from tuner._statistics.intervals import Interval
from tuner.checks import table_drift
from tuner.exceptions import InputError


@dataclass(frozen=True)
class ColumnDrift:
    """How one column of the new rows differs from the version's training rows.

    Attributes
    ----------
    name, kind : str
    share : float or None
        Of the splits of the classifier that tells the rows apart; None where it does not see the column.
    distance : float or None
        Largest difference of the distribution functions (numbers), half the sum of differences of shares
        (categories): 0 alike, 1 nothing in common.
    missing_before, missing_now : float
        Share of the rows.
    outside : float
        Share of new rows outside the known range, or of a category no training row has.
    """

    name: str
    kind: str
    share: float | None
    distance: float | None
    missing_before: float
    missing_now: float
    outside: float


def told_apart(
    reference: Reference, features: pd.DataFrame, readable: Sequence[ColumnFacts], seed: int
) -> tuple[Interval | None, dict[str, float]]:
    """Return the AUC of a classifier between sample and new rows, and each column's share of its splits."""
    columns = tuple(each.column for each in readable if not each.tells_rows_apart)
    if not columns:
        return None, {}
    names = [column.name for column in columns]
    schema = Schema(columns, tuple(names), len(names))
    before, now = (Table(*encode_columns(frame[names], columns)) for frame in (reference.rows, features))
    drift = table_drift(schema, before, now, seed=seed)
    return Interval(drift.auc, drift.low, drift.high), dict(drift.columns)


def by_column(
    reference: Reference, features: pd.DataFrame, readable: Sequence[ColumnFacts], shares: dict[str, float]
) -> tuple[ColumnDrift, ...]:
    """Return how each column differs, those first that tell the rows apart most."""
    plain = plain_columns(features, [each.column for each in readable])
    drifts = [
        _column_drift(each, reference.rows[each.name], plain[each.name], shares.get(each.name))
        for each in readable
    ]
    return tuple(sorted(drifts, key=lambda each: (-(each.share or 0.0), each.name)))


def _column_drift(facts: ColumnFacts, before: pd.Series, now: pd.Series, share: float | None) -> ColumnDrift:
    known_before, known_now = before.dropna(), now.dropna()
    distance, outside = None, 0.0
    both = len(known_before) > 0 and len(known_now) > 0
    if facts.kind == "categorical":
        outside = float((~known_now.isin(facts.categories)).sum()) / max(1, len(now))
        if both:
            shares = [known.value_counts(normalize=True) for known in (known_before, known_now)]
            distance = float(shares[0].sub(shares[1], fill_value=0.0).abs().sum()) / 2
    else:
        if facts.low is not None and facts.high is not None:
            outside = float(((known_now < facts.low) | (known_now > facts.high)).sum()) / max(1, len(now))
        if both:
            distance = float(ks_2samp(known_before, known_now, method="asymp").statistic)
    return ColumnDrift(
        facts.name, facts.kind, share, distance, facts.missing, float(now.isna().mean()), outside
    )


def is_readable(facts: ColumnFacts, features: pd.DataFrame) -> bool:
    """Whether the column is there and of the kind it was."""
    if facts.name not in features.columns:
        return False
    try:
        plain_columns(features, [facts.column])
    except InputError:
        return False
    return True
