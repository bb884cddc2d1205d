"""What scheduled commands say: JSON objects, the same for people, and what MLflow gets of a decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from tuner._jobs.outcome import JobOutcome
from tuner._movement.movement import Movement
from tuner._movement.reference import Promise
from tuner._process.secrets import plain
from tuner._records import Finding
from tuner._report.page import draw_movement
from tuner._schedule.contest import Held
from tuner._statistics.intervals import Interval
from tuner._tracking.items import LogItem, Metric, Tag
from tuner._tracking.registry import DecisionRun

DECIDED, WHY, CHAMPION_AFTER = "tuner.decision", "tuner.why", "tuner.champion"  # tags of a decision
SHOWN_DECISIONS = 12


@dataclass(frozen=True, kw_only=True)
class RetuneOutcome(JobOutcome):
    """What a retune or a rollback decided."""

    @property
    def decision(self) -> str:
        """``"first"``, ``"not needed"``, ``"refitted"``, ``"kept"``, ``"promoted"`` or ``"rolled back"``."""
        return str(self.summary["decision"])


def check_outcome(
    names: Mapping[str, str],
    findings: Sequence[Finding],
    movement: Movement | None,
    *,
    n_unlabelled: int = 0,
) -> JobOutcome:
    """Return what a check says: the gate's findings, and what moved where there is a champion."""
    checks = [asdict(finding) for finding in findings]
    summary: dict[str, Any] = {"status": "done", **names, "checks": checks}
    text = findings_text(findings) or "No check has found anything.\n"
    if n_unlabelled:
        summary["n_unlabelled"] = n_unlabelled
        text += f"{n_unlabelled} rows have no target: `retune` sets them aside, `run` refuses them.\n"
    if movement is not None:
        summary |= movement_summary(movement)
        summary["columns"] = [asdict(each) for each in movement.columns]
        text += f"\n{movement_text(movement)}"
    return JobOutcome(summary=plain(summary), text=text)


def status_outcome(
    job: str,
    model: str,
    versions: Mapping[str, Mapping[str, Any] | None],
    decisions: Sequence[Mapping[str, Any]],
) -> JobOutcome:
    """Return what there is and what was decided."""
    summary = {"status": "done", "job": job, "model": model, **versions, "decisions": decisions}
    lines = [f"model       {model}"]
    for alias, version in versions.items():
        what = "none"
        if version is not None:
            what = f"version {version['version']}, {version['estimate']}, {version['age_days']:.1f} days old"
        lines.append(f"{alias:<11} {what}")
    lines += [
        f"{_day(each['time'])}  {each['name']}{'' if each['finished'] else ' (not finished)'}"
        for each in decisions
    ]
    return JobOutcome(summary=plain(summary), text="\n".join(lines) + "\n")


def report_outcome(job: str, path: Path) -> JobOutcome:
    """Return where a report was written."""
    return JobOutcome(summary={"status": "done", "job": job, "path": str(path)}, text=f"{path}\n")


def movement_summary(movement: Movement | None) -> dict[str, Any]:
    """Return what moved, as JSON's types."""
    if movement is None:
        return {"moved": None, "reasons": [], "check": None}
    reasons = [
        {name: getattr(each, name) for name in ("code", "severity", "title", "evidence", "next_step")}
        for each in movement.findings
    ]
    check = {name: interval_summary(getattr(movement, name)) for name in ("auc", "loss", "promised")}
    return {
        "moved": movement.moved,
        "reasons": reasons,
        "check": {
            **check,
            "n_new_rows": movement.n_new_rows,
            "n_unlabelled": movement.n_unlabelled,
            "is_judged": movement.is_judged,
        },
    }


def interval_summary(interval: Interval | None) -> dict[str, float] | None:
    """Return an interval as JSON's types."""
    return None if interval is None else asdict(interval)


def movement_text(movement: Movement) -> str:
    """Return what moved, for people."""
    unlabelled = f" and {movement.n_unlabelled} without a target" if movement.n_unlabelled else ""
    judged = "" if movement.is_judged else ": too few to judge"
    lines = [f"new rows    {movement.n_new_rows}{unlabelled}{judged}"]
    named = (
        ("loss", movement.loss, ""),
        ("promised", movement.promised, ""),
        ("told apart", movement.auc, " (AUC of new against old rows; .5: alike)"),
    )
    for name, interval, meaning in named:
        if interval is not None:
            lines.append(
                f"{name:<11} {interval.value:.4g} [{interval.low:.4g}, {interval.high:.4g}]{meaning}"
            )
    lines.append(f"moved       {'yes' if movement.moved else 'no'}")
    return "\n".join(lines) + "\n" + findings_text(movement.findings)


