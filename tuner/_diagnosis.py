"""Findings about the tuned model, each judged against fold noise; pure functions of records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from search_spaces import Categorical, SearchSpace
from tuner._records import Finding, TrialRecord
from tuner._types import FloatArray

LEVEL = 0.95


def diagnose(
    winner: TrialRecord, trials: Sequence[TrialRecord], spaces: Sequence[SearchSpace]
) -> tuple[Finding, ...]:
    """Return the findings for the winner, judged on the folds that scored it.

    Parameters
    ----------
    winner : TrialRecord
        What was shipped; a search trial.
    trials : sequence of TrialRecord
        The search trials, on the same folds.
    spaces : sequence of SearchSpace
        To name the parameter that makes the model simpler or larger.
    """
    if winner.scores is None:
        return ()
    complete = [trial for trial in trials if trial.scores is not None]
    space = next(space for space in spaces if space.family == winner.configuration.family)
    findings = (_overfitting(winner, complete, space), _underfitting(winner, space))
    return tuple(finding for finding in findings if finding is not None)


def _overfitting(winner: TrialRecord, trials: Sequence[TrialRecord], space: SearchSpace) -> Finding | None:
    """D001: a gap beyond fold noise that a simpler trial does without, at no loss beyond noise."""
    gaps = _gaps(winner)
    if not _surely_positive(gaps):
        return None
    assert winner.scores is not None  # checked by the caller
    # A gap smaller by less than the loss is known to is no reason to change anything.
    matters = winner.scores.standard_error
    simpler = [
        trial
        for trial in trials
        if _surely_positive(gaps - _gaps(trial) - matters) and _as_good(trial, winner)
    ]
    evidence = (
        f"gap {winner.scores.gap:.4g}, fold noise of the gap {_noise(gaps):.2g}, "
        f"standard error of the loss {winner.scores.standard_error:.2g}"
    )
    if not simpler:
        return Finding(
            "D001",
            "info",
            "The model fits its training rows better than new ones, and no simpler trial does as well.",
            evidence,
            "Harmless as it stands; more rows would help more than regularization.",
        )
    other = min(
        simpler, key=lambda trial: (trial.scores.nested_loss if trial.scores else np.inf, trial.number)
    )
    assert other.scores is not None  # complete trials only
    return Finding(
        "D001",
        "warning",
        f"Overfitting: trial {other.number} does as well within fold noise with a gap of "
        f"{other.scores.gap:.3g} instead of {winner.scores.gap:.3g}.",
        evidence,
        f"Prefer it, or make the model simpler: {_turn(winner, space, simpler=True)}.",
    )


def _underfitting(winner: TrialRecord, space: SearchSpace) -> Finding | None:
    """D002: no gap beyond fold noise, and the held-out loss still falls at the end of the path."""
    if _surely_positive(_gaps(winner)) or not _still_falling(winner):
        return None
    assert winner.scores is not None  # checked by the caller
    return Finding(
        "D002",
        "warning",
        "Underfitting: training and held-out rows fit alike, and the loss still falls at the largest model.",
        f"gap {winner.scores.gap:.4g}, within fold noise {_noise(_gaps(winner)):.2g}",
        f"Allow a larger model: {_turn(winner, space, simpler=False)}.",
    )


def _still_falling(trial: TrialRecord) -> bool:
    """Whether the mean held-out curve ends at its minimum, below the point before beyond fold noise."""
    curves = trial.curves
    if curves is None or len(curves.path_values) < 2 or trial.scores is None:
        return False
    if trial.scores.path_value != curves.path_values[-1]:
        return False
    step = len(curves.thresholds or (None,))
    validation = np.asarray(curves.validation)
    chosen = trial.scores.path_point
    return _surely_positive(validation[:, chosen - step] - validation[:, chosen])


def _turn(trial: TrialRecord, space: SearchSpace, *, simpler: bool) -> str:
    """Name the parameters to move, and where to, for a simpler or a larger model."""
    moves = []
    for name, value in trial.configuration.params.items():
        dimension = space.dimensions[name]
        end = None if isinstance(dimension, int | float | str) else dimension.simpler
        if end is None or isinstance(dimension, Categorical):
            continue
        lower = (end == "low") == simpler
        bound = dimension.low if lower else dimension.high  # type: ignore[union-attr]
        if value != bound:
            moves.append(f"{'lower' if lower else 'raise'} {space.family}.{name} (now {value:.3g})")
    return ", or ".join(moves[:2]) if moves else "widen the search space"


def _as_good(trial: TrialRecord, winner: TrialRecord) -> bool:
    """Whether the trial's mean loss exceeds the winner's by at most one standard error of the difference."""
    differences = _losses(trial) - _losses(winner)
    known = differences[np.isfinite(differences)]
    return len(known) > 1 and bool(known.mean() <= _noise(known))


def _gaps(trial: TrialRecord) -> FloatArray:
    assert trial.scores is not None  # complete trials only
    return np.subtract(trial.scores.fold_losses, trial.scores.fold_train_losses)


def _losses(trial: TrialRecord) -> FloatArray:
    assert trial.scores is not None  # complete trials only
    return np.asarray(trial.scores.fold_losses)


def _noise(differences: FloatArray) -> float:
    known = differences[np.isfinite(differences)]
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else np.inf


def _surely_positive(differences: FloatArray) -> bool:
    """Whether the mean of paired fold differences exceeds 0 beyond their noise (one-sided t)."""
    known = differences[np.isfinite(differences)]
    if len(known) < 2:
        return False
    return bool(known.mean() > student.ppf(LEVEL, len(known) - 1) * _noise(known))
