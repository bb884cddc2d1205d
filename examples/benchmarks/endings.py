"""What each lever after the search is worth: one search ended again without it, scored on unseen rows.

    python examples/benchmarks/endings.py --data DIR --half report --seconds 60 --seeds 4

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables; ``--half more`` are those of
`more_tables`. A run of its own for every lever
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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from generalization_cell import use_same_cores
from generalization_data import Problem
from generalization_ours import predict_by, switched_off, tuned
from generalization_report import aggregate, select, table_ratios
from generalization_results import Result, append_result, read_results
from more_tables import TABLES, problem_of
from provenance import commit

from tuner._finals import finals as _finals
from tuner._finals.finals import Finals, is_refitted
from tuner._finals.pace import finest_folds
from tuner._folds.splits import FoldPlan
from tuner._line import choice as _choice
from tuner._line import tune as _tune
from tuner._line.choice import Choice, choose
from tuner._metrics.metrics import Metric
from tuner._model import Blended
from tuner._options.settings import Settings
from tuner._process.deadline import Deadline
from tuner._process.threads import one_thread_a_fit
from tuner._records import Configuration
from tuner._rows.data import Dataset
from tuner._search.search import Search, SearchOutcome
from tuner._trials.bench import Bench
from tuner._trials.evaluation import Effort
from tuner._trials.trials import Trial, run_trial

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
    return finest_folds(seen.dataset, seen.metric, seen.settings) > seen.settings.n_folds


def fits_all_rows(seen: Seen) -> bool:
    """Whether the ensemble's members are fitted on all rows by the lever."""
    return is_refitted(seen.dataset, seen.settings) and seen.dataset.time is None


ENDINGS = {
    "gap weight 0 alone nominates": Ending(settings={"nominating_weights": (0.0,)}),
    "no best of every family": Ending(("family_bests",)),
    "no fresh folds": Ending(("fresh_folds",)),
    "no finer fresh folds": Ending(("finer_folds",), applies=divides_finer),
    "fresh folds once": Ending(("finer_folds", "repeats")),
    "no calibration": Ending(("calibration",), applies=lambda seen: seen.metric.name == "log_loss"),
    "no fits on all rows": Ending(("refits",), applies=fits_all_rows),
    "no member makes room": Ending(("making_room",)),
    "max_members=1": Ending(settings={"max_members": 1}),
    "final='bag'": Ending(settings={"final": "bag"}),
    "final='refit'": Ending(settings={"final": "refit"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    parser.add_argument("--half", default="settle", choices=sorted(TABLES))
    parser.add_argument("--tables", nargs="+", help="some tables instead of a half")
    parser.add_argument("--seeds", nargs="+", type=int, default=[4])
    parser.add_argument("--seconds", type=float, default=60.0)
    default_out = Path(__file__).parent / "results" / "endings.jsonl"
    parser.add_argument("--out", type=Path, default=default_out)
    arguments = parser.parse_args()
    use_same_cores()
    tables = arguments.tables or list(TABLES[arguments.half])
    done = read_results(arguments.out)
    for table in tables:
        for seed in arguments.seeds:
            if (table, seed, INTACT, arguments.seconds) not in done:
                for result in run(problem_of(arguments.data, table, seed), arguments.seconds):
                    append_result(arguments.out, result)
                print(f"{table}, seed {seed}", file=sys.stderr)
    results = read_results(arguments.out).values()
    print(
        json.dumps(report(select(results, tables=tables, seeds=arguments.seeds, seconds=arguments.seconds)))
    )


def run(problem: Problem, seconds: float) -> list[Result]:
    """Search once; return how every ending with levers off does, and last the delivered model."""
    with recorded() as runs:
        tuned(problem, {"time_budget": seconds, "estimate": None})
        (seen,) = runs
        made = {
            name: end_again(seen, ending).finals for name, ending in ENDINGS.items() if ending.applies(seen)
        }
    intact = seen.choice.finals
    known = {"commit": commit(), "seconds_left": seen.seconds_left}

    def result(name: str, finals: Finals, model: Blended) -> Result:
        return Result(
            problem.table,
            problem.seed,
            name,
            seconds,
            problem.split,
            loss=problem.test_loss(predict_by(problem, seen.dataset, model)(problem.X_test)),
            trials=len(seen.search.trials),
            details={
                **known,
                "finalists": len(finals.finalists),
                "missed": finals.n_missed,
                "folds": len(finals.plan.folds),
                "members": len(model.members),
            },
        )

    return [
        *(result(name, finals, finals.tuned.model) for name, finals in made.items()),
        result(DEFAULT, intact, intact.default.model),
        result(INTACT, intact, intact.tuned.model),
    ]


@contextmanager
def recorded() -> Iterator[list[Seen]]:
    """Keep what reaches the ending of each run, and every finalist that was scored: none is scored twice."""
    runs: list[Seen] = []

    class Recorded(Search):
        def run(self) -> SearchOutcome:
            seen = runs[-1]
            seen.search = super().run()
            seen.seconds_left = seen.options["turn"].deadline.left
            return seen.search

    def keep_choice(*arguments: Any, **options: Any) -> Choice:
        runs.append(Seen(*arguments, options))
        runs[-1].choice = choose(*arguments, **options)
        return runs[-1].choice

    def score(configuration: Configuration, bench: Bench, effort: Effort, **options: Any) -> Trial:
        known = runs[-1].finalists
        key = (configuration.key, bench.plan.hash, effort.keep_models, effort.n_points)
        if key not in known:
            trial = run_trial(configuration, bench, effort, **options)
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
    turn = replace(seen.options["turn"], deadline=Deadline.after(seen.seconds_left), notify=mock.Mock())
    options = {**seen.options, "turn": turn}
    settings = replace(seen.settings, **ending.settings)
    same = mock.patch.object(_choice, "Search", same_search)
    with one_thread_a_fit(), same, switched_off(ending.levers):
        return choose(seen.dataset, seen.metric, settings, seen.plan, **options)


def report(results: Sequence[Result]) -> dict[str, Any]:
    """Print what is lost without each lever, over the tables where it does something."""
    print("log(test loss / ours): mean [95% over tables], median, worse on; positive: the lever helps")
    summary = {}
    for name in (*ENDINGS, DEFAULT):
        ratios = table_ratios(results, name, INTACT)
        found = aggregate(ratios)
        if found is None:
            continue
        low, high = found.mean_interval
        n_worse = sum(ratio.mean > 0 for ratio in ratios.values())
        print(
            f"{name:30s} {found.mean:+.4f} [{low:+.4f}, {high:+.4f}]  {found.median:+.4f}  "
            f"{n_worse} of {found.n_tables}"
        )
        summary[name] = {"mean": found.mean, "low": low, "high": high, "n_tables": found.n_tables}
    return summary


if __name__ == "__main__":
    main()
