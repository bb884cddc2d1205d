from __future__ import annotations

import pytest

from tuner._decisions.stopping import LEAST_TRIALS, is_settled


@pytest.fixture
def search(make_trial, make_scores):
    """Trials with given objectives and a standard error of .1; None: a pruned one."""

    def build(objectives):
        scores = make_scores(standard_error=0.1)
        return [
            make_trial(number, state="PRUNED", scores=None, objective=None)
            if objective is None
            else make_trial(number, scores=scores, objective=objective)
            for number, objective in enumerate(objectives)
        ]

    return build


HALF = LEAST_TRIALS // 2


def test_a_later_half_without_gain_settles(search):
    """The best stood in the first half: nothing was gained since."""
    assert is_settled(search([0.5] * HALF + [0.6] * HALF), n_families=1)


@pytest.mark.parametrize(("gain", "settled"), [(0.009, True), (0.011, False)])
def test_a_tenth_of_the_noise_counts(search, gain, settled):
    """With a standard error of .1, a gain of .011 keeps the search going and one of .009 does not."""
    assert is_settled(search([0.5] * HALF + [0.5 - gain] * HALF), n_families=1) is settled


def test_every_family_has_its_tries_first(search):
    """With two families, twice as many trials are run before anything is said."""
    trials = search([0.5] * (2 * LEAST_TRIALS - 1))
    assert not is_settled(trials, n_families=2)
    assert is_settled(trials, n_families=1)


def test_pruned_trials_are_tries(search):
    """Trials that lost their race count as vain."""
    assert is_settled(search([0.5] * HALF + [None] * HALF), n_families=1)
    assert not is_settled(search([None] * LEAST_TRIALS), n_families=1)
