"""What a version remembers of the rows it was made from, so that a later check needs only the registry."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from tuner._metrics.metrics import Metric
from tuner._records import Portion, Recipe, TrialRecord
from tuner._rows.columns import Column, plain_columns
from tuner._rows.data import Dataset
from tuner._seeds import child_seed, some_rows
from tuner._statistics.intervals import Interval
from tuner._types import FloatArray

if TYPE_CHECKING:
    from tuner._model import Blended

HOLDOUT = "holdout"  # how a promise was made: by the loss on a contest's rows
FACTS, ROWS, HASHES = "reference.json", "rows.parquet", "hashes.npy"
MAX_SAMPLE = 2_000
N_LEVELS = 20  # a number is looked at in twentieths of the rows
CLOCK_SHARE = 0.5  # of the variance of the rows' order: such a column tells when a row was made
ID_SHARE = 0.5  # of the rows have a category of their own: it names rows
TEXTS = ("categories", "gaps")  # facts that JSON makes lists of


@dataclass(frozen=True)
class ColumnFacts:
    """One feature column of the training rows.

    Attributes
    ----------
    name, kind, categories, gaps
        As in `Column`.
    missing : float
        Share of the rows.
    unseen : float
        Share of new rows of the same kind expected to bring a category that no training row has: the share of
        rows whose category occurs once (Good and Turing). 0 for numbers.
    low, high : float or None
        Smallest and largest number.
    tells_rows_apart : bool
        It is a date, a clock or a name of the row: new rows always differ in it, which says nothing.
    """

    name: str
    kind: str
    categories: tuple[str, ...]
    missing: float
    unseen: float
    low: float | None
    high: float | None
    tells_rows_apart: bool
    gaps: tuple[str, ...] = ()  # none in references of earlier versions

    @property
    def column(self) -> Column:
        """How the column was read."""
        return Column(self.name, self.kind, self.categories, gaps=self.gaps)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Promise:
    """What the run that made a version says of it.

    Attributes
    ----------
    metric : str
    value, low, high : float or None
        The estimate in natural units; None where none was made.
    loss, loss_low, loss_high : float or None
        The same as a loss (lower is better).
    level : float or None
    method : str or None
    configuration : dict
        The winner, ``{"family": ..., "params": {...}}``.
    n_models : int
        Fitted models inside.
    study : str
    n_rows : int or None
        Rows that the models were fitted on which it was measured on.
    aggregate : {"mean", "worst_slice"}
        Whose loss was promised: that of all rows, or of the worst slice.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    level: float | None
    method: str | None
    configuration: Mapping[str, Any]
    n_models: int
    study: str
    n_rows: int | None = None
    aggregate: str = "mean"  # as references of earlier versions are read

    def interval_of(self, metric: str, aggregate: str) -> Interval | None:
        """Return the promised loss with its interval; None where none was promised, or another loss."""
        if (self.metric, self.aggregate) != (metric, aggregate):
            return None
        if self.loss is None or self.loss_low is None or self.loss_high is None:
            return None
        return Interval(self.loss, self.loss_low, self.loss_high)

    def tags(self) -> dict[str, str]:
        """Return what a reader of the registry sees of it."""
        estimate = "none" if self.value is None else f"{self.value:.6g} [{self.low:.6g}, {self.high:.6g}]"
        return {
            "tuner.study": self.study,
            "tuner.metric": self.metric,
            "tuner.estimate": estimate,
            "tuner.family": str(self.configuration["family"]),
            "tuner.n_models": str(self.n_models),
        }


