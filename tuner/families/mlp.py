"""Networks of dense layers with dropout, L1 and L2, on images behind filters; the path is the epoch.

A small module of our own on NumPy: libraries (scikit-learn's MLPs, skorch, pytabkit's RealMLP) train one
model at a time to an end they choose; here a trial trains the networks of all its folds as one (`_stack`),
stops at every point of the path, and goes on. Networks this small gain nothing from PyTorch: on one thread a
step takes as long there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.utils.extmath import randomized_svd

from tuner._rows.preparation import Design, local_labels, spread_classes, standardized
from tuner._rows.table import Table, as_csr
from tuner._types import FloatArray, IntArray, Scalar
from tuner.families._base import Check, TrainingRows, unchecked
from tuner.families._front import Front
from tuner.families._network import Layout, Network
from tuner.families._stack import Recipe, Rows, Stack, steps_an_epoch

MAX_EPOCHS, STEP_RATIO = 256, 1.2  # every epoch, later every 20 percent: 27 points in all
PATIENCE = 5  # points, two and a half times as many epochs
# From there on a step computes longer than it takes to call, and five folds leave the processor's cache.
MAX_ROWS_TOGETHER, MAX_PARAMETERS_TOGETHER = 4096, 2**15
MAX_SPARSE_COLUMNS, N_COMPONENTS = 512, 128  # a wider sparse design is projected on its main directions
N_FILTERS = 16
LEAST_SHARE = 1e-3  # of a class, to begin with


@lru_cache
def epoch_grid() -> tuple[float, ...]:
    """Return the epochs at which the path is read: 1, 2, 3, ... then 20 percent apart."""
    epochs = [1]
    while epochs[-1] < MAX_EPOCHS:
        epochs.append(min(MAX_EPOCHS, max(epochs[-1] + 1, round(epochs[-1] * STEP_RATIO))))
    return tuple(map(float, epochs))


@dataclass(frozen=True, eq=False)
class Inputs:
    """A design as dense numbers of single precision.

    Attributes
    ----------
    design : Design
    directions : array of shape (n_design_columns, n_components) or None
        What the rows of a wide sparse design are projected on.
    """

    design: Design
    directions: FloatArray | None = None

    @classmethod
    def fit(cls, design: Design, X: Any, *, seed: int) -> Inputs:
        """Learn the main directions of the training rows, where their design is sparse and wide."""
        n_rows, width = X.shape
        if isinstance(X, np.ndarray) or width <= MAX_SPARSE_COLUMNS:
            return cls(design)
        _, lengths, directions = randomized_svd(X, min(N_COMPONENTS, n_rows), random_state=seed)
        known = lengths > 1e-6 * lengths[0]
        return cls(design, directions[known].T / lengths[known] * np.sqrt(n_rows))

    def transform(self, table: Table) -> FloatArray:
        """Return the inputs of the rows, shape (n_rows, n_inputs)."""
        return self.dense(self.design.transform(table))

    def dense(self, X: Any) -> FloatArray:
        """Return the inputs of rows already in design form."""
        if self.directions is not None:
            X = X @ self.directions
        return np.asarray(as_csr(X).toarray() if sparse.issparse(X) else X, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class PreparedNetwork:
    """One fold as a network sees it.

    Attributes
    ----------
    rows : Rows
    X_validation : float32 array of shape (n_held_out, n_inputs)
    inputs : Inputs
    kind : {"binary", "multiclass", "regression"}
        Of the classes that the fold has.
    absolute_error : bool
    present, n_classes, n_train
        As in every family.
    center, scale : float
        What the target was standardized by.
    image_shape : tuple of int or None
        Of one image, where the rows are images.
    """

    rows: Rows
    X_validation: FloatArray
    inputs: Inputs
    kind: str
    absolute_error: bool
    present: IntArray | None
    n_classes: int
    n_train: int
    center: float
    scale: float
    image_shape: tuple[int, ...] | None


class MLPFamily:
    """Multilayer perceptrons."""

    name = "mlp"
    path_name = "epochs"

    def patience(self, params: Mapping[str, Scalar]) -> int:  # noqa: ARG002 - one grid for all
        """Return 5 points, two and a half times as many epochs as the best."""
        return PATIENCE

    def rewrites(self, params: Mapping[str, Scalar]) -> bool:  # noqa: ARG002
        """Return True: a step changes every weight."""
        return True

    def path_values(self, params: Mapping[str, Scalar]) -> tuple[float, ...]:  # noqa: ARG002 - one grid for all
        """Return the epochs at which the path is read."""
        return epoch_grid()

    def fold_bytes(self, table: Table, params: Mapping[str, Scalar]) -> int:  # noqa: ARG002
        """Return the size of the dense design with every category's columns, and of its copy."""
        if not table.is_sparse:
            return Design.max_bytes(table) * 2
        width = int(table.numeric.shape[1])
        return table.n_rows * (width if width <= MAX_SPARSE_COLUMNS else N_COMPONENTS) * 4

    def preparation_key(self, params: Mapping[str, Scalar]) -> tuple[str, Scalar]:
        """Return the scaling of numbers: the one thing the design depends on."""
        return self.name, params["numeric"]

    def prepare(self, params: Mapping[str, Scalar], rows: TrainingRows, *, seed: int) -> PreparedNetwork:
        """Fit the design on the training rows and apply it to both parts."""
        designed = rows.designed(str(params["numeric"]), seed=seed)
        inputs = Inputs.fit(designed.design, designed.X, seed=seed)
        y, given = rows.fit_targets
        present, labels = local_labels(y, rows.n_classes)
        weights = np.ones(len(labels)) if given is None else given / given.mean()
        center, scale = 0.0, 1.0
        if not rows.n_classes:
            labels, center, scale = standardized(labels, weights)
        kind = _kind(rows, present)
        return PreparedNetwork(
            rows=Rows(
                inputs.dense(rows.fit_rows(designed.X, designed.design.transform)),
                labels if kind == "multiclass" else np.asarray(labels, dtype=np.float32),
                weights.astype(np.float32),
                _start(kind, labels, weights),
                n_an_epoch=rows.table.n_rows,
            ),
            X_validation=inputs.dense(designed.X_validation),
            inputs=inputs,
            kind=kind,
            absolute_error=rows.absolute_error,
            present=present,
            n_classes=rows.n_classes,
            n_train=rows.table.n_rows,
            center=center,
            scale=scale,
            image_shape=rows.image_shape,
        )

    def start(self, params: Mapping[str, Scalar], prepared: PreparedNetwork, *, seed: int) -> NetworkPath:
        """Begin before the first epoch."""
        return NetworkPath(_Training(params, [prepared], [seed]), 0)

    def start_together(
        self, params: Mapping[str, Scalar], prepared: Sequence[PreparedNetwork], seeds: Sequence[int]
    ) -> list[NetworkPath]:
        """Begin all folds as one training where their shapes allow, else each alone."""
        if not _fit_together(params, prepared):
            return [self.start(params, fold, seed=seed) for fold, seed in zip(prepared, seeds, strict=True)]
        training = _Training(params, prepared, seeds)
        return [NetworkPath(training, fold) for fold in range(len(prepared))]


