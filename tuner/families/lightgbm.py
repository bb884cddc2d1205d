"""Gradient-boosted trees; the path is the number of boosting rounds, read off one fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import lightgbm as lgb
import numpy as np

from tuner._rows.preparation import (
    RangeScaler,
    categorical_indices,
    code_matrix,
    local_labels,
    spread_classes,
    standardized,
)
from tuner._rows.table import Table
from tuner._types import FloatArray, IntArray, Scalar
from tuner.families._base import Check, TrainingRows, unchecked

MAX_ROUNDS = 2000
MAX_DART_ROUNDS = 300  # dropping trees makes a round cost as much as all before it
STEP_ROUNDS, STEP_RATIO = 3, 1.12  # every third round, later every 12 percent: 49 points in all
SINGLE_BYTES = 4  # of a number that LightGBM holds beside its bin
PARALLEL_PREDICTION_ROWS = 4096  # of a call: parts of large tables have so many


@lru_cache
def round_grid(max_rounds: int) -> tuple[float, ...]:
    """Return the boosting rounds at which the path is read: 1, 4, 7, ... then 12 percent apart."""
    rounds = [1]
    while rounds[-1] < max_rounds:
        rounds.append(min(max_rounds, rounds[-1] + max(STEP_ROUNDS, int(rounds[-1] * (STEP_RATIO - 1)))))
    return tuple(map(float, rounds))


@dataclass(frozen=True, eq=False)
class PreparedTrees:
    """One fold, binned once."""

    train: lgb.Dataset
    validation: lgb.Dataset
    objective: Mapping[str, Scalar]
    present: IntArray | None
    n_classes: int
    n_train: int
    center: float
    scale: float
    scaler: RangeScaler | None
    n_threads: int


class LightGBMFamily:
    """LightGBM, deterministic from the seed with any number of threads."""

    name = "lightgbm"
    path_name = "rounds"

    def patience(self, params: Mapping[str, Scalar]) -> int:
        """Return 4 points, half again as many rounds as the best; twice that where trees are dropped."""
        return 8 if params["boosting"] == "dart" else 4

    def rewrites(self, params: Mapping[str, Scalar]) -> bool:
        """Return whether trees are dropped: that scales trees of earlier rounds."""
        return params["boosting"] == "dart"

    def path_values(self, params: Mapping[str, Scalar]) -> tuple[float, ...]:
        """Return the rounds at which the path is read."""
        return round_grid(MAX_DART_ROUNDS if params["boosting"] == "dart" else MAX_ROUNDS)

    def fold_bytes(self, table: Table, params: Mapping[str, Scalar]) -> int:
        """Return the size of the numbers, all with gaps, where leaves are linear; else 0: bins are all."""
        return table.n_rows * 2 * table.numeric.shape[1] * SINGLE_BYTES if has_linear_leaves(params) else 0

    def preparation_key(self, params: Mapping[str, Scalar]) -> tuple[str, bool]:
        """Return whether numbers are held beside their bins: no parameter changes the binning."""
        return self.name, has_linear_leaves(params)

    def prepare(self, params: Mapping[str, Scalar], rows: TrainingRows, *, seed: int) -> PreparedTrees:
        """Bin the training rows and the held-out rows by the same bins."""
        is_linear = has_linear_leaves(params)
        y, weights = rows.fit_targets
        present, labels = local_labels(y, rows.n_classes)
        center, scale = 0.0, 1.0
        if not rows.n_classes:
            # LightGBM keeps the mean in the first tree, which DART may drop; L1 is in the target's unit.
            labels, center, scale = standardized(labels, weights)
        binning = {
            "feature_pre_filter": False,
            "data_random_seed": seed,
            "num_threads": rows.n_threads,
            "verbosity": -1,
            "linear_tree": is_linear,
        }
        scales = is_linear and not rows.table.is_sparse and rows.table.numeric.shape[1] > 0
        scaler = RangeScaler().fit(rows.table.numeric) if scales else None
        shown = partial(_shown, scaler)
        table = shown(rows.table)
        n_train = rows.table.n_rows
        train = lgb.Dataset(
            code_matrix(table),
            label=labels[:n_train],
            weight=None if weights is None else weights[:n_train],
            categorical_feature=categorical_indices(table),
            params=binning,
            free_raw_data=True,
        ).construct()
        if rows.made is not None:  # into the bins of the training rows
            train = lgb.Dataset(
                rows.fit_rows(code_matrix(table), lambda made: code_matrix(shown(made))),
                label=labels,
                weight=weights,
                reference=train,
                params=binning,
                free_raw_data=True,
            ).construct()
        validation = lgb.Dataset(
            code_matrix(shown(rows.validation)), reference=train, params=binning, free_raw_data=True
        ).construct()
        n_local = rows.n_classes if present is None else len(present)
        return PreparedTrees(
            train=train,
            validation=validation,
            objective=_objective(params, rows, n_local),
            present=present,
            n_classes=rows.n_classes,
            n_train=n_train,
            center=center,
            scale=scale,
            scaler=scaler,
            n_threads=1 if is_linear else rows.n_threads,  # sums of a leaf's regression are rounded by thread
        )

    def start(self, params: Mapping[str, Scalar], prepared: PreparedTrees, *, seed: int) -> TreePath:
        """Begin boosting."""
        return TreePath(params, prepared, seed, self.path_values(params))


def has_linear_leaves(params: Mapping[str, Scalar]) -> bool:
    """Whether leaves hold regressions; configurations recorded before there were any hold constants."""
    return bool(params.get("linear_tree", False))


def _shown(scaler: RangeScaler | None, table: Table) -> Table:
    """Return the rows as the trees see them.

    Leaves that hold regressions see no gaps: LightGBM would leave rows with one out of a leaf's regression,
    and predict 0 in a leaf of such rows alone.
    """
    return table if scaler is None else replace(table, numeric=scaler.transform(table.numeric))


def _objective(params: Mapping[str, Scalar], rows: TrainingRows, n_local: int) -> dict[str, Scalar]:
    if rows.task == "regression":
        # LightGBM fits no linear leaves to absolute errors; fitted to squared ones, they are judged by those.
        absolute = rows.absolute_error and not has_linear_leaves(params)
        return {"objective": "regression_l1" if absolute else "regression"}
    if rows.task == "binary" or n_local == 2:
        return {"objective": "binary"}
    return {"objective": "multiclass", "num_class": n_local}


class TreePath:
    """Boosting stepped from one path point to the next; predictions are read from the booster.

    A round that finds no split (its bag was too small) leaves no tree, and a later one may find some: trees
    are counted, not derived from rounds. DART cannot go on after such a round: LightGBM has by then taken the
    dropped trees out of the model and does not put them back. So its growth ends before that round.
    """

    def __init__(
        self, params: Mapping[str, Scalar], prepared: PreparedTrees, seed: int, grid: tuple[float, ...]
    ) -> None:
        self._params = params
        self._prepared = prepared
        self._seed = seed
        self._grid = grid
        self._index = -1
        self._rounds = 0
        self._has_tree = False
        self._ended = False
        self._rounds_at: list[int] = []  # by path point
        self._trees_at: list[int] = []
        self._is_dart = params["boosting"] == "dart"
        self._booster = self._boosted(0)

    def advance(self, check: Check = unchecked) -> None:
        """Boost up to the next path point."""
        self._index += 1
        while self._rounds < self._grid[self._index] and not self._ended:
            check()
            splitless = self._booster.update()
            if splitless and self._is_dart and self._has_tree:
                self._booster = self._boosted(self._rounds)
                self._ended = True
            else:
                self._rounds += 1
                self._has_tree |= not splitless
        self._rounds_at.append(self._rounds)
        self._trees_at.append(self._booster.current_iteration())

    def train_prediction(self) -> FloatArray:
        """Return the training rows' predictions, read from the booster's own scores."""
        return self._read(self._booster.eval_train)[: self._prepared.n_train]

    def validation_prediction(self) -> FloatArray:
        """Return the held-out rows' predictions, read from the booster's own scores."""
        return self._read(self._booster.eval_valid)

    def predictor(self, size_index: int) -> TreePredictor:
        """Return the model after the point's rounds; DART is fitted again, as it rewrites earlier trees."""
        rounds = self._rounds_at[size_index]
        again = self._is_dart and rounds != self._rounds
        booster = self._boosted(rounds) if again else self._booster
        model = booster.model_to_string(num_iteration=self._trees_at[size_index])
        prepared = self._prepared
        return TreePredictor(
            model,
            prepared.present,
            prepared.n_classes,
            prepared.n_train,
            prepared.center,
            prepared.scaler,
            prepared.scale,
        )

    def _boosted(self, rounds: int) -> lgb.Booster:
        """Return a booster after the given rounds; the same rounds give the same trees."""
        prepared = self._prepared
        params = booster_params(self._params, prepared.objective, self._seed, n_threads=prepared.n_threads)
        booster = lgb.Booster(params, prepared.train)
        booster.add_valid(prepared.validation, "validation")
        for _ in range(rounds):
            booster.update()
        return booster

    def _read(self, evaluate: Any) -> FloatArray:
        read: list[FloatArray] = []

        def keep(scores: FloatArray, _: lgb.Dataset) -> tuple[str, float, bool]:
            read.append(np.array(scores))
            return "kept", 0.0, False

        evaluate(keep)
        prepared = self._prepared
        spread = spread_classes(read[0], prepared.present, prepared.n_classes, prepared.n_train)
        return prepared.center + prepared.scale * spread


