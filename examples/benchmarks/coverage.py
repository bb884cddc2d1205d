"""Do the intervals hold the true loss? Known processes, the tuner in the loop, one run a line.

    python examples/benchmarks/coverage.py --workers 2     # all of it: weeks of a core
    python examples/benchmarks/coverage.py --processes null logistic_20 --rows 200 --trials 10 25 \
        --methods crossfit bbc --seconds 1200                               # as much as fits

Every line of ``--out`` is one run on one table drawn from a process; finished ones are not run again, and
``--seconds`` ends the work between two runs. All that is shown are losses. The truth is scored on many new
rows: `delivered`, the loss of the model that the run returned (trained on n rows); `folds`, the mean loss
of the models behind the estimate (trained without a fold, nested and crossfit). The *procedure*'s loss is the
mean over the replicates of a cell: of `folds`, for bbc, which has no such models, of `delivered`. Intervals:
`t`, corrected t over folds, and `rows`, the central limit theorem for cross-validation over rows (over groups
where there are any; not for AUC, which is no mean over rows), both for nested and crossfit; `bootstrap` for
bbc; `delivered`, the claim carried over to the delivered model, for all. The last line printed is one JSON
object.

References
----------
Bayle, Bayle, Janson, Mackey (2020), Cross-validation confidence intervals for test error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from coverage_processes import METRICS, PROCESSES
from coverage_table import interval_by_rows, print_table
from json_lines import read_lines
from provenance import commit

from tuner import TuningConfig, tune
from tuner._claims import estimate as estimate_module
from tuner._claims.claims import Estimate
from tuner._metrics.metrics import METRICS as KNOWN
from tuner._metrics.metrics import Metric
from tuner._model import Blended, HeldOut, score_held_out
from tuner._rows.data import Dataset, make_dataset

TEST_ROWS = 10_000
METHODS = ("nested", "crossfit", "bbc")


@dataclass(frozen=True)
class Cell:
    """One run: where its table comes from, what it may do, and how it claims."""

    process: str
    rows: int
    trials: int
    method: str
    replicate: int

    @property
    def key(self) -> str:
        """Name the run in the results."""
        return f"{self.process}/{self.rows}/{self.trials}/{self.method}/{self.replicate}"

    @property
    def seed(self) -> int:
        """One table a replicate, the same for all methods and numbers of trials."""
        return int(
            np.random.SeedSequence([sum(map(ord, self.process)), self.rows, self.replicate]).generate_state(
                1
            )[0]
        )


Run = Callable[[Cell], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", nargs="+", choices=list(PROCESSES), default=list(PROCESSES))
    parser.add_argument("--rows", nargs="+", type=int, default=[200, 500])
    parser.add_argument("--trials", nargs="+", type=int, default=[10, 25, 100, 250])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--families", nargs="+", help="searched instead of the default ones: another --out")
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=np.inf, help="start no run after these")
    parser.add_argument("--workers", type=int, default=1, help="processes, one core each")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "coverage.jsonl"))
    arguments = parser.parse_args()
    path = Path(arguments.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    once = partial(run, families=arguments.families)
    run_all(list(cells(arguments)), path, once, seconds=arguments.seconds, workers=arguments.workers)
    print(json.dumps(print_table(read_lines(path))))


def cells(arguments: argparse.Namespace) -> Iterator[Cell]:
    """Yield the runs, replicate by replicate, so that an early end leaves cells of equal size."""
    for replicate in range(arguments.replicates):
        for where in itertools.product(
            arguments.processes, arguments.rows, arguments.trials, arguments.methods
        ):
            yield Cell(*where, replicate)


def run_all(wanted: list[Cell], path: Path, once: Run, *, seconds: float, workers: int) -> None:
    """Run what is not there yet, a line a run."""
    known = read_lines(path)
    path.write_text("".join(json.dumps(line) + "\n" for line in known))  # without a torn line
    done = {line["key"] for line in known}
    left = iter([cell for cell in wanted if cell.key not in done])
    end = time.monotonic() + seconds
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool, path.open("a") as file:
        running = {pool.submit(once, cell) for cell in itertools.islice(left, workers)}
        while running:
            future = next(as_completed(running))
            running.remove(future)
            file.write(json.dumps(future.result()) + "\n")
            file.flush()
            cell = next(left, None) if time.monotonic() < end else None
            if cell is not None:
                running.add(pool.submit(once, cell))


def run(cell: Cell, families: list[str] | None = None) -> dict[str, Any]:
    """Tune on a table of the process; return the claim, its intervals and the truth, all as losses."""
    started = time.monotonic()
    draw, metric = PROCESSES[cell.process], KNOWN[METRICS[cell.process]]
    generator = np.random.default_rng(cell.seed)
    rows, test = draw(generator, cell.rows), draw(generator, TEST_ROWS)
    task = "regression" if metric.name == "rmse" else "classification"
    watch = Watch(metric, make_dataset(test.X, test.y, task=task))
    config = TuningConfig(
        task=task,
        metric=metric.name,
        families=families,
        max_trials=cell.trials,
        time_budget=None,
        estimate=cell.method,
        n_jobs=1,
        tracking=False,
        random_state=cell.seed,
        verbose=0,
    )
    with mock.patch.object(estimate_module, "score_held_out", watch):
        result = tune(rows.X, rows.y, config=config, groups=rows.groups)
    claim = result.estimate
    assert claim is not None  # without a clock there is time for one
    intervals = {"bootstrap" if cell.method == "bbc" else "t": _loss_ends(claim, metric)}
    if result.delivered_estimate is not None:
        intervals["delivered"] = _loss_ends(result.delivered_estimate, metric)
    # What is claimed is what is shipped.
    behind = watch.default if result.paid.verdict == "did not pay" else watch.tuned
    if behind.row_losses and (metric.row_mean or metric.squared_scale):
        intervals["rows"] = interval_by_rows(
            behind.row_losses, behind.row_groups, squared=metric.squared_scale
        )
    return {
        "key": cell.key,
        "value": claim.loss,
        "delivered_value": None if result.delivered_estimate is None else result.delivered_estimate.loss,
        "intervals": intervals,
        "delivered": score_held_out(result.model.blended, watch.test, metric).loss,
        "folds": behind.true_losses,
        "shipped_default": result.shipped_default,
        "metric": metric.name,
        "seconds": time.monotonic() - started,
        "commit": commit(),
    }


def _loss_ends(claim: Estimate, metric: Metric) -> list[float]:
    """Return the ends of an interval as losses; the way to natural units is its own inverse."""
    return sorted(metric.natural(end) for end in (claim.low, claim.high))


@dataclass
class Seen:
    """What models of one kind lose, one a fold: truly, and on every row of the fold."""

    true_losses: list[float] = field(default_factory=list)
    row_losses: list[float] = field(default_factory=list)
    row_groups: list[int] = field(default_factory=list)


@dataclass
class Watch:
    """Stands for `score_held_out` inside the estimate: notes what the models it scores lose."""

    metric: Metric
    test: Dataset
    tuned: Seen = field(default_factory=Seen)
    default: Seen = field(default_factory=Seen)
    _is_tuned: bool = True  # the estimate scores the tuned model, then the default, fold by fold

    def __call__(self, model: Blended, held_out: Dataset, metric: Metric) -> HeldOut:
        """Score a model as the estimate asked."""
        seen = self.tuned if self._is_tuned else self.default
        seen.true_losses.append(score_held_out(model, self.test, metric).loss)
        rows = len(seen.row_losses) + np.arange(held_out.n_rows)
        seen.row_groups += (rows if held_out.groups is None else held_out.groups).tolist()
        seen.row_losses += _row_losses(model, held_out, metric)
        self._is_tuned = not self._is_tuned
        return score_held_out(model, held_out, metric)


def _row_losses(model: Blended, rows: Dataset, metric: Metric) -> list[float]:
    """Return the loss of every row, squared where the metric averages squares: one weighting a row."""
    losses = metric.losses(rows.y, model.predict(rows.table), np.eye(rows.n_rows))[:, 0]
    return [float(loss) for loss in (losses**2 if metric.squared_scale else losses)]


if __name__ == "__main__":
    main()
