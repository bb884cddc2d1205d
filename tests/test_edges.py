"""The rule that moves the end of a range: on records alone, and only where D005 would speak."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search_spaces import Float, Int, SearchSpace
from tuner._decisions.edges import Edge, find_edge, reaching, widened

SPACE = SearchSpace("toy", {"leaves": Int(4, 64, log=True, default=31), "rate": Float(0.0, 0.5, default=0.1)})
OTHER = SearchSpace("other", {"leaves": Int(4, 64, log=True)})
LOSSES = (0.50, 0.52, 0.48, 0.51, 0.49)
WORSE = (0.60, 0.63, 0.57, 0.61, 0.59)  # by .10 .11 .09 .10 .10: mean .10, noise .0032
ALIKE = (0.52, 0.50, 0.50, 0.49, 0.51)  # by .02 -.02 .02 -.02 .02: mean .004, noise .0098, t = .41 < 2.13


@pytest.fixture
def trial(make_trial, make_scores):
    """Judged trial of the toy family; its objective is its mean loss."""

    def build(number, losses, leaves=16, rate=0.1, family="toy"):
        scores = make_scores(losses)
        params = {"leaves": leaves, "rate": rate}
        return make_trial(number, scores=scores, params=params, family=family, objective=scores.nested_loss)

    return build


def test_the_end_that_the_best_lies_at_moves(trial):
    """64 of [4, 64] is best, five trials at 16 are worse beyond noise: up to 256, the other family stays."""
    trials = [trial(number, WORSE) for number in range(5)] + [trial(5, LOSSES, leaves=64)]
    assert find_edge(trials[5], trials, SPACE) == Edge("leaves", "high", 5)
    moved, other = widened([SPACE, OTHER], trials)
    assert moved.dimensions["leaves"] == Int(4, 256, log=True, default=31)
    assert other == OTHER
    assert find_edge(trials[5], trials, moved) is None  # 64 lies inside now
    assert widened([moved], trials) == (moved,)


@pytest.mark.parametrize(
    ("n_inside", "losses", "best"),
    [
        (4, WORSE, {"leaves": 64}),  # too few to compare with
        (5, ALIKE, {"leaves": 64}),  # those away from the end do as well
        (5, WORSE, {"leaves": 60}),  # log(60/4) / log(64/4) = .977 of the range: not at its end
        (5, WORSE, {"rate": 0.0}),  # nothing lies below 0
    ],
)
def test_nothing_moves_without_evidence(trial, n_inside, losses, best):
    """The nearest cases in which an end stays where it is."""
    trials = [trial(number, losses) for number in range(n_inside)] + [trial(9, LOSSES, **best)]
    assert widened([SPACE], trials) == (SPACE,)


def test_pruned_and_failed_trials_have_no_say(trial, make_trial):
    """Without a complete trial nothing moves; a pruned one at the end is no best trial."""
    pruned = make_trial(9, state="PRUNED", params={"leaves": 64, "rate": 0.1})
    assert widened([SPACE], [pruned]) == (SPACE,)
    trials = [trial(number, WORSE) for number in range(5)]
    assert widened([SPACE], [*trials, pruned, replace(pruned, state="FAIL")]) == (SPACE,)


@pytest.mark.parametrize(
    ("params", "dimensions"),
    [
        ({"leaves": 64, "rate": 0.5}, {}),
        ({"leaves": 65}, {"leaves": Int(4, 256, log=True, default=31)}),
        ({"leaves": 1000}, {"leaves": Int(4, 1024, log=True, default=31)}),  # 64, 256, 1024
        ({"rate": 0.6}, {"rate": Float(0.0, 1.0, default=0.1)}),
        ({"rate": -1.0}, {}),  # nothing lies below 0
        ({"unknown": 1.0}, {}),
    ],
)
def test_a_range_reaches_what_was_elected_beyond_it(params, dimensions):
    """As often as a search would have moved its end, and no further."""
    assert reaching(SPACE, params) == replace(SPACE, dimensions={**SPACE.dimensions, **dimensions})