def findings_text(findings: Sequence[Finding]) -> str:
    """Return findings for people, one a paragraph."""
    return "".join(
        f"{each.code} ({each.severity}): {each.title}\n      {each.evidence}\n      {each.next_step}\n"
        for each in findings
    )


def contest_text(held: Held) -> str:
    """Return a contest for people."""
    contest = held.contest
    return (
        f"contest     {held.contender} {contest.challenger_loss:.4g} against {held.incumbent} "
        f"{contest.champion_loss:.4g} on {contest.n_rows} rows; difference {contest.difference:+.4g} "
        f"[{contest.low:+.4g}, {contest.high:+.4g}] at {contest.level:.1%}: {contest.verdict}\n"
    )


def promise_text(promise: Promise | None) -> str:
    """Return a version's estimate for people."""
    if promise is None or promise.value is None:
        return "no estimate"
    return f"{promise.metric} {promise.value:.4g} [{promise.low:.4g}, {promise.high:.4g}]"


def check_items(summary: Mapping[str, Any], text: str, *, at: float) -> Iterator[LogItem]:
    """Yield what the run of a check, and of a decision, holds of what moved."""
    check = summary["check"] or {}
    for name in ("auc", "loss", "promised"):
        for part, value in (check.get(name) or {}).items():
            if value is not None:
                yield Metric(f"check_{name}" + ("" if part == "value" else f"_{part}"), value, 0, at)
    if "n_new_rows" in check:
        yield Metric("check_n_new_rows", float(check["n_new_rows"]), 0, at)
    yield Tag("tuner.reasons", ", ".join(each["code"] for each in summary["reasons"]) or "none")
    yield Tag("mlflow.note.content", f"```text\n{text}```\n")


def decision_items(summary: Mapping[str, Any], text: str, *, at: float) -> Iterator[LogItem]:
    """Yield what the run of a decision holds."""
    yield from check_items(summary, text, at=at)
    for name, value in (summary["contest"] or {}).items():
        if isinstance(value, int | float):
            yield Metric(f"contest_{name}", float(value), 0, at)
    yield Metric("seconds", float(summary["seconds"]), 0, at)
    yield Tag(DECIDED, summary["decision"])
    yield Tag(WHY, summary["why"])
    if summary["champion"] is not None:
        yield Tag(CHAMPION_AFTER, summary["champion"]["version"])
    if summary["contest"] is not None:
        yield Tag("tuner.contested", "true")


def movement_files(movement: Movement | None) -> dict[str, bytes]:
    """Return the drift table and its figure, as artifacts by path."""
    if movement is None or not movement.columns:
        return {}
    return {
        "decision/drift.csv": drift_table(movement).encode(),
        "figures/drift.svg": draw_movement(movement),
    }


def model_description(name: str, why: str, text: str, earlier: Sequence[DecisionRun]) -> str:
    """Return what the registry says of the model: the last decision in full, a line for those before it."""
    lines = [f"**{name}** ({why})", "", "```text", text.rstrip(), "```"]
    if earlier:
        lines += ["", "| before | decision | why | champion |", "|---|---|---|---|"]
    for each in earlier[:SHOWN_DECISIONS]:
        champion = each.tags.get(CHAMPION_AFTER, "")
        lines.append(f"| {_day(each.started)} | {each.name} | {each.tags.get(WHY, '')} | {champion} |")
    return "\n".join(lines) + "\n"


def _day(unix_time: float) -> str:
    return datetime.fromtimestamp(unix_time, tz=UTC).strftime("%Y-%m-%d")


def drift_table(movement: Movement) -> str:
    """Return one line a column as CSV, those that tell most first."""
    return pd.DataFrame([asdict(each) for each in movement.columns]).to_csv(index=False)


def contests_summary(contests: Sequence[Held]) -> dict[str, Any]:
    """Return contests as JSON's types; ``"contest"`` is the one that decided, the last."""
    told = [{**asdict(each.contest), "incumbent": each.incumbent, "contender": each.contender}
            for each in contests]  # fmt: skip
    return {"contest": told[-1] if told else None, "contests": told}
