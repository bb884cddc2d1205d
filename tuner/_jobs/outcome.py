"""What a job says at its end: the contract's JSON object, and the same for people."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from tuner._line.listeners import RunContext
from tuner._process.secrets import mask_secrets, plain
from tuner._records import TrialRecord
from tuner._report.result import TuningResult
from tuner._tracking.info import ParentInfo, TrackingInfo
from tuner.exceptions import TrackingError

MLFLOW_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """What a job gave.

    Attributes
    ----------
    summary : mapping
        The contract's JSON object, of JSON's types.
    text : str
        The result for people, then where to look next.
    was_done : bool
        The job had finished before: this is what came out then, and nothing was done now.
    """

    summary: Mapping[str, Any]
    text: str
    was_done: bool = False

    def to_json(self) -> str:
        """Return the outcome as text for the trial store."""
        return json.dumps({"summary": self.summary, "text": self.text})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return an outcome that was kept: its job is done."""
        return cls(**json.loads(text), was_done=True)


def make_outcome(result: TuningResult, context: RunContext) -> JobOutcome:
    """Return what a job says of its result."""
    names = {"status": "done", "job": context.name, "job_key": context.job_key}
    return JobOutcome(summary=plain({**names, **_summary(result)}), text=_text(result))


def sync_outcome(
    job: str, parent: ParentInfo, trials: Iterable[TrialRecord], info: TrackingInfo
) -> JobOutcome:
    """Return what a replay to MLflow says.

    Raises
    ------
    TrackingError
        If something is missing there.
    """
    if info.n_missing or info.problems:
        value = "; ".join([f"{info.n_missing} trials missing in MLflow", *info.problems])
        raise TrackingError("MLflow must take every trial.", value, "Mend it, then sync again.")
    summary = {
        "status": "done",
        "job": job,
        "job_key": parent.job_key,
        "study": parent.study,
        "trials": _counts(trials),
        "n_logged": info.n_logged,
        "tracking_uri": info.uri,
        "run_id": info.run_id,
    }
    text = f"MLflow has all {info.n_logged} trials: run {info.run_id} at {info.uri}\n"
    return JobOutcome(summary=plain(summary), text=text)


def _counts(trials: Iterable[TrialRecord]) -> dict[str, int]:
    states: list[str] = [trial.state for trial in trials]
    names = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    return {name: states.count(state) for name, state in names.items()}


def _text(result: TuningResult) -> str:
    tracking = result.tracking
    text = f"{result}\n"
    if tracking is not None and tracking.run_id is not None:
        run = f"#/experiments/{tracking.experiment_id}/runs/{tracking.run_id}"
        uri = mask_secrets(str(tracking.uri))
        if uri.startswith(("http://", "https://")):
            text += f"\nEvery trial:  {uri.rstrip('/')}/{run}\n"
        else:
            text += f"\nEvery trial:  mlflow ui --backend-store-uri {shlex.quote(uri)}\n"
            text += f"       then:  {MLFLOW_UI}/{run}\n"
    return mask_secrets(text)


def _summary(result: TuningResult) -> dict[str, Any]:
    tracking = result.tracking
    winner = dict(result.best_params)
    return {
        "study": result.study_name,
        "metric": result.metric,
        "estimate": _estimate(result.estimate),
        "default_estimate": _estimate(result.default_estimate),
        "optimism": result.optimism,
        "gap": result.gap,
        "winner": {"family": winner.pop("family"), "params": winner},
        "shipped_default": result.shipped_default,
        "trials": _counts(result.trials),
        "seconds": result.seconds,
        "tracking_uri": None if tracking is None else tracking.uri,
        "run_id": None if tracking is None else tracking.run_id,
        "model_uri": None if tracking is None else tracking.model_uri,
        **({} if tracking is None or not tracking.problems else {"problems": tracking.problems}),
    }


def _estimate(estimate: Any) -> Any:
    if estimate is None:
        return None
    values = asdict(estimate)
    return {name: values[name] for name in ("value", "low", "high", "level", "method")}
