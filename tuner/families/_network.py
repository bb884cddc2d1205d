"""A trained network as plain numbers: its layout, and how it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from sklearn.utils import gen_batches

from tuner._types import FloatArray
from tuner.families._front import Front

SMALLEST_VARIANCE = 1e-5  # added to variances before their root is divided by, as in training
ROWS_AT_ONCE = 4096  # of which the units of all layers are held


@dataclass(frozen=True)
class Layout:
    """Where the parameters of one network lie in one row of numbers.

    Attributes
    ----------
    n_inputs, n_outputs, width, depth : int
        Columns of the design, columns predicted, units of a hidden layer, number of hidden layers.
    norm : {"none", "layer", "batch"}
        What every hidden layer's sums are centred and scaled over: nothing, its units, or the rows.
    front : Front or None
        What reads images before the dense layers do.
    """

    n_inputs: int
    n_outputs: int
    width: int
    depth: int
    norm: str
    front: Front | None = None

    @property
    def n_seen(self) -> int:
        """Numbers of a row that the first dense layer sees."""
        return self.n_inputs if self.front is None else self.front.n_units

    @property
    def shapes(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Matrix and offset of each layer, those of the filters first if there are any.

        Hidden layers have a gain and a shift, too, where they are normalized.
        """
        front = self.front
        filters = [] if front is None else [((front.n_inputs, front.n_filters), (front.n_filters,))]
        sizes = [self.n_seen, *[self.width] * self.depth]
        extra = () if self.norm == "none" else ((self.width,), (self.width,))
        hidden = [((below, self.width), (self.width,), *extra) for below in sizes[:-1]]
        return (*filters, *hidden, ((sizes[-1], self.n_outputs), (self.n_outputs,)))

    @property
    def n_parameters(self) -> int:
        """Length of the row of numbers."""
        return sum(prod(shape) for layer in self.shapes for shape in layer)

    def layers(self, flat: FloatArray) -> list[list[FloatArray]]:
        """Return views into the row of parameters, layer by layer."""
        views: list[list[FloatArray]] = []
        start = 0
        for layer in self.shapes:
            views.append([])
            for shape in layer:
                stop = start + prod(shape)
                views[-1].append(flat[start:stop].reshape(shape))
                start = stop
        return views


@dataclass(frozen=True, eq=False)
class Network:
    """Parameters at one epoch.

    Attributes
    ----------
    layout : Layout
    flat : float32 array of shape (n_parameters,)
    centers, scales : tuples of float32 arrays of shape (width,)
        Of each hidden layer's sums over the training rows, where they are normalized over rows.
    """

    layout: Layout
    flat: FloatArray
    centers: tuple[FloatArray, ...] = ()
    scales: tuple[FloatArray, ...] = ()

    @classmethod
    def settled(cls, layout: Layout, flat: FloatArray, X: FloatArray) -> Network:
        """Return the network with its statistics over rows taken from all training rows."""
        network = cls(layout, flat)
        if layout.norm == "batch":
            for place in range(layout.depth):
                center, scale = network._statistics(place, X)
                network = cls(layout, flat, (*network.centers, center), (*network.scales, scale))
        return network

    def outputs(self, X: FloatArray) -> FloatArray:
        """Return the last layer's sums of shape (n_rows, n_outputs); no unit is silenced."""
        found = np.empty((len(X), self.layout.n_outputs), dtype=np.float32)
        for rows in gen_batches(len(X), ROWS_AT_ONCE):
            found[rows] = self._sums(self.layout.depth, X[rows])
        return found

    def _statistics(self, place: int, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the means of a hidden layer's sums over the rows, and what they are divided by."""
        first = self._sums(place, X[:ROWS_AT_ONCE]).mean(axis=0)
        total, squares = np.zeros((2, self.layout.width))
        for rows in gen_batches(len(X), ROWS_AT_ONCE):
            rest = self._sums(place, X[rows]) - first
            total += rest.sum(axis=0)
            squares += (rest * rest).sum(axis=0)
        mean = total / len(X)
        scale = np.sqrt(squares / len(X) - mean * mean + SMALLEST_VARIANCE)
        return first + mean.astype(np.float32), scale.astype(np.float32)

    def _sums(self, place: int, X: FloatArray) -> FloatArray:
        """Return the sums of a dense layer, counted from 0; the one behind the hidden layers is the last."""
        front, layers = self.layout.front, self.layout.layers(self.flat)
        if front is not None:
            X, layers = front.outputs(X, *layers[0]), layers[1:]
        for below, (matrix, offset, *gain_and_shift) in enumerate(layers[:place]):
            inputs = self._normalized(below, X @ matrix + offset, gain_and_shift)
            X = inputs * logistic(inputs)
        matrix, offset, *_ = layers[place]
        return np.asarray(X @ matrix + offset)

    def _normalized(self, place: int, sums: FloatArray, gain_and_shift: list[FloatArray]) -> FloatArray:
        if not gain_and_shift:
            return sums
        gain, shift = gain_and_shift
        if self.layout.norm == "batch":
            return np.asarray((sums - self.centers[place]) / self.scales[place] * gain + shift)
        center = sums.mean(axis=1, keepdims=True)
        scale = np.sqrt(sums.var(axis=1, keepdims=True) + SMALLEST_VARIANCE)
        return np.asarray((sums - center) / scale * gain + shift)


def logistic(sums: FloatArray) -> FloatArray:
    """Return the logistic function, by the hyperbolic tangent: a fifth of the time of SciPy's `expit`."""
    values: FloatArray = np.tanh(sums * np.float32(0.5))
    values += 1.0
    values *= 0.5
    return values
