"""A trained network as plain numbers: its layout, and how it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.special import expit

from tuner._types import FloatArray
from tuner.families._front import Front

SMALLEST_VARIANCE = 1e-5  # added to variances before their root is divided by, as in training


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
        """Return the network with its statistics over rows taken from all training rows at once."""
        if layout.norm != "batch":
            return cls(layout, flat)
        centers: list[FloatArray] = []
        scales: list[FloatArray] = []
        network = cls(layout, flat)
        X, dense = network.seen(X)
        for *layer, gain, shift in dense[:-1]:
            sums = X @ layer[0] + layer[1]
            centers.append(sums.mean(axis=0))
            scales.append(np.sqrt(sums.var(axis=0) + SMALLEST_VARIANCE))
            X = _silu((sums - centers[-1]) / scales[-1] * gain + shift)
        return cls(layout, flat, tuple(centers), tuple(scales))

    def outputs(self, X: FloatArray) -> FloatArray:
        """Return the last layer's sums of shape (n_rows, n_outputs); no unit is silenced."""
        X, (*hidden, (matrix, offset)) = self.seen(X)
        for place, layer in enumerate(hidden):
            X = _silu(self._normalized(place, X @ layer[0] + layer[1], layer[2:]))
        return np.asarray(X @ matrix + offset)

    def seen(self, X: FloatArray) -> tuple[FloatArray, list[list[FloatArray]]]:
        """Return what the dense layers see of the rows, and these layers."""
        front, layers = self.layout.front, self.layout.layers(self.flat)
        return (X, layers) if front is None else (front.outputs(X, *layers[0]), layers[1:])

    def _normalized(self, place: int, sums: FloatArray, gain_and_shift: list[FloatArray]) -> FloatArray:
        if not gain_and_shift:
            return sums
        gain, shift = gain_and_shift
        if self.layout.norm == "batch":
            return np.asarray((sums - self.centers[place]) / self.scales[place] * gain + shift)
        center = sums.mean(axis=1, keepdims=True)
        scale = np.sqrt(sums.var(axis=1, keepdims=True) + SMALLEST_VARIANCE)
        return np.asarray((sums - center) / scale * gain + shift)


def _silu(sums: FloatArray) -> FloatArray:
    return np.asarray(sums * expit(sums))
