"""Metrics by name, each turned into a loss (lower is better) and back into its natural units."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, get_scorer_names

from tuner._metrics import losses as _losses
from tuner._metrics.guides import recalibrated_log_loss
from tuner._metrics.losses import Kernel, Thresholds, decide
from tuner._metrics.scorers import ScorerKernel, probe, scores_numbers, takes_weight
from tuner._types import BoolArray, FloatArray, IntArray, Task
from tuner.exceptions import InputError

__all__ = [
    "BALANCING_THRESHOLDS",
    "DECISION_THRESHOLDS",
    "METRICS",
    "Metric",
    "MetricValue",
    "decide",
    "natural",
    "resolve_metric",
]

# By distance from 0.5: on equal losses the first, most ordinary threshold wins.
DECISION_THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9, 0.05, 0.95)
# What balances the classes is near their share, one in a thousand say. Accuracy and F1 gain nothing by these.
BALANCING_THRESHOLDS = (
    *DECISION_THRESHOLDS,
    *(0.02, 0.98, 0.01, 0.99, 0.005, 0.995, 0.002, 0.998, 0.001, 0.999),
)
# 2 million float64 are 16 MB; the kernels hold about six arrays of this size.
_CHUNK_ELEMENTS = 2_000_000
MetricValue = Literal["one_minus_loss", "minus_loss", "loss"]
_CLASSIFICATION: frozenset[Task] = frozenset({"binary", "multiclass"})
_REGRESSION: frozenset[Task] = frozenset({"regression"})


@dataclass(frozen=True)
class Metric:
    """A metric as a loss.

    Parameters
    ----------
    name : str
        As the user wrote it; for a callable its name.
    tasks : frozenset of {"binary", "multiclass", "regression"}
        Tasks it can score.
    kernel : callable
        Computes the losses, see :mod:`tuner._metrics.losses`.
    value : {"one_minus_loss", "minus_loss", "loss"}
        How the natural value follows from the loss.
    thresholds : tuple of float or None
        Decision thresholds tried, 0.5 first, then by distance from it; None where no decision on a
        probability is taken.
    row_mean : bool
        Whether the loss is a weighted mean over rows.
    squared_scale : bool
        Whether the square of the loss is a weighted mean over rows, so intervals are made on squares.
    is_ratio : bool
        Whether sums over rows are divided by one another, which few rows bend: claims score the rows of all
        folds together.
    log_target : bool
        Whether models train on log1p(y); `losses` then receives y and prediction on that scale.
    guide : Metric or None
        By whose loss the points of a path are chosen instead, where the metric ranks two classes: ranks have
        steps, and the smallest of many such losses is often luck.
    """

    name: str
    tasks: frozenset[Task]
    kernel: Kernel
    value: MetricValue = "loss"
    thresholds: Thresholds = None
    row_mean: bool = False
    squared_scale: bool = False
    is_ratio: bool = False
    log_target: bool = False
    guide: Metric | None = None

    @property
    def judges_rows(self) -> bool:
        """Whether the loss, or its square, is a weighted mean over rows, each judged by itself."""
        return self.row_mean or self.squared_scale

    @property
    def power(self) -> int:
        """To what power losses are means over rows, where they are: 2 on the squared scale."""
        return 2 if self.squared_scale else 1

    def column(self, threshold: float | None) -> int:
        """Return the column of `losses` that a decision threshold has; the first where nothing is decided.

        Raises
        ------
        ValueError
            If the metric does not try this threshold.
        """
        return 0 if self.thresholds is None or threshold is None else self.thresholds.index(threshold)

    @property
    def is_scorer(self) -> bool:
        """Whether it is the score of a scikit-learn scorer, called once a weighting, with its sign turned."""
        return isinstance(self.kernel, ScorerKernel)

    def is_same_as(self, name: str) -> bool:
        """Whether it is our metric of this name, or scikit-learn's name of it."""
        return (self.kernel, self.log_target) == (METRICS[name].kernel, METRICS[name].log_target)

    def natural(self, loss: float) -> float:
        """Return the value people know the metric by, e.g. an AUC of 0.8 for a loss of 0.2."""
        return natural(self.value, loss)

    def bounded(self, loss: float) -> float:
        """Return the loss, or the end of what it can be that it lies beyond."""
        if not self.is_scorer:  # every loss of our own is at least 0
            loss = max(loss, 0.0)
        if self.value == "one_minus_loss" and self.name != "r2":  # and these are at most 1
            loss = min(loss, 1.0)
        return loss

    def natural_ends(self, low: float, high: float) -> tuple[float, float]:
        """Return the ends of an interval of the loss in natural units, within what the metric can be."""
        first, last = sorted(self.natural(self.bounded(end)) for end in (low, high))
        return float(first), float(last)

    def losses(
        self,
        y: IntArray | FloatArray,
        prediction: FloatArray,
        weights: IntArray | FloatArray | BoolArray | None = None,
    ) -> FloatArray:
        """Return the loss (lower is better) under every weighting and decision threshold.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            Class codes 0..n_classes - 1, or the target of a regression (its log1p with `log_target`).
        prediction : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Probability of class 1 (binary), of every class (multiclass), or the predicted target.
        weights : ndarray of shape (n_samples,) or (n_weightings, n_samples), default=None
            Non-negative weights, such as bootstrap multiplicities; None counts every row once.

        Returns
        -------
        ndarray of shape (n_weightings, n_thresholds or 1)
            NaN where the loss is not defined: no weight at all, a class without weight for metrics that
            need it, a constant `y` for r2, a prediction that is not finite, or a loss that overflows.
        """
        target = np.asarray(y, dtype=np.float64)
        prediction = np.asarray(prediction, dtype=np.float64)
        weightings = np.ones((1, len(target))) if weights is None else np.atleast_2d(weights)
        if not len(target) or not np.isfinite(prediction).all():
            return np.full((len(weightings), len(self.thresholds or (None,))), np.nan)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            weigh = self.kernel(target, prediction, self.thresholds)
            losses = np.concatenate([weigh(chunk) for chunk in _chunks(weightings)])
        return np.where(np.isfinite(losses), losses, np.nan)

    def refusal(self, y: IntArray | FloatArray, prediction: FloatArray) -> str:
        """Return why a scorer refuses predictions of rows that it can score; else nothing."""
        target = np.asarray(y, dtype=np.float64)
        return self.kernel.refusal(target, prediction) if isinstance(self.kernel, ScorerKernel) else ""

    def worst_loss(
        self,
        y: IntArray | FloatArray,
        prediction: FloatArray,
        weights: IntArray | FloatArray | BoolArray | None = None,
    ) -> FloatArray:
        """Return the largest loss over the weightings: under a single one, plainly the loss.

        Parameters are those of `losses`. Weightings without a loss are skipped.

        Returns
        -------
        ndarray of shape (n_thresholds or 1,)
            NaN where no weighting has a loss.
        """
        losses = self.losses(y, prediction, weights)
        largest = np.where(np.isnan(losses), -np.inf, losses).max(axis=0)
        return np.where(np.isfinite(largest), largest, np.nan)


