"""A scheduled job looked at: what moved, which versions there are, what was decided, the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any

from tuner._jobs.file import check_run_key, load_job
from tuner._jobs.outcome import JobOutcome
from tuner._line.checked import gate
from tuner._line.study import study_hash
from tuner._schedule.outcome import (
    CHAMPION_AFTER,
    check_items,
    check_outcome,
    movement_files,
    report_outcome,
    status_outcome,
)
from tuner._schedule.scheduled import (
    Scheduled,
    checked_job,
    judge_champion,
    load_champion,
    open_registry,
    read_scheduled,
    unseen_rows,
)
from tuner._tracking.items import Tag
from tuner._tracking.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version, is_there
from tuner.exceptions import InputError
from tuner.jobs import job_config

SHOWN_DECISIONS = 10


def check_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> JobOutcome:
    """Say what the gate finds in a job's rows and, where there is a champion, whether they moved.

    Nothing is fitted but the classifier that tells rows apart. What moved is written to MLflow, as a run
    of its own; nothing is written where there is no champion.

    Raises
    ------
    InputError
        For a bad job file or bad data; `ChecksFailedError` if a check ends in an error that is not allowed.
    RegistryError
        If the job names a registered model and the registry cannot be reached.
    """
    check_run_key(run_key)
    job = load_job(path, overrides)
    config = job_config(job)
    rows = read_scheduled(job)
    findings = gate(rows.dataset, config)[1]
    digest = study_hash(rows.dataset, config)
    names = {"job": job.name, "job_key": job.key(run_key, digest), "study": f"{job.name}-{digest}"}
    n_unlabelled = len(rows.unlabelled)
    if job.tracking.register_as is None or not is_there(config.tracking_uri):
        return check_outcome(names, findings, None, n_unlabelled=n_unlabelled)
    registry = open_registry(job, config)
    version = registry.version(CHAMPION)
    if version is None:
        return check_outcome(names, findings, None, n_unlabelled=n_unlabelled)
    scheduled = Scheduled(job, config, rows, registry)
    champion = load_champion(scheduled, version)
    movement = judge_champion(scheduled, champion, unseen_rows(champion, scheduled))
    outcome = check_outcome(names, findings, movement, n_unlabelled=n_unlabelled)
    begun = registry.begin_check(f"check: {'moved' if movement.moved else 'not moved'}")
    items = [
        *check_items(outcome.summary, outcome.text, at=begun.started),
        Tag(CHAMPION_AFTER, version.number),
    ]
    registry.finish(begun.run_id, items, movement_files(movement))
    return outcome


def status_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> JobOutcome:
    """Say which versions there are, what they promise, and what was decided last, under whatever key.

    Raises
    ------
    InputError
        For a bad job file; `RegistryError` if the registry cannot be reached.
    """
    check_run_key(run_key)
    job, config = checked_job(path, overrides, needs_store=False)
    name = str(job.tracking.register_as)
    if not is_there(config.tracking_uri):
        return status_outcome(job.name, name, dict.fromkeys((CHAMPION, CHALLENGER, PREVIOUS)), [])
    registry = open_registry(job, config)
    versions = {
        alias: _described(name, registry.version(alias)) for alias in (CHAMPION, CHALLENGER, PREVIOUS)
    }
    decisions = [
        {"name": each.name, "finished": each.is_finished, "run_id": each.run_id, "time": each.started}
        for each in registry.decisions()[:SHOWN_DECISIONS]
    ]
    return status_outcome(job.name, name, versions, decisions)


def _described(name: str, version: Version | None) -> Mapping[str, Any] | None:
    if version is None:
        return None
    return {
        **version.summary(name),
        "estimate": version.tags.get("tuner.estimate"),
        "age_days": (time() - version.made) / 86_400,
    }


def report_job(
    path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "", out: str | Path | None = None
) -> JobOutcome:
    """Write the report of the champion's study, else of the job's last run, and say where it is.

    Parameters
    ----------
    path : str or Path
        The job file.
    overrides : sequence of str
        ``section.key=value``, applied over the file in order.
    run_key : str
        Where given: the report of the last run with this key.
    out : str or Path or None
        File to write; None: ``{job name}-report.html`` in the working directory.

    Raises
    ------
    InputError
        If there is no report, or its file cannot be written; `RegistryError` if MLflow cannot be reached.
    """
    check_run_key(run_key)
    job = load_job(path, overrides)
    config = job_config(job)
    page = None
    if is_there(config.tracking_uri):
        name = job.tracking.register_as or job.name
        registry = Registry(config.tracking_uri, name, config.experiment_name or job.name)
        champion = registry.version(CHAMPION) if job.tracking.register_as and not run_key else None
        if champion is None:
            page = registry.last_report(job.name, run_key)
        else:
            page = registry.report(champion.study_run)
    if page is None:
        key = f" with run key {run_key!r}" if run_key else ""
        raise InputError("A report needs a finished run.", f"none of job {job.name!r}{key}", "Run the job.")
    path = Path(out or f"{job.name}-report.html")
    try:
        path.write_bytes(page)
    except OSError as error:
        reason = f"{path}: {error.strerror or type(error).__name__}"
        raise InputError(
            "The report's file must be writable.", reason, "Choose another with --out."
        ) from error
    return report_outcome(job.name, path)
