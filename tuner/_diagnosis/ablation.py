"""What augmentation and dropout brought: finalists with and without, paired on the fresh folds; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tuner._decisions.selection import augments, drops
from tuner._records import Finding, TrialRecord
from tuner._statistics.fold_noise import losses, noise, repeats_of, surely_positive


def augmentation_helped(finalists: Sequence[TrialRecord]) -> Finding | None:
    """D013: the best finalist with augmentation against the best of its family without it."""
    return _helped(
        "D013",
        "Augmentation",
        finalists,
        augments,
        'Nothing to do; to save its time where it does not help, fix "augment" to "none" in `search_space`.',
    )


def dropout_helped(finalists: Sequence[TrialRecord]) -> Finding | None:
    """D014: the best finalist with dropout against the best of its family without it."""
    return _helped(
        "D014",
        "Dropout",
        finalists,
        drops,
        'Nothing to do; where it does not help, {"mlp": {"dropout": 0.0}} in `search_space` is simpler.',
    )


def _helped(
    code: str,
    what: str,
    finalists: Sequence[TrialRecord],
    has_it: Callable[[TrialRecord], bool],
    cure: str,
) -> Finding | None:
    complete = sorted(
        (trial for trial in finalists if trial.scores is not None),
        key=lambda trial: (trial.loss, trial.number),
    )
    with_it = next((trial for trial in complete if has_it(trial)), None)
    if with_it is None:
        return None
    family = with_it.configuration.family
    without = next(
        (trial for trial in complete if trial.configuration.family == family and not has_it(trial)), None
    )
    if without is None:
        return None
    gains = losses(without) - losses(with_it)
    repeats = repeats_of(with_it)
    verdict = (
        "helped"
        if surely_positive(gains, repeats)
        else "hurt"
        if surely_positive(-gains, repeats)
        else "made no difference beyond fold noise"
    )
    return Finding(
        code,
        "info",
        f"{what} {verdict} when scored again: {family} with it against the best without.",
        f"loss {np.nanmean(losses(with_it)):.4g} (trial {with_it.number}) with, "
        f"{np.nanmean(losses(without)):.4g} (trial {without.number}) without; "
        f"gain {np.nanmean(gains):+.3g}, fold noise {noise(gains, repeats):.2g}",
        cure,
    )
