"""Nomination and election, by hand and as invariants."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner._decisions.objective import objective
from tuner._decisions.selection import elect, nominate

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2)


@pytest.fixture(scope="session")
def trial_with(make_trial, make_scores):
    """Trial with a given loss and gap, and no noise."""

    def build(number, loss, gap=0.0, **fields):
        scores = make_scores(nested_loss=loss, gap=gap, standard_error=0.0)
        return make_trial(number, scores=scores, **fields)

    return build


@pytest.fixture
def search(trial_with):
    """Default, a lucky overfitter, a compromise, an honest one, a bad one."""
    losses_and_gaps = [(0.50, 0.0), (0.40, 2.0), (0.42, 0.5), (0.45, 0.0), (0.70, 0.0)]
    return [trial_with(number, loss, gap) for number, (loss, gap) in enumerate(losses_and_gaps)]


# Under weight 0:   1 (.40)  2 (.42)  3 (.45)  0 (.50)  4 (.70)
# Under weight .1:  3 (.45)  2 (.42 + .05 = .47)  0 (.50)  1 (.40 + .2 = .60)  4 (.70)


def test_weights_take_turns(search):
    """First every weight's best, then every weight's second, behind the default."""
    nominated = nominate(search, weights=(0.0, 0.1), cap=1.0, n_finalists=4, default=0)
    assert [nomination.number for nomination in nominated] == [0, 1, 3, 2]


def test_weights_under_which_a_trial_is_among_the_best_are_recorded(search):
    """With three places: 1 and 3 lead; the default is third under .1; 3 is also third under 0."""
    nominated = nominate(search, weights=(0.0, 0.1), cap=1.0, n_finalists=3, default=0)
    assert [(nomination.number, nomination.weights) for nomination in nominated] == [
        (0, (0.1,)),
        (1, (0.0,)),
        (3, (0.0, 0.1)),
    ]


def test_the_best_of_every_family_is_nominated(trial_with):
    """Behind the weights' bests, before their seconds; in the order of their best losses, not their worst."""
    trials = [
        trial_with(number, loss, family=family)
        for number, (loss, family) in enumerate(
            [
                (0.5, "trees"),
                (0.3, "trees"),
                (0.31, "trees"),
                (0.52, "lines"),
                (0.55, "kernels"),
                (0.9, "lines"),
            ]
        )
    ]
    nominated = nominate(trials, weights=(0.0,), cap=1.0, n_finalists=5, default=0)
    assert [nomination.number for nomination in nominated] == [0, 1, 3, 4, 2]


def test_default_is_nominated_even_when_it_is_the_worst(search):
    """The named default goes first, with no weight in its favour."""
    nominated = nominate(search, weights=(0.0, 0.1), cap=1.0, n_finalists=2, default=4)
    assert [nomination.number for nomination in nominated] == [4, 1]
    assert nominated[0].weights == ()


def test_cap_bounds_what_a_weight_can_do(search):
    """With a cap of .03 the overfitter (.43) still leads under the largest weight."""
    nominated = nominate(search, weights=(10.0,), cap=0.03, n_finalists=2, default=0)
    assert [nomination.number for nomination in nominated] == [0, 1]


@pytest.mark.parametrize("state", ["PRUNED", "FAIL"])
def test_pruned_and_failed_trials_are_not_eligible(search, trial_with, make_trial, state):
    """Not even one whose partial score is very small."""
    promising = replace(trial_with(6, 0.01), state=state)
    trials = [*search, make_trial(5, state=state), promising]
    nominated = nominate(trials, weights=(0.0, 0.1), cap=1.0, n_finalists=9, default=0)
    assert {nomination.number for nomination in nominated} == {0, 1, 2, 3, 4}


def test_repeated_configuration_counts_once(trial_with):
    """The first of equal configurations stands for all; its place goes to another."""
    same = {"size": 1, "rate": 0.5}
    trials = [
        trial_with(0, 0.50),
        trial_with(1, 0.40, params=same),
        trial_with(2, 0.40, params=dict(same)),
        trial_with(3, 0.45),
    ]
    nominated = nominate(trials, weights=(0.0,), cap=1.0, n_finalists=3, default=0)
    assert [nomination.number for nomination in nominated] == [0, 1, 3]


