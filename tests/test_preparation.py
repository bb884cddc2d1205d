from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from tuner._rows import preparation as _preparation
from tuner._rows.preparation import (
    CLIP,
    MAX_CATEGORIES,
    N_RAMPS,
    Design,
    RangeScaler,
    categorical_indices,
    code_matrix,
    present_classes,
    spread_classes,
)
from tuner._rows.table import MISSING, Table

NAN = float("nan")
SCALINGS = ("standardize", "piecewise_linear", "quantile_normal", "common")


def table(numeric, categorical=None):
    """Return a table of numbers and, maybe, codes."""
    numeric = np.asarray(numeric, dtype=float)
    codes = np.empty((len(numeric), 0)) if categorical is None else categorical
    return Table(numeric, np.asarray(codes, dtype=np.int32))


def mixed(n=40, seed=0):
    """Return numbers with gaps and codes with gaps."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(n, 2))
    numeric[::5, 0] = NAN
    return table(numeric, rng.integers(MISSING, 3, size=(n, 2)))


# Matrix of numbers and codes


def test_code_matrix_marks_missing_codes():
    """Codes stand beside the numbers; missing is NaN; an unseen code stays a number."""
    rows = table([[0.5], [1.5]], [[MISSING, 1], [2, 0]])
    np.testing.assert_array_equal(code_matrix(rows), [[0.5, NAN, 1], [1.5, 2, 0]])
    assert categorical_indices(rows) == [1, 2]


def test_code_matrix_of_numbers_is_the_numbers():
    """Without codes nothing is copied, dense or sparse."""
    rows = table([[1.0, 2.0]])
    assert code_matrix(rows) is rows.numeric
    assert categorical_indices(rows) == []
    matrix = sparse.csr_matrix(np.eye(2))
    assert code_matrix(Table(matrix, np.empty((2, 0), dtype=np.int32))) is matrix


# Design


def test_design_standardizes_by_hand():
    """0, 2, 4 and a gap: median 2 fills it, mean 2, variance (4 + 0 + 4 + 0) / 4 = 2; then the gap's flag."""
    design = Design.fit(table([[0.0], [2.0], [4.0], [NAN]]), numeric="standardize", seed=0)
    root = np.sqrt(2.0)
    # The flag is 0, 0, 0, 1: mean 1/4, variance 3/16, so a set flag is (3/4) / (sqrt(3)/4) = sqrt(3).
    expected = [[-2 / root, -1 / np.sqrt(3)], [0, np.sqrt(3)]]
    np.testing.assert_allclose(design.transform(table([[0.0], [NAN]])), expected)


def test_design_clips_stray_values():
    """A held-out unit error becomes 10 standard deviations, not a million."""
    design = Design.fit(table([[0.0], [1.0], [2.0]]), numeric="standardize", seed=0)
    assert design.transform(table([[1e9], [-1e9]])).ravel().tolist() == [CLIP, -CLIP]


def test_ramps_by_hand():
    """0, 1, ..., 8: a ramp from each value to the next one, the column itself before them.

    The mean is 4, the variance 20/3. The first ramp is 0 for the lowest row and 1 for the other eight: mean
    8/9, spread sqrt(8)/9; eight ramps share the spread of a column, so each is divided by sqrt(8) more.
    """
    values = np.arange(9.0).reshape(-1, 1)
    design = Design.fit(table(values), numeric="piecewise_linear", seed=0)
    between = design.transform(table([[0.5], [100.0]]))
    assert between.shape == (2, 1 + N_RAMPS)
    assert between[0, 0] == pytest.approx((0.5 - 4) / np.sqrt(20 / 3))
    assert between[0, 1] == pytest.approx((0.5 - 8 / 9) / (np.sqrt(8) / 9) / np.sqrt(8))
    last = design.transform(table([[8.0]]))
    np.testing.assert_allclose(between[1, 1:], last[0, 1:])  # flat beyond the ends


def test_a_linear_model_of_ramps_bends():
    """|x| is no multiple of x, but a sum of ramps."""
    values = np.linspace(-1, 1, 81).reshape(-1, 1)
    design = Design.fit(table(values), numeric="piecewise_linear", seed=0).transform(table(values))
    fit, *_ = np.linalg.lstsq(np.hstack([design, np.ones((81, 1))]), np.abs(values[:, 0]), rcond=None)
    np.testing.assert_allclose(design @ fit[:-1] + fit[-1], np.abs(values[:, 0]), atol=1e-9)


def test_columns_of_two_values_or_one_have_no_ramps():
    """A switch and a constant are straight already; a gap's flag is a switch."""
    rows = np.column_stack([np.arange(20) % 2, np.ones(20), np.arange(20.0)])
    rows[3, 2] = NAN
    design = Design.fit(table(rows), numeric="piecewise_linear", seed=0)
    assert design.transform(table(rows)).shape == (20, 4 + N_RAMPS)


def test_a_column_that_does_not_vary_says_nothing_whatever_comes():
    """The standard deviation of a hundred .1 is 1e-17 for rounding; a held-out .3 is no 10 spreads away."""
    train = table(np.column_stack([np.full(100, 0.1), np.arange(100.0)]))
    design = Design.fit(train, numeric="piecewise_linear", seed=0)
    assert design.transform(table([[0.3, 50.0]]))[0, 0] == 0.0
    assert not design.transform(train)[:, 0].any()


