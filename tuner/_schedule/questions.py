"""What stays as it is until a person has looked, and what a decision says of what moved."""

from __future__ import annotations

from tuner._movement.movement import GROWN, Movement
from tuner._movement.promise import beats_promise
from tuner._movement.reference import Reference
from tuner._schedule.outcome import DECIDED
from tuner._schedule.scheduled import Champion, Scheduled
from tuner._schedule.workshop import BEFORE, MADE
from tuner._tracking.registry import Registry, Version

OUTGROWN = 2  # times the rows


def told(movement: Movement) -> str:
    """Return what moved, in a few words."""
    if not movement.can_predict:
        return "the champion cannot predict the rows"
    if movement.moved:
        is_old = all(each.code == "M007" for each in movement.findings if each.severity != "info")
        return "the last search is too old" if is_old else "rows moved"
    return "nothing moved" if movement.is_judged else "too few new rows"


def question(scheduled: Scheduled, champion: Champion, movement: Movement) -> str:
    """Return what a person is asked, or has decided, so that nothing is fitted; mostly nothing.

    Where something moved, only whether the table is whole: a refit is judged there before it is delivered.
    """
    asked = _shrunk(scheduled, champion)
    if asked or movement.moved or not movement.has_grown:
        return asked
    if beats_promise(movement.loss, movement.promised) and not _has_outgrown(champion.reference):
        return "the champion's loss is far below what was promised: are the labels complete?"
    if _is_rolled_back(scheduled.registry, champion.version):
        return f"version {champion.version.number} was rolled back to, and stays until something moves"
    return ""


def _has_outgrown(reference: Reference) -> bool:
    """Whether the champion was fitted on so many more rows than its promise that it may well do better."""
    n_promised = None if reference.promise is None else reference.promise.n_rows
    return n_promised is not None and reference.n_rows >= OUTGROWN * n_promised


def _shrunk(scheduled: Scheduled, champion: Champion) -> str:
    """Return what to ask where much fewer rows are there than the champion was fitted on; else nothing.

    Of a table that is whole, `retune.window_rows` says so: no more rows than these are asked for.
    """
    n_fitted, window = champion.reference.n_rows, scheduled.job.retune.window_rows
    n_rows, n_before = (min(n, window or n) for n in (scheduled.dataset.n_rows, n_fitted))
    if n_rows > (1 - GROWN) * n_before:
        return ""
    return f"only {n_rows} rows to fit on, the champion was fitted on {n_fitted}: is the table whole?"


def _is_rolled_back(registry: Registry, champion: Version) -> bool:
    """Whether a person went back to the champion: a refit would undo that, as a second rollback does."""
    done = (each.tags for each in registry.decisions() if each.is_finished)
    last = next((tags for tags in done if tags[DECIDED] not in ("not needed", "kept")), None)
    if last is None or last[DECIDED] != "rolled back" or last[MADE] != champion.number:
        return False
    return int(last[MADE]) < int(last[BEFORE])
