"""A job: its file turned into a config, its rows loaded, its run started."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from time import monotonic, time
from typing import Any

from search_spaces import SPACES, Dimension, SpaceError, dimension_from_toml
from tuner._jobs.file import KEYS, Job, absolute_uri, check_run_key, load_job, unknown_key_error
from tuner._jobs.outcome import JobOutcome, make_outcome, sync_outcome
from tuner._jobs.table import JobRows, read_raw_rows, read_rows, read_table
from tuner._line.checked import check_run
from tuner._line.listeners import RunContext, replay, start_tracker
from tuner._line.progress import say
from tuner._line.study import begun, study_hash
from tuner._line.tune import tune_checked
from tuner._movement.reference import remember
from tuner._options.config import TuningConfig, check_config
from tuner._process.failpoints import failpoint
from tuner._report.report import config_params
from tuner._rows.data import Dataset
from tuner._store import TrialStore, studies_with
from tuner._tracking.info import ParentInfo
from tuner._tracking.registry import is_there
from tuner._types import Scalar
from tuner.exceptions import ChecksFailedError, InputError, StoreError

__all__ = [
    "CONFIG_KEYS",
    "KEYS",
    "Job",
    "JobOutcome",
    "absolute_uri",
    "job_config",
    "load_job",
    "make_context",
    "read_rows",
    "read_table",
    "run_job",
    "sync_job",
]

SYNC_SECONDS = 600.0  # to replay ten thousand trials

# TuningConfig's name -> the job file's key. A key the file leaves out keeps TuningConfig's default.
CONFIG_KEYS = {
    "task": "data.task",
    "slices": "data.slices",
    "families": "search.families",
    "time_budget": "search.time_budget",
    "max_trials": "search.max_trials",
    "random_state": "search.seed",
    "n_folds": "search.n_folds",
    "n_repeats": "search.n_repeats",
    "outer_folds": "search.outer_folds",
    "n_jobs": "search.n_jobs",
    "widen": "search.widen",
    "metric": "objective.metric",
    "gap_weight": "objective.gap_weight",
    "aggregate": "objective.aggregate",
    "allow": "checks.allow",
    "max_memory": "limits.max_memory",
    "final": "final.model",
    "max_members": "final.max_members",
    "estimate": "final.estimate",
    "tracking_uri": "tracking.uri",
    "experiment_name": "tracking.experiment",
    "storage": "storage.url",
}


def run_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> JobOutcome:
    """Run a job file: everything that can be checked without data is checked before data is read.

    Parameters
    ----------
    path : str or Path
        The job file.
    overrides : sequence of str
        ``section.key=value``, applied over the file in order.
    run_key : str
        Tells runs of one job apart, such as a schedule's date.

    A job that is done is not run again: with a trial store, the same key and the same configuration give
    what came out then. Where MLflow has not taken everything, the model above all, the job is not done.

    Raises
    ------
    InputError
        For a bad job file or bad data, before any fit.
    LockedError
        If another run holds the study.
    StoreError
        If the trial store cannot be written.
    TrialsFailedError
        If no trial could be scored.
    """
    started = monotonic()  # reading counts against the time budget
    config, dataset, context = _opened(path, overrides, run_key)
    with _in_keys():
        checked = check_run(dataset, config)
    if config.storage is None:
        return make_outcome(tune_checked(checked, config, context, started=started), context)
    key = f"finished {context.job_key} {_config_hash(config, context)}"
    with TrialStore(config.storage, str(context.study_name)) as store:
        done = store.kept(key)
        if done is not None:
            return JobOutcome.from_json(done)
        context = replace(context, store=store)
        result = tune_checked(checked, config, context, started=started)
        outcome = make_outcome(result, context)
        failpoint("job.before_finish")
        if result.tracking is None or not result.tracking.problems:  # else running it again brings the model
            _keep(store, key, outcome)
        failpoint("job.after_finish")
    return outcome


def _keep(store: TrialStore, key: str, outcome: JobOutcome) -> None:
    """Keep what came out, so that the job is not run again; where that fails, it still came out."""
    try:
        store.keep(key, outcome.to_json())
    except StoreError as error:
        say(f"The next call will run the job again. {error}")


def sync_job(path: str | Path, *, overrides: Sequence[str] = (), run_key: str = "") -> JobOutcome:
    """Write to MLflow what it misses of a job's trials; nothing is fitted.

    Of the studies run with this key, the one of the rows and options as they are, else the latest: rows may
    have changed since.

    Raises
    ------
    InputError
        For a bad job file, or if the job has no trial store or has not been run.
    LockedError
        If a run of the job is on its way.
    TrackingError
        If MLflow does not take everything.
    """
    check_run_key(run_key)
    job = load_job(path, overrides)
    config = job_config(job)
    if config.storage is None:
        cure = 'Write `url = "sqlite:///tuner.db"` under [storage], and run the job.'
        raise InputError("`tuner sync` needs a trial store.", "a job without `storage.url`", cure)
    rule = "Only what was run can be replayed."
    value = f"no run of {job.name!r} with run key {run_key!r}"
    if not is_there(config.storage):
        raise InputError(rule, value, "Run the job.")
    found = studies_with(config.storage, re.escape(begun(job.key(run_key, ""))) + "[0-9a-f]{12}")
    if not found:
        raise InputError(rule, value, "Give the --run-key that it was run with; or run the job.")
    as_it_is = [each for each in found if each[1] == begun(_key_now(job, config, run_key))]
    study_name, parent_name = (as_it_is or found)[-1]  # a retune's study bears another name
    with TrialStore(config.storage, study_name) as store:
        parent = ParentInfo.from_json(str(store.kept(parent_name)))
        info = replay(store, start_tracker(config, parent, is_stored=True), timeout=SYNC_SECONDS)
        return sync_outcome(job.name, parent, store.load().values(), info)


def _key_now(job: Job, config: TuningConfig, run_key: str) -> str:
    """Return the key of a run on the rows as they are; where they cannot be read, one that no run has."""
    try:
        dataset = read_raw_rows(job).labelled().dataset(job.data.task)
    except InputError:
        return ""
    return job.key(run_key, study_hash(dataset, config))


def _opened(
    path: str | Path, overrides: Sequence[str], run_key: str
) -> tuple[TuningConfig, Dataset, RunContext]:
    """Return a job's options, its rows and the names it runs under."""
    check_run_key(run_key)
    job = load_job(path, overrides)
    config = job_config(job)
    rows = read_raw_rows(job)
    dataset = rows.dataset(job.data.task)
    return config, dataset, make_context(job, rows, dataset, study_hash(dataset, config), run_key)


