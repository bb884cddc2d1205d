"""Networks of one shape trained side by side: every tensor has a leading dimension, one entry a fold.

A step on a few dozen rows costs mostly what calling the library costs, so five folds in one step cost little
more than one. What a fold learns does not depend on its neighbours: its start, its order of rows and its
silenced units are drawn from its own seed, missing rows weigh 0, and no number is shared.

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
from functools import cache
from math import prod
from typing import Any

import numpy as np

from tuner._types import FloatArray
from tuner.families._base import Check
from tuner.families._network import SMALLEST_VARIANCE, Layout

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
        import torch

        torch.set_num_threads(1)  # trials run side by side; this one's thread computes alone
        self._torch = torch
        self._recipe = recipe
        self._layouts = layouts
        self.layout = max(layouts, key=lambda layout: layout.n_inputs)
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._held = [len(each.target) for each in rows]
        self._counts = [each.n_an_epoch for each in rows]
        self._n_steps = steps_an_epoch(max(self._counts))
        most = max(self._held)
        front = self.layout.front
        n_inputs = self.layout.n_inputs + (front is not None)  # one more pixel, 0: what is outside the image
        self._X = torch.from_numpy(_padded([each.X for each in rows], (most, n_inputs))).flatten(0, 1)
        targets = [_wanted(each.target, self.layout.n_outputs, recipe) for each in rows]
        shape = (most, self.layout.n_outputs)
        self._target = torch.from_numpy(_padded(targets, shape)).flatten(0, 1)
        self._weights = torch.from_numpy(_padded([each.weights for each in rows], (most,))).flatten()
        self._places = None if front is None else torch.from_numpy(front.places.ravel())
        self._begin(
            [
                _start(layout, each.start, generator)
                for layout, each, generator in zip(layouts, rows, self._generators, strict=True)
            ]
        )

    def _begin(self, starts: Sequence[FloatArray]) -> None:
        """Lay the parameters of all folds side by side: one tensor a matrix or offset, all matrices first."""
        torch, n_folds = self._torch, len(starts)
        n_parameters = n_folds * self.layout.n_parameters
        n_entries = n_folds * sum(prod(matrix) for matrix, *_ in self.layout.shapes)  # of matrices
        self._values, self._gradients = torch.zeros(n_parameters), torch.zeros(n_parameters)
        self._layers = self._views(self._values)
        for fold, (layout, start) in enumerate(zip(self._layouts, starts, strict=True)):
            for views, layer in zip(self._layers, layout.layers(start), strict=True):
                for view, own in zip(views, layer, strict=True):
                    view[fold][_corner(own.shape)] = torch.from_numpy(own)
        self._average = self._values.clone()
        self._matrices = self._values[:n_entries]
        for views, gradients in zip(self._layers, self._views(self._gradients), strict=True):
            for view, gradient in zip(views, gradients, strict=True):
                view.requires_grad_()
                view.grad = gradient
        self._momentum, self._squares = torch.zeros_like(self._values), torch.zeros_like(self._values)
        self._spread = torch.empty_like(self._values)
        self._step = 0

    def _views(self, values: Any) -> list[list[Any]]:
        """Return views of shape (n_folds, ...) into numbers that lie as the parameters do, layer by layer."""
        views: list[list[Any]] = [[] for _ in self.layout.shapes]
        start, n_folds = 0, len(self._counts)
        for places in (slice(0, 1), slice(1, None)):
            for layer, shapes in zip(views, self.layout.shapes, strict=True):
                for shape in shapes[places]:
                    stop = start + n_folds * prod(shape)
                    layer.append(values[start:stop].view(n_folds, *shape))
                    start = stop
        return views

    def epoch(self, check: Check) -> None:
        """Go through as many rows as there are training rows, each at most once."""
        torch = self._torch
        rows = self._order()
        there = (rows >= 0).float()
        picked = (rows.clamp(min=0) + torch.arange(rows.shape[1])[:, None] * max(self._held)).flatten(1)
        targets = self._target.index_select(0, picked.flatten()).view(*rows.shape, -1)
        shares = self._weights[picked].view_as(there) * there / there.sum(dim=-1, keepdim=True)
        for step in range(self._n_steps):
            check()
            if step % STEPS_AN_EPOCH == 0:
                kept = self._kept(min(STEPS_AN_EPOCH, self._n_steps - step))
            X = self._X.index_select(0, picked[step]).view(*rows.shape[1:], -1)
            outputs = self._outputs(X, there[step], [each[step % STEPS_AN_EPOCH] for each in kept])
            self._gradients.zero_()
            outputs.backward(self._slopes(outputs.detach(), targets[step]) * shares[step][..., None])
            self._update()

    def flat(self, fold: int) -> FloatArray:
        """Return the averaged parameters of a fold, in its own layout."""
        layers = zip(self._views(self._average), self._layouts[fold].shapes, strict=True)
        own = [
            view[fold][_corner(shape)].numpy().ravel()
            for views, shapes in layers
            for view, shape in zip(views, shapes, strict=True)
        ]
        return np.concatenate(own)

    def _order(self) -> Any:
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
        return self._torch.from_numpy(order)

    def _outputs(self, X: Any, there: Any, kept: Sequence[Any]) -> Any:
        """Return the last layer's sums, shape (n_folds, n_rows, n_outputs)."""
        torch, layout = self._torch, self.layout
        *hidden, (matrix, offset) = self._layers
        for place, layer in enumerate(hidden):
            if place == 0 and layout.front is not None:
                X = self._filtered(X, *layer)
            else:
                sums = torch.baddbmm(layer[1][:, None], X, layer[0])
                X = torch.nn.functional.silu(_normalized(torch, sums, layer[2:], there, layout.norm))
            if kept:
                X = X * kept[place]
        return torch.baddbmm(offset[:, None], X, matrix)

    def _filtered(self, X: Any, matrix: Any, offset: Any) -> Any:
        """Return what the dense layers see of images, shape (n_folds, n_rows, n_units)."""
        front = self.layout.front
        assert front is not None
        seen = X.index_select(2, self._places).view(len(X), -1, front.n_inputs)
        return _averages_found().apply(seen, matrix, offset, (X.shape[1], front.square**2, front.n_units))

    def _kept(self, n_steps: int) -> list[Any]:
        """Return 0 for silenced units and 1 / share for the others of some steps, nothing without dropout.

        One tensor of shape (n_steps, n_folds, n_rows, n_units) a layer. A fold draws for as many rows as it
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
            kept.append(self._torch.from_numpy(drawn).ge(silenced).float().mul_(STATES / (STATES - silenced)))
        return kept

    def _slopes(self, outputs: Any, target: Any) -> Any:
        """Return the derivatives of each row's loss by its outputs."""
        task = self._recipe.task
        if task == "multiclass":
            return outputs.softmax(dim=-1) - target
        if task == "binary":
            return outputs.sigmoid() - target
        errors = outputs - target
        return errors.sign() if self._recipe.absolute_error else 2 * errors

    def _update(self) -> None:
        """Take a step of Adam, decay the matrices (L2), move them towards 0 (L1), and average.

        As in `torch.optim.AdamW`: making one loads torch's compiler, for seconds, and each of its steps costs
        several times what these few calls on one row of numbers do.
        """
        torch, recipe = self._torch, self._recipe
        self._step += 1
        self._momentum.lerp_(self._gradients, 1 - MOMENTUM)
        self._squares.mul_(SQUARES).addcmul_(self._gradients, self._gradients, value=1 - SQUARES)
        unbiased = float(np.sqrt(1 - SQUARES**self._step))
        torch.sqrt(self._squares, out=self._spread).add_(TINY * unbiased)
        self._matrices.mul_(1 - min(1.0, recipe.learning_rate * recipe.l2))
        rate = recipe.learning_rate * unbiased / (1 - MOMENTUM**self._step)
        self._values.addcdiv_(self._momentum, self._spread, value=-rate)
        if recipe.l1:
            threshold = recipe.learning_rate * recipe.l1
            self._matrices.copy_(torch.nn.functional.softshrink(self._matrices, threshold))
        self._average.lerp_(self._values, (AVERAGING + 1) / (AVERAGING + self._step))


