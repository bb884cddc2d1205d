"""Losses in numpy, for many weightings of the same rows at once.

A *kernel* takes ``(y, prediction, thresholds)``, does once what no weighting changes (sorting, row
losses, decisions), and returns a function from weightings of shape (n_weightings, n) to losses of shape
(n_weightings, n_thresholds or 1), lower is better. Kernels may return NaN or inf where a loss is not
defined; the caller (:meth:`tuner._metrics.metrics.Metric.losses`) silences the division and makes it NaN.

A prediction of two dimensions, (n, n_classes), means a multiclass task.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tuner._types import BoolArray, FloatArray, IntArray

Thresholds = tuple[float, ...] | None
Weigh = Callable[[FloatArray], FloatArray]
Kernel = Callable[[FloatArray, FloatArray, Thresholds], Weigh]
Ranked = Callable[[FloatArray, FloatArray], FloatArray]

# scikit-learn clips at the resolution of the prediction's own type; ours are computed in float64.
EPSILON = float(np.finfo(np.float64).eps)


def decide(prediction: FloatArray, threshold: float = 0.5) -> IntArray:
    """Turn probabilities into class codes.

    Parameters
    ----------
    prediction : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Probability of class 1, or of every class.
    threshold : float, default=0.5
        Class 1 needs a probability strictly above it; not used when there is a column per class.

    Returns
    -------
    ndarray of shape (n_samples,)
        Codes: 0 or 1, or the first column with the largest probability.

    Notes
    -----
    Strictly above, so that at 0.5 a tie goes to the first class, as it does for ``argmax`` and for the
    ``predict`` of scikit-learn's and LightGBM's classifiers.
    """
    prediction = np.asarray(prediction, dtype=np.float64)
    if prediction.ndim == 2:
        codes: IntArray = np.argmax(prediction, axis=1)
        return codes
    return (prediction > threshold).astype(np.int64)


def _one_hot(codes: FloatArray | IntArray, n_classes: int) -> FloatArray:
    return np.equal(codes[:, None], np.arange(n_classes)).astype(np.float64)


def _decisions(prediction: FloatArray, thresholds: Thresholds) -> IntArray | BoolArray:
    """Codes of shape (n, n_thresholds), or (n, 1) without thresholds; as `decide` takes them, all at once."""
    if prediction.ndim == 2:
        return decide(prediction)[:, None]
    above: BoolArray = prediction[:, None] > np.array(thresholds or (0.5,))
    return above


def _row_mean(rows: FloatArray) -> Weigh:
    """Weighted means of row losses of shape (n,) or (n, n_thresholds)."""
    columns = rows.reshape(len(rows), -1).astype(np.float64)

    def weigh(weights: FloatArray) -> FloatArray:
        means: FloatArray = weights @ columns / weights.sum(axis=1, keepdims=True)
        return means

    return weigh


def log_loss(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Return the mean of -log(probability of the class that occurred), clipped at 2.2e-16."""
    if prediction.ndim == 2:
        occurred = prediction[np.arange(len(y)), y.astype(np.intp)]
    else:
        occurred = np.where(y == 1, prediction, 1.0 - prediction)
    return _row_mean(-np.log(np.clip(occurred, EPSILON, 1.0 - EPSILON)))


