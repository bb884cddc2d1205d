"""Test loss on rows no method has seen: ours against the default LightGBM, same rows, same seconds.

    python examples/benchmarks/generalization.py --data DIR --seconds 60 --seeds 0 1 2

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables. Every (table, seed, method) runs in
its own process; finished ones are kept in ``--out`` as JSON lines, so the benchmark can be interrupted. The
last line printed is one JSON object with the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SETTLE = ("credit_data", "ames", "keel_satimage", "nass_cds", "hotel_rates")
METHODS = ("default", "ours")


def main() -> None:
    arguments = parse_arguments()
    if arguments.one:
        print(json.dumps(run_one(arguments, *arguments.one)))
        return
    out = Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["table"], row["seed"], row["method"], row["seconds"]) for row in read(out)}
    for table in arguments.tables:
        for seed in arguments.seeds:
            for method in arguments.methods:
                if (table, seed, method, arguments.seconds) not in done:
                    row = run_process(arguments, table, seed, method)
                    with out.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(f"{table:14s} seed {seed} {method:8s} loss {row['loss']:.4f}", file=sys.stderr)
    wanted = [
        row
        for row in read(out)
        if row["table"] in arguments.tables
        and row["seed"] in arguments.seeds
        and row["seconds"] == arguments.seconds
    ]
    report(wanted)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    parser.add_argument("--tables", nargs="+", default=list(SETTLE))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", default="examples/benchmarks/results/generalization.jsonl")
    parser.add_argument("--one", nargs=3, metavar=("TABLE", "SEED", "METHOD"), help=argparse.SUPPRESS)
    return parser.parse_args()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_process(arguments: argparse.Namespace, table: str, seed: int, method: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--data", arguments.data, "--seconds", str(arguments.seconds)]
    done = subprocess.run(
        [*command, "--one", table, str(seed), method], stdout=subprocess.PIPE, text=True, check=True
    )
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def run_one(arguments: argparse.Namespace, table: str, seed: str, method: str) -> dict[str, Any]:
    """Tune on the tuning rows, score once on the test rows."""
    from tuner._data import make_dataset, with_log_target
    from tuner._metrics import resolve_metric

    suite = load_suite(arguments.data)
    task, name, split, _ = suite.SUITE[table]
    rows = suite.load(table)
    tune_rows, test_rows = suite.split(table, int(seed))
    kind = "regression" if task == "regression" else "classification"
    roles = {}
    if split == "group":
        roles["groups"] = rows.group[tune_rows]
    if split == "time":
        roles["time"] = rows.time[tune_rows]
    X, y = rows.X.iloc[tune_rows], rows.y[tune_rows]
    started = time.monotonic()
    fit = fit_default if method == "default" else fit_ours
    predict, claim = fit(X, y, kind, name, int(seed), seconds=arguments.seconds, roles=roles)
    seconds = time.monotonic() - started
    whole = make_dataset(rows.X, rows.y, task=kind)
    metric = resolve_metric(name, whole.task, classes=whole.classes, weighted=False)
    if metric.log_target:
        whole = with_log_target(whole)
    prediction = predict(rows.X.iloc[test_rows])
    if whole.task == "binary":
        prediction = prediction[:, 1]
    if metric.log_target:
        prediction = np.log1p(np.maximum(prediction, 0))
    loss = float(metric.losses(whole.y[test_rows], prediction)[0].min())
    return {
        "table": table,
        "seed": int(seed),
        "method": method,
        "seconds": arguments.seconds,
        "loss": loss,
        "took": seconds,
        **claim,
    }


def load_suite(folder: str) -> Any:
    spec = importlib.util.spec_from_file_location("open_suite_loader", Path(folder) / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fit_default(X: Any, y: Any, kind: str, name: str, seed: int, **_: Any) -> Any:
    """LightGBM as the library ships it, on the same encoding (native categoricals)."""
    import lightgbm as lgb

    from tuner._preparation import categorical_indices, code_matrix
    from tuner._table import read_schema

    schema, table, _ = read_schema(X)
    target = np.log1p(y) if name == "rmsle" else y
    model = (lgb.LGBMRegressor if kind == "regression" else lgb.LGBMClassifier)(
        random_state=seed, n_jobs=2, verbosity=-1
    )
    model.fit(code_matrix(table), target, categorical_feature=categorical_indices(table))

    def predict(rows: Any) -> Any:
        matrix = code_matrix(schema.encode(rows))
        if kind != "regression":
            return (
                model.booster_.predict(matrix).reshape(len(rows), -1)
                if len(model.classes_) > 2
                else (np.column_stack([1 - model.booster_.predict(matrix), model.booster_.predict(matrix)]))
            )
        raw = model.booster_.predict(matrix)
        return np.expm1(raw) if name == "rmsle" else raw

    return predict, {}


def fit_ours(X: Any, y: Any, kind: str, name: str, seed: int, *, seconds: float, roles: Any) -> Any:
    """Tune with the defaults."""
    from tuner import TunedClassifier, TunedRegressor

    estimator = TunedRegressor if kind == "regression" else TunedClassifier
    model = estimator(metric=name, time_budget=seconds, random_state=seed, tracking=False, verbose=0)
    model.fit(X, y, **roles)
    result = model.result_
    claim = {
        "trials": len(result.trials),
        "finalists": len(result.finalists),
        "family": result.best_params["family"],
        "shipped_default": result.shipped_default,
        "claim": result.estimate.loss,
        "low": result.estimate.low,
        "high": result.estimate.high,
        "method_of_claim": result.estimate.method,
    }
    return (model.predict if kind == "regression" else model.predict_proba), claim


def report(rows: list[dict[str, Any]]) -> None:
    """Print, a table a line: mean losses, the paired log ratio with two standard errors."""
    losses = {(row["table"], row["seed"], row["method"]): row["loss"] for row in rows}
    tables = list(dict.fromkeys(row["table"] for row in rows))
    print(f"{'table':14s} {'default':>9s} {'ours':>9s} {'log ratio':>10s} {'2 SE':>7s}  seeds")
    figures = {}
    for table in tables:
        seeds = sorted({seed for name, seed, _ in losses if name == table})
        pairs = [
            (losses[table, seed, "default"], losses[table, seed, "ours"])
            for seed in seeds
            if (table, seed, "default") in losses and (table, seed, "ours") in losses
        ]
        if not pairs:
            continue
        default, ours = np.array(pairs).T
        ratio = np.log(ours / default)
        error = 2 * ratio.std(ddof=1) / np.sqrt(len(ratio)) if len(ratio) > 1 else np.nan
        means = f"{default.mean():9.4f} {ours.mean():9.4f} {ratio.mean():+10.3f}"
        print(f"{table:14s} {means} {error:7.3f}  {len(ratio)}")
        figures[table] = {"log_ratio": float(ratio.mean()), "two_se": float(error)}
    mean = float(np.mean([figure["log_ratio"] for figure in figures.values()])) if figures else np.nan
    print(f"{'mean':14s} {'':9s} {'':9s} {mean:+10.3f}")
    print(json.dumps({"mean_log_ratio": mean, "tables": figures}))


if __name__ == "__main__":
    main()