def _kind(rows: TrainingRows, present: IntArray | None) -> str:
    n_local = rows.n_classes if present is None else len(present)
    return "regression" if not rows.n_classes else "binary" if n_local == 2 else "multiclass"


def _start(kind: str, labels: Any, weights: FloatArray) -> FloatArray:
    """Return the offset that predicts the target's mean or the classes' shares."""
    if kind == "regression":
        return np.zeros(1, dtype=np.float32)
    shares = np.bincount(labels, weights=weights) / weights.sum()
    logs = np.log(np.clip(shares, LEAST_SHARE, None))
    return np.asarray(logs[1:] - logs[0] if kind == "binary" else logs, dtype=np.float32)


def _layout(params: Mapping[str, Scalar], fold: PreparedNetwork) -> Layout:
    shape = fold.image_shape if params["convolution"] else None
    return Layout(
        n_inputs=fold.rows.X.shape[1],
        n_outputs=len(fold.rows.start),
        width=int(params["width"]),
        depth=int(params["depth"]),
        norm=str(params["norm"]),
        front=None if shape is None else Front.of(shape, N_FILTERS),
    )


def _fit_together(params: Mapping[str, Scalar], prepared: Sequence[PreparedNetwork]) -> bool:
    """Whether folds predict as many outputs in as many steps, and are small enough to gain."""
    counts = [fold.rows.n_an_epoch for fold in prepared]
    alike = {(steps_an_epoch(n), len(fold.rows.start)) for n, fold in zip(counts, prepared, strict=True)}
    n_parameters = max(_layout(params, fold).n_parameters for fold in prepared)
    is_small = max(counts) <= MAX_ROWS_TOGETHER and n_parameters <= MAX_PARAMETERS_TOGETHER
    return len(alike) == 1 and is_small