def brier(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Mean of (p - y)^2, summed over classes when there is a column per class (then in [0, 2])."""
    if prediction.ndim == 2:
        return _row_mean(((prediction - _one_hot(y, prediction.shape[1])) ** 2).sum(axis=1))
    return _row_mean((prediction - y) ** 2)


def accuracy(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:
    """Share of wrong decisions."""
    return _row_mean(_decisions(prediction, thresholds) != y[:, None])


def mae(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Mean of |y - prediction|."""
    return _row_mean(np.abs(y - prediction))


def rmse(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Root of the mean of (y - prediction)^2."""
    mean_square = _row_mean((y - prediction) ** 2)

    def weigh(weights: FloatArray) -> FloatArray:
        roots: FloatArray = np.sqrt(mean_square(weights))
        return roots

    return weigh


def r2(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Mean squared error over the weighted variance of `y` (ddof 0); not defined for a constant `y`."""
    mean_square = _row_mean((y - prediction) ** 2)

    def weigh(weights: FloatArray) -> FloatArray:
        total = weights.sum(axis=1)
        means = weights @ y / total
        deviations = y - means[:, None]
        variances = np.einsum("ij,ij,ij->i", weights, deviations, deviations) / total
        # The mean of equal numbers is off by rounding, so a constant y has a variance of about 1e-32.
        for row in np.flatnonzero(variances <= (1e-8 * means) ** 2):
            if np.ptp(y[weights[row] > 0]) == 0:
                variances[row] = np.nan
        losses: FloatArray = mean_square(weights) / variances[:, None]
        return losses

    return weigh


def _ranking(y: FloatArray, prediction: FloatArray, measure: Ranked) -> Weigh:
    """Sort rows by descending prediction, pool ties, and measure weights of positives and negatives."""
    order = np.argsort(-prediction)
    ranked = prediction[order]
    positive = (y[order] == 1).astype(np.float64)
    starts = np.concatenate(([0], np.flatnonzero(ranked[1:] != ranked[:-1]) + 1))
    has_ties = len(starts) < len(ranked)

    def weigh(weights: FloatArray) -> FloatArray:
        all_weights = weights.take(order, axis=1)
        positives = all_weights * positive
        negatives = np.subtract(all_weights, positives, out=all_weights)
        if has_ties:
            positives = np.add.reduceat(positives, starts, axis=1)
            negatives = np.add.reduceat(negatives, starts, axis=1)
        return measure(positives, negatives)[:, None]

    return weigh


def _auc_loss(positives: FloatArray, negatives: FloatArray) -> FloatArray:
    """Weighted share of (positive, negative) pairs in the wrong order, ties counted half."""
    negatives_ahead = np.cumsum(negatives, axis=1)
    all_negatives = negatives_ahead[:, -1].copy()
    negatives_ahead -= 0.5 * negatives
    misordered = np.einsum("ij,ij->i", positives, negatives_ahead)
    loss: FloatArray = misordered / (positives.sum(axis=1) * all_negatives)
    return loss


def _average_precision_loss(positives: FloatArray, negatives: FloatArray) -> FloatArray:
    """One minus the sum over tie groups of (step in recall) * (precision at the end of the group)."""
    true_positives = np.cumsum(positives, axis=1)
    called = np.cumsum(negatives, axis=1)
    some_negatives = called[:, -1] > 0
    called += true_positives
    # Where every row so far has weight zero the step in recall is zero as well.
    precision = np.divide(true_positives, called, out=np.zeros_like(called), where=called > 0)
    loss = 1.0 - np.einsum("ij,ij->i", positives, precision) / true_positives[:, -1]
    return np.where(some_negatives, loss, np.nan)


def _macro(y: FloatArray, prediction: FloatArray, measure: Ranked) -> Weigh:
    """One class against the rest, averaged over classes that occur and whose complement occurs."""
    if prediction.ndim == 1:
        return _ranking(y, prediction, measure)
    per_class = [
        _ranking((y == code).astype(np.float64), prediction[:, code], measure)
        for code in range(prediction.shape[1])
    ]

    def weigh(weights: FloatArray) -> FloatArray:
        losses = np.hstack([weigh_class(weights) for weigh_class in per_class])
        defined = np.isfinite(losses)
        means: FloatArray = np.where(defined, losses, 0.0).sum(axis=1) / defined.sum(axis=1)
        return means[:, None]

    return weigh


def roc_auc(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Return 1 - AUC; macro one-vs-rest when there is a column per class."""
    return _macro(y, prediction, _auc_loss)


def average_precision(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:  # noqa: ARG001
    """Return 1 - average precision (no interpolation); macro one-vs-rest with a column per class."""
    return _macro(y, prediction, _average_precision_loss)


def balanced_accuracy(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:
    """Return 1 - the mean recall of the classes that occur; both must occur in a binary task."""
    if prediction.ndim == 2:
        return _multiclass_balanced_accuracy(y, prediction)
    hits: NDArray[np.bool_] = np.equal(_decisions(prediction, thresholds), y[:, None])
    positive: NDArray[np.bool_] = np.equal(y[:, None], 1)
    columns = np.hstack([positive, ~positive, hits & positive, hits & ~positive]).astype(np.float64)
    n_decisions = hits.shape[1]

    def weigh(weights: FloatArray) -> FloatArray:
        sums = weights @ columns
        positive_hits, negative_hits = np.split(sums[:, 2:], [n_decisions], axis=1)
        losses: FloatArray = 1.0 - 0.5 * (positive_hits / sums[:, :1] + negative_hits / sums[:, 1:2])
        return losses

    return weigh


def f1(y: FloatArray, prediction: FloatArray, thresholds: Thresholds) -> Weigh:
    """Return 1 - F1 of class 1, or of the macro average; 0 for a class never predicted correctly."""
    if prediction.ndim == 2:
        return _multiclass_f1(y, prediction)
    called: NDArray[np.bool_] = np.equal(_decisions(prediction, thresholds), 1)
    positive: NDArray[np.bool_] = np.equal(y[:, None], 1)
    columns = np.hstack([positive, ~positive, called, called & positive]).astype(np.float64)
    n_decisions = called.shape[1]

    def weigh(weights: FloatArray) -> FloatArray:
        sums = weights @ columns
        all_called, hits = np.split(sums[:, 2:], [n_decisions], axis=1)
        losses = 1.0 - 2.0 * hits / (sums[:, :1] + all_called)
        return np.where(sums[:, :2].min(axis=1, keepdims=True) > 0, losses, np.nan)

    return weigh


def _multiclass_balanced_accuracy(y: FloatArray, prediction: FloatArray) -> Weigh:
    truth = _one_hot(y, prediction.shape[1])
    hits = truth * _one_hot(decide(prediction), prediction.shape[1])

    def weigh(weights: FloatArray) -> FloatArray:
        occurring = weights @ truth
        return _mean_over(occurring > 0, 1.0 - (weights @ hits) / occurring, occurring)

    return weigh


def _multiclass_f1(y: FloatArray, prediction: FloatArray) -> Weigh:
    truth = _one_hot(y, prediction.shape[1])
    called = _one_hot(decide(prediction), prediction.shape[1])
    hits = truth * called

    def weigh(weights: FloatArray) -> FloatArray:
        occurring = weights @ truth
        size = occurring + weights @ called
        return _mean_over(size > 0, 1.0 - 2.0 * (weights @ hits) / size, occurring)

    return weigh


def _mean_over(counted: NDArray[np.bool_], losses: FloatArray, occurring: FloatArray) -> FloatArray:
    """Mean of the counted classes' losses; NaN if fewer than two classes occur in `y`."""
    means = np.where(counted, losses, 0.0).sum(axis=1) / counted.sum(axis=1)
    return np.where((occurring > 0).sum(axis=1) >= 2, means, np.nan)[:, None]
