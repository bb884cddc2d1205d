"""Racing by hand: who runs against whom, and how far behind is too far."""

from __future__ import annotations

import numpy as np
import pytest

from tuner._decisions.racing import Race, make_race


@pytest.fixture
def known(make_trial, make_scores):
    """Return complete trials of a family with the given losses on every fold."""

    def make(*losses, family="toy", first=0):
        return [
            make_trial(
                number,
                scores=make_scores(fold_losses),
                objective=float(np.mean(fold_losses)),
                family=family,
            )
            for number, fold_losses in enumerate(losses, start=first)
        ]

    return make


def test_the_margin_shrinks_with_every_fold():
    """.35 of the cap times (5 / m) ** .75: 1.170 after one fold of five, .414 after four."""
    race = Race((1.0,) * 5, 1.0, cap=1.0)
    margins = [race.margin(m) for m in (1, 2, 3, 4, 5)]
    np.testing.assert_allclose(margins, [1.1703, 0.6959, 0.5134, 0.4138, 0.35], atol=1e-4)


def test_lost_is_decided_pairwise_on_the_folds_seen():
    """Hard folds are hard for all: 3 against 3 is level where 3 against 1 is lost."""
    race = Race((3.0, 1.0), 2.0, cap=1.0)
    assert not race.lost([3.5])  # margin .35 * 2 ** .75 = .589
    assert race.lost([3.6])
    assert not race.lost([3.5, 1.1])  # behind by .3 on average, margin .35
    assert race.lost([3.5, 1.3])  # .4


def test_a_family_that_is_behind_carries_its_distance():
    """Level with relatives whose mean is 2.5 where the best known trial has 2: behind by .5."""
    assert not Race((3.5, 1.5), 2.0, cap=1.0).lost([3.5])  # margin .589
    assert Race((3.5, 1.5), 2.0, cap=0.8).lost([3.5])  # margin .471
    assert not Race((3.5, 1.5), 2.0, cap=0.8).lost([3.4])


def test_folds_that_cannot_be_scored_do_not_count():
    """A NaN on either side leaves the fold out; with no fold left nobody has lost."""
    race = Race((np.nan, 1.0, 1.0), 1.0, cap=1.0)
    assert not race.lost([9.0])
    assert not race.lost([9.0, np.nan])
    assert race.lost([9.0, 9.0])


def test_the_rivals_are_the_three_best_of_the_family(known):
    """Of 2, 4, 6 and 9 the mean of the first three, 4 on both folds; the best of all families has 1."""
    trials = known((9.0, 9.0), (2.0, 2.0), (6.0, 6.0), (4.0, 4.0)) + known((1.0, 1.0), family="b", first=4)
    assert make_race(trials, 0.5, family="toy") == Race((4.0, 4.0), 1.0, 0.5)


def test_a_family_with_fewer_than_three_runs_against_the_best_of_all(known):
    """One trial of its own is no field: 1, 2 and 3 of the others are, 2 on both folds."""
    trials = known((3.0, 3.0), (2.0, 2.0), (1.0, 1.0)) + known((9.0, 9.0), family="b", first=3)
    assert make_race(trials, 0.5, family="b") == Race((2.0, 2.0), 1.0, 0.5)


def test_no_race_before_four_trials_are_complete(known, make_trial):
    """Three complete trials and a failed one are no field."""
    failed = make_trial(number=3, state="FAIL", scores=None, objective=None)
    assert make_race([*known((1.0, 1.0), (2.0, 2.0), (3.0, 3.0)), failed], 1.0, family="toy") is None
