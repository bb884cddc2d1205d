"""What a trial costs beside its fits, from the hundredth to the ten thousandth, and how long opening takes.

The search, its sampler and the trial store are the real ones; instead of fits, every trial gets the scores of
a quadratic bowl at once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from tuner._decisions.objective import nested_scores
from tuner._folds.splits import plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._options.config import TuningConfig
from tuner._options.settings import resolve
from tuner._process.deadline import Deadline
from tuner._records import Configuration, Curves, TrialRecord
from tuner._rows.data import make_dataset
from tuner._search.search import LAG, Search
from tuner._store import TrialStore
from tuner._trials.bench import Bench
from tuner._trials.trials import Place, Trial

WINDOW = 100  # trials over which a cost is averaged
N_POINTS = 40  # of a path


def bowl(configuration: Configuration, *_: Any, place: Place, number: int) -> Trial:
    """Return a trial that is complete at once."""
    params = [v for v in configuration.params.values() if isinstance(v, float)]
    loss = 1.0 + sum((value - 0.3) ** 2 for value in params) / 100
    generator = np.random.default_rng(number)
    path = 1.0 + 0.5 * np.linspace(-1, 1, N_POINTS) ** 2
    rows = tuple(tuple((loss * path + generator.normal(0, 0.05)).tolist()) for _ in range(5))
    curves = Curves(tuple(map(float, range(1, N_POINTS + 1))), None, (0,) * 5, rows, rows)
    now = time.time()
    record = TrialRecord(
        study=place.study,
        phase=place.phase,
        outer=place.outer,
        number=number,
        state="COMPLETE",
        configuration=configuration,
        scores=nested_scores(curves),
        curves=curves,
        fit_seconds=0.0,
        started=now,
        completed=now,
    )
    return Trial(record, None)


def run(n_trials: int, url: str) -> dict[str, float]:
    """Search with a store; return seconds a trial around the hundredth and the last, of which the store's."""
    generator = np.random.default_rng(0)
    X = pd.DataFrame(generator.normal(size=(60, 3)), columns=list("abc"))
    data = make_dataset(X, generator.normal(size=60))
    config = TuningConfig(max_trials=n_trials, time_budget=None, random_state=0, n_jobs=1)
    settings = replace(resolve(config, task="regression", has_time=False), n_jobs=1)
    plan = plan_choosing(data, n_folds=5, n_repeats=1, seed=0)
    ends: list[float] = []
    saves: list[float] = []
    with TrialStore(url, "bowl") as store:
        store.open(seed=0, spaces=settings.spaces, lag=LAG)

        def notify(record: TrialRecord) -> None:
            began = time.perf_counter()
            store.save(record)
            ends.append(time.perf_counter())
            saves.append(ends[-1] - began)

        with (
            mock.patch("tuner._search.search.run_trial", bowl),
            mock.patch("tuner._search.search.make_race", return_value=None),
        ):
            bench = Bench(data, plan, resolve_metric("rmse", "regression"), 0)
            Search(
                bench,
                settings,
                Place("bowl", "search"),
                deadline=Deadline(),
                reserve=lambda _: 0.0,
                notify=notify,
            ).run()
    steps = np.diff(ends)
    began = time.perf_counter()
    with TrialStore(url, "bowl") as store:
        store.open(seed=0, spaces=settings.spaces, lag=LAG)
        n_loaded = len(store.load())
    return {
        "trials": n_loaded,
        "early_ms": 1e3 * float(np.mean(steps[WINDOW : 2 * WINDOW])),
        "late_ms": 1e3 * float(np.mean(steps[-WINDOW:])),
        "early_save_ms": 1e3 * float(np.median(saves[WINDOW : 2 * WINDOW])),
        "late_save_ms": 1e3 * float(np.median(saves[-WINDOW:])),
        "open_seconds": time.perf_counter() - began,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print one JSON line a number of trials."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10_000])
    for n_trials in parser.parse_args(argv).trials:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(run(n_trials, f"sqlite:///{Path(folder) / 'tuner.db'}")))


if __name__ == "__main__":
    main()
