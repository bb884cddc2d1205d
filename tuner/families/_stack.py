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
    """

    X: FloatArray
    target: Any
    weights: FloatArray
    start: FloatArray


def steps_an_epoch(n_rows: int) -> int:
    """Return the steps of an epoch: 8, more on large tables, fewer on tiny ones."""
    few = max(1, min(STEPS_AN_EPOCH, n_rows // LEAST_ROWS_A_STEP))
    return max(few, round(n_rows / ROWS_A_STEP))


class Stack:
    """Networks in training, one a fold.

    Parameters
    ----------
    layouts : sequence of Layout
        Of one width, depth, norm and number of outputs; inputs may differ.
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
        self._counts = [len(each.target) for each in rows]
        self._n_steps = steps_an_epoch(max(self._counts))
        most = max(self._counts)
        self._X = torch.from_numpy(_padded([each.X for each in rows], (most, self.layout.n_inputs)))
        kind = np.float32 if recipe.task != "multiclass" else np.int64
        self._target = torch.from_numpy(_padded([each.target for each in rows], (most,), dtype=kind))
        self._weights = torch.from_numpy(_padded([each.weights for each in rows], (most,)))
        self._fold = torch.arange(len(rows))[:, None]
        starts = [
            _start(layout, each.start, generator)
            for layout, each, generator in zip(layouts, rows, self._generators, strict=True)
        ]
        self._flat = torch.from_numpy(
            np.stack([self._widened(*pair) for pair in zip(layouts, starts, strict=True)])
        )
        self._flat.requires_grad_()
        self._average = self._flat.detach().clone()
        self._momentum = torch.zeros_like(self._average)
        self._squares = torch.zeros_like(self._average)
        self._penalized = torch.from_numpy(_matrices(self.layout))
        self._step = 0

    def epoch(self, check: Check) -> None:
        """Go through all rows once."""
        order = self._order()
        for step in range(self._n_steps):
            check()
            self._descend(order[:, step])

    def flat(self, fold: int) -> FloatArray:
        """Return the averaged parameters of a fold, in its own layout."""
        own, widest = self._layouts[fold], self.layout
        flat = self._average[fold].numpy()
        first = widest.n_inputs * widest.width
        return np.concatenate([flat[: own.n_inputs * own.width], flat[first:]])

    def _widened(self, layout: Layout, flat: FloatArray) -> FloatArray:
        """Return a fold's parameters with zeros for the inputs that only other folds have."""
        missing = (self.layout.n_inputs - layout.n_inputs) * layout.width
        first = layout.n_inputs * layout.width
        return np.concatenate([flat[:first], np.zeros(missing, dtype=np.float32), flat[first:]])

    def _order(self) -> Any:
        """Return each fold's rows of each step in a new order, -1 where a fold has fewer."""
        longest = -(-max(self._counts) // self._n_steps)
        order = np.full((len(self._counts), self._n_steps, longest), -1)
        for fold, (count, generator) in enumerate(zip(self._counts, self._generators, strict=True)):
            for step, rows in enumerate(np.array_split(generator.permutation(count), self._n_steps)):
                order[fold, step, : len(rows)] = rows
        return self._torch.from_numpy(order)

    def _descend(self, rows: Any) -> None:
        there = (rows >= 0).float()
        rows = rows.clamp(min=0)
        outputs = self._outputs(self._X[self._fold, rows], there)
        shares = self._weights[self._fold, rows] * there / there.sum(dim=1, keepdim=True)
        loss = (self._losses(outputs, self._target[self._fold, rows]) * shares).sum()
        (gradient,) = self._torch.autograd.grad(loss, self._flat)
        self._update(gradient)

    def _outputs(self, X: Any, there: Any) -> Any:
        torch = self._torch
        *hidden, (matrix, offset) = self.layout.layers(self._flat)
        kept = self._kept(X.shape[1]) if self._recipe.dropout else None
        for place, layer in enumerate(hidden):
            sums = torch.baddbmm(layer[1][:, None], X, layer[0])
            X = torch.nn.functional.silu(_normalized(torch, sums, layer[2:], there, self.layout.norm))
            if kept is not None:
                X = X * kept[place]
        return torch.baddbmm(offset[:, None], X, matrix)

    def _kept(self, n_rows: int) -> Any:
        """Return 0 for silenced units and 1 / share for the others, shape (depth, n_folds, n_rows, width).

        A fold draws for as many rows as it would alone.
        """
        layout = self.layout
        silenced = round(self._recipe.dropout * STATES)
        drawn = np.zeros((len(self._counts), layout.depth, n_rows, layout.width), dtype=np.uint8)
        for fold, (count, generator) in enumerate(zip(self._counts, self._generators, strict=True)):
            own = -(-count // self._n_steps)
            shape = (layout.depth, own, layout.width)
            drawn[fold, :, :own] = generator.integers(0, STATES, shape, dtype=np.uint8)
        kept = self._torch.from_numpy(drawn).ge(silenced).float().mul_(STATES / (STATES - silenced))
        return kept.transpose(0, 1)

    def _losses(self, outputs: Any, target: Any) -> Any:
        """Return the loss of each row, shape (n_folds, n_rows)."""
        functional, recipe = self._torch.nn.functional, self._recipe
        if recipe.task == "multiclass":
            losses = functional.cross_entropy(
                outputs.flatten(0, 1),
                target.flatten(),
                label_smoothing=recipe.label_smoothing,
                reduction="none",
            )
            return losses.view_as(target)
        values = outputs[..., 0]
        if recipe.task == "binary":
            smooth = target * (1 - recipe.label_smoothing) + recipe.label_smoothing / 2
            return functional.binary_cross_entropy_with_logits(values, smooth, reduction="none")
        return (values - target).abs() if recipe.absolute_error else (values - target) ** 2

    def _update(self, gradient: Any) -> None:
        """Take a step of Adam, decay the matrices (L2), move them towards 0 (L1), and average."""
        torch, recipe = self._torch, self._recipe
        self._step += 1
        self._momentum.lerp_(gradient, 1 - MOMENTUM)
        self._squares.lerp_(gradient * gradient, 1 - SQUARES)
        scale = (self._squares / (1 - SQUARES**self._step)).sqrt_().add_(TINY)
        rate = recipe.learning_rate
        with torch.no_grad():
            flat = self._flat
            flat.mul_(1 - min(1.0, rate * recipe.l2) * self._penalized)
            flat.addcdiv_(self._momentum, scale, value=-rate / (1 - MOMENTUM**self._step))
            flat.sub_(torch.minimum(flat.abs(), rate * recipe.l1 * self._penalized).mul_(flat.sign()))
            self._average.lerp_(flat, (AVERAGING + 1) / (AVERAGING + self._step))


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


def _matrices(layout: Layout) -> FloatArray:
    """Return 1 where a parameter belongs to a matrix, 0 for offsets, gains and shifts."""
    flat = np.zeros(layout.n_parameters, dtype=np.float32)
    for layer in layout.layers(flat):
        layer[0][:] = 1.0
    return flat


def _padded(parts: Sequence[Any], shape: tuple[int, ...], *, dtype: Any = np.float32) -> Any:
    """Stack arrays of at most the given shape, zeros where they are smaller."""
    whole = np.zeros((len(parts), *shape), dtype=dtype)
    for place, part in zip(whole, parts, strict=True):
        place[tuple(slice(0, size) for size in part.shape)] = part
    return whole
