"""From fold curves to the numbers a search minimises; pure functions of records.

All losses are lower-is-better. The formulas are those of the project's design:

* p_k = argmin over path points of the mean validation loss of the other folds of the same repeat
  (ties: the smaller model), or of their mean guide where curves have one,
* nested_loss = mean_k v_k(p_k), train_loss = mean_k t_k(p_k), gap = nested_loss - train_loss,
* standard_error = sd(v_k(p_k), ddof=1) / sqrt(J) over all J folds,
* gap_penalty = min(gap_weight * max(0, gap - standard_error), cap).

With ``aggregate="worst_slice"`` v_k and t_k are, at every path point, the largest over the slices of fold k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tuner._records import Curves, Scores, TrialRecord
from tuner._types import FloatArray


def others_mean(losses: FloatArray, repeats: FloatArray) -> FloatArray:
    """Mean loss of the other folds of the same repeat.

    Parameters
    ----------
    losses : array of shape (n_folds, n_points)
        Validation losses; NaN where a fold cannot be scored.
    repeats : array of shape (n_folds,)
        The repeat of each fold.

    Returns
    -------
    array of shape (n_folds, n_points)
        NaN where no other fold of the repeat can be scored.
    """
    result = np.full(losses.shape, np.nan)
    known = np.isfinite(losses)
    filled = np.where(known, losses, 0.0)
    for fold in range(len(losses)):
        others = (repeats == repeats[fold]) & (np.arange(len(losses)) != fold)
        count = known[others].sum(axis=0)
        # By size and one by one: one point alone sums to the bit as it does among others, and equal sets tie.
        total = sum(np.sort(filled[others], axis=0), start=np.zeros(losses.shape[1]))
        np.divide(total, count, out=result[fold], where=count > 0)
    return result


def first_minimum(losses: FloatArray) -> int:
    """Return the first index of the smallest finite value: on ties the smaller model.

    Raises
    ------
    ValueError
        If no value is finite.
    """
    if not np.isfinite(losses).any():
        raise ValueError("No path point has a finite loss.")
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))


def fold_mean(losses: FloatArray) -> FloatArray:
    """Mean over the folds (rows) that can be scored; NaN where none can."""
    known = np.isfinite(losses)
    count = known.sum(axis=0)
    total = np.where(known, losses, 0.0).sum(axis=0)
    mean: FloatArray = np.divide(total, count, out=np.full(losses.shape[1:], np.nan), where=count > 0)
    return mean


def nested_scores(curves: Curves) -> Scores:
    """Score a configuration: an inner selection and an outer score on the same folds, with no extra fit.

    What it estimates: the loss of this configuration when its path point is chosen on other folds.
    It assumes that folds are exchangeable within a repeat. It misleads once many configurations are
    compared by it: the best of them is partly the luckiest (hence fresh folds elect).

    Raises
    ------
    ValueError
        If fewer than two folds can be scored.
    """
    validation = np.asarray(curves.validation, dtype=float)
    train = np.asarray(curves.train, dtype=float)
    choosing = np.asarray(curves.choosing, dtype=float)
    elsewhere = others_mean(choosing, np.asarray(curves.repeats))
    chosen = [first_minimum(row) if np.isfinite(row).any() else None for row in elsewhere]
    points = [0 if point is None else point for point in chosen]
    rows = np.arange(len(points))
    held_out, fitted = validation[rows, points], train[rows, points]
    scored = np.isfinite(held_out) & np.isfinite(fitted) & np.array([point is not None for point in chosen])
    held_out, fitted = np.where(scored, held_out, np.nan), np.where(scored, fitted, np.nan)
    if scored.sum() < 2:
        raise ValueError(f"At least 2 folds must be scorable; {int(scored.sum())} of {len(points)} were.")
    nested_loss, train_loss = float(held_out[scored].mean()), float(fitted[scored].mean())
    common = first_minimum(fold_mean(choosing))
    path_value, threshold = curves.at(common)
    return Scores(
        nested_loss=nested_loss,
        train_loss=train_loss,
        gap=nested_loss - train_loss,
        standard_error=float(held_out[scored].std(ddof=1) / np.sqrt(scored.sum())),
        fold_losses=tuple(map(float, held_out)),
        fold_train_losses=tuple(map(float, fitted)),
        fold_points=tuple(points),
        path_point=common,
        path_value=path_value,
        threshold=threshold,
        skipped_folds=int((~scored).sum()),
    )


def gap_penalty(scores: Scores, *, weight: float, cap: float) -> float:
    """Bounded penalty for the part of the gap that exceeds fold noise (a loss; never negative)."""
    return min(weight * max(0.0, scores.gap - scores.standard_error), cap)


def objective(scores: Scores, *, weight: float, cap: float) -> float:
    """Nested loss plus gap penalty (lower is better)."""
    return scores.nested_loss + gap_penalty(scores, weight=weight, cap=cap)


def penalty_cap(defaults: list[TrialRecord]) -> float:
    """One standard error of the best default configuration; 0 where no default could be scored.

    A trial worse by more than this never overtakes through the penalty.
    """
    complete = [record.scores for record in defaults if record.scores is not None]
    if not complete:
        return 0.0
    return min(complete, key=lambda scores: scores.nested_loss).standard_error


def judged(record: TrialRecord, *, weight: float, cap: float) -> TrialRecord:
    """Return the record with its penalty and objective filled in."""
    if record.scores is None:
        return record
    return replace(
        record,
        gap_weight=weight,
        penalty_cap=cap,
        gap_penalty=gap_penalty(record.scores, weight=weight, cap=cap),
        objective=objective(record.scores, weight=weight, cap=cap),
    )


def best_first(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the complete ones of judged trials, the smallest objective first; on ties the earlier."""
    complete = [trial for trial in trials if trial.objective is not None]
    return sorted(complete, key=lambda trial: (trial.objective, trial.number))
