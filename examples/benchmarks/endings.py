"""What each lever after the search is worth: one search ended again without it, scored on unseen rows.

    python examples/benchmarks/endings.py --data DIR --half report --seconds 60 --seeds 4

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables. A run of its own for every lever
differs from another by the noise of its search, which is larger than what most levers are worth. Here the
search of a table and seed runs once, against the clock; then nomination, fresh folds, election and ensemble
are repeated with one lever off, with the seconds that the run had left for them. Seconds that a lever costs
in the search are not given back. Finished (table, seed) pairs stay in ``--out``. The last line printed is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from generalization_cell import use_same_cores
from generalization_data import HALVES, Problem, load_problem, load_suite
from generalization_ours import LEVERS, tuned
from generalization_report import aggregate, log_ratio, summarize
from provenance import commit

from tuner import _choice, _finals, _tune
from tuner._bench import Bench
from tuner._choice import Choice, choose
from tuner._data import Dataset
from tuner._deadline import Deadline
from tuner._metrics import Metric
from tuner._model import Blended, deliver
from tuner._records import Configuration
from tuner._search import Search, SearchOutcome
from tuner._settings import Settings
from tuner._splits import FoldPlan, finer
from tuner._threads import one_thread_a_fit
from tuner._trials import Trial, run_trial

INTACT, DEFAULT = "ours", "the default alone"


@dataclass(eq=False)
class Seen:
    """What a run passed on to its ending, and what that made of it.

    Attributes
    ----------
    dataset, metric, settings, plan
        What `choose` was called with.
    options : dict
        What it was called with by name.
    search : SearchOutcome
    seconds_left : float
        To the end of the choice when the search had ended.
    choice : Choice
    finalists : dict
        Those scored, by configuration, folds, and what was asked to be kept.
    """

    dataset: Dataset
    metric: Metric
    settings: Settings
    plan: FoldPlan
    options: dict[str, Any]
    search: SearchOutcome = field(init=False)
    seconds_left: float = field(init=False)
    choice: Choice = field(init=False)
    finalists: dict[Any, Trial] = field(init=False, default_factory=dict)

    def test_loss(self, model: Blended, problem: Problem) -> float:
        """Return the loss of a model on the test rows."""
        delivered: Any = deliver(model, self.dataset)
        predict = delivered.predict if problem.kind == "regression" else delivered.predict_proba
        return problem.test_loss(predict(problem.X_test))


@dataclass(frozen=True)
class Ending:
    """The ending with levers off.

    Attributes
    ----------
    levers : tuple of str
        Of `LEVERS`.
    settings : dict
        Settings of another value.
    applies : callable
        Whether that changes anything on this table.
    """

    levers: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    applies: Callable[[Seen], bool] = lambda _: True


def divides_finer(seen: Seen) -> bool:
    """Whether the table has rows for more folds than choose."""
    n_folds = seen.settings.n_folds
    return finer(seen.dataset, n_folds, judges_rows=seen.metric.judges_rows) > n_folds


def fits_all_rows(seen: Seen) -> bool:
    """Whether the ensemble's members are fitted on all rows by the lever."""
    dataset = seen.dataset
    return dataset.task == "regression" and dataset.groups is None and dataset.time is None


