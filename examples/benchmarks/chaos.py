"""Kill runs by SIGKILL at random moments, and count those that do not end as if left alone.

A round makes three kills. Its runs are of eight trials with nested estimate, MLflow and registration; each is
killed at random moments of its life until three kills have struck (a run that ends before its kill does not
count, and another begins), then completed; store, MLflow and predictions are compared with those of a run
nobody killed. The work is that of `tests/chaos/test_kills.py`, of which CI runs one round.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS_A_ROUND = 3
TESTS = ["-m", "chaos", "-k", "random", "-s", "tests/chaos/test_kills.py"]


def main() -> int:
    """Run the rounds, print how many kills struck; return pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--kills", type=int, default=60, metavar="N", help="at least so many, three a round (default: 60)"
    )
    n_rounds = -(-parser.parse_args().kills // KILLS_A_ROUND)
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", *TESTS],
        cwd=ROOT,
        env={**os.environ, "CHAOS_ROUNDS": str(n_rounds)},
        stdout=subprocess.PIPE,
        text=True,
    )
    counts = []
    for line in tests.stdout:
        print(line, end="", flush=True)
        counts += [tuple(map(int, found)) for found in re.findall(r"round \d+: (\d+) of (\d+) runs", line)]
    n_kills, n_runs = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    print(f"{n_kills} of {n_runs} runs killed, {len(counts)} of {n_rounds} rounds ended as if left alone")
    return tests.wait()


if __name__ == "__main__":
    sys.exit(main())
