"""The report of a run: texts, metrics and tags made from the result; pure but for drawing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from tuner._options.config import TuningConfig
from tuner._process.secrets import plain
from tuner._records import Finding, SliceScore
from tuner._report.page import render
from tuner._report.result import TuningResult

SECRET_FIELDS = ("storage", "tracking_uri")


def markdown(result: TuningResult) -> str:
    """Return the story as a Markdown table, for the run's description."""
    rows = "\n".join(f"| {label} | {_cell(text)} |" for label, text in result.facts())
    return f"| | |\n|---|---|\n{rows}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def texts(result: TuningResult, config: TuningConfig, pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Return the text artifacts by file name; ``pictures`` are the page's (`tuner._report.page.draw`)."""
    return {
        "report.html": render(result, pictures),
        "report.md": markdown(result),
        "config.json": json.dumps(config_params(config), indent=2),
        "checks.json": _json(result.checks),
        "diagnosis.json": _json(result.diagnosis),
        "slices.json": _json(result.slices),
        "trials.csv": result.trials.to_frame().to_csv(index=False),
    }


def _json(items: Sequence[Finding | SliceScore]) -> str:
    """Return items as strict JSON: what no fold could tell is null."""
    return json.dumps(plain([asdict(item) for item in items]), indent=2)


def config_params(config: TuningConfig) -> dict[str, str]:
    """Return the config as text, without what may hold a secret."""
    return {
        item.name: str(getattr(config, item.name))
        for item in fields(config)
        if item.name not in SECRET_FIELDS
    }


def params(result: TuningResult, config: TuningConfig) -> dict[str, str]:
    """Return the config as the run resolved it: what was left open, as it was chosen."""
    resolved = {
        "task": result.task,
        "metric": result.metric,
        "families": list(result.card.families),
        "estimate": result.estimate.method if result.estimate else config.estimate,
        "random_state": result.seed,
    }
    return config_params(config) | {name: str(value) for name, value in resolved.items()}


def metrics(result: TuningResult) -> dict[str, float]:
    """Return the numbers of the parent run."""
    values: dict[str, float | None] = {
        "gap": result.gap,
        "optimism": result.optimism,
        "selection_loss": result.selection_loss,
        "seconds": result.seconds,
        "row_milliseconds": result.latency.row_milliseconds,
        "rows_per_second": result.latency.rows_per_second,
        "trials_finished": result.trials.count("COMPLETE"),
        "trials_pruned": result.trials.count("PRUNED"),
        "trials_failed": result.trials.count("FAIL"),
        "tuned_minus_default": result.paid.difference,
        "tuned_minus_default_low": result.paid.low,
        "tuned_minus_default_high": result.paid.high,
    }
    for name, estimate in (
        ("estimate", result.estimate),
        ("delivered_estimate", result.delivered_estimate),
        ("default_estimate", result.default_estimate),
    ):
        if estimate is not None:
            values |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {name: float(value) for name, value in values.items() if value is not None}


def tags(result: TuningResult) -> dict[str, str]:
    """Return the tags of the parent run."""
    return {
        "tuner.metric": result.metric,
        "tuner.estimate_method": result.estimate.method if result.estimate else "none",
        "tuner.tuning_paid": result.paid.verdict,
        "tuner.difference_scale": result.paid.scale,
        "tuner.shipped_default": str(result.shipped_default),
        "tuner.winner": f"{result.study_name}/search/0/{result.winner.number}",
        "tuner.fold_plan": result.fold_plan,
        "tuner.fold_plan_hash": result.fold_plan_hash,
        "tuner.seed": str(result.seed),
        "tuner.findings": ", ".join(each.code for each in (*result.checks, *result.diagnosis)) or "none",
    }
