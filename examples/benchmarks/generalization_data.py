"""The open suite as problems: rows a method may see, rows it is judged on, and the one loss for all."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from generalization_report import log_ratio

from tuner._metrics.metrics import Metric, resolve_metric

# Fixed. Settle: tune settings, look as often as you like. Report: figures that are quoted.
HALVES = {
    "settle": (
        "breast_cancer",
        "credit_data",
        "ames",
        "keel_satimage",
        "nass_cds",
        "hotel_rates",
        "nlswork",
        "digits",
    ),
    "report": (
        "keel_german",
        "lending_club",
        "caravan",
        "keel_phoneme",
        "keel_yeast5",
        "keel_vehicle",
        "concrete",
        "diamonds",
        "nyc_flights_late",
    ),
}

MAX_TEST_ROWS = 10_000
CUT_SHARE, CUT_RANGE = 0.7, (0.6, 0.8)  # where time is cut: seed 0, and what other seeds draw from
TEST_SHARE = 0.3  # of all rows in time, right after the cut
N_BOOTSTRAPS = 200  # of the test rows


@dataclass(frozen=True, eq=False)
class Problem:
    """One table under one seed.

    Attributes
    ----------
    table : str
    seed : int
        Of the split and of every method.
    kind : {"classification", "regression"}
    metric : str
        A name that `tuner` knows.
    split : {"iid", "time", "group"}
        How tuning and test rows were divided; it decides which role a method is given.
    X, X_test : DataFrame
    y, y_test : array of shape (n_rows,)
    groups, time : array of shape (n_rows,) or None
        Of the tuning rows.
    classes : array or None
        Labels of the whole table in sorted order, which is that of probability columns.
    """

    table: str
    seed: int
    kind: str
    metric: str
    split: str
    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray
    groups: np.ndarray | None
    time: np.ndarray | None
    classes: np.ndarray | None

    @property
    def log_target(self) -> bool:
        """Whether models should train on log1p of the target."""
        return self.metric == "rmsle"

    @property
    def roles(self) -> dict[str, np.ndarray]:
        """The roles that exist, by the names `fit` gives them."""
        roles = {"groups": self.groups, "time": self.time}
        return {name: values for name, values in roles.items() if values is not None}

    def test_loss(self, prediction: np.ndarray) -> float:
        """Return the loss on the test rows, see `loss`."""
        return self.loss(self.y_test, prediction)

    def loss(self, y: np.ndarray, prediction: np.ndarray) -> float:
        """Return 1 - AUC, 1 - average precision, log loss, 1 - accuracy, RMSE or RMSLE (lower is better).

        Parameters
        ----------
        y : array of shape (n_rows,)
            Labels or values as the table has them.
        prediction : array of shape (n_rows, n_classes) or (n_rows,)
            Probabilities, columns in sorted order of the labels, or values on the target's own scale.

        Raises
        ------
        ValueError
            If the prediction has another shape or is not finite.
        """
        prediction = np.asarray(prediction, dtype=np.float64)
        expected = (len(y),) if self.classes is None else (len(y), len(self.classes))
        if prediction.shape != expected or not np.isfinite(prediction).all():
            raise ValueError(
                f"A prediction must be finite and of shape {expected}. "
                f"Got {prediction.shape}, {np.isnan(prediction).sum()} NaN. Look at the method's `predict`."
            )
        if self.classes is not None:
            codes = np.searchsorted(self.classes, y)
            prediction = prediction[:, 1] if len(self.classes) == 2 else prediction
            return float(self._metric.losses(codes, prediction)[0, 0])
        if self.log_target:
            y, prediction = np.log1p(y), np.log1p(np.maximum(prediction, 0))
        return float(self._metric.losses(y, prediction)[0, 0])

    def ratio_error(self, prediction: np.ndarray, other: np.ndarray) -> float:
        """Return the standard error of log(loss / other loss) by paired bootstraps of the test rows."""
        rng = np.random.default_rng(self.seed)
        ratios = []
        for _ in range(N_BOOTSTRAPS):
            rows = rng.integers(len(self.y_test), size=len(self.y_test))
            losses = [self.loss(self.y_test[rows], each[rows]) for each in (prediction, other)]
            ratios.append(log_ratio(*losses))
        return float(np.nanstd(ratios, ddof=1))

    @property
    def _metric(self) -> Metric:
        task = "regression" if self.classes is None else "binary" if len(self.classes) == 2 else "multiclass"
        return resolve_metric(self.metric, task, classes=self.classes, weighted=False)


def load_suite(folder: str) -> Any:
    """Return the module ``load.py`` of a folder: ``load``, ``split``, ``SUITE``."""
    spec = importlib.util.spec_from_file_location("open_suite_loader", Path(folder) / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_problem(suite: Any, table: str, seed: int) -> Problem:
    """Load a table and split it by the seed."""
    task, metric, split, n_tune = suite.SUITE[table]
    rows = suite.load(table)
    if split == "time":
        tune, test = time_split(rows.time, n_tune, seed)
    else:
        tune, test = suite.split(table, seed, MAX_TEST_ROWS)
    return Problem(
        table=table,
        seed=seed,
        kind="regression" if task == "regression" else "classification",
        metric=metric,
        split=split,
        X=rows.X.iloc[tune].reset_index(drop=True),
        y=rows.y[tune],
        X_test=rows.X.iloc[test].reset_index(drop=True),
        y_test=rows.y[test],
        groups=rows.group[tune] if split == "group" else None,
        time=rows.time[tune] if split == "time" else None,
        classes=None if task == "regression" else np.unique(rows.y),
    )


def time_split(time: np.ndarray, n_tune: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row numbers (tune, test): the past up to a cut that moves with the seed, and what follows it.

    The suite's own `split` always cuts at 70% in time, so all its seeds would be judged on the same future.
    Seed 0 cuts there, the others somewhere from 60% to 80%. Test rows are the next 30% of all rows, or what
    is left; rows beyond ``n_tune`` and ``MAX_TEST_ROWS`` are left out at random, as the suite does.
    """
    share = CUT_SHARE if seed == 0 else np.random.default_rng((seed, 1)).uniform(*CUT_RANGE)
    order = np.argsort(time, kind="stable")
    cut = int(share * len(order))
    end = cut + int(np.ceil(TEST_SHARE * len(order)))
    rng = np.random.default_rng(seed)

    def cap(rows: np.ndarray, size: int) -> np.ndarray:
        return np.sort(rows if len(rows) <= size else rng.choice(rows, size, replace=False))

    return cap(order[:cut], n_tune), cap(order[cut:end], MAX_TEST_ROWS)
