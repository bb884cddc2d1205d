"""What trials are proposed: known-good configurations take over the copies that helped their family."""

from __future__ import annotations

import pytest

from tuner._records import Configuration
from tuner._search.proposals import with_copies_of

SHIFTED = {"augment": "image", "augment_copies": 4, "augment_shift": 0.1}
KNOWN = Configuration("mlp", {"width": 128, "augment": "none"})


@pytest.fixture
def judged(make_trial, make_scores):
    """Return trials of (family, params, objective) in trial order; None: pruned."""

    def build(*rows):
        return [
            make_trial(
                number,
                configuration=Configuration(family, params),
                state="PRUNED" if objective is None else "COMPLETE",
                objective=objective,
                scores=None if objective is None else make_scores(nested_loss=objective),
            )
            for number, (family, params, objective) in enumerate(rows)
        ]

    return build


def test_copies_of_the_familys_best_trial_are_taken_over(judged):
    """Shifts won (.2 to .3, and flips were pruned): the known-good configuration is tried with shifts."""
    trials = judged(
        ("mlp", {"width": 64, "augment": "none"}, 0.3),
        ("mlp", {"width": 64, **SHIFTED}, 0.2),
        ("mlp", {"width": 64, "augment": "image", "augment_flip_vertical": True}, None),
        ("kernel", {"width": 0.5, "augment": "image", "augment_rotate": 10.0}, 0.1),
    )
    assert with_copies_of(KNOWN, trials) == Configuration("mlp", {"width": 128, **SHIFTED})


def test_nothing_is_taken_over_where_copies_did_not_help(judged):
    """Without copies the family does better, or nothing of it has been scored: as it was."""
    trials = judged(("mlp", {"width": 64, "augment": "none"}, 0.1), ("mlp", {"width": 64, **SHIFTED}, 0.2))
    assert with_copies_of(KNOWN, trials) == KNOWN
    assert with_copies_of(KNOWN, trials[:0]) == KNOWN
    assert with_copies_of(Configuration("linear", {"penalty": "l1"}), trials) == Configuration(
        "linear", {"penalty": "l1"}
    )


def test_a_configuration_with_copies_of_its_own_stays(judged):
    """What is to tell flips from shifts is not given shifts."""
    flipped = Configuration("mlp", {"width": 64, "augment": "image", "augment_flip_vertical": True})
    assert with_copies_of(flipped, judged(("mlp", {"width": 64, **SHIFTED}, 0.2))) == flipped
