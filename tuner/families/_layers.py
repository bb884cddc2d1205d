"""Layers of networks in training: what rows become in one, and how derivatives go back through it.

Derivatives are by hand: `tests/test_mlp.py` compares them with differences. Arrays have a leading dimension,
one entry a fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tuner._types import FloatArray
from tuner.families._front import Front
from tuner.families._network import SMALLEST_VARIANCE, logistic

# From derivatives by what a layer returns to those by its sums; fills the slots of what is learned between.
Back = Callable[[FloatArray, Sequence[FloatArray]], FloatArray]


@dataclass(eq=False)
class Passed:
    """What rows become in one layer, and what the way back needs.

    Attributes
    ----------
    X : float32 array of shape (n_folds, n_rows, n_units_below)
        What the matrix of the layer is multiplied with.
    outputs : float32 array of shape (n_folds, n_rows, n_units)
    back : callable or None
        The way back to the sums; None where they are the outputs.
    kept : float32 array of shape (n_folds, n_rows, n_units) or None
        What dropout multiplied the outputs with.
    """

    X: FloatArray
    outputs: FloatArray
    back: Back | None = None
    kept: FloatArray | None = None


def affine(X: FloatArray, matrix: FloatArray, offset: FloatArray) -> FloatArray:
    """Return the sums of rows, fold by fold."""
    sums: FloatArray = X @ matrix
    sums += offset[:, None]
    return sums


def filtered(X: FloatArray, layer: Sequence[FloatArray], front: Front) -> Passed:
    """Return what the dense layers see of images, shape (n_folds, n_rows, n_units).

    What filters find at each position, negative values cut, averaged over squares. `Front.outputs` finds the
    same once they are trained.
    """
    n_folds, n_rows, _ = X.shape
    seen = X.take(front.places.ravel(), axis=2).reshape(n_folds, -1, front.n_inputs)
    found = affine(seen, *layer)
    np.maximum(found, 0.0, out=found)
    squares = found.reshape(n_folds, n_rows, front.square**2, front.n_units)

    def back(slopes: FloatArray, slots: Sequence[FloatArray]) -> FloatArray:  # noqa: ARG001
        shares = slopes[:, :, None] / np.float32(front.square**2)
        return ((squares > 0) * shares).reshape(found.shape)

    return Passed(seen, squares.mean(axis=2), back)


def activated(X: FloatArray, layer: Sequence[FloatArray], there: FloatArray, norm: str) -> Passed:
    """Return what a hidden layer makes of its sums, normalized or not: x times its logistic function."""
    inputs = affine(X, *layer[:2])
    to_sums: Back | None = None
    if norm != "none":
        inputs, to_sums = _normalized(inputs, layer[2:], there, norm)
    gate = logistic(inputs)

    def back(slopes: FloatArray, slots: Sequence[FloatArray]) -> FloatArray:
        changed = 1.0 - gate  # the derivative of x s(x) is s (1 + x (1 - s))
        changed *= inputs
        changed += 1.0
        changed *= gate
        changed *= slopes
        return changed if to_sums is None else to_sums(changed, slots[2:])

    return Passed(X, inputs * gate, back)


def _normalized(
    sums: FloatArray, gain_and_shift: Sequence[FloatArray], there: FloatArray, norm: str
) -> tuple[FloatArray, Back]:
    """Centre and scale over units or over the rows that are there, and say how to go back.

    With shares v of what is averaged, normal values z and scale s, a derivative d by z becomes
    (d - v (sum d + z sum d z)) / s.
    """
    gain, shift = (each[:, None] for each in gain_and_shift)
    axis = 2 if norm == "layer" else 1
    alike = np.ones_like(sums[:1, :1]) if norm == "layer" else there[..., None]
    weights = alike / alike.sum(axis=axis, keepdims=True)
    sums -= (sums * weights).sum(axis=axis, keepdims=True)
    scale = np.sqrt((sums * sums * weights).sum(axis=axis, keepdims=True) + SMALLEST_VARIANCE)
    sums /= scale
    normal = sums

    def back(slopes: FloatArray, slots: Sequence[FloatArray]) -> FloatArray:
        np.sum(slopes * normal, axis=1, out=slots[0])
        np.sum(slopes, axis=1, out=slots[1])
        slopes *= gain
        along = slopes.sum(axis=axis, keepdims=True)
        across = (slopes * normal).sum(axis=axis, keepdims=True)
        slopes -= weights * (along + normal * across)
        slopes /= scale
        return slopes

    return normal * gain + shift, back