@pytest.mark.parametrize(("n_columns", "n_ramps"), [(20, 8), (40, 4), (80, 2), (81, 0)])
def test_wide_tables_have_fewer_ramps(n_columns, n_ramps):
    """160 ramps in all; one ramp would be the column itself."""
    rows = table(np.random.default_rng(0).normal(size=(30, n_columns)))
    design = Design.fit(rows, numeric="piecewise_linear", seed=0).transform(rows)
    assert design.shape == (30, n_columns * (1 + n_ramps))
    assert design.nbytes <= Design.max_bytes(rows)


def test_quantile_normal_is_monotone_and_blind_to_outliers():
    """Order stays; whether the largest value is 40 or 4 million does not matter."""
    values = np.arange(40.0).reshape(-1, 1)
    plain = Design.fit(table(values), numeric="quantile_normal", seed=0).transform(table(values))
    values[-1] = 4e6
    stretched = Design.fit(table(values), numeric="quantile_normal", seed=0).transform(table(values))
    assert (np.diff(plain[:, 0]) > 0).all()
    np.testing.assert_allclose(plain, stretched)


def test_rare_categories_share_a_column():
    """8 rows of code 0, 6 of code 1, two codes of 1 row each: 2 columns and one for the rare ones."""
    codes = np.array([0] * 8 + [1] * 6 + [2, 3]).reshape(-1, 1)
    design = Design.fit(table(np.empty((16, 0)), codes), numeric="standardize", seed=0)
    held_out = table(np.empty((4, 0)), [[0], [1], [3], [9]])
    # 9 was never seen: it is one of the rare ones, not an error
    assert design.transform(held_out).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_columns_per_category_are_bounded():
    """200 frequent categories make 64 columns."""
    codes = np.repeat(np.arange(200), 6).reshape(-1, 1)
    design = Design.fit(table(np.empty((1200, 0)), codes), numeric="standardize", seed=0)
    assert design.transform(table(np.empty((1, 0)), [[0]])).shape == (1, MAX_CATEGORIES)


@pytest.mark.parametrize("numeric", SCALINGS)
def test_a_column_all_missing_in_the_fold_stays(numeric):
    """A fold may see no value of a column; its held-out rows are still finite and of the same width."""
    design = Design.fit(table([[NAN, 1.0], [NAN, 2.0], [NAN, 4.0]]), numeric=numeric, seed=0)
    held_out = design.transform(table([[5.0, 1.0], [NAN, NAN]]))
    assert np.isfinite(held_out).all()
    assert held_out.shape[1] == design.transform(table([[NAN, 1.0]])).shape[1]


def test_pixels_have_one_scale_in_common():
    """Of 0, 4, 1 and 3 the mean is 2 and the variance (4 + 4 + 1 + 1) / 4 = 2.5; a new row of 2 is all 0."""
    design = Design.fit(table([[0.0, 1.0], [4.0, 3.0]]), numeric="common", seed=0)
    scaled = design.transform(table([[0.0, 1.0], [2.0, 2.0]]))
    np.testing.assert_allclose(scaled, [[-2 / 2.5**0.5, -1 / 2.5**0.5], [0, 0]])


def test_a_stray_value_is_held_back_in_sparse_rows_as_in_dense_ones():
    """A hundred times the largest of the training rows counts as ten times it, however it is stored."""
    train = Table(sparse.csr_matrix([[1.0, 0.0], [0.0, 2.0], [0.5, 1.0]]), np.empty((3, 0), dtype=np.int32))
    design = Design.fit(train, numeric="standardize", seed=0)
    stray = np.array([[100.0, -1.0]])
    for stored in (stray, sparse.csr_matrix(stray)):
        found = design.transform(Table(stored, np.empty((1, 0), dtype=np.int32)))
        np.testing.assert_allclose(found.toarray() if sparse.issparse(found) else found, [[10.0, -0.5]])


def test_sparse_design_stays_sparse_and_fills_gaps():
    """Sparse numbers are divided by their largest magnitude (4 and 2); a gap gets the median (0)."""
    matrix = sparse.csr_matrix([[0, -2.0], [4.0, 0], [0, NAN], [2.0, 0]])
    design = Design.fit(Table(matrix, np.empty((4, 0), dtype=np.int32)), numeric="standardize", seed=0)
    result = design.transform(Table(matrix, np.empty((4, 0), dtype=np.int32)))
    assert sparse.issparse(result)
    np.testing.assert_allclose(result.toarray(), [[0, -1], [1, 0], [0, 0], [0.5, 0]])


