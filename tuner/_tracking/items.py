"""What MLflow's runs hold, as typed items yielded from records; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from tuner._records import Curves, Scores, TrialRecord
from tuner._tracking.info import RunSummary

MAX_CURVE_POINTS = 64
DIGEST, REASON = "tuner.digest", "tuner.reason"
MAX_PARAM, MAX_TAG = 6000, 8000  # characters; MLflow refuses or cuts longer ones


@dataclass(frozen=True)
class Param:
    """A parameter of a run."""

    name: str
    value: str


@dataclass(frozen=True)
class Metric:
    """One value of a metric; ``at`` (unix seconds) belongs to the trial, so a replay changes nothing."""

    name: str
    value: float
    step: int
    at: float


@dataclass(frozen=True)
class Tag:
    """A tag of a run."""

    name: str
    value: str


LogItem = Param | Metric | Tag


def log_items(record: TrialRecord) -> Iterator[LogItem]:
    """Yield all that a trial's run holds, except what depends on the process that writes it."""
    for name, value in record.configuration.flat().items():
        yield Param(name, str(value)[:MAX_PARAM])
    yield from _tags(record)
    skipped = []
    for metric in _metrics(record):
        if math.isfinite(metric.value):
            yield metric
        else:
            skipped.append(metric.name)
    if skipped:
        yield Tag("tuner.non_finite", ",".join(sorted(set(skipped))))


def _tags(record: TrialRecord) -> Iterator[Tag]:
    yield Tag("tuner.study", record.study)
    yield Tag("tuner.phase", record.phase)
    yield Tag("tuner.outer", str(record.outer))
    yield Tag("tuner.number", str(record.number))
    yield Tag("tuner.trial_key", record.trial_key)
    yield Tag("tuner.family", record.configuration.family)
    yield Tag("tuner.state", record.state)
    yield Tag(DIGEST, record.digest)
    if record.reason is not None:
        yield Tag(REASON, record.reason[:MAX_TAG])
    place = f"{record.phase}-{record.outer}" if record.phase == "outer_fold" else record.phase
    yield Tag("mlflow.runName", f"{place}-{record.number} {record.configuration.family}")


def _metrics(record: TrialRecord) -> Iterator[Metric]:
    at = record.completed
    single = {"objective": record.objective, "gap_penalty": record.gap_penalty}
    scores = record.scores
    if scores is not None:
        for name in ("nested_loss", "train_loss", "gap", "standard_error", "path_point", "path_value"):
            single[name] = getattr(scores, name)
    for fold, loss in enumerate(record.partial_losses if scores is None else scores.fold_losses):
        yield Metric("fold_loss", loss, fold, at)
    single["fit_seconds"] = record.fit_seconds
    for name, value in single.items():
        if value is not None:
            yield Metric(name, float(value), 0, at)
    if record.curves is not None:
        yield from _curve_metrics(record.curves, scores, at)


def _curve_metrics(curves: Curves, scores: Scores | None, at: float) -> Iterator[Metric]:
    """Yield the mean curves over the folds by path point; with thresholds, those of the chosen one."""
    n_thresholds, column, chosen = 1, 0, 0
    if curves.thresholds is not None:
        if scores is None or scores.threshold is None:
            return
        n_thresholds, column = len(curves.thresholds), curves.thresholds.index(scores.threshold)
    if scores is not None:
        chosen = scores.path_point // n_thresholds
    steps = _thinned(len(curves.path_values), keep=chosen)
    shown = {"validation_curve": curves.validation, "train_curve": curves.train}
    if curves.guide is not None:
        shown["guide_curve"] = curves.guide
    for name, folds in shown.items():
        for point in (step * n_thresholds + column for step in steps):
            yield Metric(name, _finite_mean([fold[point] for fold in folds]), point, at)


def _finite_mean(losses: Sequence[float]) -> float:
    """Return the mean over the folds that can be scored; NaN where none can."""
    known = [loss for loss in losses if math.isfinite(loss)]
    return fmean(known) if known else math.nan


def _thinned(n_points: int, *, keep: int) -> Sequence[int]:
    """Return at most 64 indices, evenly spread, the ends and ``keep`` among them."""
    if n_points <= MAX_CURVE_POINTS:
        return range(n_points)
    n_spread = MAX_CURVE_POINTS - 1
    return sorted({round(i * (n_points - 1) / (n_spread - 1)) for i in range(n_spread)} | {keep})


def summary_items(summary: RunSummary, at: float) -> Iterator[LogItem]:
    """Yield what the parent run gets at the end, files and model excepted."""
    for name, text in summary.params.items():
        yield Param(name, str(text)[:MAX_PARAM])
    for name, text in {**summary.tags, "mlflow.note.content": summary.note}.items():
        yield Tag(name, str(text)[:MAX_TAG])
    skipped = []
    for name, value in summary.metrics.items():
        if math.isfinite(value):
            yield Metric(name, float(value), 0, at)
        else:
            skipped.append(name)
    if skipped:
        yield Tag("tuner.non_finite", ",".join(sorted(skipped)))


class BestSoFar:
    """The running minimum of the objective over search trials, in the order of their numbers."""

    def __init__(self) -> None:
        self._waiting: dict[int, TrialRecord] = {}
        self._next = 0
        self._best = math.inf

    def add(self, record: TrialRecord) -> None:
        """Note a record; other phases are ignored."""
        if record.phase == "search" and record.outer == 0:
            self._waiting[record.number] = record

    def take(self, *, everything: bool = False) -> list[Metric]:
        """Return the metrics that no trial still running can change; at the end, all of them."""
        ready = sorted(self._waiting) if everything else []
        while not everything and self._next in self._waiting and len(ready) < len(self._waiting):
            ready.append(self._next)
            self._next += 1
        taken = []
        for record in map(self._waiting.pop, ready):
            if (
                record.state == "COMPLETE"
                and record.objective is not None
                and math.isfinite(record.objective)
            ):
                self._best = min(self._best, record.objective)
                taken.append(Metric("best_objective", float(self._best), record.number, record.completed))
        return taken
