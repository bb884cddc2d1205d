"""Networks of one shape trained side by side: every array has a leading dimension, one entry a fold.

A step on a few dozen rows costs mostly what calling NumPy costs, so five folds in one step cost little more
than one. What a fold learns does not depend on its neighbours: its start, its order of rows and its silenced
units are drawn from its own seed, missing rows weigh 0, and no number is shared.

The weights that are read are an average over the last steps (polynomial decay): at any epoch they are as good
as if the learning rate had been lowered towards it, so one run serves all epochs of the path.

References
----------
Shamir, Zhang (2013), Stochastic gradient descent for non-smooth optimization, section 3 (the average).
Loshchilov, Hutter (2019), Decoupled weight decay regularization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from scipy.special import softmax

from tuner._types import FloatArray, IntArray
from tuner.families._base import Check
from tuner.families._layers import Passed, activated, affine, filtered
from tuner.families._network import Layout, logistic

ROWS_A_STEP, STEPS_AN_EPOCH, LEAST_ROWS_A_STEP = 256, 8, 16
MOMENTUM, SQUARES = 0.9, 0.95  # of Adam; squares are forgotten early, as in RealMLP
TINY = 1e-8
AVERAGING = 8  # the read weights are an average over about the last ninth of the steps
STATES = 256  # a silenced unit is decided by one random byte


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    task : {"binary", "multiclass", "regression"}
        What the outputs are compared with.
    absolute_error : bool
        Regression by absolute errors.
    dropout, l1, l2, label_smoothing, learning_rate : float
    """

    task: str
    absolute_error: bool
    dropout: float
    l1: float
    l2: float
    label_smoothing: float
    learning_rate: float


@dataclass(frozen=True, eq=False)
class Rows:
    """What one fold trains on.

    Attributes
    ----------
    X : float32 array of shape (n_rows, n_inputs)
    target : array of shape (n_rows,)
        Class codes, or standardized values.
    weights : float32 array of shape (n_rows,)
        Mean 1.
    start : float32 array of shape (n_outputs,)
        The offset of the last layer to begin with: what the target's shares or mean predict.
    n_an_epoch : int
        Rows that an epoch goes through, drawn anew each time: as many as there are training rows, however
        many copies augmentation made of them. So it costs what a plain one does.
    """

    X: FloatArray
    target: Any
    weights: FloatArray
    start: FloatArray
    n_an_epoch: int


