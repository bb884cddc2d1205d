"""Who hears of a run: the trial store, the progress line, MLflow. The search knows none of them."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from time import monotonic
from types import TracebackType

from tuner._line.progress import Progress, say
from tuner._line.promise import promise_of, recipe_of_result
from tuner._metrics.metrics import Metric
from tuner._movement.reference import Reference
from tuner._options.config import TuningConfig
from tuner._records import Configuration, TrialRecord
from tuner._report import report as _report
from tuner._report.page import draw
from tuner._report.result import TuningResult
from tuner._rows.data import Dataset
from tuner._store import TrialStore
from tuner._tracking.info import DatasetInfo, ParentInfo, RunSummary, TrackingInfo
from tuner._tracking.tracking import Tracker
from tuner.exceptions import StoreError, TimeBudgetWarning

FLUSH_SECONDS = 5.0  # for MLflow's last writes, while it fails
PATIENT_FLUSH_SECONDS = 60.0  # while it works, without a budget
SPARE_SECONDS = 0.5  # of the tolerance below, not for these writes
CONNECT_SECONDS = 30.0  # a replay waits for MLflow
OVERRUN_SECONDS, OVERRUN_SHARE = 2.0, 0.05  # what a run may take beyond its budget, the larger of both


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Who runs: what a job adds to a tuning run.

    Attributes
    ----------
    name : str
        Job name.
    run_name : str or None
        Of the run in MLflow; None: the job's name.
    job_key : str or None
    register_as : str or None
        Registered model name in MLflow.
    study_name : str or None
    store : TrialStore or None
        The study's store, held by the caller; None: the run holds it itself.
    begin_with : tuple of Configuration
        The search begins with them; empty: with the best of the job's latest other study.
    reference : Reference or None
        What a registered version remembers of its rows.
    flush_seconds : float
        What MLflow's last writes may take at least, whatever is left of a time budget and whether it works.
    """

    name: str = "tuner"
    run_name: str | None = None
    job_key: str | None = None
    register_as: str | None = None
    study_name: str | None = None
    store: TrialStore | None = None
    begin_with: tuple[Configuration, ...] = ()
    reference: Reference | None = None
    flush_seconds: float = 0.0