ENDINGS = {
    "gap weight 0 alone nominates": Ending(settings={"nominating_weights": (0.0,)}),
    "no best of every family": Ending(("family_bests",)),
    "no fresh folds": Ending(("fresh_folds",)),
    "no finer fresh folds": Ending(("finer_folds",), applies=divides_finer),
    "fresh folds once": Ending(("finer_folds", "repeats")),
    "no calibration": Ending(("calibration",), applies=lambda seen: seen.metric.name == "log_loss"),
    "no fits on all rows": Ending(("refits",), applies=fits_all_rows),
    "max_members=1": Ending(settings={"max_members": 1}),
    "final='bag'": Ending(settings={"final": "bag"}),
    "final='refit'": Ending(settings={"final": "refit"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    parser.add_argument("--half", default="settle", choices=sorted(HALVES))
    parser.add_argument("--tables", nargs="+", help="some tables instead of a half")
    parser.add_argument("--seeds", nargs="+", type=int, default=[4])
    parser.add_argument("--seconds", type=float, default=60.0)
    default_out = Path(__file__).parent / "results" / "endings.jsonl"
    parser.add_argument("--out", type=Path, default=default_out)
    arguments = parser.parse_args()
    use_same_cores()
    done = read(arguments.out, arguments.seconds)
    wanted = [
        (table, seed) for table in arguments.tables or HALVES[arguments.half] for seed in arguments.seeds
    ]
    for table, seed in wanted:
        if (table, seed) not in done:
            row = run(load_problem(load_suite(arguments.data), table, seed), arguments.seconds)
            with arguments.out.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(f"{table}, seed {seed}: {row['losses']}", file=sys.stderr)
            done[table, seed] = row
    print(json.dumps(report([done[key] for key in wanted])))


def read(path: Path, seconds: float) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the finished rows of searches of so many seconds."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(row["table"], row["seed"]): row for row in rows if row["seconds"] == seconds}


def run(problem: Problem, seconds: float) -> dict[str, Any]:
    """Search once; return the test losses of the delivered model and of every ending with levers off."""
    with recorded() as runs:
        tuned(problem, {"time_budget": seconds, "estimate": None})
        (seen,) = runs
        made = {INTACT: seen.choice.finals} | {
            name: end_again(seen, ending).finals for name, ending in ENDINGS.items() if ending.applies(seen)
        }
    losses = {name: seen.test_loss(finals.model, problem) for name, finals in made.items()}
    losses[DEFAULT] = seen.test_loss(made[INTACT].default_model, problem)
    return {
        "table": problem.table,
        "seed": problem.seed,
        "seconds": seconds,
        "commit": commit(),
        "trials": len(seen.search.trials),
        "seconds_left": seen.seconds_left,
        "finalists": {name: len(finals.finalists) for name, finals in made.items()},
        "missed": {name: finals.n_missed for name, finals in made.items()},
        "folds": {name: len(finals.folds) for name, finals in made.items()},
        "members": {name: len(finals.model.members) for name, finals in made.items()},
        "losses": losses,
    }


@contextmanager
def recorded() -> Iterator[list[Seen]]:
    """Keep what reaches the ending of each run, and every finalist that was scored: none is scored twice."""
    runs: list[Seen] = []

    class Recorded(Search):
        def run(self) -> SearchOutcome:
            seen = runs[-1]
            seen.search = super().run()
            seen.seconds_left = seen.options["deadline"].left
            return seen.search

    def keep_choice(*arguments: Any, **options: Any) -> Choice:
        runs.append(Seen(*arguments, options))
        runs[-1].choice = choose(*arguments, **options)
        return runs[-1].choice

    def score(configuration: Configuration, bench: Bench, **options: Any) -> Trial:
        known = runs[-1].finalists
        flat = json.dumps(configuration.flat(), sort_keys=True)
        key = (flat, bench.plan.hash, options["keep_models"], options["n_points"])
        if key not in known:
            trial = run_trial(configuration, bench, **options)
            if trial.evaluation is None:  # late: another ending may have the time
                return trial
            known[key] = trial
        return replace(known[key], record=replace(known[key].record, number=options["number"]))

    with (
        mock.patch.object(_choice, "Search", Recorded),
        mock.patch.object(_tune, "choose", keep_choice),
        mock.patch.object(_finals, "run_trial", score),
    ):
        yield runs


def end_again(seen: Seen, ending: Ending) -> Choice:
    """Return the choice that the same search comes to with levers off, in as many seconds."""
    same_search = mock.Mock()
    same_search.return_value.run.return_value = seen.search
    options = {**seen.options, "deadline": Deadline.after(seen.seconds_left), "notify": mock.Mock()}
    with one_thread_a_fit(), ExitStack() as changed:
        changed.enter_context(mock.patch.object(_choice, "Search", same_search))
        for lever in ending.levers:
            changed.enter_context(LEVERS[lever]())
        settings = replace(seen.settings, **ending.settings)
        return choose(seen.dataset, seen.metric, settings, seen.plan, **options)


def report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print what is lost without each lever, over the tables where it does something."""
    print("log(test loss / ours): mean [95% over tables], median, worse on; positive: the lever helps")
    summary = {}
    for name in (*ENDINGS, DEFAULT):
        by_table: dict[str, list[float]] = {}
        for row in rows:
            losses = row["losses"]
            if name in losses:
                by_table.setdefault(row["table"], []).append(log_ratio(losses[name], losses[INTACT]))
        found = aggregate({table: summarize(ratios) for table, ratios in by_table.items()})
        if found is None:
            continue
        low, high = found.mean_interval
        n_worse = sum(np.mean(ratios) > 0 for ratios in by_table.values())
        print(
            f"{name:30s} {found.mean:+.4f} [{low:+.4f}, {high:+.4f}]  {found.median:+.4f}  "
            f"{n_worse} of {found.n_tables}"
        )
        summary[name] = {"mean": found.mean, "low": low, "high": high, "n_tables": found.n_tables}
    return summary


if __name__ == "__main__":
    main()
