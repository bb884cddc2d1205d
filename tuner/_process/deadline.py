"""A moment on the clock, and the question that fits ask between their steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import numpy as np

Stop = Callable[[], bool]


def never() -> bool:
    """Let a fit run to its end."""
    return False


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, or none."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline ``seconds`` from now; None: no deadline."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left; infinite without a deadline."""
        return np.inf if self.at is None else self.at - time.monotonic()

    @property
    def reached(self) -> bool:
        """Whether the moment has passed."""
        return self.left <= 0

    def until(self, cancelled: Event) -> Stop:
        """Return what fits ask between steps: whether the moment has passed, or their stage was cancelled."""
        return lambda: cancelled.is_set() or self.reached

    def earlier(self, seconds: float) -> Deadline:
        """Return the deadline ``seconds`` before this one."""
        return self if self.at is None else Deadline(self.at - seconds)


NO_DEADLINE = Deadline()
