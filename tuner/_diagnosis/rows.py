"""What the rows say of the model: more of them, their probabilities, their slices, their groups; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner._records import Finding, GroupScores, LearningCurve, SliceScore
from tuner._statistics.fold_noise import LEVEL, noise, surely_positive
from tuner._statistics.learning_curve import gain_of_twice


def data_limited(curve: LearningCurve | None) -> Finding | None:
    """D004: the loss still falls with the number of rows, and would go on beyond fold noise."""
    if curve is None or len(curve.rows) < 3:
        return None
    fold_losses = np.asarray(curve.losses)
    half = int(np.argmin(np.abs(np.asarray(curve.rows) - curve.rows[-1] / 2)))
    fall = fold_losses[half] - fold_losses[-1]
    if not surely_positive(fall):
        return None
    gain = gain_of_twice(curve)
    if gain <= noise(fall):
        return None
    points = ", ".join(
        f"{np.nanmean(row):.4g} at {n}" for n, row in zip(curve.rows, fold_losses, strict=True)
    )
    return Finding(
        "D004",
        "info",
        f"Rows are what is lacking: twice as many would bring a loss lower by about {gain:.2g}.",
        f"loss {points} training rows; from half to all of them it falls by {np.nanmean(fall):.2g}, "
        f"fold noise {noise(fall):.2g}",
        "Collect more rows: that will bring more than a longer `time_budget`.",
    )


def miscalibrated(gains: Sequence[float]) -> Finding | None:
    """D009: probabilities put right on the other folds predict a fold better, beyond noise.

    Parameters
    ----------
    gains : sequence of float
        For each fold of one repeat, by how much its log loss falls.
    """
    values = np.asarray(gains, dtype=float)
    if not surely_positive(values):
        return None
    return Finding(
        "D009",
        "warning",
        "Probabilities are not what they say: put right on other folds, they predict better.",
        f"log loss lower by {np.nanmean(values):.3g}, fold noise {noise(values):.2g}",
        'Unless it is the metric already, set metric="log_loss", which judges probabilities and calibrates '
        "them; do not read those of this model as frequencies.",
    )


def weak_slice(slices: Sequence[SliceScore]) -> Finding | None:
    """D011: a slice is predicted worse than the other rows of its folds, beyond noise, all slices in view."""
    if not slices:
        return None
    level = 1 - (1 - LEVEL) / len(slices)  # Bonferroni: the worst of many is worse by chance
    weak = [each for each in slices if surely_positive(np.asarray(each.excess), level=level)]
    if not weak:
        return None
    worst = max(weak, key=lambda each: float(np.nanmean(each.excess)))
    return Finding(
        "D011",
        "warning",
        f"Rows with {worst.column} = {worst.label} are predicted worse than others: {worst.value:.4g}.",
        f"loss higher by {np.nanmean(worst.excess):.3g} than on the other rows of a fold, "
        f"noise {noise(np.asarray(worst.excess)):.2g}; {worst.n_rows} rows; "
        f"simultaneous {LEVEL:.0%} over {len(slices)} slices",
        "Collect more rows of it, or weigh them by `sample_weight`; do not promise the overall score there.",
    )


def new_groups(scores: GroupScores | None) -> Finding | None:
    """D012: groups left out are predicted worse than the same rows are by models that know their groups."""
    if scores is None:
        return None
    left_out, random = np.asarray(scores.left_out_losses), np.asarray(scores.random_losses)
    if not surely_positive(left_out - random):
        return None
    return Finding(
        "D012",
        "warning",
        "New groups are predicted worse than known ones: the score on random folds would promise too much.",
        f"the same rows have loss {np.nanmean(left_out):.4g} with their groups left out, "
        f"{np.nanmean(random):.4g} on random folds; noise of the difference {noise(left_out - random):.2g}",
        "Quote the estimate, which keeps `groups` together; collect more groups, not more rows of each.",
    )
