"""Filters of 3 x 3 pixels that read an image before dense layers do: where inputs lie, what NumPy finds.

Every position of the image is looked at by the same filters, and what they find is averaged over squares: a
stroke one pixel further looks nearly the same. A position's inputs are picked from the row of pixels by their
places, so that a filter is a product of matrices, as a dense layer is, here and where networks are trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from tuner._types import FloatArray, IntArray

SIDE = 3  # of a filter
MOST_SQUARES = 8  # along a side of the image: the dense layers see at most 64 times the filters
LEAST_POOLED = 4  # pixels along a side, below which nothing is averaged
VALUES_AT_ONCE = 2**22  # of inputs of filters, when rows are predicted


@dataclass(frozen=True)
class Front:
    """A layer of filters and the averages of what they find.

    Attributes
    ----------
    height, width, channels : int
        Of one image.
    n_filters : int
    """

    height: int
    width: int
    channels: int
    n_filters: int

    @classmethod
    def of(cls, image_shape: tuple[int, ...], n_filters: int) -> Front:
        """Return the front for images of shape (h, w) or (h, w, c)."""
        height, width, channels = (*image_shape, 1)[:3]
        return cls(height, width, channels, n_filters)

    @property
    def square(self) -> int:
        """Pixels along a side of the squares that are averaged over."""
        most = max(self.height, self.width)
        return 1 if most < LEAST_POOLED else max(2, ceil(most / MOST_SQUARES))

    @property
    def grid(self) -> tuple[int, int]:
        """Squares along the height and along the width; the last ones may reach beyond the image."""
        return ceil(self.height / self.square), ceil(self.width / self.square)

    @property
    def n_inputs(self) -> int:
        """Numbers that a filter sees at one position."""
        return SIDE * SIDE * self.channels

    @property
    def n_units(self) -> int:
        """Numbers that the dense layers see."""
        rows, columns = self.grid
        return rows * columns * self.n_filters

    @cached_property
    def places(self) -> IntArray:
        """Where each position's inputs lie in a row of pixels, shape (n_positions, n_inputs).

        First the upper left position of every square, then the next one of every square, and so on: what is
        averaged lies equally far apart. Places outside the image are the number of pixels: there, a row has
        one more number, 0.
        """
        rows, columns = self.grid
        reach = np.arange(SIDE) - SIDE // 2
        # Dimensions: two within the square, two of squares, two of the filter, channels.
        within, side = np.arange(self.square)[:, None], self.square
        row = (within + side * np.arange(rows)).reshape(side, 1, rows, 1, 1, 1, 1) + reach[:, None, None]
        column = (within + side * np.arange(columns)).reshape(side, 1, columns, 1, 1, 1) + reach[:, None]
        channel = np.arange(self.channels)
        inside = (row >= 0) & (row < self.height) & (column >= 0) & (column < self.width)
        place = (row * self.width + column) * self.channels + channel
        outside = self.height * self.width * self.channels
        return np.asarray(np.where(inside, place, outside).reshape(-1, self.n_inputs))

    def outputs(self, X: FloatArray, matrix: FloatArray, offset: FloatArray) -> FloatArray:
        """Return what the dense layers see of rows of pixels, shape (n_rows, n_units), square by square."""
        at_once = max(1, VALUES_AT_ONCE // self.places.size)
        parts = [
            self._outputs(X[start : start + at_once], matrix, offset) for start in range(0, len(X), at_once)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.n_units), dtype=np.float32)

    def _outputs(self, X: FloatArray, matrix: FloatArray, offset: FloatArray) -> FloatArray:
        pixels = np.hstack([X, np.zeros((len(X), 1), dtype=X.dtype)])
        found = np.maximum(pixels[:, self.places] @ matrix + offset, 0.0)
        return np.asarray(found.reshape(len(X), self.square**2, self.n_units).mean(axis=1))
