"""What families train on: a matrix of numbers and codes, or a scaled and one-hot encoded design.

`code_matrix` learns nothing. `Design` learns medians, scales and frequent categories; it is fitted on
training rows only, once per fold, and is part of the delivered model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, QuantileTransformer, StandardScaler

from tuner._rows.table import MISSING, Table, as_csr
from tuner._types import FloatArray, IntArray

MAX_CATEGORIES = 64  # one-hot columns per input column; the rest share one
MIN_CATEGORY_ROWS = 5  # a rarer category cannot hold a coefficient of its own
CLIP = 10.0  # standard deviations; a stray unit error must not become a leverage point
BEND = 3.0  # where the smooth scaling levels off, in spreads
N_RAMPS, MAX_RAMPS = 8, 160  # of one column, and of all together: their products with each other stay cheap
MAX_FIT_ROWS = 100_000  # medians, scales and quantiles of so many rows are known to a third of a percent
CHUNK_ROWS = 2**16  # transformed at a time: the steps of a pipeline copy
MAX_DOUBLE_BYTES = 2**26  # of a training table; designs of larger ones are of single precision


def code_matrix(table: Table) -> Any:
    """Return numbers and category codes side by side; missing is NaN.

    Returns
    -------
    array or CSR matrix of shape (n_rows, n_columns)
        The categorical columns are the last ones.
    """
    if table.categorical.shape[1] == 0:
        return table.numeric
    codes = table.categorical.astype(np.float64)
    codes[table.categorical == MISSING] = np.nan
    if table.is_sparse:
        return as_csr(sparse.hstack([table.numeric, sparse.csr_matrix(codes)]))
    return np.hstack([table.numeric, codes])


def categorical_indices(table: Table) -> list[int]:
    """Return the positions of the categorical columns in ``code_matrix``."""
    return list(range(table.numeric.shape[1], table.n_columns))


@dataclass(frozen=True, eq=False)
class Design:
    """A fitted design matrix: imputed and scaled numbers, one-hot categories."""

    transformer: Any
    dtype: Any = np.float64

    @staticmethod
    def max_bytes(table: Table) -> int:
        """Return the most that the rows' dense design can take: ramps, all categories, numbers missing."""
        n_numeric = table.numeric.shape[1]
        n_design = 2 * n_numeric + min(N_RAMPS * n_numeric, MAX_RAMPS) + _n_one_hot(table)
        return int(table.n_rows * n_design * np.dtype(_precision(table)).itemsize)

    @classmethod
    def fit(cls, table: Table, *, numeric: str, seed: int) -> Design:
        """Learn medians, scales and frequent categories from training rows, at most ``MAX_FIT_ROWS`` of them.

        Parameters
        ----------
        table : Table
            Training rows only.
        numeric : {"standardize", "piecewise_linear", "quantile_normal", "robust", "common"}
            How numbers are scaled: column by column, or all by one mean and one spread, as pixels want it;
            sparse numbers are divided by their largest magnitude.
        seed : int
            For the rows learned from.
        """
        if table.is_sparse:
            has_gaps = np.isnan(table.numeric.data).any()  # medians of sparse columns are found one by one
            strategy = "median" if has_gaps else "constant"
            imputer = SimpleImputer(strategy=strategy, fill_value=0.0, keep_empty_features=True)
            return cls(make_pipeline(imputer, MaxAbsScaler()).fit(table.numeric))
        dtype = _precision(table)
        if table.n_rows > MAX_FIT_ROWS:
            picked = np.random.default_rng(seed).choice(table.n_rows, MAX_FIT_ROWS, replace=False)
            table = table.take(np.sort(picked))
        n_numeric = table.numeric.shape[1]
        parts = [("numeric", _scaler(numeric, table.n_rows, seed), slice(0, n_numeric))] if n_numeric else []
        if table.categorical.shape[1]:
            encoder = OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=min(MIN_CATEGORY_ROWS, table.n_rows),
                max_categories=MAX_CATEGORIES,
                sparse_output=False,
            )
            parts.append(("categorical", encoder, slice(n_numeric, None)))
        transformer = ColumnTransformer(parts, remainder="drop")
        return cls(transformer.fit(_side_by_side(table)), dtype)

    def transform(self, table: Table) -> Any:
        """Return the design matrix of the rows, shape (n_rows, n_design_columns); made once for a table."""
        return table.derived(self, self._transform_all)

    def _transform_all(self, table: Table) -> Any:
        if table.is_sparse:
            sparse_design = as_csr(self.transformer.transform(table.numeric))
            np.clip(sparse_design.data, -CLIP, CLIP, out=sparse_design.data)
            return sparse_design
        design = self._transform(table.part(0, CHUNK_ROWS))
        if table.n_rows <= CHUNK_ROWS:
            return design
        whole = np.empty((table.n_rows, design.shape[1]), dtype=self.dtype)
        whole[:CHUNK_ROWS] = design
        for start in range(CHUNK_ROWS, table.n_rows, CHUNK_ROWS):
            whole[start : start + CHUNK_ROWS] = self._transform(table.part(start, start + CHUNK_ROWS))
        return whole

    def _transform(self, table: Table) -> FloatArray:
        design = np.clip(self.transformer.transform(_side_by_side(table)), -CLIP, CLIP)
        return np.asarray(design, dtype=self.dtype)