def natural(value: MetricValue, loss: float) -> float:
    """Return the natural value of a loss."""
    if value == "one_minus_loss":
        return 1.0 - loss
    return -loss if value == "minus_loss" else loss


def _chunks(weights: NDArray[Any]) -> Iterator[FloatArray]:
    """Float copies of a few weightings at a time, to bound memory."""
    size = max(1, _CHUNK_ELEMENTS // weights.shape[1])
    for start in range(0, len(weights), size):
        yield np.asarray(weights[start : start + size], dtype=np.float64)


_RECALIBRATED = Metric("recalibrated_log_loss", frozenset({"binary"}), recalibrated_log_loss)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("log_loss", _CLASSIFICATION, _losses.log_loss, row_mean=True),
        Metric("roc_auc", _CLASSIFICATION, _losses.roc_auc, "one_minus_loss", guide=_RECALIBRATED),
        Metric(
            "average_precision",
            _CLASSIFICATION,
            _losses.average_precision,
            "one_minus_loss",
            is_ratio=True,
            guide=_RECALIBRATED,
        ),
        Metric(
            "accuracy",
            _CLASSIFICATION,
            _losses.accuracy,
            "one_minus_loss",
            DECISION_THRESHOLDS,
            row_mean=True,
        ),
        Metric(
            "balanced_accuracy",
            _CLASSIFICATION,
            _losses.balanced_accuracy,
            "one_minus_loss",
            BALANCING_THRESHOLDS,
        ),
        Metric("f1", _CLASSIFICATION, _losses.f1, "one_minus_loss", DECISION_THRESHOLDS, is_ratio=True),
        Metric("brier", _CLASSIFICATION, _losses.brier, row_mean=True),
        Metric("rmse", _REGRESSION, _losses.rmse, squared_scale=True),
        Metric("mae", _REGRESSION, _losses.mae, row_mean=True),
        Metric("r2", _REGRESSION, _losses.r2, "one_minus_loss"),
        Metric("rmsle", _REGRESSION, _losses.rmse, squared_scale=True, log_target=True),
    )
}