@cache
def _averages_found() -> Any:
    """Return the layer of filters as a function of torch: its derivatives by its own few operations.

    Those that torch finds by itself take four times as long on small images.
    """
    import torch

    class AveragesFound(torch.autograd.Function):
        """What filters find at each position, negative values cut, averaged over squares."""

        @staticmethod
        def forward(ctx: Any, seen: Any, matrix: Any, offset: Any, shape: tuple[int, ...]) -> Any:
            found = torch.baddbmm(offset[:, None], seen, matrix).relu_()
            ctx.save_for_backward(seen, found)
            return found.view(len(found), *shape).mean(dim=2)

        @staticmethod
        def backward(ctx: Any, slopes: Any) -> tuple[Any, ...]:
            seen, found = ctx.saved_tensors
            n_folds, n_rows, n_units = slopes.shape
            shares = slopes / (found[0].numel() // slopes[0].numel())
            each = found.sign().view(n_folds, n_rows, -1, n_units).mul_(shares[:, :, None])
            each = each.view(found.shape)
            return None, torch.bmm(seen.mT, each), each.sum(dim=1), None

    return AveragesFound


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


def _normalized(torch: Any, sums: Any, gain_and_shift: list[Any], there: Any, norm: str) -> Any:
    """Centre and scale over units or over the rows that are there."""
    if not gain_and_shift:
        return sums
    gain, shift = (each[:, None] for each in gain_and_shift)
    if norm == "layer":
        normal = torch.nn.functional.layer_norm(sums, sums.shape[-1:], eps=SMALLEST_VARIANCE)
        return normal * gain + shift
    share = (there / there.sum(dim=1, keepdim=True))[..., None]
    center = (sums * share).sum(dim=1, keepdim=True)
    variance = ((sums - center) ** 2 * share).sum(dim=1, keepdim=True)
    return (sums - center) * torch.rsqrt(variance + SMALLEST_VARIANCE) * gain + shift


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
    """Stack arrays of at most the given shape, zeros where they are smaller."""
    whole = np.zeros((len(parts), *shape), dtype=np.float32)
    for place, part in zip(whole, parts, strict=True):
        place[_corner(part.shape)] = part
    return whole