def make_context(job: Job, rows: JobRows, dataset: Dataset, digest: str, run_key: str) -> RunContext:
    """Return the names a job runs under, and what a registered version will remember of its rows."""
    register_as = job.tracking.register_as
    reference = None
    if register_as is not None:
        seed = job.search.seed or 0
        reference = remember(rows.features, rows.target, dataset, seed=seed, now=time())
    return RunContext(
        name=job.name,
        job_key=job.key(run_key, digest),
        register_as=register_as,
        study_name=f"{job.name}-{digest}",
        reference=reference,
    )


def _config_hash(config: TuningConfig, context: RunContext) -> str:
    """Return what tells two calls apart: with other limits or another registry, a job is not done yet."""
    what = (config_params(config), context.register_as, config.tracking_uri)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def job_config(job: Job) -> TuningConfig:
    """Turn a job into a checked `TuningConfig`.

    Limits are those the job names, as TOML has no null: with ``max_trials`` alone there is no time limit;
    with neither, `TuningConfig`'s default time budget holds.

    Raises
    ------
    InputError
        With the job file's key in place of the Python name.
    """
    values = {name: _value(job, key) for name, key in CONFIG_KEYS.items() if _is_given(job, key)}
    if job.search.max_trials is not None:
        values.setdefault("time_budget", None)
    values.setdefault("experiment_name", job.name)
    if job.search.space:
        values["search_space"] = _search_space(job.search.space)
    config = TuningConfig(**values)
    with _in_keys():
        check_config(config)
    return config


@contextmanager
def _in_keys() -> Iterator[None]:
    """Say what is wrong with a job in its file's keys, in place of the Python names."""
    try:
        yield
    except ChecksFailedError:  # it speaks of columns
        raise
    except InputError as error:
        raise InputError(_with_keys(error.rule), error.value, _with_keys(error.cure)) from error


def _search_space(raw: Mapping[str, object]) -> dict[str, dict[str, Dimension | Scalar]]:
    space: dict[str, dict[str, Dimension | Scalar]] = {}
    for family, changes in raw.items():
        key = f"search.space.{family}"
        if family not in SPACES:
            close = get_close_matches(family, SPACES, n=1, cutoff=0.0)[0]
            raise unknown_key_error(key, f"search.space.{close}", f"Families: {', '.join(SPACES)}.")
        if not isinstance(changes, Mapping):
            cure = f"Write `[{key}]` and below it a line for each parameter."
            raise InputError(f"`{key}` must be a table.", repr(changes), cure)
        space[family] = {name: _dimension(family, name, change) for name, change in changes.items()}
    return space


def _dimension(family: str, name: str, raw: object) -> Dimension | Scalar:
    key = f"search.space.{family}.{name}"
    parameters = SPACES[family].dimensions
    if name not in parameters:
        close = get_close_matches(name, parameters, n=1, cutoff=0.0)[0]
        raise unknown_key_error(
            key, f"search.space.{family}.{close}", f"Parameters: {', '.join(parameters)}."
        )
    try:
        dimension = dimension_from_toml(raw)
        SPACES[family].override({name: dimension})
    except SpaceError as error:
        rule = f"`{key}` must fit its parameter: {error.rule}"
        raise InputError(rule, error.value, error.cure) from error
    return dimension


def _is_given(job: Job, key: str) -> bool:
    section, _, name = key.partition(".")
    return name in getattr(job, section).model_fields_set


def _value(job: Job, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(job, section), name)


def _with_keys(sentence: str) -> str:
    """Replace `TuningConfig`'s names in backticks by the job file's keys, and None by TOML's word for it."""
    named = re.sub(r"`(\w+)", lambda match: f"`{CONFIG_KEYS.get(match[1], match[1])}", sentence)
    return re.sub(r"\bNone\b", '"none"', named)
