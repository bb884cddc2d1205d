"""What a run returns: one immutable record that tells its story."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tuner._card import ModelCard
from tuner._intervals import Interval
from tuner._metrics import Metric
from tuner._model import Delivered, Latency
from tuner._optimism import OptimismTable
from tuner._records import Finding, GroupScores, LearningCurve, SliceScore, TrialRecord
from tuner._reliability import Reliability
from tuner._selection import Nomination
from tuner._shares import Blend
from tuner._tracking_info import TrackingInfo
from tuner._types import Scalar, Task

if TYPE_CHECKING:
    import pandas as pd

Scale = Literal["loss", "squared loss"]
Verdict = Literal["paid", "not shown", "did not pay", "not judged"]


@dataclass(frozen=True)
class Build:
    """What the members of a model are made of.

    Attributes
    ----------
    rows : float
        A fit was trained on; a mean over folds.
    models : float
        Fits a member averages; a mean over folds.
    """

    rows: float
    models: float


@dataclass(frozen=True)
class Step:
    """One correction on the way from the procedure's estimate to that of the delivered model.

    Attributes
    ----------
    what : {"rows", "models"}
        The part of `Build` that differs.
    before, after : float
        In the models behind the procedure's estimate, and in the delivered one.
    change : float
        Of the loss (RMSE and RMSLE: the squared one); negative: the delivered model does better.
    half_width : float
        Of the change's interval, corrected t over folds.
    """

    what: str
    before: float
    after: float
    change: float
    half_width: float


@dataclass(frozen=True)
class Estimate:
    """Expected metric on new rows, in natural units, with its interval.

    Attributes
    ----------
    value, low, high : float
        ``low <= value <= high``.
    level : float
        Nominal level of the interval.
    method : {"nested", "crossfit", "bbc"}
    loss : float
        The same value as a loss (lower is better).
    fold_losses : tuple of float
        Losses of the outer folds (crossfit: of the folds left out); empty for bbc.
    estimand : str
        What exactly is estimated, at which number of rows and which budget.
    steps : tuple of Step
        From the procedure's estimate to this one; none where this is the procedure's.
    """

    value: float
    low: float
    high: float
    level: float
    method: str
    loss: float
    fold_losses: tuple[float, ...]
    estimand: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Paid:
    """Did tuning pay: tuned loss minus the default's on the same held-out rows (negative: tuning is better).

    For RMSE and RMSLE the losses are squared, the scale on which they average.
    """

    verdict: Verdict
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    scale: Scale = "loss"


class Trials(tuple[TrialRecord, ...]):
    """The search trials, in order."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(tuple(record.trial_key for record in self))

    def count(self, state: Any) -> int:
        """Return how many trials ended in ``state`` (COMPLETE, PRUNED or FAIL)."""
        return sum(record.state == state for record in self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a trial, with the metric and parameter names MLflow shows."""
        import pandas as pd

        return pd.DataFrame([_frame_row(record) for record in self])

    def __repr__(self) -> str:
        return (
            f"Trials({len(self)}: {self.count('COMPLETE')} finished, "
            f"{self.count('PRUNED')} pruned, {self.count('FAIL')} failed)"
        )


def _frame_row(record: TrialRecord) -> dict[str, Any]:
    scores = record.scores
    return {
        "number": record.number,
        "state": record.state,
        **record.configuration.flat(),
        "objective": record.objective,
        "nested_loss": scores.nested_loss if scores else None,
        "train_loss": scores.train_loss if scores else None,
        "gap": scores.gap if scores else None,
        "gap_penalty": record.gap_penalty,
        "standard_error": scores.standard_error if scores else None,
        "path_point": scores.path_point if scores else None,
        "path_value": scores.path_value if scores else None,
        "fit_seconds": record.fit_seconds,
        "reason": record.reason,
    }


@dataclass(frozen=True, eq=False, repr=False)
class TuningResult:
    """The outcome of a run.

    Attributes
    ----------
    estimate : Estimate or None
        Expected metric of the whole procedure on new rows: the claim.
    delivered_estimate : Estimate or None
        The same claim carried over to the delivered model, which has seen more rows and averages as many or
        more fits, by what the run measured of both; None with `time`, or where it was not measured.
    default_estimate : Estimate or None
        The same for the named default, on the same held-out rows.
    optimism : float or None
        Loss of the estimate minus `selection_loss`; positive: the search flattered it.
    paid : Paid
        Whether tuning beat the default on the held-out rows of the estimate.
    best_params : dict
        ``{"family": ..., "family.parameter": ..., "path_point": ...}`` of what was shipped.
    winner : TrialRecord
        The search trial whose configuration was shipped (an ensemble mixes others in, see ``blend``).
    shipped : TrialRecord
        The same configuration on the fresh folds that elected it; its path point is the model's.
    selection_loss : float
        Loss of what is claimed on the folds that elected it, or, with bbc, on the rows that chose it.
    gap : float
        Train/validation gap of ``shipped``, as a loss.
    shipped_default : bool
        Tuning did not beat the default, so the default was shipped.
    trials : Trials
        The search trials.
    finalists, nominations : tuples
        The finalists on fresh folds, and the gap weights that nominated each.
    blend : Blend or None
        Ensemble weights over the finalists, where the shipped model is an ensemble.
    diagnosis : tuple of Finding
    checks : tuple of Finding
        What the data said before any fit.
    optimism_table : OptimismTable
        Scores of search, fresh folds and estimate, of the default and of guessing, side by side.
    slices : tuple of SliceScore
        Scores of the slices asked for, on fresh folds. Where the worst slice was judged, their 95% intervals
        hold at once (Bonferroni).
    learning_curve : LearningCurve or None
        The winner's losses on fewer rows, where there was time.
    group_scores : GroupScores or None
        The winner's losses on random folds and on groups left out, where there are groups and was time.
    study : optuna.Study
        In memory.
    model : DeliveredClassifier or DeliveredRegressor
        What predicts.
    latency : Latency
        What a prediction takes, measured at the end of the run.
    reliability : Reliability or None
        What the shipped configurations' fold models say of rows they did not see; None on few rows.
    card : ModelCard
        What went into the run.
    notes : tuple of str
        Everything that was changed or skipped on the way.
    """

    metric: str
    task: Task
    positive_class: str | None
    estimate: Estimate | None
    default_estimate: Estimate | None
    optimism: float | None
    paid: Paid
    best_params: Mapping[str, Scalar]
    winner: TrialRecord
    shipped: TrialRecord
    selection_loss: float
    gap: float
    shipped_default: bool
    trials: Trials
    finalists: tuple[TrialRecord, ...]
    nominations: tuple[Nomination, ...]
    blend: Blend | None
    diagnosis: tuple[Finding, ...]
    study: Any
    study_name: str
    model: Delivered
    latency: Latency
    reliability: Reliability | None
    card: ModelCard
    notes: tuple[str, ...]
    seconds: float
    time_budget: float | None
    seed: int
    fingerprint: str
    fold_plan_hash: str
    fold_plan: str
    tracking: TrackingInfo | None = None
    checks: tuple[Finding, ...] = ()
    optimism_table: OptimismTable | None = None
    slices: tuple[SliceScore, ...] = ()
    learning_curve: LearningCurve | None = None
    group_scores: GroupScores | None = None
    delivered_estimate: Estimate | None = None

    def report(self, path: str | Path) -> Path:
        """Write the story as one self-contained HTML page, and return where it is.

        Parameters
        ----------
        path : str or Path
            File to write; one that is there is replaced.
        """
        from tuner._page import render  # draws: slow to import

        path = Path(path)
        path.write_text(render(self), encoding="utf-8")
        return path

    def facts(self) -> list[tuple[str, str]]:
        """Return the story as (label, text) lines, the answer first."""
        lines = [("estimate", self._estimate_text(self.estimate))]
        if self.delivered_estimate is not None:
            lines.append(("delivered", self._estimate_text(self.delivered_estimate)))
        if self.default_estimate is not None:
            lines.append(("default", self._estimate_text(self.default_estimate)))
        lines.append(("tuning paid", self._paid_text()))
        if self.optimism is not None and math.isfinite(self.optimism):
            verdict = "flattered the winner" if self.optimism > 0 else "did not flatter the winner"
            lines.append(("optimism", f"{self.optimism:+.4g} (the search {verdict})"))
        if self.optimism_table is not None:
            lines.append(("scores", self.optimism_table.line()))
        if self.slices:
            lines.append(("worst slice", self._worst_slice_text()))
        if self.group_scores is not None:
            lines.append(("new groups", self._groups_text(self.group_scores)))
        lines.append(("gap", f"{self.gap:.4g} between training and held-out loss of the winner"))
        lines.append(("winner", self._winner_text()))
        lines.append(("model", self._model_text()))
        lines.append(("serving", self._serving_text()))
        lines.append(("trials", f"{self._counts()}; folds: {self.fold_plan}"))
        found = (*self.checks, *self.diagnosis)
        lines += [(finding.code, f"{finding.title} {finding.next_step}") for finding in found]
        lines += [("note", note) for note in self.notes]
        lines.append(("time", self._time_text()))
        return lines

    def _estimate_text(self, estimate: Estimate | None) -> str:
        if estimate is None:
            return "none: search scores are not claims"
        interval = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
        name = self.card.score_name(self.metric)
        value = f"{name} {estimate.value:.4f}, {estimate.level:.0%} interval {interval}"
        return f"{value} ({estimate.estimand})"

    def _paid_text(self) -> str:
        texts = {
            "paid": "yes: better than the default on held-out rows, beyond noise",
            "not shown": "not shown: better than the default on average, but within noise",
            "did not pay": "no: not better than the default on held-out rows, so the default was shipped",
            "not judged": "not judged: only an estimate can tell",
        }
        text = texts[self.paid.verdict]
        if self.paid.verdict == "not judged" and self.estimate is not None:
            text = "not judged: nothing but the default was chosen"
        if self.paid.difference is None:
            return text
        interval = f"[{self.paid.low:+.4g}, {self.paid.high:+.4g}]"
        return f"{text} ({self.paid.scale} difference {self.paid.difference:+.4g} {interval})"

    def _groups_text(self, scores: GroupScores) -> str:
        left_out, random = np.nanmean(scores.left_out_losses), np.nanmean(scores.random_losses)
        return f"loss {left_out:.4g} of the winner on groups left out, {random:.4g} on random folds"

    @property
    def worst_slice(self) -> SliceScore | None:
        """The slice with the largest loss on fresh folds; None where no slice was asked for or scored."""
        scored = [each for each in self.slices if math.isfinite(each.loss)]
        return max(scored, key=lambda each: each.loss, default=None)

    def _worst_slice_text(self) -> str:
        worst = self.worst_slice
        if worst is None:
            return "none could be scored"
        kind = "95%" if self.card.aggregate == "mean" else "simultaneous 95%"
        interval = f"{kind} interval [{worst.low:.4f}, {worst.high:.4f}]"
        return (
            f"{worst.column} = {worst.label}: {self.metric} {worst.value:.4f}, {interval} "
            f"({worst.n_rows} rows, fresh folds; of {len(self.slices)} slices)"
        )

    def _winner_text(self) -> str:
        scores = self.shipped.scores
        settings = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.winner.configuration.params.items()
        )
        size = f", path value {scores.path_value:g}" if scores else ""
        return f"{self.winner.configuration.family} ({settings}{size})"

    def _model_text(self) -> str:
        blended = self.model.blended
        if blended is None:  # pragma: no cover - a delivered model always holds one
            return "none"
        default = "the default, " if self.shipped_default else ""
        tempered = f"; temperature {blended.temperature:.2f}" if blended.temperature != 1.0 else ""
        positive = f"; positive class {self.positive_class}" if self.positive_class is not None else ""
        return f"{default}{blended}{tempered}{positive}"

    def _serving_text(self) -> str:
        latency = self.latency
        took = latency.row_milliseconds
        row = f"{took:.2g}" if took < 99.5 else f"{took:,.0f}"  # never 1.1e+02
        return f"{row} ms for one row, {latency.rows_per_second:,.0f} rows a second"

    def _counts(self) -> str:
        finished, pruned, failed = (self.trials.count(state) for state in ("COMPLETE", "PRUNED", "FAIL"))
        return f"{finished} finished, {pruned} pruned, {failed} failed; {len(self.finalists)} finalists"

    def _time_text(self) -> str:
        budget = "" if self.time_budget is None else f" of {self.time_budget:g} s"
        return f"{self.seconds:.1f} s{budget}, seed {self.seed}"

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.facts())
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self.facts())

    def __repr__(self) -> str:
        return f"TuningResult\n{self}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left;vertical-align:top;padding-right:1em'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for label, text in self.facts()
        )
        return f"<table><caption>Tuning result</caption>{rows}</table>"


def natural_estimate(
    metric: Metric,
    interval: Interval,
    *,
    level: float,
    method: str,
    fold_losses: Sequence[float],
    estimand: str,
) -> Estimate:
    """Turn a loss with its interval into natural units, clipped to what the metric can be."""
    ends = metric.natural_ends(interval.low, interval.high)
    return Estimate(
        value=metric.natural(interval.value),
        low=ends[0],
        high=ends[1],
        level=level,
        method=method,
        loss=float(interval.value),
        fold_losses=tuple(float(np.float64(value)) for value in fold_losses),
        estimand=estimand,
    )
