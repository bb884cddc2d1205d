"""Places where a test may kill the process: `TUNER_FAILPOINT=NAME[:COUNT]` ends it there by SIGKILL."""

from __future__ import annotations

import os
import signal

FAILPOINTS = (
    "store.before_save",
    "store.after_save",
    "finals.before",
    "finals.after",
    "tracking.parent_created",
    "tracking.run_created",
    "tracking.run_ended",
    "tracking.model_logged",
    "tracking.model_registered",
    "tracking.before_end",
    "job.before_finish",
    "job.after_finish",
)
_NAME, _, _COUNT = os.environ.get("TUNER_FAILPOINT", "").partition(":")
_passed = 0


def failpoint(name: str) -> None:
    """Kill this process if it was told to end at the COUNT-th passing of this place (first: 1)."""
    global _passed
    if name != _NAME:
        return
    _passed += 1
    if _passed >= int(_COUNT or 1):
        os.kill(os.getpid(), signal.SIGKILL)
