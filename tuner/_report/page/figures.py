"""The figures of the report as SVG, drawn without pyplot and without the user's matplotlib settings."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tuner._records import TrialRecord
from tuner._search.importance import importances
from tuner._types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tuner._report.result import TuningResult

WIDTH = 5.2  # inches; narrow, so that letters stay readable on a phone
MOST_CLIPPED = 0.05  # of the trials may lie outside the axes: a few bad ones must not flatten all others
BLUE, ORANGE, GREY = "#1f5f9e", "#c2570c", "#8b98a5"
FAMILY_COLORS = ("#1f5f9e", "#c2570c", "#2f7d4f", "#8a4fa3", "#a0791a", "#4d8fa8", "#a8506b")

Draw = Callable[["Axes", "TuningResult"], None]


def draw(result: TuningResult) -> dict[str, bytes]:
    """Return the figures there is something to show in, as SVG by name."""
    complete = len(_complete(result)) > 1
    wanted: list[tuple[str, bool, float, Draw]] = [
        ("estimate", _has_intervals(result), 1.5, _draw_estimates),
        ("trials", complete, 3.4, _draw_trials),
        ("gap", complete, 3.4, _draw_gap),
        ("winner_path", _has_path(result), 3.4, _draw_path),
        ("reliability", result.reliability is not None, 3.4, _draw_reliability),
        ("learning", result.learning_curve is not None, 3.0, _draw_learning),
    ]
    for family in result.card.families:
        shares = importances(result.study, family)
        wanted.append((f"importance_{family}", bool(shares), 0.9 + 0.25 * len(shares), _bars(shares)))
    return {name: svg(_of(drawing, result), height) for name, there, height, drawing in wanted if there}


def _of(drawing: Draw, result: TuningResult) -> Callable[[Axes], None]:
    return lambda axes: drawing(axes, result)


def svg(drawing: Callable[[Axes], None], height: float) -> bytes:
    """Return one figure in the house style; ``height`` is in inches."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "axes.edgecolor": GREY,
                "axes.spines.right": False,
                "axes.spines.top": False,
                "legend.fontsize": 8,
                "legend.frameon": False,
                "svg.hashsalt": "tuner",
            }
        )
        figure: Figure = Figure(figsize=(WIDTH, height), layout="constrained")
        drawing(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _complete(result: TuningResult) -> list[TrialRecord]:
    return [trial for trial in result.trials if trial.scores is not None]


def _loss(result: TuningResult) -> str:
    """Return the loss's name; a dollar sign would start a formula."""
    return result.card.loss_name(result.metric).replace("$", r"\$")


def _has_intervals(result: TuningResult) -> bool:
    both = (result.tuned_estimate, result.default_estimate)
    return all(each is not None and math.isfinite(each.high - each.low) for each in both)


def _draw_estimates(axes: Axes, result: TuningResult) -> None:
    """Draw the tuned procedure above the default; the latter alone where nothing else was judged."""
    rows = [("default", result.default_estimate, GREY)]
    if result.tuned_estimate is not result.default_estimate:
        rows.append(("tuned", result.tuned_estimate, BLUE))
    for height, (label, estimate, color) in enumerate(rows):
        assert estimate is not None  # the caller looked
        axes.plot([estimate.low, estimate.high], [height, height], color=color, linewidth=2.5)
        axes.plot(estimate.value, height, "o", color=color, markersize=8)
        axes.annotate(label, (0, height), xycoords=("axes fraction", "data"), xytext=(-8, 0),
                      textcoords="offset points", ha="right", va="center")  # fmt: skip
    axes.set(
        ylim=(-0.6, len(rows) - 0.4),
        yticks=[],
        xlabel=result.card.score_name(result.metric).replace("$", r"\$"),
    )
    axes.spines["left"].set_visible(False)


def _draw_trials(axes: Axes, result: TuningResult) -> None:
    """Draw training and held-out loss, trial by trial, and the running minimum."""
    trials = _complete(result)
    numbers = [trial.number for trial in trials]
    held_out = np.array([_gap_and_loss(trial)[1] for trial in trials])
    train = held_out - np.array([_gap_and_loss(trial)[0] for trial in trials])
    axes.vlines(numbers, train, held_out, color=GREY, linewidth=1, alpha=0.6, label="gap")
    axes.scatter(numbers, held_out, s=16, color=ORANGE, label="held out", zorder=3)
    axes.scatter(numbers, train, s=16, color=BLUE, label="training", zorder=3)
    axes.step(numbers, np.minimum.accumulate(held_out), where="post", color=ORANGE, linewidth=1, zorder=2)
    _mark(axes, result.winner.number, _gap_and_loss(result.winner)[1])
    _clip_top(axes, held_out, bottom=float(train.min()))
    axes.set(xlabel="trial", ylabel=f"loss: {_loss(result)}")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, columnspacing=1.5)


