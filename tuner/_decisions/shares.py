"""Who joins the ensemble, and with which share: pure functions of held-out predictions.

Weights fitted to a few hundred rows fit their noise. So few members stand for election, of different kinds,
and their shares start from equal ones.

References
----------
Caruana et al. (2004), Ensemble selection from libraries of models: the greedy rule this one was measured
against (`examples/benchmarks/ensembles.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from tuner._statistics.calibration import occurred
from tuner._types import BoolArray, FloatArray, IntArray

N_MEMBERS = 4  # where there are not as many families
PRIOR_ROWS = 10.0  # equal shares weigh as much as ten rows do
SMALL_SHARE = 0.1  # a member with less leaves; the next best takes the place
LEAST_SHARE = 0.01  # what is less does not pay for its predictions
SMALLEST = 1e-12  # probability of what occurred
MAX_ROWS = 40_000  # held-out rows that are looked at: they know a few numbers well enough

Kind = Literal["classes", "squares", "absolutes"]


@dataclass(frozen=True)
class Blend:
    """Ensemble weights over finalists.

    Attributes
    ----------
    weights : tuple of float, one a finalist
        Shares that sum to one; 0 for finalists that did not join.
    """

    weights: tuple[float, ...]


class Fits:
    """How well held-out predictions fit, row by row, whatever the metric.

    By the probability given to what occurred, or by the error. Ranks and decisions have steps, to which
    shares would fit the noise of few rows.

    Parameters
    ----------
    targets : sequence of (y, weights), one a fold
        Class codes or values of the held-out rows, and the user's weights or None.
    kind : {"classes", "squares", "absolutes"}
        Log loss, squared or absolute error.
    n_repeats : int
        How often a row is held out: in all it counts as one row.
    """

    def __init__(
        self, targets: Sequence[tuple[FloatArray, FloatArray | None]], *, kind: Kind, n_repeats: int
    ) -> None:
        y = np.concatenate([y for y, _ in targets])
        weights = np.concatenate([np.ones(len(y)) if w is None else w for y, w in targets])
        self._kind = kind
        counted = np.flatnonzero(weights > 0)
        self._rows = counted[:: -(-len(counted) // MAX_ROWS)]
        self._y = y[self._rows]
        self._weights = weights[self._rows] * (len(counted) / n_repeats / weights[self._rows].sum())

    def of(self, predictions: Sequence[FloatArray]) -> FloatArray:
        """Return a finalist's probabilities of what occurred, or its residuals, of shape (n_rows,)."""
        joined = np.concatenate([np.asarray(fold, dtype=float) for fold in predictions])[self._rows]
        return occurred(self._y, joined) if self._kind == "classes" else joined - self._y

    def thinned(self, n_rows: int) -> Fits:
        """Return the same on about ``n_rows`` of the rows, evenly spaced, which count as much as all do."""
        step = -(-len(self._rows) // n_rows)
        other, weights = copy(self), self._weights[::step]
        other._rows, other._y = self._rows[::step], self._y[::step]
        other._weights = weights * (self._weights.sum() / weights.sum())
        return other

    def drawn(self, counts: IntArray | BoolArray) -> Fits:
        """Return the same where held-out rows count so often, as in a bootstrap; `of` stays what it was.

        Where none of them counts, all do.
        """
        other, weights = copy(self), self._weights * counts[self._rows]
        if weights.any():
            other._weights = weights
        return other

    def errors(self, fits: FloatArray) -> FloatArray:
        """Return the mean log loss, squared or absolute error of every row of ``fits`` (lower is better)."""
        return np.asarray(self._losses(fits) @ self._weights / self._weights.sum())

    def shares(self, fits: FloatArray) -> FloatArray:
        """Return the members' shares, given their fits of shape (n_members, n_rows).

        Minimises sum_i v_i l(sum_m w_m f_mi) - (PRIOR_ROWS / M) * sum_m log w_m over the shares w of M
        members, where v_i is what a row counts and f_mi a member's fit. l is -log for classes; for values
        half the squared error over the best member's mean squared error, or the absolute error over its
        mean: normal or Laplace errors. These are the most probable shares where ten rows had been won in
        equal parts beforehand (a Dirichlet prior). Rows of a group count as if they were independent.
        """
        errors = self.errors(fits)
        best = max(float(errors.min()), SMALLEST * float(errors.max())) or 1.0
        scale = {"classes": 1.0, "squares": 2 * best, "absolutes": best}[self._kind]
        prior = PRIOR_ROWS / len(fits)

        def objective(logits: FloatArray) -> tuple[float, FloatArray]:
            shares = softmax(logits)
            blended = shares @ fits
            slope = fits @ (self._weights * self._slopes(blended)) / scale
            slope -= prior / np.maximum(shares, SMALLEST)
            value = self._weights @ self._losses(blended) / scale
            value -= prior * np.log(np.maximum(shares, SMALLEST)).sum()
            return float(value), shares * (slope - shares @ slope)

        found = minimize(objective, np.zeros(len(fits)), jac=True, method="L-BFGS-B")
        shares = softmax(found.x)
        kept = np.where(shares < LEAST_SHARE, 0.0, shares)
        return np.asarray(kept / kept.sum())

    def _losses(self, fits: FloatArray) -> FloatArray:
        if self._kind == "classes":
            return np.asarray(-np.log(np.maximum(fits, SMALLEST)))
        return fits**2 if self._kind == "squares" else np.abs(fits)

    def _slopes(self, fits: FloatArray) -> FloatArray:
        """Return the derivatives of the losses."""
        if self._kind == "classes":
            return -1.0 / np.maximum(fits, SMALLEST)
        return 2 * fits if self._kind == "squares" else np.sign(fits)


def blend(
    fits: Fits,
    predictions: Sequence[Sequence[FloatArray]],
    families: Sequence[str],
    *,
    elected: int,
    max_members: int | None = None,
) -> Blend:
    """Return the finalists' shares by their held-out predictions, fold by fold on the folds of ``fits``."""
    rows = np.stack([fits.of(folds) for folds in predictions])
    return blend_fits(fits, rows, families, elected=elected, max_members=max_members)


def blend_fits(
    fits: Fits,
    rows: FloatArray,
    families: Sequence[str],
    *,
    elected: int,
    max_members: int | None = None,
) -> Blend:
    """Return the finalists' shares by how well their predictions fit, of shape (n_finalists, n_rows).

    Members that the rows give less than a tenth leave, all at once, and those who fit next best take their
    places, whatever their family, while some stand by: as many as there are members. Where one family is far
    ahead, a second of its kind is worth more than the best of the others. The elected keeps its place, though
    its share may be too small to be paid for.
    """
    errors = fits.errors(rows).tolist()
    members = choose_members(families, errors, elected=elected, max_members=max_members)
    n_members = len(members)
    waiting = [position for position in _ranked(errors) if position not in members][:n_members]
    shares = fits.shares(rows[members])
    while True:
        stays = [position for position, share in zip(members, shares, strict=True) if share >= SMALL_SHARE]
        stays = list(dict.fromkeys([elected, *stays]))
        if len(stays) == len(members):
            break
        n_free = n_members - len(stays)
        members, waiting = stays + waiting[:n_free], waiting[n_free:]
        shares = fits.shares(rows[members])
    weights = np.zeros(len(rows))
    weights[members] = shares
    return Blend(tuple(map(float, weights)))


def choose_members(
    families: Sequence[str], losses: Sequence[float], *, elected: int, max_members: int | None = None
) -> list[int]:
    """Return the positions of the elected finalist, of every family's best, and of the next best up to four.

    Parameters
    ----------
    families : sequence of str, one a finalist
    losses : sequence of float
        By which a family's best is found (lower is better); NaN never joins.
    elected : int
        Position of the elected finalist.
    max_members : int or None
        At most so many, in the order above.
    """
    ranked = _ranked(losses)
    bests = {families[position]: position for position in reversed(ranked)}
    first = [position for position in ranked if position in bests.values()]
    members = list(dict.fromkeys([elected, *first]))
    rest = [position for position in ranked if position not in members]
    return (members + rest[: max(0, N_MEMBERS - len(members))])[:max_members]


def _ranked(losses: Sequence[float]) -> list[int]:
    """Return the positions with a finite loss, the smallest first."""
    return sorted(np.flatnonzero(np.isfinite(losses)).tolist(), key=lambda position: losses[position])