class _Training:
    """The networks of one or more folds in one training; it runs as far as the foremost fold asks.

    Parameters of a point are kept until each fold has taken its own.
    """

    def __init__(
        self, params: Mapping[str, Scalar], prepared: Sequence[PreparedNetwork], seeds: Sequence[int]
    ) -> None:
        self._params, self.prepared, self._seeds = params, prepared, seeds
        first = prepared[0]
        self._layouts = [_layout(params, fold) for fold in prepared]
        numbers = {
            name: float(params[name]) for name in ("dropout", "l1", "l2", "label_smoothing", "learning_rate")
        }
        recipe = Recipe(first.kind, absolute_error=first.absolute_error, **numbers)
        self._stack = Stack(self._layouts, [fold.rows for fold in prepared], recipe, seeds)
        self._epochs = [int(epoch) for epoch in epoch_grid()]
        self._ahead: list[dict[int, FloatArray]] = [{} for _ in prepared]
        self._point = -1

    def again(self) -> _Training:
        """Return the same training, not yet begun."""
        return _Training(self._params, self.prepared, self._seeds)

    def network(self, fold: int, point: int, check: Check) -> Network:
        """Return a fold's network at a point it has not taken yet, trained up to there where it is not."""
        while self._point < point:
            self._train(check)
        return Network.settled(self._layouts[fold], self._ahead[fold].pop(point), self.prepared[fold].rows.X)

    def _train(self, check: Check) -> None:
        begun = self._epochs[self._point] if self._point >= 0 else 0
        for _ in range(self._epochs[self._point + 1] - begun):
            self._stack.epoch(check)
        self._point += 1
        for fold, ahead in enumerate(self._ahead):
            ahead[self._point] = self._stack.flat(fold)


class NetworkPath:
    """One fold of a training."""

    def __init__(self, training: _Training, fold: int) -> None:
        self._training, self._fold = training, fold
        self._prepared = training.prepared[fold]
        self._index = -1
        self._predictor: NetworkPredictor | None = None

    def advance(self, check: Check = unchecked) -> None:
        """Train up to the next epoch of the path, or take what was trained for the sake of another fold."""
        self._index += 1
        self._predictor = self._of(self._training.network(self._fold, self._index, check))

    def train_prediction(self) -> FloatArray:
        """Return the clean training rows' predictions, no unit silenced."""
        prepared = self._prepared
        return self._current.predict_inputs(prepared.rows.X[: prepared.n_train])

    def validation_prediction(self) -> FloatArray:
        """Return the held-out rows' predictions."""
        return self._current.predict_inputs(self._prepared.X_validation)

    def predictor(self, size_index: int) -> NetworkPredictor:
        """Return the model at the current point, or at an earlier one by training up to it again."""
        if size_index == self._index:
            return self._current
        training = self._training.again()
        for point in range(size_index):
            training.network(self._fold, point, unchecked)
        return self._of(training.network(self._fold, size_index, unchecked))

    @property
    def _current(self) -> NetworkPredictor:
        assert self._predictor is not None  # advanced
        return self._predictor

    def _of(self, network: Network) -> NetworkPredictor:
        prepared = self._prepared
        return NetworkPredictor(
            inputs=prepared.inputs,
            network=network,
            kind=prepared.kind,
            present=prepared.present,
            n_classes=prepared.n_classes,
            n_train=prepared.n_train,
            center=prepared.center,
            scale=prepared.scale,
        )


@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A network at one epoch, and the design it belongs to."""

    inputs: Inputs
    network: Network
    kind: str
    present: IntArray | None
    n_classes: int
    n_train: int
    center: float
    scale: float

    def predict(self, table: Table) -> FloatArray:
        """Return probabilities or values of the rows."""
        return self.predict_inputs(self.inputs.transform(table))

    def predict_inputs(self, X: FloatArray) -> FloatArray:
        """Return probabilities or values of rows already in the network's form."""
        outputs = self.network.outputs(X).astype(np.float64)
        if self.kind == "regression":
            return np.asarray(outputs[:, 0] * self.scale + self.center)
        probabilities = expit(outputs[:, 0]) if self.kind == "binary" else softmax(outputs, axis=1)
        return spread_classes(probabilities, self.present, self.n_classes, self.n_train)