@dataclass(eq=False)
class Listeners:
    """Passes every record on, and tells the trackers how the run ended."""

    dataset: Dataset
    metric: Metric
    config: TuningConfig
    context: RunContext
    parent: ParentInfo
    store: TrialStore | None
    started: float
    _tracker: Tracker | None = field(default=None, init=False)
    _progress: Progress | None = field(default=None, init=False)
    _best: TrialRecord | None = field(default=None, init=False)
    _n_judged: int = field(default=0, init=False)

    def __enter__(self) -> Listeners:
        if self.config.verbose:
            self._progress = Progress(
                self.metric, self.config.time_budget, self.config.max_trials, self.started
            )
            say(self._opening())
        if self.config.tracking:
            self._tracker = start_tracker(self.config, self.parent, is_stored=self.store is not None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            error.add_note(self._so_far())
        if kind is not None and self._tracker is not None:
            status = "FAILED" if issubclass(kind, Exception) else "KILLED"
            self._tracker.abort(status, f"{kind.__name__}: {error}")

    def notify(self, record: TrialRecord) -> None:
        """Hear of a judged record: durable first, then shown, then logged."""
        self._n_judged += 1
        if record.phase == "search" and record.objective is not None:
            self._best = min(self._best or record, record, key=lambda each: each.objective or 0.0)
        if self.store is not None:
            self.store.save(record)
        if self._progress is not None:
            self._progress.trial(record)
        if self._tracker is not None:
            self._tracker.trial(record)

    def finish(self, result: TuningResult) -> TuningResult:
        """Log the parent run and return the result with what tracking says, and what it took."""
        result = self._timed(result)
        tuned = result.seconds
        if self._tracker is not None:
            summary = self._summary(_with_overrun(result, result.seconds))
            notes = self._kept(summary, self._tracker.run_key)
            timeout, patience = self._flush_limits()
            info = self._tracker.finish(summary, timeout=timeout, patience=patience)
            notes = (*result.notes, *notes, *_notes(info, is_stored=self.store is not None))
            result = self._timed(replace(result, tracking=info, notes=notes))
        told = _with_overrun(result, tuned)
        if told is not result:
            warnings.warn(told.notes[-1], TimeBudgetWarning, stacklevel=2)
        return told

    def _timed(self, result: TuningResult) -> TuningResult:
        return replace(result, seconds=monotonic() - self.started)

    def _flush_limits(self) -> tuple[float, float]:
        """Return the seconds that MLflow's last writes may take, and those to wait while it fails."""
        timeout, budget = PATIENT_FLUSH_SECONDS, self.config.time_budget
        if budget is not None:
            left = self.started + budget - monotonic()
            timeout = max(left, 0.0) + _tolerance(budget) - SPARE_SECONDS
        least = self.context.flush_seconds
        return max(least, timeout), max(least, min(FLUSH_SECONDS, timeout))

    def _summary(self, result: TuningResult) -> RunSummary:
        pictures = draw(result)
        promise = promise_of(result, self.metric, self.config.aggregate)
        return RunSummary(
            params=_report.params(result, self.config),
            metrics=_report.metrics(result),
            tags=_report.tags(result),
            note=_report.markdown(result),
            texts=_report.texts(result, self.config, pictures),
            figures={f"{name}.svg": picture for name, picture in pictures.items()},
            model=result.model,
            sample=self.dataset.sample,
            register_as=self.context.register_as,
            files={}
            if self.context.reference is None
            else replace(self.context.reference, promise=promise, recipe=recipe_of_result(result)).files(),
            version_tags={"tuner.job_key": str(self.context.job_key), **promise.tags()},
        )

    def _kept(self, summary: RunSummary, run_key: str) -> tuple[str, ...]:
        """Keep what `replay` needs; where that fails, say so: MLflow must have the model all the more."""
        if self.store is None:
            return ()
        try:
            self.store.keep(_summary_name(run_key), summary.to_json())
        except StoreError as error:
            return (f"`tuner sync` cannot replay this run. {error}",)
        return ()

    def _so_far(self) -> str:
        """Say what a run that is stopped has reached."""
        kept = "in memory only" if self.store is None else "kept in the trial store"
        text = f"after {self._n_judged} trials, {kept}"
        if self._best is None or self._best.scores is None:
            return text
        value = self.metric.natural(self._best.scores.nested_loss)
        configuration = self._best.configuration
        settings = ", ".join(f"{name}={setting}" for name, setting in configuration.params.items())
        return f"{text}; best {self.metric.name} so far {value:.4g} by {configuration.family} ({settings})"

    def _opening(self) -> str:
        dataset = self.dataset
        limits = [] if self.config.time_budget is None else [f"{self.config.time_budget:g} s"]
        limits += [] if self.config.max_trials is None else [f"{self.config.max_trials} trials"]
        return (
            f"Tuning {dataset.task} on {dataset.n_rows} rows x {dataset.schema.n_inputs} columns "
            f"for {self.metric.name}, at most {' or '.join(limits)}"
        )


def parent_of(dataset: Dataset, context: RunContext, study_name: str, fold_plan_hash: str) -> ParentInfo:
    """Return what the run of a study begins with in MLflow."""
    return ParentInfo(
        run_name=context.run_name or context.name,
        study=study_name,
        job_key=context.job_key,
        dataset=DatasetInfo(
            name=context.name,
            digest=dataset.fingerprint,
            fold_plan_hash=fold_plan_hash,
            n_rows=dataset.n_rows,
            n_columns=dataset.schema.n_inputs,
        ),
    )


def start_tracker(config: TuningConfig, parent: ParentInfo, *, is_stored: bool) -> Tracker:
    """Begin, or with a stored study continue, the study's run in MLflow."""
    tracker = Tracker(
        uri=config.tracking_uri,
        experiment=config.experiment_name,
        run_name=parent.run_name,
        study=parent.study,
        job_key=parent.job_key,
        run_key=_run_key(parent) if is_stored else None,
        dataset=parent.dataset,
    )
    tracker.start()
    return tracker


def _run_key(parent: ParentInfo) -> str:
    """Return what names a run in MLflow when it is continued: a retuning's studies share the key of a job."""
    return parent.study if parent.job_key is None else f"{parent.job_key} {parent.study}"


def replay(store: TrialStore, tracker: Tracker, *, timeout: float) -> TrackingInfo:
    """Tell the tracker again all that the store holds: what MLflow has is left alone, the rest written.

    The store keeps neither figures nor the model: run the job again for these.
    """
    for record in store.records():
        tracker.trial(record)
    if not tracker.connects(timeout=min(CONNECT_SECONDS, timeout)):
        return tracker.abort("KILLED", timeout=0.0)
    summary = store.kept(_summary_name(tracker.run_key))
    if summary is None:
        return tracker.abort("KILLED", "not finished; run the job again to go on", timeout=timeout)
    return tracker.finish(RunSummary.from_json(summary), timeout=timeout)


def _summary_name(run_key: str) -> str:
    """Return the store's name for what a run in MLflow ended with: runs of several keys share a study."""
    return f"mlflow summary {run_key}"


def _tolerance(budget: float) -> float:
    return max(OVERRUN_SECONDS, OVERRUN_SHARE * budget)


def _with_overrun(result: TuningResult, tuned_seconds: float) -> TuningResult:
    """Note why a run took longer than its budget and the tolerance of max(2 s, 5 percent), and how long."""
    budget = result.time_budget
    if budget is None or result.seconds <= budget + _tolerance(budget):
        return result
    note = f"The run took {result.seconds:.1f} s where `time_budget` is {budget:g}: "
    if tuned_seconds <= budget + _tolerance(budget):
        note += f"MLflow took the last {result.seconds - tuned_seconds:.1f} s."
    else:
        note += (
            "a step that cannot be divided (a fold's preparation, one boosting round, one penalty), or "
            "bootstraps of the estimate, took longer than the time left. Set `time_budget` to at least "
            f"{math.ceil(result.seconds)}, or tune on fewer rows."
        )
    return replace(result, notes=(*result.notes, note))


def _notes(info: TrackingInfo, *, is_stored: bool) -> tuple[str, ...]:
    notes = tuple(f"MLflow: {problem}" for problem in info.problems)
    if info.n_missing:
        others = "the result and the trial store have" if is_stored else "the result alone has"
        notes += (f"MLflow misses {info.n_missing} trial(s); {others} them all.",)
    for note in notes:
        say(note)
    return notes
