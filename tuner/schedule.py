"""A scheduled job: whether anything moved, a refit or a new study, and a promotion only of what is better."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuner._jobs.file import Job, check_run_key
from tuner._line.checked import check_run
from tuner._line.study import study_hash
from tuner._process.failpoints import failpoint
from tuner._process.lock import StudyLock
from tuner._process.secrets import plain
from tuner._schedule.outcome import (
    DECIDED,
    RetuneOutcome,
    contest_text,
    contests_summary,
    decision_items,
    model_description,
    movement_files,
    movement_summary,
    movement_text,
    promise_text,
)
from tuner._schedule.retune import Verdict, decide
from tuner._schedule.scheduled import Scheduled, checked_job, open_registry, read_scheduled
from tuner._schedule.views import check_job, report_job, status_job
from tuner._schedule.workshop import BEFORE, MADE, NONE, fittable
from tuner._tracking.items import Tag
from tuner._tracking.registry import (
    CHALLENGER,
    CHAMPION,
    KEY,
    PREVIOUS,
    DecisionRun,
    Made,
    Registry,
    Version,
    is_there,
)
from tuner.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RetuneOutcome", "check_job", "report_job", "retune_job", "rollback_job", "status_job"]

RETUNE, ROLLBACK = "retune", "rollback"
COMMAND = "tuner.command"  # tag of a decision: which of the two
UNLABELLED = "tuner.unlabelled"  # tag of a decision that other rows without a target might change


def retune_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> RetuneOutcome:
    """Refit a champion if rows moved or came, search if that is not enough, promote only what is better.

    A key (job, run key, rows, space, metric, folds and seed) is decided once: called again, its decision is
    returned. It is decided anew where there is no champion any more, or there are other rows without a target
    and these are looked at. A call that was killed is continued from what its decision began with,
    whatever the aliases say by then; where another decision has followed, it is begun anew.

    Parameters
    ----------
    path : str or Path
        The job file, with ``[tracking] register_as`` and ``[storage] url``.
    overrides : sequence of str
        ``section.key=value``, applied over the file in order.
    run_key : str
        The period, such as 2026-W47.

    Raises
    ------
    InputError
        For a bad job file or bad data, before any fit.
    LockedError
        If the job is being retuned.
    RegistryError
        If the registry cannot be reached or written; trials are kept.
    """
    started = monotonic()
    check_run_key(run_key)
    job, config = checked_job(path, overrides)
    rows = read_scheduled(job)
    if not is_there(config.tracking_uri):
        first = rows.labelled.take(fittable(rows, rows.newest(job.retune.window_rows)))
        check_run(first.dataset(job.data.task), config)  # as a first study will: bad rows make no databases
    key = job.key(run_key, study_hash(rows.dataset, config))
    with _locked(job):
        registry = open_registry(job, config)
        begun, unlabelled = registry.decision(key), _digest(rows.unlabelled)
        if begun is not None and begun.is_finished and _stands(registry, begun, unlabelled):
            return RetuneOutcome.from_json(registry.file(begun.run_id, "decision/decision.json").decode())
        left = _open_rollback(registry)
        if left is not None:
            _give_up_others(registry, left)
            _roll_back(job, registry, left, started)
            begun = registry.decision(key)
        scheduled = Scheduled(job, config, rows, registry)
        label = run_key or RETUNE  # short: MLflow's list of runs shows some twenty letters of a name
        if begun is None or begun.is_finished:
            champion = registry.version(CHAMPION)
            tags = {COMMAND: RETUNE, BEFORE: NONE if champion is None else champion.number}
            begun = registry.begin(key, label, tags)
        _give_up_others(registry, begun)  # in every call: the one that began it may have been killed here
        failpoint("schedule.begun")
        verdict = _decided(scheduled, begun, key)
        if verdict.made is not None:
            _deliver(registry, begun, verdict.made, promotes=verdict.decision == "promoted")
        if _looks_further(verdict, job):
            registry.note(begun.run_id, [Tag(UNLABELLED, unlabelled)])
        return _finished(job, registry, begun, verdict, label, started)


def _digest(rows: pd.DataFrame) -> str:
    """Return what tells tables of rows apart."""
    hashes = pd.util.hash_pandas_object(rows, index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()[:12]


def _stands(registry: Registry, decided: DecisionRun, unlabelled: str) -> bool:
    """Whether a decision is still what its key comes to: there is a champion, and nothing more to look at."""
    known = decided.tags.get(UNLABELLED, unlabelled)
    return known == unlabelled and registry.version(CHAMPION) is not None


def _looks_further(verdict: Verdict, job: Job) -> bool:
    """Whether a call on the same labels looks at rows without a target: few others are new by then."""
    movement, is_new = verdict.movement, verdict.made is not None
    return movement is None or is_new or movement.n_new_rows < job.retune.min_rows


def rollback_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> RetuneOutcome:
    """Let the previous version predict again, under whatever key; a second rollback undoes the first.

    Raises
    ------
    InputError
        If there is no previous version, or it is the champion.
    RegistryError
        If the registry cannot be reached or written.
    """
    started = monotonic()
    check_run_key(run_key)
    job, config = checked_job(path, overrides)
    if not is_there(config.tracking_uri):
        raise _nothing_previous(job)
    with _locked(job):
        registry = open_registry(job, config)
        begun = _open_rollback(registry)
        if begun is None:
            champion, previous = _to_swap(job, registry)
            key = f"{job.name}-{ROLLBACK}-{time():.6f}"
            tags = {COMMAND: ROLLBACK, BEFORE: champion.number, MADE: previous.number}
            begun = registry.begin(key, ROLLBACK, tags)
        _give_up_others(registry, begun)
        failpoint("schedule.begun")
        return _roll_back(job, registry, begun, started)


def _to_swap(job: Job, registry: Registry) -> tuple[Version, Version]:
    """Return champion and previous version, two different ones."""
    champion, previous = registry.version(CHAMPION), registry.version(PREVIOUS)
    if champion is None or previous is None:
        raise _nothing_previous(job)
    if champion.number == previous.number:  # see `_swap`
        raise InputError(
            "A rollback needs a previous version that is not the champion.",
            f"version {champion.number} of {registry.name!r} as both: a promotion was killed half-way",
            "Run `tuner retune` with its key again, or wait for the next promotion.",
        )
    return champion, previous


def _nothing_previous(job: Job) -> InputError:
    rule = "A rollback needs a champion and a previous version."
    return InputError(rule, f"none of {job.tracking.register_as!r}", "Wait for the first promotion.")


def _open_rollback(registry: Registry) -> DecisionRun | None:
    """Return the rollback that a killed call has left half done, if there is one."""
    open_ones = registry.decisions(" and attributes.status = 'RUNNING'")
    return next((each for each in open_ones if each.tags[COMMAND] == ROLLBACK), None)


def _roll_back(job: Job, registry: Registry, begun: DecisionRun, started: float) -> RetuneOutcome:
    back = registry.numbered(begun.tags[MADE])
    _swap(registry, champion=back, previous=registry.numbered(begun.tags[BEFORE]))
    why = f"version {begun.tags[MADE]} takes the place of version {begun.tags[BEFORE]}"
    return _finished(job, registry, begun, Verdict("rolled back", why), ROLLBACK, started)


def _give_up_others(registry: Registry, begun: DecisionRun) -> None:
    """End what killed calls left open: should their keys come again, they are begun anew."""
    for each in registry.decisions(" and attributes.status = 'RUNNING'"):
        if each.run_id != begun.run_id:
            registry.give_up(each, f"its call was killed; {begun.name} followed")


def _decided(scheduled: Scheduled, begun: DecisionRun, key: str) -> Verdict:
    """Decide; where rows break a rule before anything was made, they will in every call: give it up."""
    try:
        return decide(scheduled, begun, key)
    except InputError as error:
        now = scheduled.registry.decision(key)
        if now is not None and MADE not in now.tags:
            scheduled.registry.give_up(begun, str(error))
        raise


@contextmanager
def _locked(job: Job) -> Iterator[None]:
    """Keep other calls that act on the job away."""
    lock = StudyLock(str(job.storage.url), f"{job.name} retune")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _deliver(registry: Registry, begun: DecisionRun, made: Made, *, promotes: bool) -> None:
    """Make the model a version, and that the champion."""
    version = registry.deliver(begun.run_id, made)
    failpoint("schedule.delivered")
    _swap(registry, champion=version, previous=registry.numbered(begun.tags[BEFORE]))
    if promotes:
        registry.drop(CHALLENGER)


def _swap(registry: Registry, *, champion: Version, previous: Version) -> None:
    """Promote: killed between the two, the model still has a champion, and the command run again ends it."""
    registry.point(PREVIOUS, previous)
    failpoint("schedule.previous_set")
    registry.point(CHAMPION, champion)
    failpoint("schedule.champion_set")


def _finished(
    job: Job, registry: Registry, begun: DecisionRun, verdict: Verdict, label: str, started: float
) -> RetuneOutcome:
    """Write the decision down and return it."""
    champion, previous = registry.version(CHAMPION), registry.version(PREVIOUS)
    challenger = None if verdict.decision == "first" else verdict.challenger
    versions = {CHAMPION: champion, PREVIOUS: previous, CHALLENGER: challenger}
    summary: dict[str, Any] = {
        "status": "done",
        "command": begun.tags[COMMAND],
        "job": job.name,
        "job_key": begun.tags[KEY],
        "decision": verdict.decision,
        "why": verdict.why,
        **movement_summary(verdict.movement),
        **contests_summary(verdict.contests),
        **{alias: None if each is None else each.summary(registry.name) for alias, each in versions.items()},
        "seconds": monotonic() - started,
        "tracking_uri": registry.uri,
        "run_id": begun.run_id,
    }
    text = _text(registry, verdict, champion)
    outcome = RetuneOutcome(summary=plain(summary), text=text)
    files = {f"decision/{name}": content for name, content in (verdict.files or {}).items()}
    files |= {"decision/decision.json": outcome.to_json().encode(), **movement_files(verdict.movement)}
    named = f"{label}: {verdict.decision}"
    items = [*decision_items(outcome.summary, text, at=begun.started), Tag("mlflow.runName", named)]
    failpoint("schedule.before_decision")
    for version in (verdict.challenger, champion if verdict.made else None):
        if version is not None:
            registry.tag_version(version, {DECIDED: verdict.decision})
    earlier = [each for each in registry.decisions() if each.is_finished]
    registry.describe(model_description(named, verdict.why, text, earlier))
    registry.finish(begun.run_id, items, files)
    failpoint("schedule.decided")
    return outcome


def _text(registry: Registry, verdict: Verdict, champion: Version | None) -> str:
    text = f"decision    {verdict.decision}: {verdict.why}\n"
    if verdict.movement is not None:
        text += movement_text(verdict.movement)
    text += "".join(contest_text(each) for each in verdict.contests)
    if verdict.challenger is not None and verdict.decision != "first":
        text += f"challenger  version {verdict.challenger.number} of {registry.name}, by a study\n"
    if champion is not None:
        promise = registry.reference(champion).promise
        text += f"champion    version {champion.number} of {registry.name}: {promise_text(promise)}\n"
    return text
