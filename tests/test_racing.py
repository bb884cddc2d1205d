"""Racing by hand: who runs against whom, and how far behind is too far."""

from __future__ import annotations

import numpy as np
import pytest

from tuner._racing import Race, make_race


@pytest.fixture
def known(make_trial, make_scores):
    """Return complete trials with the given losses on every fold."""

    def make(*losses):
        return [
            make_trial(number, scores=make_scores(fold_losses), objective=fold_losses[0])
            for number, fold_losses in enumerate(losses)
        ]

    return make


def test_the_margin_shrinks_with_every_fold():
    """.3 of the cap times (5 / m) ** .75: 1.003 after one fold of five, .355 after four."""
    race = Race((1.0,) * 5, cap=1.0)
    margins = [race.margin(m) for m in (1, 2, 3, 4, 5)]
    np.testing.assert_allclose(margins, [1.0031, 0.5965, 0.4401, 0.3547, 0.3], atol=1e-4)


def test_lost_is_decided_pairwise_on_the_folds_seen():
    """Hard folds are hard for all: 3 against 3 is level where 3 against 1 is lost."""
    race = Race((3.0, 1.0), cap=1.0)
    assert not race.lost([3.4])  # margin .3 * 2 ** .75 = .505
    assert race.lost([3.6])
    assert not race.lost([3.4, 1.1])  # behind by .25 on average, margin .3
    assert race.lost([3.4, 1.3])  # .35


def test_folds_that_cannot_be_scored_do_not_count():
    """A NaN on either side leaves the fold out; with no fold left nobody has lost."""
    race = Race((np.nan, 1.0, 1.0), cap=1.0)
    assert not race.lost([9.0])
    assert not race.lost([9.0, np.nan])
    assert race.lost([9.0, 9.0])


def test_the_rivals_are_the_three_best_by_objective(known):
    """Of 1, 2, 3, 9 the mean of the first three: 2 on both folds."""
    race = make_race(known((9.0, 9.0), (1.0, 1.0), (3.0, 3.0), (2.0, 2.0)), cap=0.5)
    assert race == Race((2.0, 2.0), 0.5)


def test_no_race_before_four_trials_are_complete(known, make_trial):
    """Three complete trials and a failed one are no field."""
    failed = make_trial(number=3, state="FAIL", scores=None, objective=None)
    assert make_race([*known((1.0, 1.0), (2.0, 2.0), (3.0, 3.0)), failed], cap=1.0) is None
