"""A simulated year: a job that re-tunes when rows have moved, against never and against always.

    python examples/benchmarks/scheduled_year.py --data DIR

``DIR`` holds ``load.py`` (``load``) and the tables. Rows in time order are cut into windows of one size.
After every window the job's file has grown by it, and three arms predict the next: the first champion
(never), a run on all rows so far (always), and `retune_job`. All begin with one model. Then the same with
rows in random order, where nothing moves: how often does a check say so? A finished table or shuffle stays
in ``--out`` (JSON lines).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
from generalization_data import load_suite
from scheduled_year_report import draw, print_alarms, print_years

from tuner._metrics.metrics import resolve_metric
from tuner.jobs import run_job
from tuner.schedule import retune_job

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

METRICS = {"hotel_rates": "rmse", "nlswork": "rmse", "nyc_flights_late": "roc_auc"}
N_WINDOWS, ROWS_A_WINDOW = 10, 450
ALWAYS = ("job.name=always", "tracking.register_as=always")
# Few boosting rounds a trial, so that the nested estimate, whose promise a check needs, has time.
JOB = """
[job]
name = "year"
[data]
train = "rows.parquet"
target = "__y__"
time = "__time__"
task = "{task}"
[search]
families = ["lightgbm"]
time_budget = {seconds}
outer_folds = 3
seed = {seed}
[search.space.lightgbm]
learning_rate = 0.2
boosting = "gbdt"
[objective]
metric = "{metric}"
[tracking]
uri = "sqlite:///mlflow.db"
register_as = "year"
[storage]
url = "sqlite:///tuner.db"
"""


@dataclass(frozen=True)
class Period:
    """One call of the scheduler, and what each arm lost on the next window.

    Attributes
    ----------
    period : int
    decision : str
        Of the re-tuned arm.
    studied : bool
        It came from a new search, not from a refit or from nothing at all.
    codes : list of str
        Of what moved.
    losses, seconds : dict of str to float
        By arm (never, always, ours): loss on the next window (lower is better), seconds of this call.
    """

    period: int
    decision: str
    studied: bool
    codes: list[str]
    losses: dict[str, float]
    seconds: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=list(METRICS), choices=METRICS)
    parser.add_argument("--seconds", type=float, default=15.0, help="time budget of a tuning run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shuffles", type=int, default=7, help="of the order, for the false alarms")
    default_out = Path(__file__).parent / "results" / "scheduled_year.jsonl"
    parser.add_argument("--out", type=Path, default=default_out)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    lines = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    done = {line["key"]: line for line in map(json.loads, lines)}
    suite = load_suite(arguments.data)
    wanted = []
    for order in (None, *range(arguments.shuffles)):  # the years first
        for table in arguments.tables:
            key = f"{table}/{arguments.seed}/{arguments.seconds:g}/{'time' if order is None else order}"
            wanted.append(key)
            if key in done:
                continue
            print(key, file=sys.stderr, flush=True)
            windows = cut(suite.load(table), arguments.seed, order)
            with tempfile.TemporaryDirectory() as folder:
                job = write_job(Path(folder), METRICS[table], arguments)
                found = live(job, windows, METRICS[table]) if order is None else check_all(job, windows)
            done[key] = {"key": key, "table": table, "year" if order is None else "checks": found}
            with arguments.out.open("a") as file:
                file.write(json.dumps(done[key]) + "\n")
    results = [done[key] for key in wanted]
    print_years([each for each in results if "year" in each])
    print_alarms([each for each in results if "checks" in each])
    draw([each for each in results if "year" in each], arguments.out.with_suffix(".png"))


def cut(rows: Any, seed: int, order: int | None) -> list[pd.DataFrame]:
    """Return windows of consecutive rows, of a sample; with an order, of rows that are shuffled over time.

    Rows of one time (a day, a year) come in random order, and their time is made fine by it.
    """
    generator = np.random.default_rng(seed)
    n_rows = N_WINDOWS * ROWS_A_WINDOW
    drawn = generator.choice(len(rows.y), n_rows, replace=False)
    time = np.asarray(rows.time, dtype=float)[drawn]
    frame = rows.X.iloc[drawn].assign(__y__=rows.y[drawn])
    place = np.argsort(time, kind="stable")
    taken = place if order is None else np.random.default_rng([seed, order]).permutation(n_rows)
    frame = frame.iloc[taken].assign(__time__=_fine(time[place])).reset_index(drop=True)
    return [frame.iloc[first : first + ROWS_A_WINDOW] for first in range(0, n_rows, ROWS_A_WINDOW)]


def _fine(time: np.ndarray) -> np.ndarray:
    """Return sorted times with equal ones spread before the next."""
    within = pd.Series(time).groupby(time)
    half_step = np.diff(np.unique(time)).min() / 2
    return np.asarray(time + within.cumcount() / within.transform("size") * half_step)


def write_job(folder: Path, metric: str, arguments: argparse.Namespace) -> Path:
    """Write the job file."""
    task = "regression" if metric == "rmse" else "classification"
    job = folder / "job.toml"
    job.write_text(JOB.format(task=task, metric=metric, seconds=arguments.seconds, seed=arguments.seed))
    return job


def live(job: Path, windows: list[pd.DataFrame], metric: str) -> list[dict[str, Any]]:
    """Return the periods of a year."""
    year = []
    for period in range(len(windows) - 1):
        pd.concat(windows[: period + 1]).to_parquet(job.parent / "rows.parquet")
        began = monotonic()
        ours = called(job, period)
        seconds = {"ours": monotonic() - began}
        if period == 0:
            first = latest = ours["champion"]["model_uri"]
            seconds |= {"never": seconds["ours"], "always": seconds["ours"]}
        else:
            began = monotonic()
            latest = run_job(job, overrides=ALWAYS, run_key=f"period {period}").summary["model_uri"]
            seconds |= {"never": 0.0, "always": monotonic() - began}
        models = {"never": first, "always": latest, "ours": ours["champion"]["model_uri"]}
        losses = {
            arm: loss_of(uri, ours["tracking_uri"], windows[period + 1], metric)
            for arm, uri in models.items()
        }
        year.append(asdict(Period(period, ours["decision"], studied(ours), moved_by(ours), losses, seconds)))
        print(json.dumps(year[-1]), file=sys.stderr, flush=True)
    return year


def called(job: Path, period: int) -> Mapping[str, Any]:
    """Return what the scheduler's call decided."""
    return retune_job(job, run_key=f"period {period}").summary