def _precision(table: Table) -> Any:
    """Return the type of a design's numbers: on large tables half the memory is worth more than digits."""
    n_cells = table.n_rows * (table.numeric.shape[1] + _n_one_hot(table))
    return np.float64 if n_cells * 8 <= MAX_DOUBLE_BYTES else np.float32


def _n_one_hot(table: Table) -> int:
    """Return the most columns that the categories may become."""
    codes = table.categorical.max(axis=0, initial=MISSING)
    return int(np.minimum(codes + 2, MAX_CATEGORIES).sum())


class SmoothScaler(TransformerMixin, BaseEstimator):
    """Numbers by their median and quartiles, bent smoothly so that none exceeds ``BEND``.

    A column of mostly one value, whose quartiles are equal, is scaled by half its range.

    References
    ----------
    Holzmüller, Grinsztajn, Steinwart (2024), Better by Default: robust scaling and smooth clipping.
    """

    def fit(self, X: FloatArray, y: Any = None) -> SmoothScaler:  # noqa: ARG002 - scikit-learn's signature
        """Learn the middle and the spread of each column."""
        low, first, self.center_, third, high = np.quantile(X, [0, 0.25, 0.5, 0.75, 1], axis=0)
        spread = np.where(third > first, third - first, (high - low) / 2)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """Return numbers between -3 and 3, in the middle of the column as if scaled only."""
        scaled = (X - self.center_) / self.scale_
        return np.asarray(scaled / np.sqrt(1 + (scaled / BEND) ** 2))