def booster_params(
    params: Mapping[str, Scalar], objective: Mapping[str, Scalar], seed: int, *, n_threads: int = 1
) -> dict[str, Scalar]:
    """Return LightGBM's parameters for one fit that depends on nothing but them, the seed and the rows."""
    bagging = {"bagging_freq": 1} if float(params["bagging_fraction"]) < 1.0 else {}
    own = {name: value for name, value in params.items() if not name.startswith("augment")}
    return {
        **objective,
        **own,
        **bagging,
        "metric": "none",
        "seed": seed,
        "num_threads": n_threads,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }


@dataclass(frozen=True, eq=False)
class TreePredictor:
    """A trained booster as text, with the classes its fold had, or the mean and spread of its target.

    Where leaves are linear, the scaling of the columns belongs to it.
    """

    model: str
    present: IntArray | None
    n_classes: int
    n_train: int
    center: float
    scaler: RangeScaler | None = None
    scale: float = 1.0

    def predict(self, table: Table) -> FloatArray:
        """Return probabilities or values of the rows."""
        threads = 0 if table.n_rows >= PARALLEL_PREDICTION_ROWS else 1
        raw = _load(self.model).predict(code_matrix(_shown(self.scaler, table)), num_threads=threads)
        spread = spread_classes(np.asarray(raw), self.present, self.n_classes, self.n_train)
        return self.center + self.scale * spread


@lru_cache(maxsize=512)
def _load(model: str) -> lgb.Booster:
    return lgb.Booster(model_str=model)