def _draw_gap(axes: Axes, result: TuningResult) -> None:
    """Draw held-out loss against the gap: small gaps cost loss, large ones buy little."""
    trials = _complete(result)
    for index, family in enumerate(sorted({trial.configuration.family for trial in trials})):
        points = [_gap_and_loss(trial) for trial in trials if trial.configuration.family == family]
        gaps, losses = zip(*points, strict=True)
        axes.scatter(
            gaps, losses, s=20, alpha=0.7, color=FAMILY_COLORS[index % len(FAMILY_COLORS)], label=family
        )
    axes.scatter(
        *_gap_and_loss(trials[0]), marker="s", s=60, facecolor="none", edgecolor="black", label="default"
    )
    _mark(axes, *_gap_and_loss(result.winner))
    every = np.array([_gap_and_loss(trial)[1] for trial in trials])
    _clip_top(axes, every, bottom=float(every.min()))
    axes.set(xlabel="gap: held-out minus training loss", ylabel=f"held-out loss: {_loss(result)}")
    axes.legend()


def _gap_and_loss(trial: TrialRecord) -> tuple[float, float]:
    return trial.known_scores.gap, trial.loss


def _mark(axes: Axes, x: float, y: float) -> None:
    axes.scatter(x, y, marker="*", s=150, color="black", label="winner", zorder=4)


def _clip_top(axes: Axes, losses: FloatArray, *, bottom: float) -> None:
    """End the axis above all but the worst few."""
    top = float(np.quantile(losses, 1 - MOST_CLIPPED, method="higher"))
    room = 0.05 * (top - bottom) + 1e-12
    axes.set_ylim(bottom - room, top + room)


def _has_path(result: TuningResult) -> bool:
    curves = result.winner.curves
    return curves is not None and len(curves.path_values) > 1


def _draw_path(axes: Axes, result: TuningResult) -> None:
    """Draw the winner's curves along its path: every fold, their mean and its standard error."""
    curves, scores = result.winner.curves, result.winner.known_scores
    assert curves is not None  # the caller looked
    step = len(curves.thresholds or (None,))
    offset = scores.path_point % step  # the chosen threshold's column
    sizes = np.asarray(curves.path_values)
    for losses, label, color in ((curves.train, "training", BLUE), (curves.validation, "held out", ORANGE)):
        values = np.asarray(losses)[:, offset::step]
        values = values[np.isfinite(values).all(axis=1)]
        if not len(values):
            continue
        axes.plot(sizes, values.T, color=color, linewidth=0.6, alpha=0.35)
        mean = values.mean(axis=0)
        axes.plot(sizes, mean, color=color, linewidth=2, label=label)
        if len(values) > 1:
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
            axes.fill_between(sizes, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
    chosen = "chosen" if curves.guide is None else "chosen, by recalibrated log loss"
    axes.axvline(scores.path_value, color="black", linewidth=1, linestyle=":", label=chosen)
    if sizes.min() > 0:
        axes.set_xscale("log")
    if sizes[0] > sizes[-1]:
        axes.invert_xaxis()  # larger models to the right
    family = result.winner.configuration.family
    axes.set_xlabel(f"{family}: {result.path_name}, larger models to the right")
    axes.set_ylabel(f"loss: {_loss(result)}")
    axes.legend()


def _draw_learning(axes: Axes, result: TuningResult) -> None:
    """Draw the loss against the number of training rows."""
    curve = result.learning_curve
    assert curve is not None  # the caller looked
    losses = [np.array(each)[np.isfinite(each)] for each in curve.losses]
    means = np.array([each.mean() if len(each) else np.nan for each in losses])
    errors = np.array([each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else 0.0 for each in losses])
    axes.fill_between(curve.rows, means - errors, means + errors, color=ORANGE, alpha=0.2, linewidth=0)
    axes.plot(curve.rows, means, "o-", color=ORANGE, markersize=5)
    axes.set(xlabel="training rows", ylabel=f"held-out loss: {_loss(result)}", xlim=(0, None))


def _draw_reliability(axes: Axes, result: TuningResult) -> None:
    """Draw what happened against what was predicted, bin by bin, with intervals."""
    assert result.reliability is not None  # the caller looked
    bins = result.reliability.bins
    predicted = [each.predicted for each in bins]
    observed = np.array([each.observed for each in bins])
    ends = np.abs(np.array([[each.low for each in bins], [each.high for each in bins]]) - observed)
    reach = [min(*predicted, observed.min()), max(*predicted, observed.max())]
    axes.plot(reach, reach, color=GREY, linewidth=1, linestyle="--", label="as predicted")
    axes.errorbar(
        predicted, observed, yerr=ends, fmt="o", color=BLUE, capsize=2, markersize=5, label="held-out rows"
    )
    texts = {
        "probability": ("predicted probability", "share that had it"),
        "confidence": ("probability of the predicted class", "share that was right"),
        "value": ("predicted value", "mean observed value"),
    }
    axes.set_xlabel(texts[result.reliability.kind][0])
    axes.set_ylabel(texts[result.reliability.kind][1])
    axes.legend(loc="upper left")


def _bars(shares: Mapping[str, float]) -> Draw:
    def drawing(axes: Axes, _: TuningResult) -> None:
        names = list(shares)
        axes.barh(range(len(names)), [shares[name] for name in names], color=BLUE)
        axes.set_yticks(range(len(names)), [name.partition(".")[2] for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("share")

    return drawing
