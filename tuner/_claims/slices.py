"""How well the rows of each slice are predicted by models that did not train on them.

Means over folds: average precision and F1 of a slice with few positives a fold are bent by that, unlike the
estimate (`tuner._finals.together`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner._folds.splits import Fold, tested_share
from tuner._metrics.metrics import Metric
from tuner._records import SliceScore
from tuner._rows.data import LEAST_ROWS, Dataset
from tuner._rows.slices import slice_labels
from tuner._statistics.intervals import corrected_t
from tuner._types import BoolArray, FloatArray, IntArray

LEVEL = 0.95


def skipped_slices(dataset: Dataset, folds: Sequence[Fold]) -> tuple[str, ...]:
    """Return a note that counts the slices which are too rare to be judged on some of the folds."""
    if dataset.slice_masks is None:
        return ()
    rare = np.array([dataset.slice_masks[:, fold.test].sum(axis=1) < LEAST_ROWS for fold in folds])
    n_rare = int(rare.any(axis=0).sum())
    if not n_rare:
        return ()
    return (
        f"{n_rare} of {rare.shape[1]} slices have fewer than {LEAST_ROWS} rows in a search fold: "
        f"they do not count there ({int(rare.sum())} times in {len(folds)} folds).",
    )


def slice_scores(
    dataset: Dataset,
    metric: Metric,
    folds: Sequence[Fold],
    predictions: Sequence[FloatArray],
    *,
    columns: Sequence[str],
    threshold: float | None,
    simultaneous: bool = False,
) -> tuple[SliceScore, ...]:
    """Score every slice on each fold, then average over folds, never pooled over fold models.

    What it estimates: the loss on such rows of what is delivered, before it averages over folds. The interval
    is a corrected t over the folds in which the slice can be scored. It is wide, and rough, where few can.

    Parameters
    ----------
    folds, predictions : sequences
        Fresh folds and the predictions of their test rows.
    columns : sequence of str
    threshold : float or None
        Decision threshold of the delivered model.
    simultaneous : bool
        Intervals hold for all slices at once (Bonferroni), not one at a time: what the worst of them needs.
        Slices too rare to be judged on a fold are not scored there, nor counted where they are so on all.
    """
    least_rows = LEAST_ROWS if simultaneous else 1

    def loss(rows: IntArray, prediction: FloatArray) -> float:
        if len(rows) < least_rows:
            return np.nan
        y, weights = dataset.targets(rows)
        return float(metric.losses(y, prediction, weights)[0, metric.column(threshold)])

    share = tested_share(folds)
    slices: list[tuple[str, str, BoolArray]] = []
    for name in columns:
        labels, codes = slice_labels(dataset, name)
        slices += [(name, label, np.equal(codes, code)) for code, label in enumerate(labels)]
    n_judged = sum(any(mask[fold.test].sum() >= least_rows for fold in folds) for *_, mask in slices)
    level = 1 - (1 - LEVEL) / (max(1, n_judged) if simultaneous else 1)
    scored = []
    for name, label, mask in slices:
        parts = [
            (fold, predicted, mask[fold.test]) for fold, predicted in zip(folds, predictions, strict=True)
        ]
        own = [loss(fold.test[inside], predicted[inside]) for fold, predicted, inside in parts]
        others = [
            loss(fold.test[~inside], predicted[~inside]) if fold.repeat == 0 else np.nan
            for fold, predicted, inside in parts
        ]
        interval = corrected_t(own, test_share=share, level=level, squared=metric.squared_scale)
        low, high = metric.natural_ends(interval.low, interval.high)
        scored.append(
            SliceScore(
                column=name,
                label=label,
                n_rows=int(mask.sum()),
                value=metric.natural(interval.value),
                low=low,
                high=high,
                loss=interval.value,
                excess=tuple(np.subtract(own, others).tolist()),
            )
        )
    return tuple(scored)