class RangeScaler(TransformerMixin, BaseEstimator):
    """Numbers standardized, within the range of the training rows; then, where those have gaps, which are.

    What is linear in them ends where the training rows end. A gap gets the mean. A column without numbers
    is all gaps.
    """

    def fit(self, X: FloatArray, y: Any = None) -> RangeScaler:  # noqa: ARG002 - scikit-learn's signature
        """Learn the range of each column, and its mean and spread from about ``MAX_FIT_ROWS`` rows."""
        self.low_, self.high_ = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
        self.with_gaps_ = np.flatnonzero(np.isnan(X).any(axis=0))
        X = X[:: max(1, len(X) // MAX_FIT_ROWS)]
        n_known = np.maximum(np.isfinite(X).sum(axis=0), 1)
        self.center_ = np.nansum(X, axis=0) / n_known
        spread = np.sqrt(np.nansum((X - self.center_) ** 2, axis=0) / n_known)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """Return numbers of mean 0 and spread 1 in the training rows, and a column of 0 and 1 for gaps."""
        n_columns = X.shape[1]
        shown = np.empty((len(X), n_columns + self.with_gaps_.size))
        scaled = shown[:, :n_columns]  # in place: of a large table there is room for one copy
        np.clip(X, self.low_, self.high_, out=scaled)
        scaled -= self.center_
        scaled /= self.scale_
        gaps = np.isnan(scaled)
        scaled[gaps] = 0.0
        shown[:, n_columns:] = gaps[:, self.with_gaps_]
        return shown


class PiecewiseLinear(TransformerMixin, BaseEstimator):
    """Standardized numbers, and ramps from one quantile of a column, 0 below it, to the next, 1 above it.

    What is linear in the ramps is piecewise linear in the column. The ramps of a column together vary as much
    as the column itself, so that a penalty does not prefer the bent to the straight. A column of two values
    needs none; where there are too many ramps in all, every column has fewer. A column that does not vary in
    the training rows is 0 whatever its value: nothing is known of it.

    References
    ----------
    Gorishniy, Rubachev, Babenko (2022), On Embeddings for Numerical Features in Tabular Deep Learning,
    NeurIPS, section 3.2.
    """

    def fit(self, X: FloatArray, y: Any = None) -> PiecewiseLinear:  # noqa: ARG002 - scikit-learn's signature
        """Learn where the ramps of each column begin and end, then the means and spreads of everything."""
        knots = _knots(np.sort(X, axis=0))
        n_ramps = [len(each) - 1 for each in knots]
        self.columns_ = np.repeat(np.arange(X.shape[1]), n_ramps)
        self.starts_ = np.concatenate([each[:-1] for each in knots])
        self.lengths_ = np.concatenate([np.diff(each) for each in knots])
        raw = self._raw(X)
        self.mean_, spread = raw.mean(axis=0), raw.std(axis=0)
        varies = np.ptp(raw, axis=0) > 0  # the spread of many 0.1 is not 0, for rounding
        self.scale_ = np.where(varies, spread, np.inf)
        self.scale_[X.shape[1] :] *= np.sqrt(np.repeat(n_ramps, n_ramps))
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """Return the columns, then the ramps of the first, of the second, ..."""
        return np.asarray((self._raw(X) - self.mean_) / self.scale_)

    def _raw(self, X: FloatArray) -> FloatArray:
        ramps = np.clip((X[:, self.columns_] - self.starts_) / self.lengths_, 0.0, 1.0)
        return np.hstack([X, ramps])


def _knots(ordered: FloatArray) -> list[FloatArray]:
    """Return the ends of each column's ramps, as many as all together may have; one number means none."""
    last = len(ordered) - 1
    for n_ramps in range(N_RAMPS, 1, -1):
        quantiles = ordered[np.arange(n_ramps + 1) * last // n_ramps]
        knots = [np.unique(column) for column in quantiles.T]
        knots = [each if len(each) > 2 else each[:1] for each in knots]
        if sum(map(len, knots)) - len(knots) <= MAX_RAMPS:
            return knots
    return [column[:1] for column in ordered.T]


class CommonScaler(TransformerMixin, BaseEstimator):
    """All numbers by one mean and one spread: a pixel that hardly varies stays as small as it is.

    Scaled on its own, the border of an image would weigh as much as its middle.
    """

    def fit(self, X: FloatArray, y: Any = None) -> CommonScaler:  # noqa: ARG002 - scikit-learn's signature
        """Learn the mean and the spread of all numbers together."""
        self.mean_ = float(np.mean(X))
        self.scale_ = float(np.std(X)) or 1.0
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """Return numbers of mean 0 and variance 1, over all columns."""
        return np.asarray((X - self.mean_) / self.scale_)


def _scaler(numeric: str, n_rows: int, seed: int) -> Pipeline:
    if numeric == "common":
        return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), CommonScaler())
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    if numeric == "robust":
        return make_pipeline(imputer, SmoothScaler())
    if numeric == "piecewise_linear":
        return make_pipeline(imputer, PiecewiseLinear())
    if numeric == "quantile_normal":
        quantiles = QuantileTransformer(
            n_quantiles=min(n_rows, 1000), output_distribution="normal", subsample=None, random_state=seed
        )
        return make_pipeline(imputer, quantiles, StandardScaler())
    return make_pipeline(imputer, StandardScaler())


def _side_by_side(table: Table) -> FloatArray:
    return np.hstack([table.numeric, table.categorical.astype(np.float64)])


def stacked(X: Any, below: Any) -> Any:
    """Return one matrix on top of another, sparse where the first is."""
    if isinstance(X, np.ndarray):
        return np.concatenate([X, below])
    return as_csr(sparse.vstack([X, below]))


def present_classes(y: IntArray, n_classes: int) -> IntArray | None:
    """Return the class codes that occur in training rows, or None where all do."""
    present = np.unique(y)
    return None if len(present) == n_classes else present


def local_labels(y: Any, n_classes: int) -> tuple[IntArray | None, Any]:
    """Return the classes present, or None where all are, and the labels counted among those present.

    Parameters
    ----------
    n_classes : int
        Of the whole dataset; 0 for a regression, whose target stays as it is.
    """
    present = present_classes(y, n_classes) if n_classes else None
    return present, y if present is None else np.searchsorted(present, y)


def standardized(y: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, float, float]:
    """Return the targets of a regression less their mean and over their spread, the mean and the spread.

    Penalties and thresholds of a fit do not depend on the target's unit then.
    """
    center = float(np.average(y, weights=weights))
    scale = float(np.sqrt(np.average((y - center) ** 2, weights=weights))) or 1.0
    return (y - center) / scale, center, scale


def spread_classes(
    probabilities: FloatArray, present: IntArray | None, n_classes: int, n_train: int
) -> FloatArray:
    """Give classes absent from the training rows a smoothed prior, 1 / (n_train + n_classes) each.

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_present) or (n_rows,)
        Rows sum to one over the classes that were present; or the second of two present ones alone.
    present : int array or None
        The classes that were present; None where none was absent, and what is given stays as it is.

    Returns
    -------
    array of shape (n_rows, n_classes)
        Rows sum to one; the present classes share what the absent ones leave.
    """
    if present is None:
        return probabilities
    if probabilities.ndim == 1:
        probabilities = np.column_stack([1.0 - probabilities, probabilities])
    prior = 1.0 / (n_train + n_classes)
    spread = np.full((len(probabilities), n_classes), prior)
    spread[:, present] = probabilities * (1.0 - prior * (n_classes - len(present)))
    return spread
