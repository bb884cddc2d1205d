"""Builders of small records; fixtures that return functions, as tests cannot import each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tuner._options.config import TuningConfig
from tuner._options.settings import resolve
from tuner._records import Configuration, Curves, Scores, TrialRecord

LONGEST = ("test_year_on_postgres.py", "test_tune.py", "test_estimators.py")


def pytest_collection_modifyitems(items):
    """Let the longest files begin first: two workers then end together."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread():
    """Pin BLAS as a run does; on busy cores tiny fits are otherwise many times slower."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def one_fresh_repeat(monkeypatch):
    """Elect on one division of the rows: most fits are for these, and few tests are about them."""
    monkeypatch.setattr("tuner._line.choice.wanted_repeats", lambda _: 1)
    monkeypatch.setattr("tuner._line.choice.finest_folds", lambda *_: 0)


@pytest.fixture(scope="session")
def make_settings():
    """Build settings without a clock."""

    def build(task="regression", **options):
        config = TuningConfig(**{"max_trials": 5, "time_budget": None, "random_state": 0, **options})
        return resolve(config, task=task, has_time=False)

    return build


@pytest.fixture(scope="session")
def make_curves():
    """Curves from validation losses of shape (n_folds, n_points); training losses are 0 unless given."""

    def build(validation, train=None, *, repeats=None, path_values=None, thresholds=None, guide=None):
        n_folds, n_points = np.shape(validation)
        n_sizes = n_points // len(thresholds or (None,))
        return Curves(
            path_values=tuple(float(size + 1) for size in range(n_sizes))
            if path_values is None
            else path_values,
            thresholds=thresholds,
            repeats=(0,) * n_folds if repeats is None else tuple(repeats),
            train=_rows(np.zeros((n_folds, n_points)) if train is None else train),
            validation=_rows(validation),
            guide=None if guide is None else _rows(guide),
        )

    return build


@pytest.fixture(scope="session")
def make_scores():
    """Scores from fold losses; any field can be set beside them."""

    def build(fold_losses=(0.4, 0.6), fold_train_losses=None, **fields):
        losses = np.asarray(fold_losses, dtype=float)
        train = np.zeros(len(losses)) if fold_train_losses is None else np.asarray(fold_train_losses, float)
        known = np.isfinite(losses) & np.isfinite(train)
        scores = Scores(
            nested_loss=float(losses[known].mean()),
            train_loss=float(train[known].mean()),
            gap=float(losses[known].mean() - train[known].mean()),
            standard_error=float(losses[known].std(ddof=1) / np.sqrt(known.sum())),
            fold_losses=tuple(losses.tolist()),
            fold_train_losses=tuple(train.tolist()),
            fold_points=(0,) * len(losses),
            path_point=0,
            path_value=1.0,
            threshold=None,
            skipped_folds=int((~known).sum()),
        )
        return replace(scores, **fields)

    return build


@pytest.fixture(scope="session")
def make_trial(make_scores):
    """Trial record; complete with default scores unless another state is given."""

    def build(number=0, *, scores=None, params=None, state="COMPLETE", family="toy", **fields):
        complete = state == "COMPLETE"
        record = TrialRecord(
            study="study",
            phase="search",
            outer=0,
            number=number,
            state=state,
            configuration=Configuration(family, {"size": number} if params is None else params),
            scores=(scores or make_scores()) if complete else None,
            fit_seconds=0.5,
            started=100.0,
            completed=101.0,
            reason=None if complete else "ValueError: no",
        )
        return replace(record, **fields)

    return build


def _rows(losses):
    return tuple(tuple(map(float, row)) for row in losses)
