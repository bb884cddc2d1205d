"""A scheduled job: whether anything moved, a new study, and a promotion only of what is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, time
from typing import Any

import numpy as np

from tuner._contest import Contest, hold_contest
from tuner._contestants import contestant, truth_of
from tuner._failpoints import failpoint
from tuner._job_file import Job, load_job
from tuner._job_outcome import JobOutcome, plain
from tuner._lock import StudyLock
from tuner._model import Delivered
from tuner._movement import Movement
from tuner._page import draw_movement
from tuner._registry import CHALLENGER, CHAMPION, KEY, PREVIOUS, DecisionRun, Registry, Version, is_there
from tuner._schedule_outcome import (
    RetuneOutcome,
    check_outcome,
    contest_summary,
    contest_text,
    decision_items,
    drift_table,
    movement_summary,
    movement_text,
    promise_text,
    status_outcome,
)
from tuner._scheduled import (
    Champion,
    Scheduled,
    blocks_of,
    checked_job,
    judge_champion,
    load_champion,
    open_registry,
    read_scheduled,
    unseen_rows,
)
from tuner._tracking_items import Tag
from tuner._tune import check_run, gate, study_hash, tune_checked
from tuner._types import IntArray
from tuner._window import split_window
from tuner.exceptions import InputError, RegistryError
from tuner.jobs import job_config, make_context

__all__ = ["RetuneOutcome", "check_job", "report_job", "retune_job", "rollback_job", "status_job"]

BEFORE, MADE = "tuner.champion_before", "tuner.challenger"  # what a decision that is continued goes on from
NONE = "none"
CONTEST_ROWS = "contest.rows"  # their hashes
SHOWN_DECISIONS = 10
ROLLBACK = "rollback"


@dataclass(frozen=True, eq=False)
class _Verdict:
    """What a retune decided, and from what."""

    decision: str
    why: str
    movement: Movement | None = None
    contest: Contest | None = None
    challenger: Version | None = None
    files: Mapping[str, bytes] | None = None


def retune_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> RetuneOutcome:
    """Tune a job again if its rows moved, and promote the challenger only if it is better.

    A key (job, run key, options, rows) is decided once: called again, its decision is returned. A call that
    was killed is continued from what its decision began with, whatever the aliases say by then.

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
    job, config = checked_job(path, overrides)
    rows = read_scheduled(job)
    key = f"{job.name}{'+' + run_key if run_key else ''}-{study_hash(rows.dataset, config)}"
    lock = _lock(job)
    lock.acquire()
    try:
        registry = open_registry(job, config)
        begun = registry.decision(key)
        if begun is not None and begun.is_finished:
            return RetuneOutcome.from_json(registry.files(begun.run_id, "decision")["decision.json"].decode())
        scheduled = Scheduled(job, config, rows, registry)
        label = f"retune {run_key}" if run_key else "retune"
        if begun is None:
            champion = registry.version(CHAMPION)
            tags = {BEFORE: NONE if champion is None else champion.number}
            begun = registry.begin(key, label, tags)
            _give_up_others(registry, begun)
        failpoint("schedule.begun")
        verdict = _decide(scheduled, begun, key)
        return _conclude(scheduled, begun, verdict, key, label, started)
    finally:
        lock.release()


def rollback_job(path: str | Path, *, overrides: Sequence[str] = ()) -> RetuneOutcome:
    """Let the previous version predict again; a second rollback undoes the first.

    Raises
    ------
    InputError
        If there is no previous version.
    RegistryError
        If the registry cannot be reached or written.
    """
    started = monotonic()
    job, config = checked_job(path, overrides)
    lock = _lock(job)
    lock.acquire()
    try:
        registry = open_registry(job, config)
        begun = next((each for each in registry.decisions() if _is_open_rollback(each)), None)
        if begun is None:
            champion, previous = registry.version(CHAMPION), registry.version(PREVIOUS)
            if champion is None or previous is None:
                rule = "A rollback needs a champion and a previous version."
                raise InputError(rule, f"none of {registry.name!r}", "Wait for the first promotion.")
            key = f"{job.name}-{ROLLBACK}-{time():.6f}"
            begun = registry.begin(key, ROLLBACK, {BEFORE: champion.number, MADE: previous.number})
        failpoint("schedule.begun")
        back = registry.numbered(begun.tags[MADE])
        _swap(registry, champion=back, previous=registry.numbered(begun.tags[BEFORE]))
        why = f"version {begun.tags[MADE]} takes the place of version {begun.tags[BEFORE]}"
        verdict = _Verdict("rolled back", why)
        return _finished(job, registry, begun, verdict, str(begun.tags[KEY]), "rollback", started)
    finally:
        lock.release()


