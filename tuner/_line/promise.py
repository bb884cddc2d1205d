"""What a result leaves to the next scheduled run: its promise, and the recipe of its model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner._metrics.metrics import Metric
from tuner._movement.reference import Promise, recipe_of
from tuner._records import Recipe
from tuner._report.result import TuningResult


def promise_of(result: TuningResult, metric: Metric, aggregate: str) -> Promise:
    """Return what a run says of the model it delivers."""
    estimate = result.estimate
    configuration = result.winner.configuration
    value = low = high = level = loss = method = None
    ends: Sequence[float | None] = (None, None)
    if estimate is not None and np.isfinite([estimate.low, estimate.high]).all():
        value, low, high = estimate.value, estimate.low, estimate.high
        level, loss, method = estimate.level, estimate.loss, estimate.method
        # Turning a loss into its natural value is its own inverse.
        ends = sorted(metric.natural(each) for each in (estimate.low, estimate.high))
    blended = result.model.blended
    return Promise(
        metric=result.metric,
        aggregate=aggregate,
        value=value,
        low=low,
        high=high,
        loss=loss,
        loss_low=ends[0],
        loss_high=ends[1],
        level=level,
        method=method,
        configuration={"family": configuration.family, "params": dict(configuration.params)},
        n_models=0 if blended is None else blended.n_models,
        study=result.study_name,
        n_rows=result.card.n_rows,
    )


def recipe_of_result(result: TuningResult) -> Recipe | None:
    """Return what a run has elected; None where its model is empty."""
    model = result.model.blended
    if model is None:
        return None
    if result.blend is None:
        return recipe_of([(1.0, result.shipped)], model)
    return recipe_of(list(zip(result.blend.weights, result.finalists, strict=True)), model)