def test_equal_objectives_go_to_the_earlier_trial(trial_with):
    """Numbers break ties."""
    trials = [trial_with(number, loss) for number, loss in ((0, 0.5), (2, 0.4), (1, 0.4))]
    for order in (trials, trials[::-1]):
        nominated = nominate(order, weights=(0.0,), cap=1.0, n_finalists=2, default=0)
        assert [nomination.number for nomination in nominated] == [0, 1]


def test_nothing_complete_nominates_nobody(make_trial):
    """Failures alone make no finalist."""
    assert nominate([make_trial(0, state="FAIL")], weights=(0.0,), cap=1.0, n_finalists=3, default=0) == ()


TRIALS = st.lists(
    st.tuples(
        st.floats(0, 1), st.floats(0, 2), st.integers(0, 6), st.sampled_from(["COMPLETE"] * 3 + ["FAIL"])
    ),
    min_size=1,
    max_size=12,
)


@given(TRIALS, st.integers(len(WEIGHTS) + 1, 9), st.floats(0, 0.2))
def test_nomination_invariants(trial_with, drawn, n_finalists, cap):
    """The default first; every weight's best among them; nobody twice; no place left empty."""
    trials = [
        trial_with(number, loss, gap, params={"size": size}, state=state)
        for number, (loss, gap, size, state) in enumerate([(0.5, 0.1, -1, "COMPLETE"), *drawn])
    ]
    nominated = nominate(trials, weights=WEIGHTS, cap=cap, n_finalists=n_finalists, default=0)
    numbers = [nomination.number for nomination in nominated]
    first = {}
    for trial in trials:
        if trial.state == "COMPLETE":
            first.setdefault(trial.configuration.params["size"], trial)
    eligible = {trial.number: trial for trial in first.values()}
    assert numbers[0] == 0
    assert len(numbers) == len(set(numbers)) == min(n_finalists, len(eligible))
    assert set(numbers) <= set(eligible)
    assert all(nomination.weights for nomination in nominated[1:])
    for weight in WEIGHTS:
        best = min(eligible.values(), key=lambda t: (objective(t.scores, weight=weight, cap=cap), t.number))
        assert best.number in numbers
        assert weight in nominated[numbers.index(best.number)].weights


# Election


def test_fresh_loss_elects_and_gaps_have_no_say(trial_with):
    """The smallest loss wins, whatever its gap; on ties the earlier."""
    assert (
        elect([trial_with(0, 0.5), trial_with(3, 0.4, gap=9.0), trial_with(2, 0.4), trial_with(1, 0.45)]) == 1
    )


def test_finalist_that_failed_is_not_elected(trial_with, make_trial):
    """A pruned finalist has no loss, so it cannot win."""
    assert elect([make_trial(0, state="PRUNED"), trial_with(1, 0.9)]) == 1
    with pytest.raises(ValueError, match="No finalist"):
        elect([make_trial(0, state="PRUNED"), make_trial(1, state="FAIL")])


def test_finalist_without_a_number_is_not_elected(trial_with):
    """NaN is no loss, wherever it stands."""
    assert elect([trial_with(0, math.nan), trial_with(1, 0.9), trial_with(2, 0.8)]) == 2


def test_the_best_without_augmentation_and_without_dropout_is_nominated(trial_with):
    """Five trials with both are ahead; of three places one goes to the clean trial behind them."""
    both = {"augment": "image", "augment_shift": 0.1, "dropout": 0.2}
    trials = [
        trial_with(0, 0.9, params={"augment": "none", "dropout": 0.1}),
        *(trial_with(n, 0.4 + n / 100, params={**both, "width": n}) for n in range(1, 6)),
        trial_with(6, 0.8, params={**both, "dropout": 0.0}),
        trial_with(7, 0.7, params={"augment": "none", "dropout": 0.2}),
    ]
    nominated = nominate(trials, weights=(0.0,), cap=0.0, n_finalists=4, default=0)
    # The default, the best (.41), the best without augmentation (7, .7), the best without dropout (6, .8).
    assert [each.number for each in nominated] == [0, 1, 7, 6]
