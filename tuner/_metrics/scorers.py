"""scikit-learn scorers and callables as kernels, which see predictions already made instead of a model."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning

from tuner._metrics.losses import Thresholds, Weigh, decide
from tuner._types import FloatArray, IntArray, Task
from tuner.exceptions import InputError

REFUSALS = (ValueError, ArithmeticError)  # such as a share of the predicted positives where there are none


class _GivenValues(RegressorMixin, BaseEstimator):
    """A fitted regressor, as scorers expect one, that returns predictions already made."""

    def __init__(self, prediction: FloatArray) -> None:
        self.prediction = prediction
        self.n_features_in_ = 1

    def predict(self, X: IntArray) -> FloatArray:
        """Look up the rows whose indices `X`, of shape (n, 1), holds."""
        return self.prediction[np.asarray(X)[:, 0]]


class _GivenProbabilities(ClassifierMixin, BaseEstimator):
    """A fitted classifier, as scorers expect one, that returns probabilities already made."""

    def __init__(self, prediction: FloatArray, classes: NDArray[Any]) -> None:
        self.prediction = prediction
        self.classes = classes
        self.classes_ = classes
        self.n_features_in_ = 1

    def predict(self, X: IntArray) -> NDArray[Any]:
        """Decide on labels for the rows whose indices `X`, of shape (n, 1), holds."""
        return self.classes_[decide(self.prediction[np.asarray(X)[:, 0]])]

    def predict_proba(self, X: IntArray) -> FloatArray:
        """Look up a column per class for the rows whose indices `X`, of shape (n, 1), holds."""
        given = self.prediction[np.asarray(X)[:, 0]]
        if given.ndim == 1:
            return np.column_stack([1.0 - given, given])
        # Stored as float32, rows are off one by 1e-7, which scikit-learn warns about.
        probabilities: FloatArray = given / given.sum(axis=1, keepdims=True)
        return probabilities


@dataclass(frozen=True)
class ScorerKernel:
    """Minus the score of a scikit-learn scorer or callable, one call a weighting.

    Without `sample_weight`, whole-number weights repeat rows. A classification in which fewer than two
    classes occur is not scored (NaN), nor is one the scorer refuses (`REFUSALS`).
    """

    scorer: Callable[..., Any]
    task: Task
    classes: tuple[Any, ...] | None
    takes_weight: bool

    def __call__(self, y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG002
        def weigh(weights: FloatArray) -> FloatArray:
            return np.array([[self._loss(y, prediction, weighting)] for weighting in weights])

        return weigh

    def _loss(self, y: FloatArray, prediction: FloatArray, weighting: FloatArray) -> float:
        classified = self.task != "regression"
        occurring = y[weighting > 0]
        if not len(occurring) or (classified and (occurring == occurring[0]).all()):
            return float("nan")
        try:
            return -self.score(y, prediction, weighting)
        except InputError:
            raise
        except REFUSALS:
            return float("nan")

    def refusal(self, y: FloatArray, prediction: FloatArray) -> str:
        """Return why predictions are refused though a constant one of the same rows is not; else nothing.

        A deviance of counts takes no prediction below 0: such a model is at fault, not the fold.
        """
        every = np.ones(len(y))
        constant = prediction.mean(axis=0) if self.task != "regression" else y.mean()
        if np.isnan(self._loss(y, np.broadcast_to(constant, prediction.shape), every)):
            return ""
        try:
            self.score(y, prediction, every)
        except REFUSALS as error:
            return str(error)
        return ""

    def score(self, y: FloatArray, prediction: FloatArray, weighting: FloatArray) -> float:
        """Call the scorer once; weights that are all one are not passed on."""
        rows, options = self._apply(weighting)
        estimator, labels = self._estimator(y, prediction)
        with warnings.catch_warnings():
            # The score is defined by convention (0 for no predicted positives, say), fold after fold.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=r"sklearn\.")
            return float(self.scorer(estimator, rows[:, None], labels[rows], **options))

    def _apply(self, weighting: FloatArray) -> tuple[IntArray, dict[str, FloatArray]]:
        rows = np.flatnonzero(weighting)
        kept = weighting[rows]
        if (kept == 1.0).all():
            return rows, {}
        if self.takes_weight:
            return rows, {"sample_weight": kept}
        counts = kept.astype(np.int64)
        if (counts == kept).all():
            return np.repeat(rows, counts), {}
        raise InputError(
            "A scorer without `sample_weight` needs whole-number weights.",
            f"weights such as {kept[counts != kept][0]}",
            "Add a `sample_weight` parameter to the scorer.",
        )

    def _estimator(self, y: FloatArray, prediction: FloatArray) -> tuple[BaseEstimator, NDArray[Any]]:
        if self.task == "regression":
            return _GivenValues(prediction), y
        n_classes = prediction.shape[1] if prediction.ndim == 2 else 2
        classes: NDArray[Any] = np.asarray(range(n_classes) if self.classes is None else self.classes)
        return _GivenProbabilities(prediction, classes), classes[y.astype(np.intp)]


def probe(name: str, kernel: ScorerKernel, *, n_classes: int, weighted: bool, metric_names: str) -> None:
    """Call a scorer once on a tiny example, so that a misfit is found before any fit.

    Parameters
    ----------
    name : str
        What the messages call the scorer.
    kernel : ScorerKernel
    n_classes : int
        Classes of the example; of no effect in a regression.
    weighted : bool
        Whether the example has weights, which the scorer must then take.
    metric_names : str
        Metrics the message offers instead, joined by commas.

    Raises
    ------
    InputError
        If the scorer cannot take the weights or cannot score the task.
    """
    if weighted and not kernel.takes_weight:
        raise InputError(
            "A scorer of weighted rows must take `sample_weight`.",
            f"`{name}` without it",
            "Add a `sample_weight` parameter, choose another metric, or drop the sample weights.",
        )
    y, prediction = _tiny_example(kernel.task, n_classes)
    try:
        kernel.score(y, prediction, np.linspace(1.0, 2.0, len(y)) if weighted else np.ones(len(y)))
    except (TypeError, AttributeError, LookupError, *REFUSALS) as error:
        raise InputError(
            f"`{name}` must be able to score a {kernel.task} target.",
            f"{type(error).__name__}: {error}",
            f"Scorers see predictions, not features. Use one of: {metric_names}; "
            "or make_scorer with the options it needs.",
        ) from error


def takes_weight(scorer: Callable[..., Any]) -> bool:
    """Whether it has a parameter `sample_weight`; of make_scorer's result, the function inside."""
    try:
        return "sample_weight" in inspect.signature(getattr(scorer, "_score_func", scorer)).parameters
    except ValueError:  # builtins without a signature
        return False


def scores_numbers(scorer: Callable[..., Any]) -> bool:
    """Whether a scikit-learn scorer is one for regression: only those take a continuous target."""
    y, prediction = _tiny_example("regression", 0)
    with warnings.catch_warnings():
        # Clustering scores take one too, with a warning.
        warnings.simplefilter("error", UserWarning)
        try:
            scorer(_GivenValues(prediction), np.arange(len(y))[:, None], y)
        except (ValueError, AttributeError, UserWarning):
            return False
    return True


def _tiny_example(task: Task, n_classes: int) -> tuple[FloatArray, FloatArray]:
    """Two good predictions a class; positive numbers, as some regression metrics need them."""
    if task == "regression":
        return np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.1, 1.9, 3.2, 3.9, 5.1])
    y = np.repeat(np.arange(float(n_classes)), 2)
    if task == "binary":
        return y, np.array([0.3, 0.4, 0.6, 0.7])
    return y, (np.eye(n_classes).repeat(2, axis=0) + 1.0 / n_classes) / 2.0
