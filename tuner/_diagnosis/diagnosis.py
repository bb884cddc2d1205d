"""Findings about the tuned model, each judged against fold noise; pure functions of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces import Categorical, SearchSpace
from tuner._claims.claims import Paid
from tuner._diagnosis.ablation import augmentation_helped, dropout_helped
from tuner._diagnosis.rows import data_limited, miscalibrated, new_groups, weak_slice
from tuner._diagnosis.search import at_the_edge, families_disagree, noise_limited, unstable
from tuner._records import Finding, GroupScores, LearningCurve, SliceScore, TrialRecord
from tuner._statistics.fold_noise import as_good as _as_good
from tuner._statistics.fold_noise import gaps as _gaps
from tuner._statistics.fold_noise import losses as _losses
from tuner._statistics.fold_noise import noise as _noise
from tuner._statistics.fold_noise import repeats_of as _repeats_of
from tuner._statistics.fold_noise import surely_positive as _surely_positive


@dataclass(frozen=True)
class Evidence:
    """What was measured beside the search trials; what was not is left empty.

    Attributes
    ----------
    shipped : TrialRecord or None
        The winner on the fresh folds.
    finalists : tuple of TrialRecord
        All on the fresh folds.
    paid : Paid or None
    learning : LearningCurve or None
    calibration_gains : tuple of float
        For each fold of one repeat, what recalibration on the others takes off its log loss.
    slices : tuple of SliceScore
    groups : GroupScores or None
    """

    shipped: TrialRecord | None = None
    finalists: tuple[TrialRecord, ...] = ()
    paid: Paid | None = None
    learning: LearningCurve | None = None
    calibration_gains: tuple[float, ...] = ()
    slices: tuple[SliceScore, ...] = ()
    groups: GroupScores | None = None


def diagnose(
    winner: TrialRecord,
    trials: Sequence[TrialRecord],
    spaces: Sequence[SearchSpace],
    evidence: Evidence | None = None,
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
    evidence : Evidence or None
        What was measured beside the trials.
    """
    if winner.scores is None:
        return ()
    complete = [trial for trial in trials if trial.scores is not None]
    space = next(space for space in spaces if space.family == winner.configuration.family)
    seen = evidence or Evidence()
    findings = (
        _overfitting(winner, complete, space),
        _underfitting(winner, space),
        noise_limited(winner, complete),
        data_limited(seen.learning),
        at_the_edge(winner, complete, space),
        _did_not_pay(seen.paid),
        None if seen.shipped is None else families_disagree(seen.shipped, seen.finalists),
        unstable(winner),
        miscalibrated(seen.calibration_gains),
        weak_slice(seen.slices),
        new_groups(seen.groups),
        augmentation_helped(seen.finalists),
        dropout_helped(seen.finalists),
    )
    return tuple(finding for finding in findings if finding is not None)


def _overfitting(winner: TrialRecord, trials: Sequence[TrialRecord], space: SearchSpace) -> Finding | None:
    """D001: a gap beyond fold noise that a simpler trial does without, at no loss beyond noise."""
    gaps, repeats = _gaps(winner), _repeats_of(winner)
    if not _surely_positive(gaps, repeats):
        return None
    # A gap smaller by less than the loss is known to is no reason to change anything.
    matters = _noise(_losses(winner), repeats)
    simpler = [
        trial
        for trial in trials
        if _surely_positive(gaps - _gaps(trial) - matters, repeats) and _as_good(trial, winner)
    ]
    evidence = (
        f"gap {winner.known_scores.gap:.4g} on the search folds, "
        f"fold noise of the gap {_noise(gaps, repeats):.2g}, standard error of the loss {matters:.2g}"
    )
    if not simpler:
        return Finding(
            "D001",
            "info",
            "The model fits its training rows better than new ones, and no simpler trial does as well.",
            evidence,
            "Harmless as it stands; more rows would help more than regularization.",
        )
    other = min(simpler, key=lambda trial: (trial.loss, trial.number))
    return Finding(
        "D001",
        "warning",
        f"Overfitting: trial {other.number} does as well within fold noise with a gap of "
        f"{other.known_scores.gap:.3g} instead of {winner.known_scores.gap:.3g}.",
        evidence,
        f"Prefer it, or make the model simpler: {_turn(winner, space, simpler=True)}.",
    )


def _underfitting(winner: TrialRecord, space: SearchSpace) -> Finding | None:
    """D002: no gap beyond fold noise, and the held-out loss still falls at the end of the path."""
    gaps, repeats = _gaps(winner), _repeats_of(winner)
    if _surely_positive(gaps, repeats) or not _still_falling(winner):
        return None
    larger = f"Allow a larger model: {_turn(winner, space, simpler=False)}."
    return Finding(
        "D002",
        "warning",
        "Underfitting: training and held-out rows fit alike, and the loss still falls at the largest model.",
        f"gap {winner.known_scores.gap:.4g}, within fold noise {_noise(gaps, repeats):.2g}",
        "Raise `time_budget`: it ended this path." if winner.shortened else larger,
    )


def _did_not_pay(paid: Paid | None) -> Finding | None:
    """D006: on rows held out from both the tuned model is not better than the default, even on average."""
    if paid is None or paid.verdict != "did not pay":
        return None
    return Finding(
        "D006",
        "warning",
        "Tuning did not pay: the default does as well on rows neither has seen, and is what is delivered.",
        f"{paid.scale} difference {paid.difference:+.3g}, interval [{paid.low:+.3g}, {paid.high:+.3g}]",
        "Raise `time_budget` or `n_repeats` if the search was short; else better columns will bring more.",
    )


def _still_falling(trial: TrialRecord) -> bool:
    """Whether the mean curve that chooses ends at its minimum, below the point before beyond fold noise."""
    curves = trial.curves
    if curves is None or len(curves.path_values) < 2 or trial.scores is None:
        return False
    if trial.scores.path_value != curves.path_values[-1]:
        return False
    step = len(curves.thresholds or (None,))
    losses = np.asarray(curves.choosing)
    chosen = trial.scores.path_point
    return _surely_positive(losses[:, chosen - step] - losses[:, chosen], _repeats_of(trial))


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
