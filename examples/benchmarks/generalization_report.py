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
from scipy.stats import binomtest, rankdata, wilcoxon

RIGHT_FOLDS = "optuna_folds"
TOO_SMALL = 1e-6  # a loss of 0 (all digits right) has no logarithm
TIED = 1e-9  # losses closer than this, relatively, are one
NOTICEABLE = float(np.log(1.01))  # one percent
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
    def is_worse(self) -> bool | None:
        """Whether the method loses by more than 1% and two standard errors; None for one seed."""
        if self.n_seeds < 2:
            return None
        return self.mean > max(NOTICEABLE, 2 * self.standard_error)


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
    worse_on : tuple of str or None
        Tables where it is worse beyond 1% and two standard errors; None where no table has two seeds.
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
    worse_on: tuple[str, ...] | None


@dataclass(frozen=True)
class Bias:
    """How far claims are from test losses, relative to these, averaged over seeds and then over tables.

    Attributes
    ----------
    mean : float
        Of (claim - test loss) / test loss; negative: too much was promised.
    standard_error : float
        Of it, over tables; NaN for one.
    mean_absolute : float
    n_tables : int
    beyond_default : float or None
        Mean of log(procedure's claim / test loss) - log(default's claim / default's test loss), both claims
        on the same folds: rows to tune on that happen to be easier than the test rows flatter both alike.
    beyond_default_error : float or None
        Standard error over tables.
    """

    mean: float
    standard_error: float
    mean_absolute: float
    n_tables: int
    beyond_default: float | None = None
    beyond_default_error: float | None = None


@dataclass(frozen=True)
class Overtuning:
    """Shares of runs by relative overtuning, see `relative_overtuning`.

    Attributes
    ----------
    n_runs : int
    above_0, above_half, above_1 : float
        Of all runs. Where nothing was better than the first, a worse delivered model counts as above 1.
    above_1_interval : tuple of float
        95% of Clopper and Pearson; runs of one table are not independent, so it is rather too narrow.
    above_1_of_progress : float
        Of the runs in which something was better than the first, as in the reference; NaN without any.
    no_progress : float
        Share of the other runs.
    """

    n_runs: int
    above_0: float
    above_half: float
    above_1: float
    above_1_interval: tuple[float, float]
    above_1_of_progress: float
    no_progress: float


def select(
    results: Iterable[Result], *, tables: Sequence[str], seeds: Sequence[int], seconds: float
) -> list[Result]:
    """Return the results asked for; on plain tables Optuna with the right folds is Optuna itself."""
    chosen = [
        each for each in results if each.table in tables and each.seed in seeds and each.seconds == seconds
    ]
    reused = [
        replace(each, method=RIGHT_FOLDS)
        for each in chosen
        if each.method == "optuna" and each.split == "iid"
    ]
    return [each for each in chosen if each.method != RIGHT_FOLDS or each.split != "iid"] + reused


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
    return TableRatio(float(np.mean(ratios)), standard_error(ratios), len(ratios))


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean of independent values; NaN for one."""
    n = len(values)
    return float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else np.nan


def aggregate(ratios: Mapping[str, TableRatio]) -> Aggregate | None:
    """Return the comparison over tables; None without any."""
    if not ratios:
        return None
    means = np.array([ratio.mean for ratio in ratios.values()])
    worst = max(ratios, key=lambda table: ratios[table].mean)
    judged = [table for table, ratio in ratios.items() if ratio.is_worse is not None]
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
        worse_on=tuple(table for table in judged if ratios[table].is_worse) if judged else None,
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
    Variants of a method that is there stay out, Optuna with the right folds and ours with options: on most
    tables they are its twins, and would push all behind it down twice.
    """
    by_method = {method: losses(results, method) for method in methods if not is_variant(method)}
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


def is_variant(method: str) -> bool:
    """Whether a method is another one but for an option."""
    return method == RIGHT_FOLDS or ":" in method


def share_worse(
    results: Sequence[Result], method: str, than: str = "default"
) -> tuple[float, tuple[float, float]]:
    """Return the share of runs with a larger test loss than another method's, and its 95% interval."""
    mine, other = losses(results, method), losses(results, than)
    return _share([mine[key] > other[key] for key in mine.keys() & other.keys()])


def share_clearly_worse(results: Sequence[Result], method: str) -> tuple[float, tuple[float, float]]:
    """Return the share of runs worse than the default by more than 1% and two standard errors.

    The error is the test rows': with a handful of positives they hardly tell two models apart. Where it is
    unknown 1% is enough.
    """
    default = losses(results, "default")
    return _share(
        log_ratio(each.loss, default[each.table, each.seed]) > max(NOTICEABLE, 2 * (each.noise or 0.0))
        for each in results
        if each.method == method and each.loss is not None and (each.table, each.seed) in default
    )


def _share(found: Iterable[bool]) -> tuple[float, tuple[float, float]]:
    """Return the share of runs in which something is so, and its 95% interval; NaN without any."""
    each = list(found)
    return (float(np.mean(each)) if each else np.nan), share_interval(sum(each), len(each))


def share_interval(n_found: int, n_runs: int) -> tuple[float, float]:
    """Return the 95% interval of Clopper and Pearson of a share; NaN without runs."""
    if not n_runs:
        return np.nan, np.nan
    found = binomtest(n_found, n_runs).proportion_ci()
    return float(found.low), float(found.high)


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
                paired[each.table].append(log_ratio(known[0], each.loss) - log_ratio(known[1], test))
    if not by_table:
        return None
    means = [float(np.mean(errors)) for errors in by_table.values()]
    beyond = [float(np.mean(differences)) for differences in paired.values()]
    return Bias(
        beyond_default=float(np.mean(beyond)) if beyond else None,
        beyond_default_error=standard_error(beyond) if beyond else None,
        mean=float(np.mean(means)),
        standard_error=standard_error(means),
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

    ``no_progress``: no incumbent had a smaller test loss than the first.
    """
    runs = [each.incumbents for each in results if each.method == method and each.incumbents]
    if not runs:
        return None
    values = np.array([relative_overtuning(run) or 0.0 for run in runs])
    progressed = np.array([run[0] > min(run) * (1 + TIED) for run in runs])
    is_lost = values >= 1
    return Overtuning(
        n_runs=len(runs),
        above_0=float(np.mean(values > TIED)),
        above_half=float(np.mean(values >= 0.5)),
        above_1=float(np.mean(is_lost)),
        above_1_interval=share_interval(int(is_lost.sum()), len(runs)),
        above_1_of_progress=float(np.mean(is_lost[progressed])) if progressed.any() else np.nan,
        no_progress=float(np.mean(~progressed)),
    )


def median_of(results: Iterable[Result], method: str, name: str) -> float:
    """Return the median of a field over the runs that have it; NaN if none has."""
    values = [
        getattr(each, name)
        for each in results
        if each.method == method and each.loss is not None and getattr(each, name) is not None
    ]
    return float(np.median(values)) if values else np.nan
