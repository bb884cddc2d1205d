"""What the results say: pure functions of results, nothing printed, nothing fitted.

Methods are compared by log ratios of test losses (1 - AUC, RMSE, ...; lower is better) on the same table and
seed: log(loss / loss of the baseline), negative is better, -.05 is 5% less loss. Seeds redraw the split of
one table, so they are repeats within a table, and tables are what is sampled: all intervals and tests are
over tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from generalization_results import Result
from scipy.stats import rankdata, wilcoxon

TOO_SMALL = 1e-6  # a loss of 0 (all digits right) has no logarithm
TIED = 1e-9  # losses closer than this, relatively, are one
NOTICEABLE = np.log(1.01)  # one percent
N_BOOTSTRAPS = 10_000


@dataclass(frozen=True)
class TableRatio:
    """One method against another on one table.

    Attributes
    ----------
    mean : float
        Mean log ratio over seeds; negative: the method is better.
    standard_error : float
        Paired: of the log ratios over seeds (ddof 1); NaN for one seed. Splits of one table overlap, so it is
        rather too small.
    n_seeds : int
    """

    mean: float
    standard_error: float
    n_seeds: int

    @property
    def is_worse(self) -> bool:
        """Whether the method loses by more than 1% and by more than two standard errors."""
        return self.mean > NOTICEABLE and self.mean > 2 * self.standard_error


@dataclass(frozen=True)
class Aggregate:
    """One method against another over tables.

    Attributes
    ----------
    n_tables : int
    mean, median : float
        Of the tables' mean log ratios.
    mean_interval, median_interval : tuple of float
        95%, percentile bootstrap over tables; NaN below two tables. With a handful of tables too narrow.
    p_value : float
        Two-sided Wilcoxon signed-rank test over tables; it cannot fall below .05 with fewer than 6 tables.
    wins : float
        Share of tables with a negative log ratio.
    worst_table, worst : str, float
        Where the method does worst, and its log ratio there.
    worse_on : tuple of str
        Tables where it is worse beyond 1% and two standard errors.
    """

    n_tables: int
    mean: float
    median: float
    mean_interval: tuple[float, float]
    median_interval: tuple[float, float]
    p_value: float
    wins: float
    worst_table: str
    worst: float
    worse_on: tuple[str, ...]


@dataclass(frozen=True)
class Bias:
    """How far claims are from test losses, relative to these, averaged over seeds and then over tables.

    Attributes
    ----------
    mean : float
        Of (claim - test loss) / test loss; negative: too much was promised.
    mean_absolute : float
    n_tables : int
    beyond_default : float or None
        Mean of log(procedure's claim / test loss) - log(default's claim / default's test loss), both claims
        on the same folds: rows to tune on that happen to be easier than the test rows flatter both alike.
    beyond_default_error : float or None
        Standard error over tables.
    """

    mean: float
    mean_absolute: float
    n_tables: int
    beyond_default: float | None = None
    beyond_default_error: float | None = None


@dataclass(frozen=True)
class Overtuning:
    """Shares of runs by relative overtuning, see `relative_overtuning`."""

    n_runs: int
    above_0: float
    above_half: float
    above_1: float
    no_progress: float


def select(
    results: Iterable[Result], *, tables: Sequence[str], seeds: Sequence[int], seconds: float
) -> list[Result]:
    """Return the results asked for; on plain tables Optuna with the right folds is Optuna itself."""
    chosen = [
        each for each in results if each.table in tables and each.seed in seeds and each.seconds == seconds
    ]
    reused = [
        replace(each, method="optuna_folds")
        for each in chosen
        if each.method == "optuna" and each.split == "iid"
    ]
    return [each for each in chosen if each.method != "optuna_folds" or each.split != "iid"] + reused


def losses(results: Iterable[Result], method: str) -> dict[tuple[str, int], float]:
    """Return the test losses of a method by table and seed; failed cells are left out."""
    return {
        (each.table, each.seed): each.loss
        for each in results
        if each.method == method and each.loss is not None
    }


def table_ratios(results: Sequence[Result], method: str, baseline: str) -> dict[str, TableRatio]:
    """Return the paired log ratios of a method by table, over the seeds that both have."""
    mine, other = losses(results, method), losses(results, baseline)
    by_table: dict[str, list[float]] = defaultdict(list)
    for table, seed in mine.keys() & other.keys():
        by_table[table].append(log_ratio(mine[table, seed], other[table, seed]))
    order = dict.fromkeys(each.table for each in results)
    return {table: summarize(by_table[table]) for table in order if table in by_table}


def log_ratio(loss: float, baseline: float) -> float:
    """Return log(loss / baseline), both at least ``TOO_SMALL``."""
    return float(np.log(max(loss, TOO_SMALL) / max(baseline, TOO_SMALL)))


def summarize(ratios: Sequence[float]) -> TableRatio:
    """Return mean and standard error over seeds."""
    n = len(ratios)
    error = float(np.std(ratios, ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return TableRatio(float(np.mean(ratios)), error, n)


def aggregate(ratios: Mapping[str, TableRatio]) -> Aggregate | None:
    """Return the comparison over tables; None without any."""
    if not ratios:
        return None
    means = np.array([ratio.mean for ratio in ratios.values()])
    worst = max(ratios, key=lambda table: ratios[table].mean)
    return Aggregate(
        n_tables=len(means),
        mean=float(means.mean()),
        median=float(np.median(means)),
        mean_interval=bootstrap_interval(means, np.mean),
        median_interval=bootstrap_interval(means, np.median),
        p_value=float(wilcoxon(means).pvalue) if np.any(means != 0) else 1.0,
        wins=float(np.mean(means < 0)),
        worst_table=worst,
        worst=ratios[worst].mean,
        worse_on=tuple(table for table, ratio in ratios.items() if ratio.is_worse),
    )


def bootstrap_interval(
    values: np.ndarray, statistic: Callable[..., np.ndarray], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic, values drawn with replacement."""
    if len(values) < 2:
        return np.nan, np.nan
    draws = np.random.default_rng(seed).choice(values, (N_BOOTSTRAPS, len(values)))
    low, high = np.quantile(statistic(draws, axis=1), [0.025, 0.975])
    return float(low), float(high)


def average_ranks(results: Sequence[Result], methods: Sequence[str]) -> tuple[dict[str, float], int]:
    """Return the mean rank by method (1 is best, ties share), and the number of tables behind it.

    Only cells where every method that has results at all has one; seeds are averaged within a table first.
    """
    by_method = {method: losses(results, method) for method in methods}
    present = {method: found for method, found in by_method.items() if found}
    if not present:
        return {}, 0
    complete = set.intersection(*(set(found) for found in present.values()))
    by_table: dict[str, list[np.ndarray]] = defaultdict(list)
    for table, seed in sorted(complete):
        by_table[table].append(rankdata([found[table, seed] for found in present.values()]))
    if not by_table:
        return {}, 0
    ranks = np.mean([np.mean(each, axis=0) for each in by_table.values()], axis=0)
    return dict(zip(present, map(float, ranks), strict=True)), len(by_table)


def share_worse(results: Sequence[Result], method: str, than: str = "default") -> float:
    """Return the share of runs with a larger test loss than another method's; NaN without a pair."""
    mine, other = losses(results, method), losses(results, than)
    both = mine.keys() & other.keys()
    return float(np.mean([mine[key] > other[key] for key in both])) if both else np.nan


def claim_bias(results: Sequence[Result], method: str) -> Bias | None:
    """Return the bias of a method's claims; None if it makes none."""
    by_table: dict[str, list[float]] = defaultdict(list)
    paired: dict[str, list[float]] = defaultdict(list)
    default = losses(results, "default")
    for each in results:
        if each.method == method and each.loss is not None and each.claim is not None:
            by_table[each.table].append((each.claim - each.loss) / max(each.loss, TOO_SMALL))
            known = each.details.get("procedure"), each.details.get("default_claim")
            test = default.get((each.table, each.seed))
            if test is not None and all(known):
                paired[each.table].append(float(np.log(known[0] / each.loss) - np.log(known[1] / test)))
    if not by_table:
        return None
    beyond = [float(np.mean(differences)) for differences in paired.values()]
    return Bias(
        beyond_default=float(np.mean(beyond)) if beyond else None,
        beyond_default_error=float(np.std(beyond, ddof=1) / len(beyond) ** 0.5) if len(beyond) > 1 else None,
        mean=float(np.mean([np.mean(errors) for errors in by_table.values()])),
        mean_absolute=float(np.mean([np.mean(np.abs(errors)) for errors in by_table.values()])),
        n_tables=len(by_table),
    )


def relative_overtuning(incumbents: Sequence[float]) -> float | None:
    """Return how much of what tuning could have gained on the test rows was lost again by going on.

    ``(last - best) / (first - best)``: test losses of the first incumbent (the default), the best and the
    last one (what is delivered). 0: the delivered one is the best; 1: no better than the first; above 1:
    worse than the first. Infinite where none was better than the first and the last is worse; None (0 / 0)
    where none was better and the last is as good as the first. It is a minimum over noisy test losses, so
    some overtuning is found in every long enough run.

    References
    ----------
    Schneider, Bischl, Feurer, "Overtuning in hyperparameter optimization", 2025, arXiv 2506.19540.
    """
    first, best, last = incumbents[0], min(incumbents), incumbents[-1]
    possible, lost = first - best, last - best
    if possible > TIED * abs(first):
        return lost / possible
    return np.inf if lost > TIED * abs(first) else None


def overtuning(results: Iterable[Result], method: str) -> Overtuning | None:
    """Return the shares of runs by relative overtuning; None if no incumbents are known.

    ``no_progress``: no incumbent had a smaller test loss than the first. Such runs count as above 1 where
    the delivered model is worse than the first, and otherwise as not overtuned.
    """
    runs = [each.incumbents for each in results if each.method == method and each.incumbents]
    if not runs:
        return None
    values = np.array([relative_overtuning(run) or 0.0 for run in runs])
    return Overtuning(
        n_runs=len(runs),
        above_0=float(np.mean(values > TIED)),
        above_half=float(np.mean(values >= 0.5)),
        above_1=float(np.mean(values >= 1)),
        no_progress=float(np.mean([run[0] <= min(run) * (1 + TIED) for run in runs])),
    )


def median_of(results: Iterable[Result], method: str, name: str) -> float:
    """Return the median of a field over the runs that have it; NaN if none has."""
    values = [
        getattr(each, name)
        for each in results
        if each.method == method and each.loss is not None and getattr(each, name) is not None
    ]
    return float(np.median(values)) if values else np.nan
