"""Kill runs by SIGKILL at random moments, three times each, and count those that do not end as if left alone.

A round is a run of eight trials with nested estimate, MLflow and registration that is killed at up to three
random moments of its life and then completed; store, MLflow and predictions are compared with those of a run
that nobody killed. The work is that of `tests/chaos/test_kills.py`, which CI runs once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the rounds; return pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--kills", type=int, default=60, metavar="N", help="at most so many, three a round (default: 60)"
    )
    kills = parser.parse_args().kills
    command = [sys.executable, "-m", "pytest", "-m", "chaos", "-k", "random", "tests/chaos/test_kills.py"]
    environment = {**os.environ, "CHAOS_ROUNDS": str(-(-kills // 3))}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
