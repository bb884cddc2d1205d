"""Paths of penalties: what an optimum must fulfil, their ends, scikit-learn's solutions, rows that part."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import ElasticNet, LogisticRegression

from tuner.families import _penalized
from tuner.families._base import unchecked
from tuner.families._penalized import LeastSquaresPath, LogisticPath, Squares
from tuner.families.linear import ALPHAS


@pytest.fixture(scope="module")
def rows():
    """120 rows of 8 columns, the last one a copy of the first; labels that depend on two; weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8))
    X[:, 7] = X[:, 0]
    y = (X[:, 0] - X[:, 1] + rng.logistic(size=120) > 0.5).astype(int)
    weights = rng.uniform(0.2, 2.0, 120)
    return X, y, weights / weights.mean()


def walked(X, y, weights, l1_ratio):
    """Return (alpha, coefficients, intercept) at every penalty of the family's path."""
    path, points = LogisticPath(X, y, weights, l1_ratio=l1_ratio), []
    for alpha in ALPHAS:
        path.fit(alpha, unchecked)
        points.append((alpha, path.coefficients, path.intercept))
    return points


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_every_point_is_an_optimum(rows, l1_ratio, weighted):
    """Where a coefficient is, the slopes of loss and penalty cancel; where it is 0, L1 outweighs the loss."""
    X, y, weights = rows
    for alpha, coefficients, intercept in walked(X, y, weights if weighted else None, l1_ratio):
        errors = (expit(X @ coefficients + intercept) - y) * (weights if weighted else 1.0)
        slopes = errors @ X / len(y)
        assert abs(errors.mean()) < 1e-3  # nothing holds the intercept
        there = coefficients != 0.0
        held = alpha * (l1_ratio * np.sign(coefficients) + (1 - l1_ratio) * coefficients)
        np.testing.assert_allclose(slopes[there], -held[there], atol=1e-3)
        assert (np.abs(slopes[~there]) <= alpha * l1_ratio + 1e-3).all()


def test_the_lasso_begins_with_the_share_and_lets_columns_in(rows):
    """At a penalty of 10 no column counts, and the intercept is the log odds; later more and more do."""
    X, y, _ = rows
    points = walked(X, y, None, 1.0)
    counts = [np.count_nonzero(coefficients) for _, coefficients, _ in points]
    assert counts[0] == 0 < counts[9] <= counts[-1]
    assert points[0][2] == pytest.approx(np.log(y.mean() / (1 - y.mean())))


def test_ridge_is_scikit_learns(rows):
    """The same coefficients as its solver driven to the end, with weights."""
    X, y, weights = rows
    alpha, coefficients, intercept = walked(X, y, weights, 0.0)[9]
    other = LogisticRegression(C=1 / (alpha * len(y)), tol=1e-8, max_iter=1000).fit(
        X, y, sample_weight=weights
    )
    np.testing.assert_allclose(coefficients, other.coef_[0], atol=2e-3)
    assert intercept == pytest.approx(other.intercept_[0], abs=2e-3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_least_squares_are_scikit_learns(rows, l1_ratio, weighted):
    """Numbers as the target: its elastic net, driven to the end, at every penalty."""
    X, y, weights = rows
    target, weights = X[:, 0] + 0.1 * y, weights if weighted else None
    path = LeastSquaresPath(X, target, weights, l1_ratio=l1_ratio)
    for alpha in ALPHAS[3:12]:
        path.fit(alpha, unchecked)
        other = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-10, max_iter=100_000)
        other.fit(X, target, sample_weight=weights)
        predictions = X @ path.coefficients + path.intercept
        np.testing.assert_allclose(predictions, other.predict(X), atol=2e-3)


def test_products_are_made_a_few_rows_at_a_time(rows, monkeypatch):
    """Parts, the last one shorter, add up to the whole; by hand on three rows."""
    X, y, weights = rows
    whole = Squares.of(X, y.astype(float), weights)
    monkeypatch.setattr(_penalized, "ROWS_AT_ONCE", 50)
    np.testing.assert_allclose(Squares.of(X, y.astype(float), weights).products, whole.products)
    # x: 0, 1, 4 with weights 2, 1, 1 has mean 5/4; y: 0, 0, 4 has mean 1
    three = Squares.of(np.array([[0.0], [1.0], [4.0]]), np.array([0.0, 0.0, 4.0]), np.array([2.0, 1.0, 1.0]))
    assert (three.center[0], three.mean) == (1.25, 1.0)
    assert three.products[0, 0] == pytest.approx(2 * 1.25**2 + 0.25**2 + 2.75**2)
    assert three.with_target[0] == pytest.approx(2 * 1.25 + 0.25 + 2.75 * 3)
    assert three.of_target == pytest.approx(2 + 1 + 9)


def test_rows_that_weigh_nothing_count_for_nothing(rows):
    """With and without them: the same coefficients."""
    X, y, _ = rows
    weights = np.repeat([2.0, 0.0], 60)
    with_them, without = walked(X, y, weights, 0.5), walked(X[:60], y[:60], None, 0.5)
    for (_, one, _), (_, other, _) in zip(with_them, without, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_rows_that_a_line_parts_stay_finite_and_lose_less_and_less(l1_ratio):
    """Coefficients grow as the penalty falls, the loss falls, and nothing overflows."""
    X = np.linspace(-1, 1, 40)[:, np.newaxis]
    y = (X[:, 0] > 0).astype(int)
    points = walked(X, y, None, l1_ratio)
    sizes = [float(coefficients[0]) for _, coefficients, _ in points]
    assert np.isfinite(sizes).all()
    assert np.all(np.diff(sizes) >= -1e-6)
    assert sizes[-1] > 10.0


def test_single_precision_is_as_good(rows):
    """Columns of half the size: the same points to what a step may leave open."""
    X, y, weights = rows
    double, single = (walked(X.astype(kind), y, weights, 0.5) for kind in (np.float64, np.float32))
    for (_, one, _), (_, other, _) in zip(double, single, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)


def test_a_deadline_is_asked_about_before_every_step(rows):
    """What it raises ends the fit."""
    X, y, _ = rows

    def late():
        raise TimeoutError

    with pytest.raises(TimeoutError):
        LogisticPath(X, y, None, l1_ratio=0.0).fit(1.0, late)