# scikit-learn's names of the same formulas: the same loss, shown with the sign that goes with the name.
SYNONYMS: dict[str, Metric] = {
    name: replace(METRICS[ours], name=name, value="minus_loss")
    for name, ours in (
        ("neg_log_loss", "log_loss"),
        ("neg_brier_score", "brier"),
        ("neg_root_mean_squared_error", "rmse"),
        ("neg_mean_absolute_error", "mae"),
    )
}


def resolve_metric(
    metric: str | Callable[..., Any] | None,
    task: Task,
    *,
    classes: Sequence[Any] | None = None,
    weighted: bool = False,
) -> Metric:
    """Turn what the user asked for into a metric that fits the task.

    Parameters
    ----------
    metric : str, callable or None
        A name from :data:`METRICS`, the name of a scikit-learn scorer, or a callable
        ``scorer(estimator, X, y)``, higher is better. None: log_loss or, for a regression, rmse.
    task : {"binary", "multiclass", "regression"}
        What is predicted.
    classes : sequence of shape (n_classes,), default=None
        The original labels in the order of their codes; None where labels are the codes.
    weighted : bool, default=False
        Whether rows have weights, which the metric must then be able to take.

    Returns
    -------
    Metric
        With decision thresholds only in a binary task.

    Raises
    ------
    InputError
        If the name is unknown, or the metric fits neither the task nor the weights.

    Notes
    -----
    Scorers see predictions that are already made, not a model and not the features: `estimator` has
    `classes_`, `predict_proba` and `predict` (decided at 0.5), `X` holds row indices, shape (n, 1), and
    `y` the original labels. A scorer named by a string sees class codes instead, so that its positive
    class (label 1) is ``classes[1]`` whatever the labels are.
    """
    if metric is None:
        metric = "rmse" if task == "regression" else "log_loss"
    if isinstance(metric, str):
        return _resolve_name(metric, task, n_classes=_count(classes, task), weighted=weighted)
    if not callable(metric):
        raise InputError(
            "`metric` must be a name, a scorer or None.", repr(metric), f"Use one of: {_list_for(task)}."
        )
    name = getattr(metric, "__name__", None) or repr(metric)
    labels = tuple(classes) if classes is not None and task != "regression" else None
    kernel = ScorerKernel(metric, task, labels, takes_weight(metric))
    return _scorer_metric(name, kernel, n_classes=_count(classes, task), weighted=weighted)


def _count(classes: Sequence[Any] | None, task: Task) -> int:
    if classes is not None:
        return len(classes)
    return 3 if task == "multiclass" else 2


def _list_for(task: Task) -> str:
    return ", ".join(name for name, metric in METRICS.items() if task in metric.tasks)


def _resolve_name(name: str, task: Task, *, n_classes: int, weighted: bool) -> Metric:
    metric = METRICS.get(name) or SYNONYMS.get(name)
    if metric is not None:
        if task not in metric.tasks:
            raise _misfit(name, task, needs="classification" if task == "regression" else "regression")
        return metric if task == "binary" else replace(metric, thresholds=None, guide=None)
    known = [*METRICS, *get_scorer_names()]
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        cure = f"Did you mean {nearest[0]!r}? " if nearest else ""
        raise InputError(
            "`metric` must be a known name, a scikit-learn scorer name or a scorer.",
            repr(name),
            f"{cure}Names for this target: {_list_for(task)}.",
        )
    scorer = get_scorer(name)
    if scores_numbers(scorer) != (task == "regression"):
        raise _misfit(name, task, needs="classification" if task == "regression" else "regression")
    kernel = ScorerKernel(scorer, task, None, takes_weight(scorer))
    return _scorer_metric(name, kernel, n_classes=n_classes, weighted=weighted)


def _misfit(name: str, task: Task, *, needs: str) -> InputError:
    estimator = "TunedClassifier" if needs == "classification" else "TunedRegressor"
    return InputError(
        f"`{name}` needs a {needs} target.",
        f"a {task} target",
        f'Use one of: {_list_for(task)}; or task="{needs}" / {estimator}.',
    )


def _scorer_metric(name: str, kernel: ScorerKernel, *, n_classes: int, weighted: bool) -> Metric:
    """Wrap a scorer once it has scored a tiny example."""
    probe(name, kernel, n_classes=n_classes, weighted=weighted, metric_names=_list_for(kernel.task))
    return Metric(name, frozenset({kernel.task}), kernel, "minus_loss")
