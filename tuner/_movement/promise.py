"""A version's loss on new rows against what its estimate promised: M001."""

from __future__ import annotations

import numpy as np

from tuner._records import Finding
from tuner._statistics.intervals import Interval

LEVEL = 0.95


def check_loss(loss: Interval | None, promised: Interval | None, *, is_forward: bool) -> Finding | None:
    """M001: on new rows the loss is worse than the estimate promised, beyond the noise of both.

    The noise of the difference is that of both intervals (their halves added in squares). An estimate from
    forward windows (``is_forward``) has a prediction interval of a few windows, which drift itself has made
    wide: there the promised value is compared with the interval of the new loss alone.
    """
    if loss is None or promised is None or not is_measured(loss):
        return None
    noise = loss.value - loss.low
    if not is_forward:
        noise = float(np.hypot(noise, promised.high - promised.value))
    if not loss.value - promised.value > noise:
        return None
    return Finding(
        "M001",
        "warning",
        "The champion does worse on new rows than its estimate promised.",
        _compared(loss, promised),
        "Tune again on rows that hold the new state of things: `tuner retune`.",
    )


def explain_loss(loss: Interval | None, promised: Interval | None) -> Finding | None:
    """M001 for information: the loss is far better than promised, or cannot be held against a promise."""
    if loss is None:
        return None
    if promised is None:
        return _untold(loss, "none was promised in its metric", "A search does: `retune.max_age_days`.")
    if not is_measured(loss):
        return _untold(loss, "it has no interval", "Wait for more rows, of every class.")
    if not beats_promise(loss, promised):
        return None
    return Finding(
        "M001",
        "info",
        "The champion does far better on new rows than its estimate promised.",
        _compared(loss, promised),
        "Are their labels complete? If they are, a search renews the promise: `retune.max_age_days`.",
    )


def beats_promise(loss: Interval | None, promised: Interval | None) -> bool:
    """Whether the loss is far better than promised: its interval lies below the promised one.

    That asks for more than M001 does, as a promise is often a little too high: it was measured on models of
    fewer rows.
    """
    return loss is not None and promised is not None and is_measured(loss) and loss.high < promised.low


def is_measured(loss: Interval) -> bool:
    """Whether the loss has an interval: one of rows of one class has none, that of few blocks no ends."""
    return bool(np.isfinite([loss.value, loss.low, loss.high]).all())


def _compared(loss: Interval, promised: Interval) -> str:
    return (
        f"loss {loss.value:.4g}, {LEVEL:.0%} interval [{loss.low:.4g}, {loss.high:.4g}]; "
        f"promised {promised.value:.4g} [{promised.low:.4g}, {promised.high:.4g}]"
    )


def _untold(loss: Interval, lack: str, cure: str) -> Finding:
    return Finding(
        "M001",
        "info",
        "Whether the champion keeps its promise on new rows cannot be told.",
        f"loss {loss.value:.4g}; {lack}",
        f"Columns alone decide whether rows moved. {cure}",
    )
