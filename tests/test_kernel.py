"""Nyström's features, against the kernel they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.gaussian_process.kernels import RBF, Matern
from sklearn.linear_model import RidgeCV

from tuner.families.kernel import (
    FEATURE_SCALE,
    LEAST_WEIGHT,
    N_LANDMARKS,
    SLOPE_PENALTIES,
    KernelFamily,
    Similarities,
    n_landmarks,
)
from tuner.families.linear import PreparedLinear


def test_with_few_rows_the_kernel_is_exact():
    """Products of features are the kernel: exp(-width * squared distance / total variance)."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    features = Similarities.fit(None, X, width=0.5, seed=0).features(X)
    length = np.sqrt(X.var(axis=0).sum() / (2 * 0.5))  # RBF is exp(-d^2 / (2 length^2))
    np.testing.assert_allclose(features @ features.T / FEATURE_SCALE**2, RBF(length)(X), atol=1e-4)


def test_other_rows_leave_the_features_alone():
    """Features are learned from training rows; new ones are only compared with them."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(40, 3)), rng.normal(size=(5, 3))
    similarities = Similarities.fit(None, X, width=0.3, seed=1)
    together = similarities.features(np.vstack([new, 100 * new]))
    np.testing.assert_allclose(similarities.features(new), together[:5])


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(100, 512), (4096, 512), (4097, 256), (65_536, 256), (2**18, 64), (10**7, 16)]
)
def test_large_tables_have_fewer_landmarks(n_rows, expected):
    """Half from 4,097 rows on; then rows times landmarks stay within 2^24, but there are 16 at least."""
    assert n_landmarks(n_rows) == expected
    assert N_LANDMARKS == 512


def test_the_seed_draws_the_landmarks():
    """Of more rows than landmarks, another seed takes others."""
    X = np.random.default_rng(0).normal(size=(800, 2))
    first, second = (Similarities.fit(None, X, width=0.3, seed=seed).landmarks for seed in (0, 1))
    assert first.shape == second.shape == (512, 2)
    assert not np.array_equal(first, second)


def test_a_cusp_is_the_matern_kernel_of_one_half():
    """exp(-sqrt(width / total variance) * distance)."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    features = Similarities.fit(None, X, width=0.5, seed=0, shape="laplace").features(X)
    length = np.sqrt(X.var(axis=0).sum() / 0.5)
    np.testing.assert_allclose(features @ features.T / FEATURE_SCALE**2, Matern(length, nu=0.5)(X), atol=1e-4)


def test_a_column_of_weight_zero_does_not_count():
    """Weights are those of squared differences: with 4, a column is as if it were twice as wide."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    weighed = Similarities.fit(None, X, width=0.3, seed=0, weights=np.array([4.0, 0.0]))
    alone = Similarities.fit(None, 2.0 * X[:, :1], width=0.3, seed=0)
    products = [each.features(part) for each, part in ((weighed, X), (alone, 2.0 * X[:, :1]))]
    np.testing.assert_allclose(products[0] @ products[0].T, products[1] @ products[1].T, atol=1e-6)


@pytest.mark.parametrize("shape", ["gaussian", "laplace"])
def test_weights_are_root_mean_squares_of_slopes(shape):
    """Against differences of the regression's own predictions, row by row."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = np.sin(X[:, 0]) + 0.3 * X[:, 1]
    similarities = Similarities.fit(None, X[:40], width=0.3, seed=0, shape=shape)
    X, y = X[40:], y[40:]  # no row is a landmark, where a cusp has no slope
    found = similarities.weights(X, y[:, np.newaxis], None)
    ridge = RidgeCV(alphas=SLOPE_PENALTIES * len(X)).fit(similarities.features(X), y)
    step = 1e-5
    slopes = [
        ridge.predict(similarities.features(X + step * axis))
        - ridge.predict(similarities.features(X - step * axis))
        for axis in np.eye(3)
    ]
    expected = np.sqrt(np.square(slopes).mean(axis=1))
    np.testing.assert_allclose(found, np.maximum(expected / expected.max(), LEAST_WEIGHT), rtol=1e-3)


def test_columns_that_say_nothing_lose_their_weight():
    """One column of ten decides: the others end below a fifth of it, sparse rows give the same."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 10))
    y = np.sin(2 * X[:, :1])
    weights = None
    for _ in range(2):
        weights = Similarities.fit(None, X, width=0.3, seed=0, weights=weights).weights(X, y, np.ones(300))
    assert weights[0] == 1.0
    assert weights[1:].max() < 0.2
    stored = sparse.csr_array(X)
    once = Similarities.fit(None, X, width=0.3, seed=0).weights(X, y, None)
    again = Similarities.fit(None, stored, width=0.3, seed=0).weights(stored, y, None)
    np.testing.assert_allclose(again, once, rtol=1e-6)


def test_a_target_that_never_changes_leaves_all_columns_alike():
    """Nothing slopes: no column is preferred."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    similarities = Similarities.fit(None, X, width=0.3, seed=0)
    np.testing.assert_array_equal(similarities.weights(X, np.ones((30, 1)), None), [1.0, 1.0])


@pytest.mark.parametrize("seed", range(6))
def test_a_class_of_two_rows_is_asked_for_its_slopes(seed):
    """Of 3,000 rows 1,024 tell the slopes; without one of each class there would be nothing to fit."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    labels = np.zeros(3000, dtype=int)
    labels[[10, 2900]] = 1
    prepared = PreparedLinear(X, X[:5], labels, None, None, "binary", None, 2, 3000)
    params = {"width": 0.3, "shape": "laplace", "relevance_rounds": 1}
    path = KernelFamily().start(params, prepared, seed=seed)
    path.advance()
    assert np.isfinite(path.validation_prediction()).all()


def test_the_order_of_labels_changes_no_weight():
    """Three classes, and the same with other codes: every class is asked."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    labels = np.digitize(X[:, 0], [-0.5, 0.5])
    params = {"width": 0.3, "shape": "gaussian", "relevance_rounds": 1}
    scales = []
    for codes in (labels, (labels + 1) % 3):
        prepared = PreparedLinear(X, X[:5], codes, None, None, "multiclass", None, 3, 200)
        path = KernelFamily().start(params, prepared, seed=0)
        path.advance()
        scales.append(path.predictor(0).design.scale)
    np.testing.assert_allclose(*scales, rtol=1e-6)
