"""What a run returns: one immutable record that tells its story."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner._claims.claims import Estimate, Paid
from tuner._claims.optimism import OptimismTable
from tuner._decisions.selection import Nomination
from tuner._decisions.shares import Blend
from tuner._model import Delivered, Latency
from tuner._records import Finding, GroupScores, LearningCurve, SliceScore, TrialRecord
from tuner._report.card import ModelCard
from tuner._report.story import facts
from tuner._statistics.reliability import Reliability
from tuner._tracking.info import TrackingInfo
from tuner._types import Scalar, Task

if TYPE_CHECKING:
    import pandas as pd


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
    tuned_estimate : Estimate or None
        The same for the tuned procedure; ``estimate``, unless tuning did not pay and the default is shipped.
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
        The default alone was shipped: tuning did not beat it, or it was elected; ``paid`` says which.
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
    path_name : str
        What the path values of the winner's family are.
    learning_curve : LearningCurve or None
        The shipped model's losses on fewer rows, where there was time.
    group_scores : GroupScores or None
        The winner's losses on random folds and on groups left out, where there are groups and was time.
    study : optuna.Study
        In memory.
    model : DeliveredClassifier or DeliveredRegressor
        What predicts.
    latency : Latency
        What a prediction takes, measured at the end of the run.
    reliability : Reliability or None
        What the shipped configurations' fold models say of rows they did not see; None on few rows,
        and for MAE and RMSLE, whose predictions are no means.
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
    path_name: str = "path value"
    learning_curve: LearningCurve | None = None
    group_scores: GroupScores | None = None
    delivered_estimate: Estimate | None = None
    tuned_estimate: Estimate | None = None

    def report(self, path: str | Path) -> Path:
        """Write the story as one self-contained HTML page, and return where it is.

        Parameters
        ----------
        path : str or Path
            File to write; one that is there is replaced.
        """
        from tuner._report.page import render  # draws: slow to import

        path = Path(path)
        path.write_text(render(self), encoding="utf-8")
        return path

    @property
    def worst_slice(self) -> SliceScore | None:
        """The slice with the largest loss on fresh folds; None where no slice was asked for or scored."""
        scored = [each for each in self.slices if math.isfinite(each.loss)]
        return max(scored, key=lambda each: each.loss, default=None)

    def facts(self) -> list[tuple[str, str]]:
        """Return the story as (label, text) lines, the answer first."""
        return facts(self)

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
