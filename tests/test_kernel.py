"""Nyström's features, against the kernel they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF

from tuner.families.kernel import FEATURE_SCALE, N_LANDMARKS, Similarities, n_landmarks


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


@pytest.mark.parametrize(("n_rows", "expected"), [(100, 256), (65_536, 256), (2**18, 64), (10**7, 16)])
def test_large_tables_have_fewer_landmarks(n_rows, expected):
    """Rows times landmarks stay within 2^24, but there are 16 at least."""
    assert n_landmarks(n_rows) == expected
    assert N_LANDMARKS == 256


def test_the_seed_draws_the_landmarks():
    """Of more rows than landmarks, another seed takes others."""
    X = np.random.default_rng(0).normal(size=(400, 2))
    first, second = (Similarities.fit(None, X, width=0.3, seed=seed).landmarks for seed in (0, 1))
    assert first.shape == second.shape == (256, 2)
    assert not np.array_equal(first, second)
