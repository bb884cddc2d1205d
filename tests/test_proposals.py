"""What trials are proposed: known-good configurations take over the augmentation of their family's best."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search_spaces import SPACES
from tuner import TuningConfig
from tuner._options.settings import resolve
from tuner._records import Configuration
from tuner._search.proposals import first_proposals, with_best_augmentation

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


def test_augmentation_of_the_familys_best_trial_is_taken_over(judged):
    """Shifts won (.2 to .3, and flips were pruned): the known-good configuration is tried with shifts."""
    trials = judged(
        ("mlp", {"width": 64, "augment": "none"}, 0.3),
        ("mlp", {"width": 64, **SHIFTED}, 0.2),
        ("mlp", {"width": 64, "augment": "image", "augment_flip_vertical": True}, None),
        ("kernel", {"width": 0.5, "augment": "image", "augment_rotate": 10.0}, 0.1),
    )
    assert with_best_augmentation(KNOWN, trials) == Configuration("mlp", {"width": 128, **SHIFTED})


def test_nothing_is_taken_over_where_the_best_has_none(judged):
    """Without copies the family does better, or nothing of it has been scored: as it was."""
    trials = judged(("mlp", {"width": 64, "augment": "none"}, 0.1), ("mlp", {"width": 64, **SHIFTED}, 0.2))
    linear = Configuration("linear", {"penalty": "l1"})
    assert with_best_augmentation(KNOWN, trials) == KNOWN
    assert with_best_augmentation(KNOWN, trials[:0]) == KNOWN
    assert with_best_augmentation(linear, trials) == linear


def images(**portfolios):
    """Return settings on images of one family."""
    config = TuningConfig(families=["kernel"], max_trials=9, time_budget=None)
    found = resolve(config, task="regression", has_time=False, has_images=True)
    return replace(found, portfolios={**found.portfolios, **portfolios})


def test_a_known_good_one_waits_for_the_augmented_ones_before_it():
    """Default, shift, known, flip, known: each known one waits for what comes before it."""
    shift, flip = (
        {"augment": "image", name: value}
        for name, value in (("augment_shift", 0.1), ("augment_flip_vertical", True))
    )
    found = first_proposals(images(kernel=(shift, {"width": 0.9}, flip, {"width": 0.7})))
    assert [each.adopts for each in found] == [False, False, True, False, True]
    assert [each.after for each in found] == [-1, -1, 1, -1, 3]


def test_what_was_elected_before_stays_as_it_was():
    """A whole configuration, as of an earlier winner, says what its augmentation is: none is none."""
    whole = SPACES["kernel"].default() | {"width": 0.7, "augment": "none"}
    settings = images(kernel=({"augment": "image", "augment_shift": 0.1}, whole, {"width": 0.9}))
    assert [each.adopts for each in first_proposals(settings)] == [False, False, False, True]
