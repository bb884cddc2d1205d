"""The report of a run: texts, metrics and figures made from the result; pure but for drawing."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner._config import TuningConfig
from tuner._records import TrialRecord
from tuner._result import TuningResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SECRET_FIELDS = ("storage", "tracking_uri")


def markdown(result: TuningResult) -> str:
    """Return the story as a Markdown table, for the run's description."""
    rows = "\n".join(f"| {label} | {_cell(text)} |" for label, text in result.facts())
    return f"| | |\n|---|---|\n{rows}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def texts(result: TuningResult, config: TuningConfig) -> dict[str, str]:
    """Return the text artifacts by file name."""
    return {
        "report.md": markdown(result),
        "config.json": json.dumps(config_params(config), indent=2),
        "checks.json": json.dumps([asdict(finding) for finding in result.checks], indent=2),
        "diagnosis.json": json.dumps([asdict(finding) for finding in result.diagnosis], indent=2),
        "slices.json": json.dumps([asdict(each) for each in result.slices], indent=2),
        "trials.csv": result.trials.to_frame().to_csv(index=False),
    }


def config_params(config: TuningConfig) -> dict[str, str]:
    """Return the config as text, without what may hold a secret."""
    return {
        item.name: str(getattr(config, item.name))
        for item in fields(config)
        if item.name not in SECRET_FIELDS
    }


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
    for name, estimate in (("estimate", result.estimate), ("default_estimate", result.default_estimate)):
        if estimate is not None:
            values |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {name: float(value) for name, value in values.items() if value is not None}


def tags(result: TuningResult) -> dict[str, str]:
    """Return the tags of the parent run."""
    return {
        "tuner.metric": result.metric,
        "tuner.estimate_method": result.estimate.method if result.estimate else "none",
        "tuner.tuning_paid": result.paid.verdict,
        "tuner.shipped_default": str(result.shipped_default),
        "tuner.winner": f"{result.study_name}/search/0/{result.winner.number}",
        "tuner.fold_plan": result.fold_plan,
        "tuner.fold_plan_hash": result.fold_plan_hash,
        "tuner.seed": str(result.seed),
        "tuner.findings": ", ".join(each.code for each in (*result.checks, *result.diagnosis)) or "none",
    }


def figures(result: TuningResult) -> Mapping[str, bytes]:
    """Draw the search and the winner's path as PNG files."""
    drawn = {"search.png": _figure(_draw_search, result)}
    if result.winner.curves is not None:
        drawn["winner_path.png"] = _figure(_draw_path, result)
    return drawn


def _figure(draw: Any, result: TuningResult) -> bytes:
    from matplotlib.figure import Figure

    figure: Figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    draw(axes, result)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _draw_search(axes: Axes, result: TuningResult) -> None:
    """Held-out loss against the gap, trial by trial: small gaps cost loss, large ones buy little."""
    complete = [trial for trial in result.trials if trial.scores is not None]
    families = sorted({trial.configuration.family for trial in complete})
    for index, family in enumerate(families):
        points = [_gap_and_loss(trial) for trial in complete if trial.configuration.family == family]
        gaps, losses = zip(*points, strict=True)
        axes.scatter(gaps, losses, s=22, alpha=0.6, color=f"C{index}", label=family)
    default, winner = complete[0], result.winner
    axes.scatter(
        *_gap_and_loss(default), marker="s", s=70, facecolor="none", edgecolor="black", label="default"
    )
    axes.scatter(*_gap_and_loss(winner), marker="*", s=170, color="black", label="winner")
    every = sorted(_gap_and_loss(trial)[1] for trial in complete)
    # A few bad trials must not flatten all the others: the worst twentieth may lie outside.
    axes.set_ylim(top=every[int(0.95 * (len(every) - 1))] + 0.05 * (every[-1] - every[0]) + 1e-12)
    axes.set(xlabel="gap (held-out loss - training loss)", ylabel=f"nested loss ({result.metric})")
    axes.set_title(f"{len(complete)} trials: held-out loss and gap", loc="left")
    axes.legend(frameon=False)


def _gap_and_loss(trial: TrialRecord) -> tuple[float, float]:
    assert trial.scores is not None  # complete trials only
    return trial.scores.gap, trial.scores.nested_loss


def _draw_path(axes: Axes, result: TuningResult) -> None:
    curves, scores = result.winner.curves, result.winner.scores
    assert curves is not None  # the caller draws complete trials
    assert scores is not None
    step = len(curves.thresholds or (None,))
    offset = scores.path_point % step
    for losses, label, color in ((curves.train, "training", "C0"), (curves.validation, "held out", "C1")):
        values = np.asarray(losses)[:, offset::step]
        mean = np.nanmean(values, axis=0)
        error = np.nanstd(values, axis=0, ddof=1) / np.sqrt(len(values))
        axes.plot(curves.path_values, mean, color=color, label=label)
        axes.fill_between(curves.path_values, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
    axes.axvline(scores.path_value, color="black", linewidth=0.8, linestyle=":", label="chosen")
    axes.set_xscale("log")
    if curves.path_values[0] > curves.path_values[-1]:
        axes.invert_xaxis()  # larger models to the right
    axes.set(xlabel=f"{result.winner.configuration.family}: path value", ylabel=f"loss ({result.metric})")
    axes.set_title("The winner along its path: mean over folds, one standard error", loc="left")
    axes.legend(frameon=False)
