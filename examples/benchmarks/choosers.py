"""Choosers under time order: which folds pick what does best in the future, and do recency weights pay.

    python examples/benchmarks/choosers.py --data DIR --tables hotel_rates nlswork --seeds 0 1 2

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables. The same LightGBM configurations,
without and with weights that halve with age in training, are judged by random folds, contiguous blocks,
forward windows and mixtures of them. Each is then fitted on all rows up to the point its chooser likes best
and scored on the future. A table says what each chooser's pick loses there. Judged configurations are kept in
``--out`` as JSON lines; the last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from generalization_data import Problem, load_problem, load_suite
from generalization_lightgbm import N_CORES
from generalization_ours import dataset_of, predict_by
from scipy.stats import rankdata, spearmanr
from threadpoolctl import threadpool_limits

from search_spaces import PORTFOLIOS, SPACES, Categorical, Float, Int
from tuner._folds.splits import plan_choosing, plan_reporting
from tuner._metrics.metrics import Metric, resolve_metric
from tuner._model import Blended, Member
from tuner._records import Configuration, Scores
from tuner._rows.data import Dataset
from tuner._trials.bench import Bench, all_rows, training_rows
from tuner._trials.evaluation import evaluate
from tuner._types import IntArray
from tuner.families import FAMILIES, TrainingRows

PLANS = ("random", "blocks", "forward")
MIXTURES = {  # mean of ranks
    "blocks + forward": ("blocks", "forward"),
    "random + blocks": ("random", "blocks"),
    "all three": PLANS,
}
HALF_LIVES = (None, 0.5, 0.15)  # of the tuning rows' time span


@dataclass(frozen=True, eq=False)
class RecencyBench(Bench):
    """A bench whose models train with weights that halve with age; scores stay unweighted."""

    half_life: float | None = None

    def _prepare(self, family: Any, params: Mapping[str, Any], index: int) -> Any:
        fold = self.plan.folds[index]
        rows = training_rows(self.dataset, fold, self.metric)
        return family.prepare(params, recent(rows, self.dataset, fold.train, self.half_life), seed=0)


def recent(rows: TrainingRows, dataset: Dataset, numbers: IntArray, half_life: float | None) -> TrainingRows:
    """Return training rows, given their numbers, weighted by age in units of the whole table's time span."""
    if half_life is None:
        return rows
    time = np.asarray(dataset.time, dtype=np.float64)
    age = (time[numbers].max() - time[numbers]) / (time.max() - time.min())
    weights = np.exp2(-age / half_life)
    return replace(rows, weights=weights * len(weights) / weights.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    parser.add_argument("--tables", nargs="+", default=["hotel_rates", "nlswork"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--configurations", type=int, default=16)
    parser.add_argument("--max-rows", type=int, default=2_000, help="of the tuning rows, drawn at random")
    default_out = Path(__file__).parent / "results" / "choosers.jsonl"
    parser.add_argument("--out", type=Path, default=default_out)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    lines = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    done = {(row["table"], row["seed"], row["number"]): row for row in map(json.loads, lines)}
    suite = load_suite(arguments.data)
    for table in arguments.tables:
        for seed in arguments.seeds:
            missing = [n for n in range(arguments.configurations) if (table, seed, n) not in done]
            if not missing:
                continue
            for row in judge(load_problem(suite, table, seed), missing, arguments.max_rows):
                done[table, seed, row["number"]] = row
                with arguments.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    wanted = [
        row
        for (table, seed, number), row in done.items()
        if table in arguments.tables and seed in arguments.seeds and number < arguments.configurations
    ]
    print(json.dumps(report(wanted)))


def judge(problem: Problem, numbers: list[int], max_rows: int) -> Iterable[dict[str, Any]]:
    """Yield the losses of configurations under every plan and half-life, and in the future."""
    print(f"judging {problem.table}, seed {problem.seed}", file=sys.stderr)
    keep = np.arange(len(problem.y))
    if len(keep) > max_rows:
        keep = np.sort(np.random.default_rng(problem.seed).choice(keep, max_rows, replace=False))
    rows = {
        "X": problem.X.iloc[keep].reset_index(drop=True),
        "y": problem.y[keep],
        "time": problem.time[keep],
    }
    dataset = dataset_of(replace(problem, groups=None, **rows))
    metric = resolve_metric(problem.metric, dataset.task, classes=dataset.classes, weighted=False)
    plans = {
        "random": plan_choosing(replace(dataset, time=None), n_folds=5, n_repeats=1, seed=problem.seed),
        "blocks": plan_choosing(dataset, n_folds=5, n_repeats=1, seed=problem.seed),
        "forward": plan_reporting(dataset, n_folds=5, seed=problem.seed),
    }
    benches = {
        (name, half_life): RecencyBench(dataset, plan, metric, problem.seed, half_life=half_life)
        for name, plan in plans.items()
        for half_life in HALF_LIVES
    }

    def one(number: int) -> dict[str, Any]:
        params = configuration(number)
        losses = {}
        for half_life in HALF_LIVES:
            scores = {
                name: evaluate(Configuration("lightgbm", params), benches[name, half_life]).scores
                for name in plans
            }
            future = future_losses(problem, dataset, metric, params, half_life, scores)
            losses[str(half_life)] = {
                name: {"inner": scores[name].nested_loss, "future": future[name]} for name in plans
            }
        return {"table": problem.table, "seed": problem.seed, "number": number, "losses": losses}

    with threadpool_limits(1), ThreadPoolExecutor(N_CORES) as pool:
        yield from pool.map(one, numbers)


def configuration(number: int) -> dict[str, Any]:
    """Return LightGBM's default, its known-good configurations, then random ones of its space."""
    space = SPACES["lightgbm"]
    known = [{}, *PORTFOLIOS["lightgbm"]]
    if number < len(known):
        return space.complete(known[number])
    rng = np.random.default_rng(number)
    params: dict[str, Any] = {"boosting": "gbdt"}
    for name in space.ordered():
        if name not in params and space.active(name, params):
            params[name] = _draw(space.dimensions[name], rng)
    return space.complete(params)


def _draw(dimension: Any, rng: np.random.Generator) -> Any:
    if isinstance(dimension, Categorical):
        return dimension.choices[rng.integers(len(dimension.choices))]
    if not isinstance(dimension, Float | Int):
        return dimension
    low, high = (np.log(end) if dimension.log else end for end in (dimension.low, dimension.high))
    value = rng.uniform(low, high)
    value = float(np.exp(value)) if dimension.log else float(value)
    return round(value) if isinstance(dimension, Int) else value


def future_losses(
    problem: Problem,
    dataset: Dataset,
    metric: Metric,
    params: Mapping[str, Any],
    half_life: float | None,
    scores: Mapping[str, Scores],
) -> dict[str, float]:
    """Return the loss on the test rows of one fit on all rows, at the point each plan likes best."""
    family = FAMILIES["lightgbm"]
    rows = recent(all_rows(dataset, metric), dataset, np.arange(dataset.n_rows), half_life)
    fit = family.start(params, family.prepare(params, rows, seed=0), seed=0)
    grid = family.path_values(params)
    sizes = {name: grid.index(each.path_value) for name, each in scores.items()}
    for _ in range(max(sizes.values()) + 1):
        fit.advance()
    losses = {}
    for name, size in sizes.items():
        member = Member(1.0, family.name, (fit.predictor(size),))
        predict = predict_by(problem, dataset, Blended((member,), dataset.schema))
        losses[name] = problem.test_loss(predict(problem.X_test))
    return losses


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Print what each chooser's pick loses in the future against the best possible pick; return the means."""
    print("excess of log test loss over the best candidate, and rank correlation with the test loss")
    choosers = (*PLANS, *MIXTURES)
    cases = sorted({(row["table"], row["seed"]) for row in rows})
    summary: dict[str, Any] = {}
    for recency in (False, True):
        lives = [str(life) for life in HALF_LIVES] if recency else [str(None)]
        picked = {case: pick([r for r in rows if (r["table"], r["seed"]) == case], lives) for case in cases}
        title = "with recency weights among the candidates" if recency else "unweighted"
        print(f"{title:44s}" + "".join(f"{name:>18s}" for name in choosers) + f"{'mean candidate':>18s}")
        for (table, seed), found in picked.items():
            cells = [f"{found[name][0]:.3f} ({found[name][1]:+.2f})" for name in choosers]
            print(
                f"{table:38s} {seed:5d}"
                + "".join(f"{cell:>18s}" for cell in cells)
                + f"{found['mean candidate'][0]:18.3f}"
            )
        mean = {
            name: float(np.mean([found[name][0] for found in picked.values()]))
            for name in next(iter(picked.values()))
        }
        print(f"{'mean':44s}" + "".join(f"{value:18.4f}" for value in mean.values()))
        summary[title] = mean
    lives = {
        life: float(np.mean([np.log(future_of(row, life)) for row in rows])) for life in map(str, HALF_LIVES)
    }
    print("mean log test loss by half-life:", {life: round(value, 4) for life, value in lives.items()})
    return {**summary, "log test loss by half-life": lives}


def future_of(row: Mapping[str, Any], life: str) -> float:
    """Return the future loss of a configuration at the point that blocks like best."""
    loss: float = row["losses"][life]["blocks"]["future"]
    return loss


def pick(rows: list[dict[str, Any]], lives: list[str]) -> dict[str, tuple[float, float]]:
    """Return (excess log test loss of the chooser's pick, rank correlation) of one table and seed."""
    inner = {
        name: np.array([r["losses"][life][name]["inner"] for r in rows for life in lives]) for name in PLANS
    }
    future = {
        name: np.array([r["losses"][life][name]["future"] for r in rows for life in lives]) for name in PLANS
    }
    ranks = {name: rankdata(values) for name, values in inner.items()}
    best = min(values.min() for values in future.values())
    found = {}
    for name in (*PLANS, *MIXTURES):
        parts = MIXTURES.get(name, (name,))
        rank = np.mean([ranks[part] for part in parts], axis=0)
        reached = np.mean([np.log(future[part]) for part in parts], axis=0)
        found[name] = (
            float(reached[int(np.argmin(rank))] - np.log(best)),
            float(spearmanr(rank, reached).statistic),
        )
    found["mean candidate"] = (float(np.log(future["blocks"]).mean() - np.log(best)), 0.0)
    return found


if __name__ == "__main__":
    main()