def check_job(path: str | Path, *, overrides: Sequence[str] = ()) -> JobOutcome:
    """Say what the gate finds in a job's rows and, where there is a champion, whether they moved.

    Nothing is fitted but the classifier that tells rows apart, and nothing is written.

    Raises
    ------
    InputError
        For a bad job file or bad data; `ChecksFailedError` if a check ends in an error that is not allowed.
    RegistryError
        If the job names a registered model and the registry cannot be reached.
    """
    job = load_job(path, overrides)
    config = job_config(job)
    rows = read_scheduled(job)
    findings = gate(rows.dataset, config)[1]
    movement = None
    if job.tracking.register_as is not None and is_there(config.tracking_uri):
        registry = open_registry(job, config)
        version = registry.version(CHAMPION)
        if version is not None:
            scheduled = Scheduled(job, config, rows, registry)
            champion = load_champion(scheduled, version)
            movement = judge_champion(scheduled, champion, unseen_rows(champion, scheduled))
    return check_outcome(findings, movement)


def status_job(path: str | Path, *, overrides: Sequence[str] = ()) -> JobOutcome:
    """Say which versions there are, what they promise, and what was decided last.

    Raises
    ------
    InputError
        For a bad job file; `RegistryError` if the registry cannot be reached.
    """
    job, config = checked_job(path, overrides)
    registry = open_registry(job, config)
    found = {alias: registry.version(alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}
    now = time()
    versions = {
        alias: None
        if version is None
        else {
            **_version_summary(registry.name, version),
            "estimate": version.tags.get("tuner.estimate"),
            "age_days": (now - version.made) / 86_400,
        }
        for alias, version in found.items()
    }
    decisions = [
        {"name": each.name, "finished": each.is_finished, "run_id": each.run_id, "time": each.started}
        for each in registry.decisions()[:SHOWN_DECISIONS]
    ]
    return status_outcome(job.name, registry.name, versions, decisions)


def report_job(path: str | Path, *, overrides: Sequence[str] = (), out: str | Path | None = None) -> Path:
    """Write the report of the champion's run, else of the job's last one, and return where it is.

    Parameters
    ----------
    path : str or Path
        The job file.
    overrides : sequence of str
        ``section.key=value``, applied over the file in order.
    out : str or Path or None
        File to write; None: ``{job name}-report.html`` in the working directory.

    Raises
    ------
    InputError
        If there is no report; `RegistryError` if MLflow cannot be reached.
    """
    job = load_job(path, overrides)
    config = job_config(job)
    name = job.tracking.register_as or job.name
    registry = Registry(config.tracking_uri, name, config.experiment_name or job.name)
    champion = registry.version(CHAMPION) if job.tracking.register_as else None
    page = registry.last_report() if champion is None else registry.report(champion.run_id)
    if page is None:
        raise InputError("A report needs a finished run.", f"none of job {job.name!r}", "Run the job.")
    path = Path(out or f"{job.name}-report.html")
    path.write_bytes(page)
    return path


def _give_up_others(registry: Registry, begun: DecisionRun) -> None:
    """End what killed calls left open: their keys will not come again."""
    for each in registry.decisions(" and attributes.status = 'RUNNING'"):
        if each.run_id != begun.run_id and not _is_open_rollback(each):
            registry.give_up(each, f"its call was killed; {begun.name} followed")


def _is_open_rollback(decision: DecisionRun) -> bool:
    return not decision.is_finished and decision.name == ROLLBACK


def _lock(job: Job) -> StudyLock:
    return StudyLock(str(job.storage.url), f"{job.name} retune")


def _decide(scheduled: Scheduled, begun: DecisionRun, key: str) -> _Verdict:
    if begun.tags[BEFORE] == NONE:
        everything = np.arange(scheduled.dataset.n_rows)
        version = _tuned(scheduled, begun, everything, key, None)
        return _Verdict("first", "there was no champion", challenger=version)
    champion = load_champion(scheduled, scheduled.registry.numbered(begun.tags[BEFORE]))
    is_new = unseen_rows(champion, scheduled)
    movement = judge_champion(scheduled, champion, is_new)
    if not movement.moved:
        why = "nothing moved" if movement.is_judged else "too few new rows"
        return _Verdict("not needed", why, movement)
    retune = scheduled.job.retune
    if movement.n_new_rows < retune.min_rows:
        return _Verdict("not needed", "rows moved, but too few of the new ones have labels", movement)
    dataset = scheduled.dataset
    window = split_window(
        is_new,
        time=dataset.time,
        groups=dataset.groups,
        holdout=retune.holdout,
        window_rows=retune.window_rows,
    )
    challenger = _tuned(scheduled, begun, window.train, key, champion)
    if champion.model is None:
        why = "the champion cannot predict the new rows"
        return _Verdict("promoted", why, movement, challenger=challenger)
    model = scheduled.registry.model(challenger)
    hashes = champion.reference.hash(scheduled.features, scheduled.rows.labelled.target)[window.holdout]
    contest = _contest(
        scheduled, champion, model, len(window.train), window.holdout,
        n_uses=1 + _earlier_uses(scheduled.registry, hashes, key),
    )  # fmt: skip
    decision = "promoted" if contest.promotes else "kept"
    return _Verdict(
        decision, contest.verdict, movement, contest, challenger, {CONTEST_ROWS: hashes.tobytes()}
    )


def _tuned(
    scheduled: Scheduled, begun: DecisionRun, rows: IntArray, key: str, champion: Champion | None
) -> Version:
    """Return the version made of these rows; one that a killed call has made is the one."""
    registry, config = scheduled.registry, scheduled.config
    if MADE in begun.tags:
        return registry.numbered(begun.tags[MADE])
    own = scheduled.rows.labelled.take(rows)
    dataset = own.dataset(scheduled.job.data.task)
    digest = study_hash(dataset, config)
    context = replace(make_context(scheduled.job, own, dataset, digest, ""), job_key=key)
    if champion is not None:
        promise = champion.reference.promise
        context = replace(
            context,
            study_name=f"{scheduled.job.name}-{digest}-v{champion.version.number}",
            begin_with=None if promise is None else promise.winner,
        )
    result = tune_checked(check_run(dataset, config), config, context, started=monotonic())
    run_id = None if result.tracking is None else result.tracking.run_id
    version = None if run_id is None else registry.version_of_run(run_id)
    if version is None:
        problems = () if result.tracking is None else result.tracking.problems
        raise RegistryError(
            "A tuned model must be registered before it is judged.",
            "; ".join(problems) or "no version of its run",
            "Trials are kept. Start or mend MLflow, then run the command again.",
        )
    failpoint("schedule.tuned")
    registry.note(begun.run_id, [Tag(MADE, version.number)])
    failpoint("schedule.noted")
    if champion is not None:
        registry.point(CHALLENGER, version)
    return version


def _contest(
    scheduled: Scheduled, champion: Champion, model: Delivered, n_trained: int, holdout: IntArray,
    *, n_uses: int,
) -> Contest:  # fmt: skip
    assert champion.model is not None  # the caller looked
    dataset = scheduled.dataset
    truth = truth_of(dataset, scheduled.config.metric, [champion.model, model])  # type: ignore[arg-type]
    features = scheduled.features.iloc[holdout]
    there = truth.take(holdout)
    return hold_contest(
        truth.metric,
        there.y,
        there.weights,
        blocks_of(dataset, holdout),
        champion=contestant(champion.model, champion.reference.n_rows, features, truth),
        challenger=contestant(model, n_trained, features, truth),
        margin=scheduled.job.retune.margin,
        n_uses=n_uses,
    )


def _earlier_uses(registry: Registry, hashes: Any, key: str) -> int:
    """Return how many earlier contests were decided on some of these rows."""
    earlier = [
        np.frombuffer(registry.files(each.run_id, "decision")[CONTEST_ROWS], dtype=np.uint64)
        for each in registry.decisions(" and tags.`tuner.contested` = 'true'")
        if each.is_finished and each.tags[KEY] != key
    ]
    return sum(bool(np.isin(hashes, each).any()) for each in earlier)


def _conclude(
    scheduled: Scheduled, begun: DecisionRun, verdict: _Verdict, key: str, label: str, started: float
) -> RetuneOutcome:
    registry = scheduled.registry
    if verdict.decision == "promoted" and verdict.challenger is not None:
        _swap(registry, champion=verdict.challenger, previous=registry.numbered(begun.tags[BEFORE]))
        registry.drop(CHALLENGER)
    return _finished(scheduled.job, registry, begun, verdict, key, label, started)


def _swap(registry: Registry, *, champion: Version, previous: Version) -> None:
    """Promote: killed between the two, the model still has a champion, and the command run again ends it."""
    registry.point(PREVIOUS, previous)
    failpoint("schedule.previous_set")
    registry.point(CHAMPION, champion)
    failpoint("schedule.champion_set")


def _finished(
    job: Job, registry: Registry, begun: DecisionRun, verdict: _Verdict, key: str, label: str, started: float
) -> RetuneOutcome:
    """Write the decision down and return it."""
    summary: dict[str, Any] = {
        "status": "done",
        "command": label.partition(" ")[0],
        "job": job.name,
        "job_key": key,
        "decision": verdict.decision,
        "why": verdict.why,
        **movement_summary(verdict.movement),
        "contest": contest_summary(verdict.contest),
    }
    aliases = {alias: registry.version(alias) for alias in (CHAMPION, PREVIOUS)}
    aliases[CHALLENGER] = None if verdict.decision == "first" else verdict.challenger
    summary |= {
        alias: None if version is None else _version_summary(registry.name, version)
        for alias, version in aliases.items()
    }
    summary |= {"seconds": monotonic() - started, "tracking_uri": registry.uri, "run_id": begun.run_id}
    text = _text(registry, verdict, aliases[CHAMPION])
    outcome = RetuneOutcome(summary=plain(summary), text=text)
    files = {f"decision/{name}": content for name, content in (verdict.files or {}).items()}
    files["decision/decision.json"] = outcome.to_json().encode()
    if verdict.movement is not None:
        files["decision/drift.csv"] = drift_table(verdict.movement).encode()
        if verdict.movement.columns:
            files["figures/drift.svg"] = draw_movement(verdict.movement)
    items = [
        *decision_items(outcome.summary, text, verdict.contest, at=begun.started),
        Tag("mlflow.runName", f"{label}: {verdict.decision}"),
    ]
    failpoint("schedule.before_decision")
    if verdict.challenger is not None:
        registry.tag_version(verdict.challenger, {"tuner.decision": verdict.decision})
    registry.describe(f"{label}: {verdict.decision} ({verdict.why}).\n\n```text\n{text}```\n")
    registry.finish(begun.run_id, items, files)
    failpoint("schedule.decided")
    return outcome


def _version_summary(name: str, version: Version) -> dict[str, Any]:
    model_uri = f"models:/{name}/{version.number}"
    return {"version": version.number, "run_id": version.run_id, "model_uri": model_uri}


def _text(registry: Registry, verdict: _Verdict, champion: Version | None) -> str:
    text = f"decision    {verdict.decision}: {verdict.why}\n"
    if verdict.movement is not None:
        text += movement_text(verdict.movement)
    if verdict.contest is not None:
        text += contest_text(verdict.contest)
    if champion is not None:
        promise = registry.reference(champion).promise
        text += f"champion    version {champion.number} of {registry.name}: {promise_text(promise)}\n"
    return text