def steps_an_epoch(n_rows: int) -> int:
    """Return the steps of an epoch: 8, more on large tables, fewer on tiny ones."""
    few = max(1, min(STEPS_AN_EPOCH, n_rows // LEAST_ROWS_A_STEP))
    return max(few, round(n_rows / ROWS_A_STEP))


class Stack:
    """Networks in training, one a fold.

    Parameters
    ----------
    layouts : sequence of Layout
        Of one width, depth, norm, front and number of outputs; inputs may differ.
    rows : sequence of Rows
        All with the same number of steps an epoch.
    seeds : sequence of int
        One a fold.
    """

    def __init__(
        self, layouts: Sequence[Layout], rows: Sequence[Rows], recipe: Recipe, seeds: Sequence[int]
    ) -> None:
        self._recipe = recipe
        self._layouts = layouts
        self.layout = max(layouts, key=lambda layout: layout.n_inputs)
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._held = [len(each.target) for each in rows]
        self._counts = [each.n_an_epoch for each in rows]
        self._n_steps = steps_an_epoch(max(self._counts))
        most, n_folds = max(self._held), len(rows)
        has_front = self.layout.front is not None
        n_inputs = self.layout.n_inputs + has_front  # one more pixel, 0: what is outside the image
        self._X = _padded([each.X for each in rows], (most, n_inputs)).reshape(n_folds * most, n_inputs)
        targets = [_wanted(each.target, self.layout.n_outputs, recipe) for each in rows]
        shape = (most, self.layout.n_outputs)
        self._target = _padded(targets, shape).reshape(n_folds * most, -1)
        self._weights = _padded([each.weights for each in rows], (most,)).ravel()
        self._begin(
            [
                _start(layout, each.start, generator)
                for layout, each, generator in zip(layouts, rows, self._generators, strict=True)
            ]
        )

    def _begin(self, starts: Sequence[FloatArray]) -> None:
        """Lay the parameters of all folds side by side: one array a matrix or offset, all matrices first."""
        n_folds = len(starts)
        n_parameters = n_folds * self.layout.n_parameters
        n_entries = n_folds * sum(prod(matrix) for matrix, *_ in self.layout.shapes)  # of matrices
        self._values, self._gradients = np.zeros((2, n_parameters), dtype=np.float32)
        self._layers, self._slots = self._views(self._values), self._views(self._gradients)
        for fold, (layout, start) in enumerate(zip(self._layouts, starts, strict=True)):
            for views, layer in zip(self._layers, layout.layers(start), strict=True):
                for view, own in zip(views, layer, strict=True):
                    view[fold][_corner(own.shape)] = own
        self._average = self._values.copy()
        self._matrices = self._values[:n_entries]
        self._momentum, self._squares, self._spread = np.zeros((3, n_parameters), dtype=np.float32)
        self._step = 0

    def _views(self, values: FloatArray) -> list[list[FloatArray]]:
        """Return views of shape (n_folds, ...) into numbers that lie as the parameters do, layer by layer."""
        views: list[list[FloatArray]] = [[] for _ in self.layout.shapes]
        start, n_folds = 0, len(self._counts)
        for places in (slice(0, 1), slice(1, None)):
            for layer, shapes in zip(views, self.layout.shapes, strict=True):
                for shape in shapes[places]:
                    stop = start + n_folds * prod(shape)
                    layer.append(values[start:stop].reshape(n_folds, *shape))
                    start = stop
        return views

    def epoch(self, check: Check) -> None:
        """Go through as many rows as there are training rows, each at most once."""
        rows = self._order()
        there = (rows >= 0).astype(np.float32)
        picked = np.maximum(rows, 0) + np.arange(rows.shape[1])[:, None] * max(self._held)
        shares = self._weights[picked] * there / there.sum(axis=-1, keepdims=True)
        for step in range(self._n_steps):
            check()
            if step % STEPS_AN_EPOCH == 0:
                kept = self._kept(min(STEPS_AN_EPOCH, self._n_steps - step))
            silenced = [each[step % STEPS_AN_EPOCH] for each in kept]
            with np.errstate(over="ignore", invalid="ignore"):  # what diverges is told by its predictions
                passed = self._passed(self._X[picked[step]], there[step], silenced)
                slopes = self._slopes(passed[-1].outputs, self._target[picked[step]])
                self._go_back(passed, slopes * shares[step][..., None])
                self._update()

    def flat(self, fold: int) -> FloatArray:
        """Return the averaged parameters of a fold, in its own layout."""
        layers = zip(self._views(self._average), self._layouts[fold].shapes, strict=True)
        own = [
            view[fold][_corner(shape)].ravel()
            for views, shapes in layers
            for view, shape in zip(views, shapes, strict=True)
        ]
        return np.concatenate(own)

    def _order(self) -> IntArray:
        """Return each fold's rows in a new order, shape (n_steps, n_folds, n_rows), -1 where it has fewer.

        Of augmented rows each epoch sees others.
        """
        longest = -(-max(self._counts) // self._n_steps)
        order = np.full((self._n_steps, len(self._counts), longest), -1)
        for fold, (held, count, generator) in enumerate(
            zip(self._held, self._counts, self._generators, strict=True)
        ):
            drawn = generator.permutation(held)[:count]
            for step, rows in enumerate(np.array_split(drawn, self._n_steps)):
                order[step, fold, : len(rows)] = rows
        return order

    def _passed(self, X: FloatArray, there: FloatArray, kept: Sequence[FloatArray]) -> list[Passed]:
        """Return what rows of shape (n_folds, n_rows, n_inputs) become, layer by layer."""
        front = self.layout.front
        passed: list[Passed] = []
        for place, layer in enumerate(self._layers):
            is_last = place == len(self._layers) - 1
            if place == 0 and front is not None:
                each = filtered(X, layer, front)
            elif is_last:
                each = Passed(X, affine(X, *layer))
            else:
                each = activated(X, layer, there, self.layout.norm)
            if kept and not is_last:
                each.kept = kept[place]
                each.outputs *= each.kept
            passed.append(each)
            X = each.outputs
        return passed

    def _go_back(self, passed: Sequence[Passed], slopes: FloatArray) -> None:
        """Set the gradients, given the derivatives of the loss by the last layer's sums."""
        for place in reversed(range(len(passed))):
            each, layer, slots = passed[place], self._layers[place], self._slots[place]
            if each.kept is not None:
                slopes *= each.kept
            if each.back is not None:
                slopes = each.back(slopes, slots)
            np.matmul(each.X.swapaxes(1, 2), slopes, out=slots[0])
            slopes.sum(axis=1, out=slots[1])
            if place:
                slopes = slopes @ layer[0].swapaxes(1, 2)

    def _kept(self, n_steps: int) -> list[FloatArray]:
        """Return 0 for silenced units and 1 / share for the others of some steps, nothing without dropout.

        One array of shape (n_steps, n_folds, n_rows, n_units) a layer. A fold draws for as many rows as it
        would alone.
        """
        silenced = round(self._recipe.dropout * STATES)
        if not silenced:
            return []
        longest = -(-max(self._counts) // self._n_steps)
        kept = []
        for n_units in (matrix[0] for matrix, *_ in self.layout.shapes[1:]):
            drawn = np.zeros((n_steps, len(self._counts), longest, n_units), dtype=np.uint8)
            for fold, (count, generator) in enumerate(zip(self._counts, self._generators, strict=True)):
                own = -(-count // self._n_steps)
                shape = (n_steps, own, n_units)
                drawn[:, fold, :own] = generator.integers(0, STATES, shape, dtype=np.uint8)
            kept.append((drawn >= silenced) * np.float32(STATES / (STATES - silenced)))
        return kept

    def _slopes(self, outputs: FloatArray, target: FloatArray) -> FloatArray:
        """Return the derivatives of each row's loss by its outputs."""
        task = self._recipe.task
        if task == "multiclass":
            return np.asarray(softmax(outputs, axis=-1) - target)
        if task == "binary":
            return logistic(outputs) - target
        errors = outputs - target
        return np.sign(errors) if self._recipe.absolute_error else 2 * errors

    def _update(self) -> None:
        """Take a step of Adam, decay the matrices (L2), move them towards 0 (L1), and average."""
        recipe, values, gradients = self._recipe, self._values, self._gradients
        momentum, squares, spread = self._momentum, self._squares, self._spread
        self._step += 1
        momentum *= MOMENTUM
        momentum += np.multiply(gradients, 1 - MOMENTUM, out=spread)
        gradients *= gradients
        gradients *= 1 - SQUARES
        squares *= SQUARES
        squares += gradients
        unbiased = float(np.sqrt(1 - SQUARES**self._step))
        np.sqrt(squares, out=spread)
        spread += TINY * unbiased
        np.divide(momentum, spread, out=spread)
        spread *= recipe.learning_rate * unbiased / (1 - MOMENTUM**self._step)
        self._matrices *= 1 - min(1.0, recipe.learning_rate * recipe.l2)
        values -= spread
        if recipe.l1:
            threshold = np.float32(recipe.learning_rate * recipe.l1)
            self._matrices -= np.clip(self._matrices, -threshold, threshold)
        np.subtract(values, self._average, out=spread)
        spread *= (AVERAGING + 1) / (AVERAGING + self._step)
        self._average += spread


def _wanted(target: Any, n_outputs: int, recipe: Recipe) -> FloatArray:
    """Return what the outputs shall become, shape (n_rows, n_outputs): smoothed classes, or values."""
    if recipe.task == "regression":
        return np.asarray(target, dtype=np.float32)[:, None]
    smoothing, codes = recipe.label_smoothing, np.asarray(target).astype(np.int64)
    if recipe.task == "binary":
        return np.asarray(codes[:, None] * (1 - smoothing) + smoothing / 2, dtype=np.float32)
    classes = np.eye(n_outputs)[codes] * (1 - smoothing) + smoothing / n_outputs
    return np.asarray(classes, dtype=np.float32)


def _corner(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return where the numbers of a fold with fewer inputs lie in those of the widest."""
    return tuple(slice(0, size) for size in shape)


def _start(layout: Layout, offset: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Draw matrices by He's rule, the last one a tenth as large; the first epoch is close to a constant."""
    flat = np.zeros(layout.n_parameters, dtype=np.float32)
    *hidden, (matrix, last) = layout.layers(flat)
    for layer in hidden:
        layer[0][:] = generator.standard_normal(layer[0].shape) * np.sqrt(2 / len(layer[0]))
        for gain in layer[2:3]:
            gain[:] = 1.0
    matrix[:] = generator.standard_normal(matrix.shape) * 0.1 / np.sqrt(len(matrix))
    last[:] = offset
    return flat


def _padded(parts: Sequence[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    """Stack arrays of at most the given shape, zeros where they are smaller; a single one is not copied."""
    if len(parts) == 1 and parts[0].shape == shape:
        return np.asarray(parts[0], dtype=np.float32)[np.newaxis]
    whole = np.zeros((len(parts), *shape), dtype=np.float32)
    for place, part in zip(whole, parts, strict=True):
        place[_corner(part.shape)] = part
    return whole
