"""What a family is: it prepares a fold once and fits a path of model sizes on it, step by step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tuner._augmentation.augmentation import MadeRows
from tuner._rows.preparation import Design, stacked
from tuner._rows.table import Table
from tuner._types import FloatArray, Scalar, Task

Check = Callable[[], None]


def unchecked() -> None:
    """Let a fit run on, whatever the time."""


@dataclass(frozen=True, eq=False)
class Designed:
    """A design fitted on training rows, and what it makes of them and of the held-out rows."""

    design: Design
    X: Any
    X_validation: Any


class Designs:
    """Designs of the same rows by scaling, each made once, however many threads ask for it."""

    def __init__(self) -> None:
        self._made: dict[str, Designed] = {}
        self._lock = Lock()

    def get(self, numeric: str, make: Callable[[], Designed]) -> Designed:
        """Return the design of a scaling, made on first use."""
        with self._lock:
            if numeric not in self._made:
                self._made[numeric] = make()
            return self._made[numeric]


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Rows a model may see, and the rows it is scored on.

    Attributes
    ----------
    table, y, weights : Table, array, array or None
        Training rows; weights are 1 on average where there is one.
    validation : Table
        Held-out rows: predicted along the path, never learned from.
    task : {"binary", "multiclass", "regression"}
    n_classes : int
        Number of classes of the whole dataset; a fold may lack some.
    absolute_error : bool
        The metric is the mean absolute error.
    n_threads : int
        Threads that a fit on them may use; the fit does not depend on it.
    image_shape : tuple of int or None
        Of one image, where the rows are images.
    made : MadeRows or None
        Changed copies of the training rows to fit on beside them; no scaling learns from them.
    designs : Designs
        Designs made of these rows so far: families that want the same one share it.
    """

    table: Table
    y: Any
    weights: FloatArray | None
    validation: Table
    task: Task
    n_classes: int
    absolute_error: bool = False
    n_threads: int = 1
    image_shape: tuple[int, ...] | None = None
    made: MadeRows | None = None
    designs: Designs = field(default_factory=Designs)

    def designed(self, numeric: str, *, seed: int) -> Designed:
        """Return the design of a scaling, fitted on the training rows once, and both parts in its form."""

        def make() -> Designed:
            design = Design.fit(self.table, numeric=numeric, seed=seed)
            return Designed(design, design.transform(self.table), design.transform(self.validation))

        return self.designs.get(numeric, make)

    @property
    def fit_targets(self) -> tuple[Any, FloatArray | None]:
        """The targets and weights to fit on: of the training rows, then of those made from them."""
        if self.made is None:
            return self.y, self.weights
        weights = np.ones(self.table.n_rows) if self.weights is None else self.weights
        return np.concatenate([self.y, self.made.y]), np.concatenate([weights, self.made.weights])

    def fit_rows(self, X: Any, encode: Callable[[Table], Any]) -> Any:
        """Return encoded training rows, followed by those made from them."""
        return X if self.made is None else stacked(X, encode(self.made.table))


class Predictor(Protocol):
    """A fitted model of one fold at one path point; plain data, safe to store."""

    def predict(self, table: Table) -> FloatArray:
        """Return probabilities of class 1 (n,), of all classes (n, C), or values (n,)."""
        ...


class PathFit(Protocol):
    """A fit that passes through the path's points in order."""

    def advance(self, check: Check = unchecked) -> None:
        """Step to the next point, at first to point 0; ``check``, called between small steps, may raise."""
        ...

    def train_prediction(self) -> FloatArray:
        """Return predictions of the clean training rows at the current point."""
        ...

    def validation_prediction(self) -> FloatArray:
        """Return predictions of the held-out rows at the current point."""
        ...

    def predictor(self, size_index: int) -> Predictor:
        """Return the model at a point already passed."""
        ...


class Family(Protocol):
    """A kind of model with a path of sizes.

    Attributes
    ----------
    name : str
        Name of the family and of its search space.
    path_name : str
        What the path's values are, in a word or two.
    """

    name: str
    path_name: str

    def patience(self, params: Mapping[str, Scalar]) -> int:
        """Return after how many path points without improvement the walk may stop."""
        ...

    def rewrites(self, params: Mapping[str, Scalar]) -> bool:
        """Whether later points rewrite earlier models, so that a model must be taken when it is passed."""
        ...

    def path_values(self, params: Mapping[str, Scalar]) -> tuple[float, ...]:
        """Return what the points stand for, the smaller model first; common to all folds."""
        ...

    def fold_bytes(self, table: Table, params: Mapping[str, Scalar]) -> int:
        """Return what a prepared fold of the table holds as floats, at most; bins of a byte do not count."""
        ...

    def preparation_key(self, params: Mapping[str, Scalar]) -> Hashable:
        """Return what of the parameters the preparation depends on."""
        ...

    def prepare(self, params: Mapping[str, Scalar], rows: TrainingRows, *, seed: int) -> Any:
        """Prepare one fold; reused by every trial with the same key."""
        ...

    def start(self, params: Mapping[str, Scalar], prepared: Any, *, seed: int) -> PathFit:
        """Begin a fit on a prepared fold."""
        ...


@runtime_checkable
class TogetherFamily(Family, Protocol):
    """A family that can fit all folds of a trial at once."""

    def start_together(
        self, params: Mapping[str, Scalar], prepared: Sequence[Any], seeds: Sequence[int]
    ) -> Sequence[PathFit]:
        """Begin a fit on each prepared fold; each gives what it gives alone, up to rounding.

        A fold that advances may take the others along: a fit belongs to one thread and its trial.
        """
        ...
