"""Named places at which a test may kill the process: around every write that must survive it."""

from __future__ import annotations

import os
import signal

VARIABLE = "TUNER_FAILPOINT"  # "name" or "name:count": die at that passage, the first by default
_passed: dict[str, int] = {}


def failpoint(name: str) -> None:
    """Kill this process without any clean-up where the environment names this place."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    place, _, count = wanted.partition(":")
    if place == name:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
