"""The delivered model's estimate: the procedure's, carried over to the rows and models that are delivered.

An estimate by folds is about models that saw fewer rows than the delivered one and, but for "nested", average
fewer fits. Both differences are measured inside the run, on held-out rows:

* rows: folds of the shipped model's learning curve follow a_k + b_k / n, so that a fit on n rows instead of m
  changes the loss by b_k (1 / n - 1 / m);
* models: the loss of an average of B exchangeable models is a + D / B (exact for squared errors), and on R
  repeats D = (loss alone - loss of the average) / (1 - 1/R).

What it assumes: that the shipped model's curve is that of the whole procedure, and that errors of procedure
and steps are independent. It misleads where more rows would have chosen another model, and credits too
little to rows where losses fall more slowly than by 1 / n. Steps of average precision and F1 are means over
folds, which few rows bend, though the estimate they start from is not. Steps keep their sign: a curve that
rises by chance makes the claim worse, so that noise cancels out on average.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tuner._claims.claims import Build, Estimate, Paid, Step
from tuner._claims.estimate import LEVEL, judge_tuning
from tuner._metrics.metrics import Metric
from tuner._records import BagLosses, LearningCurve
from tuner._statistics.intervals import Interval, corrected_t
from tuner._statistics.learning_curve import row_steps
from tuner._types import FloatArray


def delivered_estimate(
    estimate: Estimate,
    metric: Metric,
    *,
    before: Build,
    after: Build,
    learning: LearningCurve | None,
    bag: BagLosses | None,
    test_share: float,
) -> Estimate | None:
    """Return the estimate of the delivered model, or None where nothing can be corrected.

    Its interval: half-widths of the procedure's (the larger side) and of the steps, added in squares; on
    squared losses for RMSE and RMSLE.

    Parameters
    ----------
    estimate : Estimate
        Of the procedure.
    before, after : Build
        What the models behind the estimate and the delivered one are made of.
    learning : LearningCurve or None
        Without it nothing is claimed where the number of rows differs.
    bag : BagLosses or None
        Without it a difference in models is named and not corrected.
    test_share : float
        n_test / n_train of the folds of both.
    """
    needs_rows, needs_models = not math.isclose(before.rows, after.rows), before.models != after.models
    if not math.isfinite(estimate.loss) or (needs_rows and learning is None):
        return None
    changes = {}
    if needs_rows and learning is not None:
        changes["rows"] = row_steps(learning, before.rows, after.rows, squared=metric.squared_scale)
    if needs_models and bag is not None:
        changes["models"] = model_steps(bag, before.models, after.models)
    steps = tuple(
        _step(what, getattr(before, what), getattr(after, what), folds, estimate.level, test_share)
        for what, folds in changes.items()
    )
    if not steps or not all(math.isfinite(step.change) for step in steps):
        return None
    power = metric.power
    ends = [metric.natural(end) ** power for end in (estimate.low, estimate.high)]  # its own inverse
    loss = estimate.loss**power
    half = math.hypot(max(abs(end - loss) for end in ends), *(step.half_width for step in steps))
    loss += sum(step.change for step in steps)
    # Before its interval is drawn, which would vanish beyond the end.
    loss = metric.bounded(loss)
    low, value, high = (_root(each, power) for each in (loss - half, loss, loss + half))
    natural_low, natural_high = metric.natural_ends(low, high)
    left_out = before if needs_models and bag is None else None
    return Estimate(
        value=metric.natural(value),
        low=natural_low,
        high=natural_high,
        level=estimate.level,
        method=estimate.method,
        loss=value,
        fold_losses=(),
        estimand=_estimand(steps, metric, left_out, after),
        steps=steps,
    )


@dataclass(frozen=True)
class Averaged:
    """How many fits a model that is delivered averages, and what that gains on repeats; None: not known."""

    models: float
    bag: BagLosses | None


def as_delivered(paid: Paid, models: float, tuned: Averaged, default: Averaged, *, test_share: float) -> Paid:
    """Return the verdict on tuning carried over from averages of ``models`` fits to those delivered.

    A mixture of single fits has less to gain by averaging each member over folds than the default alone has:
    compared as single fits, tuning is flattered. Where either gain is not known, the verdict stays.

    The interval: half-widths of the difference and of the steps, added in squares.
    """
    if paid.difference is None or paid.low is None or paid.high is None:
        return paid
    if tuned.bag is None or default.bag is None:
        return paid
    steps = model_steps(tuned.bag, models, tuned.models) - model_steps(default.bag, models, default.models)
    change = corrected_t(steps.tolist(), test_share=test_share, level=LEVEL)
    if not math.isfinite(change.value):
        return paid
    half = change.high - change.value
    difference = Interval(
        paid.difference + change.value,
        paid.difference + change.value - math.hypot(paid.difference - paid.low, half),
        paid.difference + change.value + math.hypot(paid.high - paid.difference, half),
    )
    return replace(judge_tuning(difference), scale=paid.scale)


def model_steps(bag: BagLosses, before: float, after: float) -> FloatArray:
    """Return by how much the loss of each fold changes where ``after``, not ``before`` fits are averaged."""
    gains = np.subtract(bag.alone, bag.averaged) / (1 - 1 / bag.n_models)
    steps: FloatArray = gains * (1 / after - 1 / before)
    return steps


def _step(what: str, before: float, after: float, folds: FloatArray, level: float, test_share: float) -> Step:
    interval = corrected_t(folds.tolist(), test_share=test_share, level=level)
    return Step(what, before, after, interval.value, interval.high - interval.value)


def _root(value: float, power: int) -> float:
    return value if power == 1 else math.sqrt(max(value, 0.0))


def _estimand(steps: tuple[Step, ...], metric: Metric, left_out: Build | None, after: Build) -> str:
    """Say what was corrected by how much, and what was not."""
    scale = "squared loss" if metric.squared_scale else "loss"
    text = f"the delivered model: {', '.join(_clauses(steps, scale))}"
    if left_out is None:
        return text
    return f"{text}; averages of {after.models:g} instead of {left_out.models:g} models are not corrected for"


def _clauses(steps: tuple[Step, ...], scale: str) -> Iterator[str]:
    kinds = {"rows": ("fits on", "rows"), "models": ("averages of", "models")}
    for place, step in enumerate(steps):
        verb, noun = kinds[step.what]
        effect = "by" if place else f"change the {scale} by"
        yield (
            f"{verb} {step.after:.0f} instead of {step.before:.0f} {noun} {effect} "
            f"{step.change:+.4g} +- {step.half_width:.3g}"
        )
