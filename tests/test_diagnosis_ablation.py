"""What augmentation and dropout brought: each verdict by hand, and when nothing is said."""

from __future__ import annotations

import pytest

from tuner._diagnosis.ablation import augmentation_helped, dropout_helped
from tuner.findings import codes

LOSSES = (0.50, 0.52, 0.48, 0.51, 0.49)
WORSE = (0.60, 0.63, 0.57, 0.61, 0.59)  # by .10 .11 .09 .10 .10: mean .10, noise .0032
ALIKE = (0.52, 0.50, 0.50, 0.49, 0.51)  # by .02 -.02 .02 -.02 .02: mean .004, noise .0098, t = .41 < 2.13
CASES = {
    "D013": (augmentation_helped, {"augment": "image", "augment_shift": 0.1}, {"augment": "none"}),
    "D014": (dropout_helped, {"dropout": 0.2}, {"dropout": 0.0}),
}


@pytest.fixture
def trial(make_trial, make_scores):
    """Finalist from the losses of its folds and its parameters."""

    def build(number, losses, params, family="mlp"):
        return make_trial(number, scores=make_scores(losses), params=params, family=family)

    return build


@pytest.mark.parametrize("code", CASES)
@pytest.mark.parametrize(
    ("with_it", "without", "said"),
    [(LOSSES, WORSE, "helped"), (WORSE, LOSSES, "hurt"), (LOSSES, ALIKE, "no difference")],
)
def test_verdicts(trial, code, with_it, without, said):
    """.10 better or worse with noise .0032 is sure, .004 with noise .0098 is not; each code has a page."""
    judge, params, plain = CASES[code]
    found = judge([trial(0, without, plain), trial(1, with_it, params)])
    assert (found.code, found.severity) == (code, "info")
    assert said in found.title
    assert code in codes()


@pytest.mark.parametrize("code", CASES)
def test_nothing_is_said_without_a_pair(trial, code):
    """None with it, none without it, or one of another family: there is nothing to compare."""
    judge, params, plain = CASES[code]
    assert judge([trial(0, LOSSES, plain), trial(1, WORSE, plain)]) is None
    assert judge([trial(0, LOSSES, params), trial(1, WORSE, params)]) is None
    assert judge([trial(0, LOSSES, params), trial(1, WORSE, plain, "linear")]) is None


def test_the_best_of_each_kind_is_compared(trial):
    """A worse augmented finalist does not count: trial 1 against trial 0, a gain of .10."""
    found = augmentation_helped(
        [
            trial(0, WORSE, {"augment": "none"}),
            trial(1, LOSSES, {"augment": "image", "augment_shift": 0.1}),
            trial(2, [loss + 0.3 for loss in WORSE], {"augment": "image", "augment_rotate": 10.0}),
        ]
    )
    assert "(trial 1) with" in found.evidence
    assert "(trial 0) without" in found.evidence
    assert "gain +0.1," in found.evidence
