"""Does racing lose the winner, and what does it save? Recorded searches, replayed from every first fold.

    python examples/benchmarks/racing.py --data DIR --seeds 0 1 2

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables. Each search runs once without races
and is kept in ``--out``; a replay then asks of every trial, in order, whether it would have lost. The winner
is the complete trial with the smallest objective. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from generalization import load_suite

from tuner import TuningConfig, tune
from tuner._decisions.racing import Race, make_race
from tuner._records import TrialRecord
from tuner._search.search import LAG

SETTLE = ("breast_cancer", "credit_data", "ames", "keel_satimage", "nass_cds", "hotel_rates", "nlswork")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    parser.add_argument("--tables", nargs="+", default=list(SETTLE))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--max-rows", type=int, default=1_500, help="of a table, drawn at random")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "racing"))
    arguments = parser.parse_args()
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    saved: list[float] = []
    lost: list[str] = []
    print("table          seed  fits saved  winner lost in")
    for table in arguments.tables:
        for seed in arguments.seeds:
            path = folder / f"{table}_{seed}_{arguments.trials}_{arguments.max_rows}.jsonl"
            if not path.exists():
                record(arguments, table, seed, path)
            trials = [TrialRecord.from_json(line) for line in path.read_text().splitlines()]
            replays = [replay(trials, first) for first in range(len(trials[0].scores.fold_losses))]
            share = [saved_share for saved_share, _ in replays]
            losses = [f"{table}/{seed}/{first}" for first, (_, is_lost) in enumerate(replays) if is_lost]
            print(f"{table:14s} {seed:4d} {np.mean(share):11.1%}  {len(losses)} of {len(replays)}")
            saved += share
            lost += losses
    print(f"fits saved {np.mean(saved):.1%}, expected 30%: {'met' if np.mean(saved) >= 0.3 else 'missed'}")
    rate = len(lost) / len(saved)
    print(f"winner lost in {len(lost)} of {len(saved)} replays, expected at most 1%: {rate:.1%} {lost}")
    print(json.dumps({"saved": float(np.mean(saved)), "lost": len(lost), "replays": len(saved)}))


def record(arguments: argparse.Namespace, table: str, seed: int, path: Path) -> None:
    """Run one search without racing and keep its records."""
    suite = load_suite(arguments.data)
    task, metric, _, _ = suite.SUITE[table]
    rows = suite.load(table)
    chosen = np.sort(suite.split(table, seed)[0])
    if len(chosen) > arguments.max_rows:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, arguments.max_rows, replace=False))
    roles = {"groups": rows.group, "time": rows.time}
    config = TuningConfig(
        task="regression" if task == "regression" else "classification",
        metric=metric,
        max_trials=arguments.trials,
        time_budget=None,
        estimate=None,
        tracking=False,
        random_state=seed,
        verbose=0,
    )
    print(f"searching {table}, seed {seed}", file=sys.stderr)
    with mock.patch("tuner._search.search.make_race", return_value=None):
        result = tune(
            rows.X.iloc[chosen],
            rows.y[chosen],
            config=config,
            **{name: values[chosen] for name, values in roles.items() if values is not None},
        )
    path.write_text("".join(trial.to_json() + "\n" for trial in result.trials))


def replay(trials: list[TrialRecord], first: int) -> tuple[float, bool]:
    """Return the share of fold fits saved and whether the winner was lost, fold ``first`` being the first."""
    complete = [trial for trial in trials if trial.scores is not None]
    n_folds = len(complete[0].scores.fold_losses)
    order = np.roll(np.arange(n_folds), -first)
    winner = min(complete, key=lambda trial: trial.objective)
    alive: list[TrialRecord] = []
    used, is_lost = 0, False
    for trial in complete:
        known = [other for other in alive if other.number <= trial.number - LAG]
        race = make_race(known, trial.penalty_cap, family=trial.configuration.family)
        seen = folds_seen(trial, race, order)
        used += seen
        if seen < n_folds:
            is_lost |= trial is winner
        else:
            alive.append(trial)
    return 1 - used / (n_folds * len(complete)), is_lost


def folds_seen(trial: TrialRecord, race: Race | None, order: np.ndarray) -> int:
    """Return after how many folds the trial would have lost, or all of them."""
    if race is None:
        return len(order)
    rivals = replace(race, fold_losses=tuple(race.fold_losses[fold] for fold in order))
    losses = [np.nanmin(trial.curves.validation[fold]) for fold in order]
    return next((n for n in range(1, len(order)) if rivals.lost(losses[:n])), len(order))


if __name__ == "__main__":
    main()
