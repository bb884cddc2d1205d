"""Seconds of the engine: the same work as `cross_validate`, a whole search, and what a run costs beside fits.

    python examples/benchmarks/engine.py --out FILE --plot FILE

Every cell runs in its own process, alone; finished ones are kept in ``--out`` as JSON lines, so the benchmark
can be interrupted. Expected figures are printed beside the measured ones. The last line printed is one JSON
object. A full run takes hours, nearly all of them in the peers' 100 trials at 20,000 rows and more:
``--sections same_work`` is a matter of minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from engine_cells import CELLS  # noqa: E402 - beside this file, whatever the working directory

SIZES = (300, 1_000, 5_000, 20_000, 100_000)
TASKS = ("binary", "multiclass", "regression")
EXPECTED = {300: 5.0, 1_000: 5.0, 5_000: 3.0, 20_000: 1.8, 100_000: 1.2}  # same work, on two cores
SECTIONS = ("same_work", "search", "share", "logging", "overrun", "memory", "scaling", "networks")
WIDTHS = (16, 32, 64, 128, 256)  # of networks of two layers


def main() -> None:
    arguments = parse_arguments()
    if arguments.one:
        print(json.dumps(CELLS[arguments.one](**json.loads(arguments.options))))
        return
    out = Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["section"], row["options"]): row for row in read(out)}
    rows = []
    for section, options in cells(arguments):
        key = (section, json.dumps(options, sort_keys=True))
        if key not in done:
            done[key] = {"section": section, "options": key[1], **run_process(section, options)}
            with out.open("a") as file:
                file.write(json.dumps(done[key]) + "\n")
            print(section, key[1], {k: v for k, v in done[key].items() if k != "options"}, file=sys.stderr)
        rows.append(done[key])
    report(rows, arguments.plot)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=SECTIONS)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS, help="of the same work")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of whole searches")
    parser.add_argument("--naive-trials", type=int, default=100)
    parser.add_argument("--naive-seconds", type=float, default=900.0, help="the naive study stops there")
    parser.add_argument("--runs", type=int, default=20, help="of 5 to 60 s, for the overrun")
    parser.add_argument("--rows", type=int, default=1_000_000, help="largest table of memory and scaling")
    parser.add_argument("--out", default=str(HERE / "results" / "engine.jsonl"))
    parser.add_argument("--plot", default=str(HERE / "results" / "engine.png"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--options", default="{}", help=argparse.SUPPRESS)
    return parser.parse_args()


def cells(arguments: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    """Return what is measured, cheap ones first."""
    wanted: dict[str, list[dict[str, Any]]] = {
        "same_work": [{"n_rows": n, "task": task} for n in arguments.sizes for task in arguments.tasks],
        "share": [
            {"n_rows": n, "trial": trial, "tracking": tracking}
            for n, trials in ((120, (50, 200, 1_000)), (1_000, (50, 200)))
            for trial in trials
            for tracking in (False, True)
        ],
        "logging": [{"storage": storage} for storage in (False, True)],
        "overrun": [
            {"run": run, "seconds": round(float(seconds), 1)}
            for run, seconds in enumerate(np.linspace(5, 60, arguments.runs))
        ],
        "memory": [{"n_rows": arguments.rows}],
        "scaling": [{"n_rows": 10**power} for power in range(3, 7) if 10**power <= arguments.rows],
        "networks": [{"n_rows": 500, "width": width} for width in WIDTHS],
        "search": [
            {
                "n_rows": n,
                "seed": seed,
                "n_trials": arguments.naive_trials,
                "limit_seconds": arguments.naive_seconds,
            }
            for n in arguments.sizes
            for seed in arguments.seeds
        ],
    }
    return [
        (section, options)
        for section in wanted
        if section in arguments.sections
        for options in wanted[section]
    ]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_process(section: str, options: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", section, "--options", json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def report(rows: list[dict[str, Any]], plot: str) -> None:
    """Print the tables, draw the ratios, end with one JSON line."""
    of: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
    for row in rows:
        of[row["section"]].append({**json.loads(row["options"]), **row})
    summary: dict[str, Any] = {}
    if of["same_work"]:
        summary["same_work"] = report_same_work(of["same_work"])
        draw(of["same_work"], plot)
    if of["search"]:
        summary["search"] = report_search(of["search"])
    for row in of["share"]:
        label = f"trials of {row['trial_ms']:.0f} ms" + (", tracked" if row["tracking"] else "")
        print(f"share of core time in fits at trial {row['trial']:5d}, {label}: {row['share']:.0%}")
    for row in of["logging"]:
        where = "MLflow and a SQLite store" if row["storage"] else "MLflow"
        print(
            f"on the search thread per logged trial, {where}: {row['ms']:.2f} ms (95%: {row['p95_ms']:.2f})"
        )
    if of["overrun"]:
        summary["overrun"] = report_overrun(of["overrun"])
    for row in of["memory"]:
        print(
            f"peak beyond libraries at {row['n_rows']:,} x 50: {row['mb']:.0f} MB, "
            f"limit {row['limit_mb']:.0f}"
        )
    if len(of["scaling"]) > 1:
        summary["exponent"] = report_scaling(of["scaling"])
    report_networks(of["networks"])
    for section in ("share", "logging", "memory", "networks"):
        summary[section] = [{k: v for k, v in row.items() if k != "options"} for row in of[section]]
    print(json.dumps(summary))


def report_same_work(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    print(
        "same work      rows   ours, ms  peer, ms  boosting alone, ms  ratio [noise] expected  best peer "
        "scores differ by"
    )
    result = []
    for row in rows:
        ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
        expected = EXPECTED.get(row["n_rows"], 1.0)
        verdict = "met" if ratio >= expected else "missed"
        print(
            f"{row['task']:11s} {row['n_rows']:7,d} {row['ours_ms']:10.1f}{row['peer_ms']:10.1f}"
            f"{row['floor_ms']:10.1f}"
            f"{ratio:7.2f} [{low:.2f}, {high:.2f}] {expected:6.1f} {verdict:7s} {row['peer']:12s}"
            f"{row['difference']:.1e}"
        )
        names = ("task", "n_rows", "ratio", "ratio_low", "ratio_high", "peer", "ours_ms", "floor_ms")
        result.append({name: row[name] for name in names})
    return result


def report_search(rows: list[dict[str, Any]]) -> dict[str, Any]:
    print("whole search   rows seed  naive: trials  seconds  loss     ours: seconds to it  ratio")
    for row in rows:
        ours = f"{row['ours_seconds']:10.1f}" if row["reached"] else f"not within {row['ran_seconds']:.0f}"
        print(
            f"{row['n_rows']:18,d} {row['seed']:4d} {row['naive_trials']:13d} {row['naive_seconds']:9.1f}"
            f"  {row['naive_loss']:.5f} {ours:>18s} {row['ratio']:6.2f}"
        )
    middle = median(row["ratio"] for row in rows)
    print(f"median ratio {middle:.2f}, expected 5.0: {'met' if middle >= 5 else 'missed'}")
    return {"median": middle, "ratios": [row["ratio"] for row in rows]}


def report_overrun(rows: list[dict[str, Any]]) -> dict[str, Any]:
    late = [row["overrun"] / max(2.0, 0.05 * row["seconds"]) for row in rows]
    worst = rows[int(np.argmax(late))]
    print(
        f"budget overrun over {len(rows)} runs: worst {worst['overrun']:+.2f} s of {worst['seconds']:.0f} s "
        f"({worst['table']}); {sum(share > 1 for share in late)} beyond max(2 s, 5%)"
    )
    return {"worst_seconds": worst["overrun"], "beyond": sum(share > 1 for share in late), "runs": len(rows)}


def report_networks(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(
            f"networks of {row['width']:3d} units at {row['n_rows']} rows: five folds together "
            f"{row['together_ms']:.0f} ms, one by one {row['alone_ms']:.0f} ms, ratio {row['ratio']:.2f}, "
            f"plain torch one by one {row['plain_ms']:.0f} ms, ratio {row['ratio_plain']:.2f}, expected 3.0"
        )


def report_scaling(rows: list[dict[str, Any]]) -> float:
    n, seconds = (np.log([row[name] for row in rows]) for name in ("n_rows", "seconds"))
    exponent = float(np.polyfit(n, seconds, 1)[0])
    for row in rows:
        print(
            f"one trial of the default at {row['n_rows']:9,d} rows: {row['seconds']:.2f} s, "
            f"{row['points']} points"
        )
    print(f"time per trial grows with n to the power {exponent:.2f}")
    return exponent


def draw(rows: list[dict[str, Any]], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for task in TASKS:
        mine = sorted((row for row in rows if row["task"] == task), key=lambda row: row["n_rows"])
        if not mine:
            continue
        ratio = np.array([row["ratio"] for row in mine])
        noise = [ratio - [row["ratio_low"] for row in mine], [row["ratio_high"] for row in mine] - ratio]
        axes.errorbar([row["n_rows"] for row in mine], ratio, yerr=noise, marker="o", capsize=3, label=task)
    axes.plot(list(EXPECTED), list(EXPECTED.values()), "k--", label="expected")
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set(xscale="log", xlabel="rows", ylabel="times faster than cross_validate", ylim=(0, None))
    axes.set_title("The same fits, the same scores: 5 folds, two cores")
    axes.legend(frameon=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"plot: {path}")


if __name__ == "__main__":
    main()
