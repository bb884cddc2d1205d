"""A result told in lines, the answer first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from search_spaces import SPACES
from tuner._claims.optimism import score_texts

if TYPE_CHECKING:
    from tuner._claims.claims import Estimate, Paid
    from tuner._records import GroupScores
    from tuner._report.result import TuningResult


def facts(result: TuningResult) -> list[tuple[str, str]]:
    """Return the story as (label, text) lines, the answer first."""
    lines = [("estimate", _estimate_text(result, result.estimate))]
    if result.delivered_estimate is not None:
        lines.append(("delivered", _estimate_text(result, result.delivered_estimate)))
    if result.default_estimate is not None:
        lines.append(("default", _estimate_text(result, result.default_estimate)))
    lines.append(("tuning paid", _paid_text(result)))
    if result.optimism is not None and math.isfinite(result.optimism):
        lines.append(("optimism", f"{result.optimism:+.4g} ({optimism_text(result.optimism, result.paid)})"))
    if result.optimism_table is not None:
        lines.append(("scores", result.optimism_table.line()))
    if result.slices:
        lines.append(("worst slice", _worst_slice_text(result)))
    if result.group_scores is not None:
        lines.append(("new groups", _groups_text(result.group_scores)))
    lines.append(("gap", f"{result.gap:.4g} between training and held-out loss of the winner"))
    lines.append(("winner", _winner_text(result)))
    lines.append(("model", _model_text(result)))
    lines.append(("serving", _serving_text(result)))
    lines.append(("trials", f"{_counts(result)}; folds: {result.fold_plan}"))
    found = (*result.checks, *result.diagnosis)
    lines += [(finding.code, f"{finding.title} {finding.next_step}") for finding in found]
    lines += [("note", note) for note in result.notes]
    lines.append(("time", _time_text(result)))
    return lines


def optimism_text(optimism: float, paid: Paid) -> str:
    """Return whom the search flattered, if anybody: not the default that is shipped for want of a better."""
    if paid.verdict == "did not pay":
        return "of the default, which the search has not chosen"
    return "the search flattered the winner" if optimism > 0 else "the search did not flatter the winner"


def _estimate_text(result: TuningResult, estimate: Estimate | None) -> str:
    if estimate is None:
        return "none: search scores are not claims"
    value, low, high = score_texts(estimate.value, estimate.low, estimate.high)
    name = result.card.score_name(result.metric)
    value = f"{name} {value}, {estimate.level:.0%} interval [{low}, {high}]"
    return f"{value} ({estimate.estimand})"


def _paid_text(result: TuningResult) -> str:
    texts = {
        "paid": "yes: better than the default on held-out rows, beyond noise",
        "not shown": "not shown: better than the default on average, but within noise",
        "did not pay": "no: not better than the default on held-out rows, so the default was shipped",
        "not judged": "not judged: only an estimate can tell",
    }
    text = texts[result.paid.verdict]
    if result.paid.verdict == "not judged" and result.estimate is not None:
        text = (
            "not judged: nothing but the default was chosen"
            if result.shipped_default
            else "not judged: inside the estimate nothing but the default was chosen, or had time"
        )
    if result.paid.difference is None:
        return text
    interval = f"[{result.paid.low:+.4g}, {result.paid.high:+.4g}]"
    return f"{text} ({result.paid.scale} difference {result.paid.difference:+.4g} {interval})"


def _groups_text(scores: GroupScores) -> str:
    left_out, random = np.nanmean(scores.left_out_losses), np.nanmean(scores.random_losses)
    return f"loss {left_out:.4g} of the winner on groups left out, {random:.4g} on random folds"


def _worst_slice_text(result: TuningResult) -> str:
    worst = result.worst_slice
    if worst is None:
        return "none could be scored"
    kind = "95%" if result.card.aggregate == "mean" else "simultaneous 95%"
    value, low, high = score_texts(worst.value, worst.low, worst.high)
    return (
        f"{worst.column} = {worst.label}: {result.metric} {value}, {kind} interval [{low}, {high}] "
        f"({worst.n_rows} rows, scored again; of {len(result.slices)} slices)"
    )


def _winner_text(result: TuningResult) -> str:
    """Return the family and what differs from its default: a newcomer reads three numbers, not fifteen."""
    scores, winner = result.shipped.scores, result.winner.configuration
    space = SPACES.get(winner.family)
    defaults = space.default() if space else {}
    settings = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in winner.params.items()
        if name not in defaults or value != defaults[name]
    ]
    size = [f"{result.path_name} {scores.path_value:.4g}"] if scores else []
    rest = ["the rest as by default"] if len(settings) < len(winner.params) else []
    return f"{winner.family} ({', '.join([*settings, *size, *rest])})"


def _model_text(result: TuningResult) -> str:
    blended = result.model.blended
    if blended is None:  # pragma: no cover - a delivered model always holds one
        return "none"
    default = "the default, " if result.shipped_default else ""
    tempered = f"; temperature {blended.temperature:.2f}" if blended.temperature != 1.0 else ""
    positive = f"; positive class {result.positive_class}" if result.positive_class is not None else ""
    return f"{default}{blended}{tempered}{positive}"


def _serving_text(result: TuningResult) -> str:
    latency = result.latency
    took = latency.row_milliseconds
    row = f"{took:.2g}" if took < 99.5 else f"{took:,.0f}"  # never 1.1e+02
    return f"{row} ms for one row, {latency.rows_per_second:,.0f} rows a second"


def _counts(result: TuningResult) -> str:
    finished, pruned, failed = (result.trials.count(state) for state in ("COMPLETE", "PRUNED", "FAIL"))
    return f"{finished} finished, {pruned} pruned, {failed} failed; {len(result.finalists)} finalists"


def _time_text(result: TuningResult) -> str:
    budget = "" if result.time_budget is None else f" of {result.time_budget:g} s"
    return f"{result.seconds:.1f} s{budget}, seed {result.seed}"