@pytest.mark.parametrize("numeric", SCALINGS)
def test_design_is_learned_from_its_rows_only(numeric):
    """Changing rows that are not given to `fit` changes nothing; changing one that is does."""
    rows, train, held_out = mixed(), np.arange(30), np.arange(30, 40)
    probe = mixed(seed=1)
    before = Design.fit(rows.take(train), numeric=numeric, seed=0).transform(probe)
    rows.numeric[held_out] = 1e6
    rows.categorical[held_out] = 7
    after = Design.fit(rows.take(train), numeric=numeric, seed=0).transform(probe)
    np.testing.assert_array_equal(before, after)
    rows.numeric[train[1]] = 1e6
    assert not np.allclose(before, Design.fit(rows.take(train), numeric=numeric, seed=0).transform(probe))


@pytest.mark.parametrize("numeric", SCALINGS)
def test_design_of_parts_is_the_design_of_the_whole(numeric, monkeypatch):
    """Transforming a few rows at a time gives what transforming all gives, the last part being shorter."""
    rows = mixed(41)
    design = Design.fit(rows, numeric=numeric, seed=0)
    whole = design.transform(rows)
    assert len(whole) == 41
    monkeypatch.setattr(_preparation, "CHUNK_ROWS", 10)
    np.testing.assert_array_equal(design.transform(rows), whole)


def test_design_of_a_large_table(monkeypatch):
    """It learns from a seeded sample, is of single precision, and fits into the stated bytes."""
    rows = mixed(400)
    exact = Design.fit(rows, numeric="standardize", seed=0).transform(rows)
    assert exact.dtype == np.float64
    assert exact.nbytes <= Design.max_bytes(rows)
    monkeypatch.setattr(_preparation, "MAX_DOUBLE_BYTES", 0)
    single = Design.fit(rows, numeric="standardize", seed=0).transform(rows)
    assert single.dtype == np.float32
    assert single.nbytes <= Design.max_bytes(rows)
    np.testing.assert_allclose(single, exact, rtol=1e-6, atol=1e-6)
    monkeypatch.setattr(_preparation, "MAX_FIT_ROWS", 200)
    sampled = [Design.fit(rows, numeric="standardize", seed=seed).transform(rows) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(sampled[0], sampled[1])
    assert not np.array_equal(sampled[0], sampled[2])
    np.testing.assert_allclose(sampled[0], exact, atol=0.5)


# Classes a fold lacks


def test_present_classes():
    """None where every class occurs, else the codes that do."""
    assert present_classes(np.array([2, 0, 1]), 3) is None
    assert present_classes(np.array([2, 0, 2]), 3).tolist() == [0, 2]


def test_the_range_of_the_training_rows_holds_others():
    """1, 2, 3: mean 2, spread sqrt(2/3); what is beyond is like 1 or 3; a gap is the mean, and told beside.

    A column without numbers is all gaps, whatever comes later; one without gaps is not told.
    """
    X = np.column_stack([[1.0, 2.0, 3.0, np.nan], [np.nan] * 4, [0.0, 0.0, 2.0, 2.0]])
    later = np.column_stack([[2.0, 9.0, -9.0, np.nan], [1.0, 1.0, 1.0, np.nan], [1.0, 1.0, 2.0, np.nan]])
    numbers = [[0.0, 1.5**0.5, -(1.5**0.5), 0.0], [0.0] * 4, [0.0, 0.0, 1.0, 0.0]]
    gaps = [[0.0, 0.0, 0.0, 1.0], [1.0] * 4]
    np.testing.assert_allclose(RangeScaler().fit(X).transform(later), np.column_stack([*numbers, *gaps]))


def test_an_absent_class_gets_a_smoothed_prior():
    """97 rows, 3 classes, class 1 absent: 1 / (97 + 3) = .01; the others share .99."""
    spread = spread_classes(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 2]), 3, 97)
    np.testing.assert_allclose(spread, [[0.495, 0.01, 0.495], [0.99, 0.01, 0.0]])


def test_one_probability_a_row_is_that_of_the_second_present_class():
    """97 rows, classes 0 and 2 of three: .2 and .8 of the .99 that class 1 leaves."""
    spread = spread_classes(np.array([0.8]), np.array([0, 2]), 3, 97)
    np.testing.assert_allclose(spread, [[0.198, 0.01, 0.792]])


@given(st.data())
def test_spread_rows_sum_to_one(data):
    """Whatever classes are absent: rows sum to 1, absent ones get 1 / (n + C), ratios of the rest stay."""
    n_classes = data.draw(st.integers(2, 8))
    present = data.draw(st.sets(st.integers(0, n_classes - 1), min_size=1, max_size=n_classes - 1))
    present = np.array(sorted(present))
    n_train = data.draw(st.integers(1, 1000))
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=len(present), max_size=len(present)))
    given_rows = (np.array(weights) / sum(weights))[None, :]
    spread = spread_classes(given_rows, present, n_classes, n_train)
    absent = np.setdiff1d(np.arange(n_classes), present)
    np.testing.assert_allclose(spread.sum(axis=1), 1.0)
    np.testing.assert_allclose(spread[:, absent], 1 / (n_train + n_classes))
    ratios = spread[:, present] / spread[:, present].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ratios, given_rows)


def test_nothing_changes_where_all_classes_are_present():
    """Probabilities pass through as they are."""
    for probabilities in (np.array([[0.2, 0.8]]), np.array([0.8])):
        assert spread_classes(probabilities, None, 2, 10) is probabilities
