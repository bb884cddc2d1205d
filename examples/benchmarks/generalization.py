r"""Test loss on rows no method has seen: ours against its peers, same rows, same cores, same seconds.

    python examples/benchmarks/generalization.py --data DIR --half settle --seconds 60 --seeds 0 1 2 3 4 \
        --methods default tuned_default optuna optuna_folds optuna_objective flaml autogluon ours \
        --env flaml=/path/to/python --env autogluon=/path/to/python

``DIR`` holds ``load.py`` (``load``, ``split``, ``SUITE``) and the tables; ``--half more`` are those of
`more_tables`. Every (table, seed, method) runs in
its own process; finished ones are kept in ``--out`` as JSON lines, so the benchmark can be interrupted, and
failed ones too (``--retry`` runs those again). Tables and a figure beside ``--out`` follow. The last line
printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generalization_cell import EQUAL_FITS, METHODS, PeerMissingError, Request, is_method, run_cell
from generalization_data import load_suite
from generalization_figure import draw
from generalization_print import print_report, summary
from generalization_report import select
from generalization_results import Result, append_result, read_results
from more_tables import TABLES, problem_of, split_of

__all__ = ["load_suite"]  # racing.py reads the same suite

# A process that takes longer is ended and has failed; at equal fits there is no clock, so more is allowed.
OVERRUN_FACTOR, NO_CLOCK_FACTOR, OVERRUN_SECONDS = 3.0, 10.0, 120.0
ONE = "--one"


@dataclass(frozen=True)
class Cell:
    """What is to be run."""

    table: str
    seed: int
    method: str
    split: str


def main() -> None:
    arguments = parse_arguments()
    if arguments.one:
        print(json.dumps(run_one(arguments, *arguments.one)))
        return
    missing = run_all(arguments)
    results = select(
        read_results(arguments.out).values(),
        tables=arguments.tables,
        seeds=arguments.seeds,
        seconds=arguments.seconds,
    )
    print_report(results, arguments.methods, missing, baseline=arguments.baseline)
    draw(results, arguments.methods, arguments.out.with_suffix(".png"), baseline=arguments.baseline)
    print(json.dumps(summary(results, arguments.methods, missing, baseline=arguments.baseline)))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with load.py and the tables")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--tables", nargs="+", help="some tables instead of a half")
    which.add_argument("--half", default="settle", choices=sorted(TABLES))
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["default", "tuned_default", "optuna", "optuna_folds", "ours"],
        help=f"of {', '.join(METHODS)}, ours:KEY=VALUE[,KEY=VALUE]",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--env", action="append", default=[], metavar="PEER=PYTHON", help="a peer's python")
    parser.add_argument("--baseline", default="optuna", help="method that losses are compared to")
    parser.add_argument("--retry", action="store_true", help="run failed cells again")
    default_out = Path(__file__).parent / "results" / "generalization.jsonl"
    parser.add_argument("--out", type=Path, default=default_out)
    parser.add_argument(ONE, nargs=3, metavar=("TABLE", "SEED", "METHOD"), help=argparse.SUPPRESS)
    parser.add_argument("--optuna-trials", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.tables = arguments.tables or list(TABLES[arguments.half])
    for table in arguments.tables:
        if not any(table in half for half in TABLES.values()):
            parser.error(f"A table must be one of the suite's or of `more_tables`. Got {table!r}.")
    for method in arguments.methods:
        if not is_method(method):
            parser.error(f"A method must be one of {', '.join(METHODS)} or ours:KEY=VALUE. Got {method!r}.")
    for pair in arguments.env:
        if "=" not in pair:
            parser.error(f"--env names a peer and its python. Got {pair!r}. Try flaml=/opt/flaml/bin/python.")
    return arguments


def run_all(arguments: argparse.Namespace) -> dict[str, str]:
    """Run the cells that are not finished; return what is missing, and why."""
    missing: dict[str, str] = {}
    for cell in cells(arguments):
        results = read_results(arguments.out)
        done = results.get((cell.table, cell.seed, cell.method, arguments.seconds))
        if cell.method in missing or (done is not None and not (done.failed and arguments.retry)):
            continue
        options: list[str] = []
        if cell.method == EQUAL_FITS:
            optuna = results.get((cell.table, cell.seed, "optuna", arguments.seconds))
            if optuna is None or optuna.trials is None:
                missing[f"{cell.method} on {cell.table}, seed {cell.seed}"] = "no trial count of optuna there"
                continue
            options = ["--optuna-trials", str(optuna.trials)]
        outcome = run_process(arguments, cell, options)
        if isinstance(outcome, str):
            missing[cell.method] = outcome
            continue
        append_result(arguments.out, outcome)
        said = f"failed: {outcome.failed}" if outcome.failed else f"loss {outcome.loss:.4f}"
        print(f"{cell.table:16s} seed {cell.seed} {cell.method:16s} {said}", file=sys.stderr)
    return missing


def cells(arguments: argparse.Namespace) -> Iterator[Cell]:
    """Yield what is wanted: Optuna before what needs its trials, the right folds only where they differ."""
    methods = sorted(arguments.methods, key=lambda method: method == EQUAL_FITS)
    for table in arguments.tables:
        split = split_of(arguments.data, table)
        for seed in arguments.seeds:
            for method in methods:
                if method != "optuna_folds" or split != "iid":
                    yield Cell(table, seed, method, split)


def run_process(arguments: argparse.Namespace, cell: Cell, options: list[str]) -> Result | str:
    """Run one cell in a process of its own; a string says why its method is missing."""
    command = [sys.executable, __file__, "--data", arguments.data, "--seconds", str(arguments.seconds)]
    for pair in arguments.env:
        command += ["--env", pair]
    command += [*options, ONE, cell.table, str(cell.seed), cell.method]
    factor = NO_CLOCK_FACTOR if cell.method == EQUAL_FITS else OVERRUN_FACTOR
    limit = factor * arguments.seconds + OVERRUN_SECONDS
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            printed, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            end_with_children(process)
            return _failed(arguments, cell, f"not done after {limit:.0f} s")
        except BaseException:  # Ctrl-C does not reach a process of another session
            end_with_children(process)
            raise
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["no message"])[-1]
            return _failed(arguments, cell, f"exit {process.returncode}: {last}"[:500])
    row: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return row["missing"] if "missing" in row else Result.from_row(row)


def end_with_children(process: subprocess.Popen[str]) -> None:
    """End the cell's whole process group: a peer of a cell that took too long must not go on."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _failed(arguments: argparse.Namespace, cell: Cell, reason: str) -> Result:
    return Result(cell.table, cell.seed, cell.method, arguments.seconds, cell.split, failed=reason)


def run_one(arguments: argparse.Namespace, table: str, seed: str, method: str) -> dict[str, Any]:
    """Run one cell here and return its row."""
    pythons = dict(pair.split("=", 1) for pair in arguments.env)
    request = Request(method, arguments.seconds, pythons, arguments.optuna_trials)
    problem = problem_of(arguments.data, table, int(seed))
    try:
        return json.loads(run_cell(problem, request).to_json())
    except PeerMissingError as error:
        return {"missing": str(error)}


if __name__ == "__main__":
    main()
