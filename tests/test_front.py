"""Filters in front of dense layers: by hand, against SciPy's correlation, and at the border."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate

from tuner.families import _front
from tuner.families._front import Front

MIDDLE, LEFT = 4, 3  # of the nine places of a filter, row by row


def looking_at(place):
    """Return the matrix and offset of one filter that sees one of its nine places only."""
    matrix = np.zeros((9, 1), dtype=np.float32)
    matrix[place] = 1.0
    return matrix, np.zeros(1, dtype=np.float32)


def spot(row, column):
    """Return a 4 x 4 image as a row of pixels: 4 at one place, 0 elsewhere."""
    image = np.zeros((4, 4), dtype=np.float32)
    image[row, column] = 4.0
    return image.reshape(1, 16)


def test_a_filter_by_hand():
    """A spot of 4 in a square of four pixels is 1 on average; a filter that looks left moves it."""
    front = Front.of((4, 4), 1)
    assert (front.square, front.grid, front.n_units) == (2, (2, 2), 4)
    np.testing.assert_array_equal(front.outputs(spot(0, 1), *looking_at(MIDDLE)), [[1, 0, 0, 0]])
    np.testing.assert_array_equal(front.outputs(spot(0, 1), *looking_at(LEFT)), [[0, 1, 0, 0]])
    np.testing.assert_array_equal(front.outputs(spot(0, 3), *looking_at(LEFT)), [[0, 0, 0, 0]])  # outside


def test_a_spot_that_moves_within_a_square_looks_the_same():
    """Averages over squares do not tell where in the square a filter has found something."""
    front = Front.of((4, 4), 1)
    there, moved = (front.outputs(spot(*place), *looking_at(MIDDLE)) for place in ((2, 2), (3, 3)))
    np.testing.assert_array_equal(there, moved)


@pytest.mark.parametrize(
    ("shape", "square", "grid"),
    [((3, 3), 1, (3, 3)), ((8, 8), 2, (4, 4)), ((28, 28, 3), 4, (7, 7)), ((9, 5), 2, (5, 3))],
)
def test_squares_grow_with_the_image(shape, square, grid):
    """28 / 8 = 3.5, so squares of 4 and seven a side; 9 and 5 pixels need a last square half outside."""
    front = Front.of(shape, 2)
    assert (front.square, front.grid) == (square, grid)
    X = np.ones((2, int(np.prod(shape))), dtype=np.float32)
    found = front.outputs(X, np.ones((front.n_inputs, 2), np.float32), np.zeros(2, np.float32))
    assert found.shape == (2, grid[0] * grid[1] * 2)
    assert (found > 0).all()


@pytest.mark.parametrize("shape", [(8, 8), (4, 6, 3)])
def test_filters_are_a_convolution(shape):
    """What is found is SciPy's correlation over all channels, 0 outside, rectified and averaged."""
    height, width, channels = (*shape, 1)[:3]
    rng, front = np.random.default_rng(0), Front.of(shape, 5)
    images = rng.normal(size=(3, height, width, channels)).astype(np.float32)
    matrix, offset = (rng.normal(size=size).astype(np.float32) for size in ((9 * channels, 5), 5))
    filters = matrix.reshape(3, 3, channels, 5)
    found = np.empty((3, height, width, 5))
    for image, place in np.ndindex(3, 5):
        seen = (
            correlate(images[image, :, :, channel], filters[:, :, channel, place], mode="constant")
            for channel in range(channels)
        )
        found[image, :, :, place] = np.maximum(sum(seen) + offset[place], 0.0)
    rows, columns = front.grid
    squares = found.reshape(3, rows, front.square, columns, front.square, 5)
    expected = squares.mean(axis=(2, 4)).reshape(3, -1)  # square by square
    np.testing.assert_allclose(front.outputs(images.reshape(3, -1), matrix, offset), expected, atol=1e-5)


def test_rows_are_read_a_few_at_a_time(monkeypatch):
    """Parts, the last one shorter, give what the whole gives; no rows give none."""
    front, rng = Front.of((4, 4), 2), np.random.default_rng(0)
    X = rng.normal(size=(5, 16)).astype(np.float32)
    layer = rng.normal(size=(9, 2)).astype(np.float32), np.zeros(2, np.float32)
    whole = front.outputs(X, *layer)
    monkeypatch.setattr(_front, "VALUES_AT_ONCE", 2 * 16 * 9)
    np.testing.assert_allclose(front.outputs(X, *layer), whole, rtol=1e-6)
    assert front.outputs(X[:0], *layer).shape == (0, 8)
