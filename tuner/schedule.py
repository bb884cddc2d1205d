"""A scheduled job: whether anything moved, a new study, and a promotion only of what is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, time
from typing import Any

import numpy as np

from tuner._config import TuningConfig
from tuner._contest import Contest, group_blocks, hold_contest, loss_interval, time_blocks
from tuner._contestants import contestant, labels_of, truth_of
from tuner._data import Dataset
from tuner._failpoints import failpoint
from tuner._job_file import Job, load_job
from tuner._job_outcome import plain
from tuner._job_table import JobRows, read_raw_rows
from tuner._lock import StudyLock
from tuner._model import Delivered
from tuner._movement import Movement, check_schema, measure_movement
from tuner._reference import Reference
from tuner._registry import CHALLENGER, CHAMPION, KEY, PREVIOUS, DecisionRun, Registry, Version
from tuner._schedule_outcome import (
    RetuneOutcome,
    contest_summary,
    contest_text,
    decision_items,
    drift_table,
    movement_summary,
    movement_text,
    promise_text,
)
from tuner._tracking_items import Tag
from tuner._tune import check_run, study_hash, tune_checked
from tuner._types import BoolArray, IntArray
from tuner._window import oldest_first, split_window
from tuner.exceptions import InputError, RegistryError
from tuner.jobs import job_config, make_context

__all__ = ["RetuneOutcome", "retune_job", "rollback_job"]

BEFORE, MADE = "tuner.champion_before", "tuner.challenger"  # what a decision that is continued goes on from
NONE = "none"
CONTEST_ROWS = "contest.npy"


@dataclass(frozen=True, eq=False)
class _Scheduled:
    """A job with its rows and its registry."""

    job: Job
    config: TuningConfig
    rows: JobRows
    dataset: Dataset
    registry: Registry


@dataclass(frozen=True, eq=False)
class _Champion:
    """The version that predicts, what it remembers, and itself where it can predict the rows."""

    version: Version
    reference: Reference
    model: Delivered | None


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
    job, config = _checked(path, overrides)
    rows = read_raw_rows(job)
    dataset = rows.dataset(job.data.task)
    key = f"{job.name}{'+' + run_key if run_key else ''}-{study_hash(dataset, config)}"
    lock = _lock(job)
    lock.acquire()
    try:
        registry = _open_registry(job, config)
        begun = registry.decision(key)
        if begun is not None and begun.is_finished:
            return RetuneOutcome.from_json(registry.files(begun.run_id, "decision")["decision.json"].decode())
        scheduled = _Scheduled(job, config, rows, dataset, registry)
        label = f"retune {run_key}" if run_key else "retune"
        if begun is None:
            champion = registry.version(CHAMPION)
            tags = {BEFORE: NONE if champion is None else champion.number}
            begun = registry.begin(key, label, tags)
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
    job, config = _checked(path, overrides)
    lock = _lock(job)
    lock.acquire()
    try:
        registry = _open_registry(job, config)
        begun = next((each for each in registry.decisions() if _is_open_rollback(each)), None)
        if begun is None:
            champion, previous = registry.version(CHAMPION), registry.version(PREVIOUS)
            if champion is None or previous is None:
                rule = "A rollback needs a champion and a previous version."
                raise InputError(rule, f"none of {registry.name!r}", "Wait for the first promotion.")
            key = f"{job.name}-rollback-{time():.6f}"
            begun = registry.begin(key, "rollback", {BEFORE: champion.number, MADE: previous.number})
        failpoint("schedule.begun")
        back = registry.numbered(begun.tags[MADE])
        _swap(registry, champion=back, previous=registry.numbered(begun.tags[BEFORE]))
        why = f"version {begun.tags[MADE]} takes the place of version {begun.tags[BEFORE]}"
        verdict = _Verdict("rolled back", why)
        return _finished(job, registry, begun, verdict, str(begun.tags[KEY]), "rollback", started)
    finally:
        lock.release()


def _is_open_rollback(decision: DecisionRun) -> bool:
    return not decision.is_finished and "-rollback-" in decision.tags[KEY]


def _checked(path: str | Path, overrides: Sequence[str]) -> tuple[Job, TuningConfig]:
    job = load_job(path, overrides)
    wanted = {"tracking.register_as": job.tracking.register_as, "storage.url": job.storage.url}
    for name, value in wanted.items():
        if value is None:
            section, _, leaf = name.partition(".")
            example = '"churn"' if leaf == "register_as" else '"sqlite:///tuner.db"'
            raise InputError(
                f"A job that is retuned must have `{name}`.",
                "a file without it",
                f"Write `{leaf} = {example}` under [{section}].",
            )
    return job, job_config(job)


def _lock(job: Job) -> StudyLock:
    return StudyLock(str(job.storage.url), f"{job.name} retune")


def _open_registry(job: Job, config: TuningConfig) -> Registry:
    return Registry(config.tracking_uri, str(job.tracking.register_as), config.experiment_name or job.name)


def _decide(scheduled: _Scheduled, begun: DecisionRun, key: str) -> _Verdict:
    if begun.tags[BEFORE] == NONE:
        everything = np.arange(scheduled.dataset.n_rows)
        version = _tuned(scheduled, begun, everything, key, None)
        return _Verdict("first", "there was no champion", challenger=version)
    champion = _load_champion(scheduled, begun.tags[BEFORE])
    is_new = _unseen(champion.reference, scheduled)
    movement = _movement(scheduled, champion, is_new)
    if not movement.moved:
        why = "nothing moved" if movement.is_judged else "too few new rows"
        return _Verdict("not needed", why, movement)
    retune = scheduled.job.retune
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
    hashes = champion.reference.hash(scheduled.rows.features, scheduled.rows.target)[window.holdout]
    contest = _contest(
        scheduled, champion, model, len(window.train), window.holdout,
        n_uses=1 + _earlier_uses(scheduled.registry, hashes, key),
    )  # fmt: skip
    decision = "promoted" if contest.promotes else "kept"
    return _Verdict(
        decision, contest.verdict, movement, contest, challenger, {CONTEST_ROWS: hashes.tobytes()}
    )


def _load_champion(scheduled: _Scheduled, number: str) -> _Champion:
    registry = scheduled.registry
    version = registry.numbered(number)
    reference = registry.reference(version)
    if (reference.target.kind == "numeric") != (scheduled.dataset.task == "regression"):
        raise InputError(
            "Champion and job must be about one task.",
            f"a {reference.target.kind} target at version {number}, {scheduled.dataset.task} now",
            "Set `data.task`, or choose another `tracking.register_as`.",
        )
    blocked = any(each.severity == "error" for each in check_schema(reference, scheduled.rows.features))
    return _Champion(version, reference, None if blocked else registry.model(version))


def _unseen(reference: Reference, scheduled: _Scheduled) -> BoolArray:
    """Return which rows the champion has not seen: later ones, else those of another hash."""
    dataset = scheduled.dataset
    if reference.cut is not None and dataset.time is not None:
        return np.asarray(dataset.time > reference.cut)
    if any(each.severity == "error" for each in check_schema(reference, scheduled.rows.features)):
        position = np.arange(
            dataset.n_rows
        )  # no row can be recognized: those beyond the known number are new
        return np.asarray(position >= reference.n_rows)
    hashes = reference.hash(scheduled.rows.features, scheduled.rows.target)
    return np.asarray(~np.isin(hashes, reference.hashes))


def _movement(scheduled: _Scheduled, champion: _Champion, is_new: BoolArray) -> Movement:
    dataset, retune = scheduled.dataset, scheduled.job.retune
    order = oldest_first(dataset.time, dataset.n_rows)
    new = order[is_new[order]]
    if len(new) < retune.min_rows:
        return Movement(n_new_rows=len(new), is_judged=False)
    loss = promised = None
    labels: list[str] = []
    if champion.model is not None:
        truth = truth_of(dataset, scheduled.config.metric, [champion.model])  # type: ignore[arg-type]
        features = scheduled.rows.features.iloc[new]
        own = contestant(champion.model, champion.reference.n_rows, features, truth)
        there = truth.take(new)
        loss = loss_interval(truth.metric, there.y, there.weights, _blocks(dataset, new), own)
        known = labels_of(champion.model)
        codes: list[int] = np.unique(there.y).astype(int).tolist() if truth.labels else []
        labels = [truth.labels[code] for code in codes if truth.labels[code] not in known]
        promise = champion.reference.promise
        if promise is not None and promise.metric == truth.metric.name:
            promised = promise.interval
    return measure_movement(
        champion.reference,
        scheduled.rows.features.iloc[new],
        loss=loss,
        promised=promised,
        new_labels=labels,
        age_days=(time() - champion.reference.made) / 86_400,
        max_age_days=retune.max_age_days,
        seed=scheduled.job.search.seed or 0,
    )


def _blocks(dataset: Dataset, rows: IntArray) -> IntArray:
    return time_blocks(len(rows)) if dataset.groups is None else group_blocks(dataset.groups[rows])


def _tuned(
    scheduled: _Scheduled, begun: DecisionRun, rows: IntArray, key: str, champion: _Champion | None
) -> Version:
    """Return the version made of these rows; one that a killed call has made is the one."""
    registry, config = scheduled.registry, scheduled.config
    if MADE in begun.tags:
        return registry.numbered(begun.tags[MADE])
    own = scheduled.rows.take(rows)
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
    scheduled: _Scheduled, champion: _Champion, model: Delivered, n_trained: int, holdout: IntArray,
    *, n_uses: int,
) -> Contest:  # fmt: skip
    assert champion.model is not None  # the caller looked
    dataset = scheduled.dataset
    truth = truth_of(dataset, scheduled.config.metric, [champion.model, model])  # type: ignore[arg-type]
    features = scheduled.rows.features.iloc[holdout]
    there = truth.take(holdout)
    return hold_contest(
        truth.metric,
        there.y,
        there.weights,
        _blocks(dataset, holdout),
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
    scheduled: _Scheduled, begun: DecisionRun, verdict: _Verdict, key: str, label: str, started: float
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
    summary |= {alias: _version_summary(registry.name, version) for alias, version in aliases.items()}
    summary |= {"seconds": monotonic() - started, "tracking_uri": registry.uri, "run_id": begun.run_id}
    text = _text(registry, verdict, aliases[CHAMPION])
    outcome = RetuneOutcome(summary=plain(summary), text=text)
    files = {f"decision/{name}": content for name, content in (verdict.files or {}).items()}
    files["decision/decision.json"] = outcome.to_json().encode()
    if verdict.movement is not None:
        files["decision/drift.csv"] = drift_table(verdict.movement).encode()
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


def _version_summary(name: str, version: Version | None) -> dict[str, Any] | None:
    if version is None:
        return None
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