@dataclass(frozen=True, eq=False)
class Reference:
    """The training rows of a version, as far as later checks need them.

    Attributes
    ----------
    columns : tuple of ColumnFacts
        The features used.
    inputs : tuple of str
        All feature columns of the table, used or not.
    target : Column
        How the target was read.
    rows : DataFrame
        A sample of at most 2,000 rows of the features used.
    hashes : uint64 array
        One for every row there was, over features used and target; a sliding window trains on some of them.
    n_rows : int
        Number of training rows.
    cut : float or None
        Time of the latest training row; None without a time column.
    made : float
        When it was searched for, in Unix time: a refit is as old as the search it repeats the outcome of.
    promise : Promise or None
    recipe : Recipe or None
        What was elected. Both None until the run has ended.
    """

    columns: tuple[ColumnFacts, ...]
    inputs: tuple[str, ...]
    target: Column
    rows: pd.DataFrame
    hashes: Any
    n_rows: int
    cut: float | None
    made: float
    promise: Promise | None = None
    recipe: Recipe | None = None

    @property
    def promises_windows(self) -> bool:
        """Whether the estimate is that of a few forward windows, whose interval drift has widened."""
        is_measured = self.promise is not None and self.promise.method == HOLDOUT
        return self.cut is not None and not is_measured

    def hash(self, features: pd.DataFrame, target: pd.Series) -> Any:
        """Return one uint64 a row, the same for the same values whatever their types and file.

        Raises
        ------
        InputError
            If a column cannot be read as it was.
        """
        columns = [*(each.column for each in self.columns), self.target]
        together = features.assign(**{self.target.name: target})
        return _hashes(plain_columns(together, columns))

    def files(self) -> dict[str, bytes]:
        """Return what is stored, by file name."""
        facts = {name: getattr(self, name) for name in ("inputs", "n_rows", "cut", "made")} | {
            "columns": [asdict(each) for each in self.columns],
            "target": asdict(self.target),
            "promise": None if self.promise is None else asdict(self.promise),
            "recipe": None if self.recipe is None else asdict(self.recipe),
        }
        parquet, hashes = io.BytesIO(), io.BytesIO()
        self.rows.to_parquet(parquet, engine="pyarrow", index=False)
        np.save(hashes, self.hashes)
        return {
            FACTS: json.dumps(facts, indent=2).encode(),
            ROWS: parquet.getvalue(),
            HASHES: hashes.getvalue(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Reference:
        """Rebuild the reference that `files` wrote."""
        facts = json.loads(files[FACTS])
        promise, recipe = facts["promise"], facts["recipe"]
        return cls(
            columns=tuple(
                ColumnFacts(**{**each, **{name: tuple(each.get(name, ())) for name in TEXTS}})
                for each in facts["columns"]
            ),
            inputs=tuple(facts["inputs"]),
            target=Column(facts["target"]["name"], facts["target"]["kind"]),
            rows=pd.read_parquet(io.BytesIO(files[ROWS]), engine="pyarrow"),
            hashes=np.load(io.BytesIO(files[HASHES])),
            n_rows=facts["n_rows"],
            cut=facts["cut"],
            made=facts["made"],
            promise=None if promise is None else Promise(**promise),
            recipe=None if recipe is None else Recipe.from_dict(recipe),
        )


def remember(
    features: pd.DataFrame, target: pd.Series, dataset: Dataset, *, seed: int, now: float
) -> Reference:
    """Return what to remember of a job's training rows.

    Parameters
    ----------
    features, target : DataFrame, Series
        As the table holds them.
    dataset : Dataset
        The same rows, encoded.
    seed : int
        Draws the sample.
    now : float
        Unix time.
    """
    kind = "numeric" if dataset.task == "regression" else "categorical"
    target_name = "target" if target.name is None else str(target.name)
    columns = dataset.schema.columns
    plain = plain_columns(features, columns)
    sample = some_rows(dataset.n_rows, MAX_SAMPLE, child_seed(seed, "reference"))
    reference = Reference(
        columns=tuple(_facts(column, plain[column.name], dataset.time) for column in columns),
        inputs=tuple(str(name) for name in features.columns),
        target=Column(target_name, kind),  # type: ignore[arg-type]
        rows=plain.iloc[sample].reset_index(drop=True),
        hashes=np.empty(0, dtype=np.uint64),
        n_rows=dataset.n_rows,
        cut=None if dataset.time is None else float(dataset.time.max()),
        made=now,
    )
    return replace(reference, hashes=reference.hash(features, target))


def measured_promise(
    promise: Promise, metric: Metric, aggregate: str, loss: Interval, level: float, *, n_rows: int
) -> Promise:
    """Return a promise that says what was measured on rows kept for that: the loss there with its interval.

    It is that of a model fitted without these rows; one fitted on them as well is expected to do no worse.
    """
    low, value, high = (metric.natural(each) for each in (loss.low, loss.value, loss.high))
    return replace(
        promise,
        metric=metric.name,
        value=value,
        low=min(low, high),
        high=max(low, high),
        loss=loss.value,
        loss_low=loss.low,
        loss_high=loss.high,
        level=level,
        method=HOLDOUT,
        n_rows=n_rows,
        aggregate=aggregate,
    )


def recipe_of(shares: Sequence[tuple[float, TrialRecord]], model: Blended) -> Recipe:
    """Return what was elected: the finalists with their shares, and the model made of them."""
    portions, n_repeats = [], 0
    for weight, trial in shares:
        assert trial.curves is not None  # finalists are complete
        if weight > 0:
            portions.append(Portion(weight, trial.configuration, trial.known_scores.path_value))
            n_repeats = max(trial.curves.repeats) + 1
    return Recipe(tuple(portions), model.threshold, model.temperature, n_repeats, model.is_refitted)


def _facts(column: Column, values: pd.Series, time: FloatArray | None) -> ColumnFacts:
    missing = values.isna()
    is_number = column.kind == "numeric"
    counts = values.value_counts()
    known = max(1, int(counts.sum()))
    once = float((counts == 1).sum()) / known
    apart = (
        column.kind == "datetime"
        or (not is_number and once > ID_SHARE)
        or (time is not None and _order_told(values, time) > CLOCK_SHARE)
        or (
            is_number
            and values.is_unique
            and (values.is_monotonic_increasing or values.is_monotonic_decreasing)
        )
    )
    return ColumnFacts(
        name=column.name,
        kind=column.kind,
        categories=column.categories,
        missing=float(missing.mean()),
        unseen=0.0 if is_number else once,
        low=float(values.min()) if is_number else None,
        high=float(values.max()) if is_number else None,
        tells_rows_apart=bool(apart),
        gaps=column.gaps,
    )


def _order_told(values: pd.Series, order: FloatArray) -> float:
    """Return the adjusted share of the variance of the rows' order that a column's levels tell."""
    ranks = rankdata(order)
    if values.dtype.kind == "f":
        levels = np.ceil(rankdata(values.fillna(np.inf), method="average") * N_LEVELS / len(values))
    else:
        levels = pd.factorize(values)[0]
    _, codes, counts = np.unique(levels, return_inverse=True, return_counts=True)
    within_df = len(ranks) - len(counts)
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if within_df < 1 or total == 0:
        return 0.0
    means = np.bincount(codes, weights=ranks) / counts
    return 1.0 - float(((ranks - means[codes]) ** 2).sum()) / total * (len(ranks) - 1) / within_df


def _hashes(plain: pd.DataFrame) -> Any:
    return pd.util.hash_pandas_object(plain, index=False).to_numpy(dtype=np.uint64)
