"""Findings about rows: the case that triggers each, and the nearest one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from tuner._diagnosis.rows import data_limited, miscalibrated, new_groups, weak_slice
from tuner._records import GroupScores, LearningCurve, SliceScore
from tuner._statistics.calibration import recalibration_gains
from tuner._statistics.learning_curve import gain_of_twice

OFFSETS = np.array([0.02, 0.0, -0.02, 0.01, -0.01])  # between folds, the same at every size


ONES = np.ones(50)


def curve(means, noise=0.0):
    """Curve at 100 to 400 rows with these means; noise alternates between folds and sizes."""
    rows = []
    for place, mean in enumerate(means):
        wobble = noise * np.array([1, -1, 0, 1, -1]) * (-1) ** (place // 2)
        rows.append(tuple(mean + OFFSETS + wobble))
    return LearningCurve((100, 200, 300, 400), tuple(rows))


def test_twice_the_rows_halve_what_falls():
    """Losses .2 + 4/n at 100, 200, 300, 400 rows: from 400 to 800 they fall by 4/400 - 4/800."""
    assert gain_of_twice(curve([0.24, 0.22, 0.2 + 4 / 300, 0.21])) == pytest.approx(0.005)


def test_no_more_than_the_loss_is_promised():
    """By 40/n a loss of .02 at 400 rows would fall by .05: it falls to 0."""
    assert gain_of_twice(curve([0.32, 0.12, 40 / 300 - 0.08, 0.02])) == pytest.approx(0.02)


def test_scores_that_are_losses_below_zero_may_gain_all_the_same():
    """Of a scorer that is larger where it is better, -.56 to -.59 as losses: .005 more, as above."""
    assert gain_of_twice(curve([-0.56, -0.58, -0.6 + 4 / 300, -0.59])) == pytest.approx(0.005)


def test_a_falling_curve_asks_for_rows():
    """D004: from 200 to 400 rows -.01 on every fold, twice as many promise -.005 more."""
    found = data_limited(curve([0.24, 0.22, 0.2 + 4 / 300, 0.21]))
    assert (found.code, found.severity) == ("D004", "info")
    assert "about 0.005" in found.title


@pytest.mark.parametrize(
    "flat",
    [
        curve([0.24, 0.2101, 0.21, 0.21], noise=0.01),  # has levelled off: the last half brings noise
        curve([0.21, 0.21, 0.21, 0.21]),
        curve([0.24, 0.22, 0.2 + 4 / 300, 0.21], noise=0.02),  # falls, but within noise
        None,
    ],
)
def test_a_level_or_noisy_curve_does_not(flat):
    """D004 needs a fall beyond noise that would go on beyond noise."""
    assert data_limited(flat) is None


def test_a_curve_without_a_beginning_promises_nothing():
    """D004: no fold could be scored on a quarter of the rows; the fall from half to all alone is no curve."""
    falling = curve([0.24, 0.22, 0.2 + 4 / 300, 0.21])
    unknown = LearningCurve(falling.rows, ((np.nan,) * 5, *falling.losses[1:]))
    assert gain_of_twice(unknown) == 0.0
    assert data_limited(unknown) is None


def test_gains_of_recalibration_beyond_noise_are_a_warning():
    """D009: .02 .03 .02 .03 .02 is sure (t = 9.8); .05 -.04 .05 -.04 .05 is not (mean .014, noise .022)."""
    found = miscalibrated((0.02, 0.03, 0.02, 0.03, 0.02))
    assert found.code == "D009"
    assert found.next_step.startswith("Unless it is the metric already")  # log loss can be miscalibrated, too
    assert miscalibrated((0.05, -0.04, 0.05, -0.04, 0.05)) is None
    assert miscalibrated(()) is None


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_cure_of_miscalibration_removes_it(n_classes):
    """Logits doubled are found; divided by two again, as a calibrating metric would, they are not."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2000, n_classes))
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (truth.cumsum(axis=1) < rng.random((2000, 1))).sum(axis=1)
    sharp = truth**3 / (truth**3).sum(axis=1, keepdims=True)

    def gains(probabilities):
        column = probabilities[:, 1] if n_classes == 2 else probabilities
        return recalibration_gains(
            [(y[start : start + 400], column[start : start + 400], None) for start in range(0, 2000, 400)]
        )

    assert miscalibrated(gains(sharp)).code == "D009"
    assert miscalibrated(gains(truth)) is None


def test_a_fold_without_weight_says_nothing_of_calibration():
    """Rows that weigh nothing are a fold without a loss; the others are judged."""
    rng = np.random.default_rng(0)
    weights = (ONES, ONES, 0 * ONES)
    parts = [(rng.integers(0, 2, 50), rng.uniform(0.1, 0.9, 50), each) for each in weights]
    found = recalibration_gains(parts)
    assert np.isfinite(found).tolist() == [True, True, False]
    assert miscalibrated(found) is None


def score(label, excess, loss=0.5):
    """Slice of a column with the excess losses of its folds."""
    return SliceScore("site", label, 50, 1 - loss, 0.0, 1.0, loss, tuple(excess))


def test_a_slice_that_is_predicted_worse_is_found():
    """D011: .10 .11 .09 .10 .10 above the others on five folds; .1 -.1 .1 -.1 .1 is noise."""
    found = weak_slice([score("a", (0.10, 0.11, 0.09, 0.10, 0.10)), score("b", (-0.1, 0.1, -0.1, 0.1, -0.1))])
    assert (found.code, found.severity) == ("D011", "warning")
    assert "site = a" in found.title
    assert weak_slice([score("b", (0.1, -0.1, 0.1, -0.1, 0.1))]) is None
    assert weak_slice([]) is None


def test_the_worst_of_many_slices_must_be_worse_by_more():
    """Excess .03 .01 .02 .04 .00: noise .0071, t 2.83: over 2.13 for one slice, under 5.6 for twenty."""
    excess = (0.03, 0.01, 0.02, 0.04, 0.00)
    assert weak_slice([score("a", excess)]).code == "D011"
    assert (
        weak_slice([score("a", excess)] + [score(str(i), (0.0, 0.01, -0.01, 0.0, 0.0)) for i in range(19)])
        is None
    )


def test_groups_that_are_harder_once_left_out_are_found():
    """D012: each part loses .1 or so when left out, though parts differ by more; .2 -.2 .2 -.1 is noise."""
    random = (0.1, 0.5, 0.3, 0.7)
    found = new_groups(GroupScores(random, (0.2, 0.61, 0.39, 0.8)))  # .10 .11 .09 .10: noise .0041
    assert (found.code, found.severity) == ("D012", "warning")
    assert "noise of the difference 0.0041" in found.evidence
    assert new_groups(GroupScores(random, (0.3, 0.3, 0.5, 0.6))) is None
    assert new_groups(None) is None


def test_a_part_that_cannot_be_scored_has_no_say():
    """D012: NaN on either side drops out, and one part alone says nothing."""
    assert new_groups(GroupScores((0.1, np.nan, 0.3, 0.4), (0.2, 0.5, 0.41, np.nan))).code == "D012"
    assert new_groups(GroupScores((0.1, np.nan), (0.2, np.nan))) is None
