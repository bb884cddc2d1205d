from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tuner._process.failpoints import VARIABLE, failpoint

ROOT = Path(__file__).parents[1]
CODE = (
    "from tuner._process.failpoints import failpoint\n"
    "for place in 'abab':\n    failpoint(place)\n    print(place)\n"
)


@pytest.mark.parametrize(
    ("wanted", "printed", "code"),
    [("b", "a", -signal.SIGKILL), ("a:2", "ab", -signal.SIGKILL), ("a:3", "abab", 0), ("c", "abab", 0)],
)
def test_the_process_dies_at_the_named_passage(wanted, printed, code):
    """Without a count at the first passage, with one at that; at other places it goes on."""
    done = subprocess.run(
        [sys.executable, "-u", "-c", CODE],
        env={"PYTHONPATH": str(ROOT), VARIABLE: wanted},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("".join(done.stdout.split()), done.returncode) == (printed, code)


def test_nothing_happens_where_none_is_named(monkeypatch):
    """Passing a failpoint is free of effect in a run of a user."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert failpoint("search saved") is None
