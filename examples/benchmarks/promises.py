"""Does the promised interval hold the score that comes? Real tables, cuts in time or splits of groups.

    python examples/benchmarks/promises.py --data DIR --seconds 15

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables. At each of ten cut points a table
is tuned on rows before the cut and scored on the window that follows, as long as a window of the estimate;
a table with groups is tuned on some groups and scored on others, ten times. Once with the roles given, once
as random cross-validation would have it: the same rows, time and groups kept quiet. Both claim by nested
folds; a promise is kept where the interval holds the score of the delivered model on the held-out rows.
Runs without a claim (no time left, or refused) are counted apart. Runs are kept in ``--out`` as JSON lines;
an interrupted benchmark goes on. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from generalization_data import load_suite
from json_lines import read_lines
from provenance import commit

from tuner import InputError, TuningConfig, tune
from tuner._metrics.metrics import resolve_metric

TABLES = ("nlswork", "hotel_rates", "nyc_flights_late", "nass_cds")
CUTS = np.linspace(0.40, 0.85, 10)  # of the rows in time order; a sixth of 85% more still lies within
OUTER_FOLDS = 5  # forward windows are a sixth of the rows each
MAX_TUNE_ROWS, MAX_TEST_ROWS = 1_000, 4_000
ALL_ERRORS = ("G003", "G004", "G009")  # without their roles tables may look leaky: that is what is measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--seconds", type=float, default=15.0, help="time budget of a run")
    parser.add_argument("--jobs", type=int, default=-1, help="threads of a run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "promises.jsonl")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    suite = load_suite(arguments.data)
    done = {row["key"] for row in read_lines(arguments.out)}
    for cut, table, has_roles in itertools.product(range(len(CUTS)), arguments.tables, (True, False)):
        key = f"{table}/{cut}/{'roles' if has_roles else 'random'}/{arguments.seconds:g}"
        if key in done:
            continue
        try:
            found = run(suite, table, cut, arguments, has_roles=has_roles)
        except InputError as error:
            found = {"table": table, "roles": has_roles, "promise": None, "refused": str(error)}
        with arguments.out.open("a") as file:
            file.write(json.dumps({"key": key, **found}) + "\n")
    lines = read_lines(arguments.out)
    print(
        json.dumps(print_table([each for each in lines if each["key"].endswith(f"/{arguments.seconds:g}")]))
    )


def window(time: np.ndarray, cut: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows before a cut and rows of the window after it, drawn where there are too many.

    The window is as long as one of the estimate's: what a forward window holds for every ``OUTER_FOLDS + 1``
    parts of the rows before the cut. Rows of one time stay on one side.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(time, kind="stable")
    first = time[order[int(cut * len(order))]]
    last = time[order[min(int(cut * (1 + 1 / (OUTER_FOLDS + 1)) * len(order)), len(order) - 1)]]
    before = np.flatnonzero(time < first)
    after = np.flatnonzero((time >= first) & (time <= max(last, first)))
    return _some(before, MAX_TUNE_ROWS, generator), _some(after, MAX_TEST_ROWS, generator)


def _some(rows: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    return np.sort(rows if len(rows) <= size else generator.choice(rows, size, replace=False))


def run(
    suite: Any, table: str, cut: int, arguments: argparse.Namespace, *, has_roles: bool
) -> dict[str, Any]:
    """Tune once; return the promise and the score on the rows held out, in the metric's natural units."""
    task, metric_name, kind, _ = suite.SUITE[table]
    rows = suite.load(table)
    if kind == "time":
        picked, test = window(np.asarray(rows.time), CUTS[cut], cut)
    else:
        tune_rows, test_rows = suite.split(table, cut)
        generator = np.random.default_rng(cut)
        picked, test = _some(tune_rows, MAX_TUNE_ROWS, generator), _some(test_rows, MAX_TEST_ROWS, generator)
    roles = {"groups": rows.group, "time": rows.time} if has_roles else {}
    config = TuningConfig(
        task="regression" if task == "regression" else "classification",
        metric=metric_name,
        time_budget=arguments.seconds,
        estimate="nested",
        outer_folds=OUTER_FOLDS,
        n_jobs=arguments.jobs,
        tracking=False,
        random_state=cut,
        allow=ALL_ERRORS,
        verbose=0,
    )
    given = {role: values[picked] for role, values in roles.items() if values is not None}
    result = tune(rows.X.iloc[picked], rows.y[picked], config=config, **given)
    claim = result.estimate
    metric = resolve_metric(metric_name, result.task)
    X, y = rows.X.iloc[test], rows.y[test]
    if result.task == "regression":
        losses = metric.losses(y, result.model.predict(X))
    else:
        losses = metric.losses(y == result.model.classes_[1], result.model.predict_proba(X)[:, 1])
    return {
        "table": table,
        "roles": has_roles,
        "metric": metric_name,
        "promise": None if claim is None else [claim.value, claim.low, claim.high],
        "came": metric.natural(float(losses[0, 0])),
        "rows": [len(picked), len(test)],
        "seconds": result.seconds,
        "commit": commit(),
        "notes": [note for note in result.notes if "estimate" in note or "window" in note],
    }


def print_table(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print what was promised and what came, table by table; return the shares of promises kept."""
    runs, without = defaultdict(list), 0
    for line in lines:
        if line["promise"] is None:
            without += 1
        else:
            runs[line["table"], line["roles"]].append(line)
    print("table                       runs  kept  promised     came  mean half-width")
    kept: dict[str, float] = {}
    for (table, has_roles), found in sorted(runs.items()):
        held = [line["promise"][1] <= line["came"] <= line["promise"][2] for line in found]
        name = f"{table}/{'roles' if has_roles else 'random'}"
        kept[name] = float(np.mean(held))
        promised, came = (
            np.mean([line["promise"][0] for line in found]),
            np.mean([line["came"] for line in found]),
        )
        half = np.mean([(line["promise"][2] - line["promise"][1]) / 2 for line in found])
        print(f"{name:27s} {len(found):4d} {kept[name]:5.0%} {promised:9.3f} {came:8.3f} {half:8.3f}")
    return {"kept": kept, "runs": len(lines), "without_a_claim": without}


if __name__ == "__main__":
    main()