def loss_of(model_uri: str, tracking_uri: str, rows: pd.DataFrame, metric: str) -> float:
    """Return a logged model's loss on rows."""
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    model = mlflow.sklearn.load_model(model_uri)
    features, y = rows.drop(columns=["__y__", "__time__"]), rows["__y__"].to_numpy()
    if metric == "rmse":
        return float(np.sqrt(np.mean((y - model.predict(features)) ** 2)))
    score = resolve_metric(metric, "binary", classes=model.classes_, weighted=False)
    return float(score.losses(np.searchsorted(model.classes_, y), model.predict_proba(features)[:, 1])[0, 0])


def moved_by(summary: Mapping[str, Any]) -> list[str]:
    """Return the codes of what moved."""
    return [reason["code"] for reason in summary["reasons"] if reason["severity"] != "info"]


def studied(summary: Mapping[str, Any]) -> bool:
    """Whether a call has searched anew."""
    return summary["decision"] == "first" or summary["challenger"] is not None


def check_all(job: Path, windows: list[pd.DataFrame]) -> list[dict[str, Any]]:
    """Return what a call after every window but the first found and did."""
    found = []
    for period in range(len(windows)):
        pd.concat(windows[: period + 1]).to_parquet(job.parent / "rows.parquet")
        summary = called(job, period)
        if period:
            found.append(
                {"decision": summary["decision"], "studied": studied(summary), "codes": moved_by(summary)}
            )
    return found


if __name__ == "__main__":
    main()
