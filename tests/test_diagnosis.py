"""Findings: what is said of overfitting and underfitting, and that noise says nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from search_spaces import Categorical, Float, Int, SearchSpace
from tuner._diagnosis.diagnosis import diagnose

SPACE = SearchSpace(
    "toy",
    {
        "leaves": Int(2, 64, default=31, simpler="low"),
        "l2": Float(0.0, 10.0, default=1.0, simpler="high"),
        "rate": Float(0.01, 1.0),  # neither end is simpler
        "kind": Categorical(("a", "b"), simpler="a"),
        "fixed": 3,
    },
)
PARAMS = {"leaves": 31, "l2": 1.0, "rate": 0.1, "kind": "b", "fixed": 3}
LOSSES = (0.50, 0.52, 0.48, 0.51, 0.49)


@pytest.fixture
def trial(make_trial, make_scores):
    """Trial of the toy family from held-out and training losses of its folds."""

    def build(number, losses, train, *, curves=None, params=PARAMS, **scores):
        return make_trial(number, scores=make_scores(losses, train, **scores), params=params, curves=curves)

    return build


def minus(losses, amounts):
    """Losses with something taken off each fold."""
    return [loss - amount for loss, amount in zip(losses, np.broadcast_to(amounts, len(losses)), strict=True)]


def test_overfitting_warns_when_a_simpler_trial_does_as_well(trial):
    """D001: the gap is .40, another trial has .10 at the same loss within noise."""
    winner = trial(4, LOSSES, minus(LOSSES, 0.40))
    # paired loss differences +.01 -.01 +.01 -.01 0: mean 0, so not worse; gaps smaller by .30 on every fold
    others = [loss + d for loss, d in zip(LOSSES, (0.01, -0.01, 0.01, -0.01, 0.0), strict=True)]
    simpler = trial(2, others, minus(others, 0.10))
    (finding,) = diagnose(winner, [simpler, winner], [SPACE])
    assert (finding.code, finding.severity) == ("D001", "warning")
    assert "trial 2" in finding.title
    assert "0.1 instead of 0.4" in finding.title
    assert "gap 0.4" in finding.evidence
    # simpler: fewer leaves, more l2; nothing about dimensions without a simpler end, choices and fixed values
    assert "lower toy.leaves (now 31), or raise toy.l2 (now 1)" in finding.next_step
    assert all(name not in finding.next_step for name in ("rate", "kind", "fixed"))


def test_gap_that_no_simpler_trial_avoids_is_information(trial):
    """D001 without a cure: the trial with the smaller gap loses .10 on every fold."""
    winner = trial(1, LOSSES, minus(LOSSES, 0.40))
    worse = [loss + 0.10 for loss in LOSSES]
    (finding,) = diagnose(winner, [winner, trial(0, worse, minus(worse, 0.10))], [SPACE])
    assert (finding.code, finding.severity) == ("D001", "info")


def test_gap_of_the_other_must_be_smaller_beyond_noise(trial):
    """A trial whose gap is smaller on some folds and larger on others is no cure."""
    winner = trial(1, LOSSES, minus(LOSSES, 0.40))
    similar = trial(0, LOSSES, minus(LOSSES, (0.45, 0.30, 0.44, 0.32, 0.46)))
    (finding,) = diagnose(winner, [winner, similar], [SPACE])
    assert finding.severity == "info"


@pytest.mark.parametrize(("smaller", "severity"), [(0.005, "info"), (0.010, "warning")])
def test_gap_of_the_other_must_be_smaller_by_something_that_matters(trial, smaller, severity):
    """The loss is known to .0071 (sd .0158, 5 folds): a gap smaller by .005 is no reason."""
    winner = trial(1, LOSSES, minus(LOSSES, 0.40))
    similar = trial(0, LOSSES, minus(LOSSES, 0.40 - smaller))
    (finding,) = diagnose(winner, [winner, similar], [SPACE])
    assert finding.severity == severity


def test_gap_within_fold_noise_is_not_overfitting(trial):
    """Gaps .10 -.05 .08 -.06 .03: mean .02, noise sqrt(.0214 / 4) / sqrt(5) = .033, t = .61 < 2.13."""
    winner = trial(0, LOSSES, minus(LOSSES, (0.10, -0.05, 0.08, -0.06, 0.03)))
    assert diagnose(winner, [winner], [SPACE]) == ()


@pytest.fixture
def falling(trial, make_curves):
    """Winner without a gap whose held-out loss falls by .10 at the last of three points."""

    def build(*, fall=0.10, path_point=2, train=LOSSES, params=PARAMS, thresholds=None):
        before = [loss + amount for loss, amount in zip(LOSSES, np.broadcast_to(fall, 5), strict=True)]
        points = np.column_stack([np.add(before, 0.2), before, LOSSES])
        validation = points if thresholds is None else np.repeat(points, 2, axis=1) + [0, 1] * 3
        curves = make_curves(validation, thresholds=thresholds)
        value, threshold = curves.at(path_point)
        return trial(
            3, LOSSES, train, curves=curves, params=params,
            path_point=path_point, path_value=value, threshold=threshold,
        )  # fmt: skip

    return build


def test_underfitting_by_hand(falling):
    """D002: no gap, and every fold still falls at the end of the path."""
    (finding,) = diagnose(falling(), [falling()], [SPACE])
    assert (finding.code, finding.severity) == ("D002", "warning")
    assert "raise toy.leaves (now 31), or lower toy.l2 (now 1)" in finding.next_step


def test_a_path_that_time_ended_asks_for_time(falling):
    """D002 of a shortened path: the model could have grown, there was no time for it."""
    (finding,) = diagnose(replace(falling(), shortened=True), [falling()], [SPACE])
    assert finding.code == "D002"
    assert finding.next_step == "Raise `time_budget`: it ended this path."


def test_underfitting_compares_sizes_and_not_thresholds(falling):
    """With two thresholds a point, the one before the last size at .5 is two columns to the left."""
    winner = falling(path_point=4, thresholds=(0.5, 0.4))
    assert winner.scores.threshold == 0.5
    (finding,) = diagnose(winner, [winner], [SPACE])
    assert finding.code == "D002"
    # still falling at .5, but hardly: the step from the last size's own neighbour column would be +1 or -1
    level = falling(path_point=4, thresholds=(0.5, 0.4), fall=(0.1, -0.1, 0.1, -0.1, 0.0))
    assert diagnose(level, [level], [SPACE]) == ()


def test_end_of_the_space_asks_for_a_wider_one(falling):
    """Where every parameter is at its larger end, only a wider space helps."""
    winner = falling(params={"leaves": 64, "l2": 0.0, "fixed": 3})
    (finding,) = diagnose(winner, [winner], [SPACE])
    assert finding.next_step == "Allow a larger model: widen the search space."


@pytest.mark.parametrize(
    "change",
    [
        {"path_point": 1},  # the minimum lies inside the path
        {"fall": (0.10, -0.10, 0.08, -0.08, 0.0)},  # the last step is within noise
    ],
)
def test_no_underfitting_without_a_fall_at_the_end(falling, change):
    """A path that has levelled off was long enough."""
    winner = falling(**change)
    assert diagnose(winner, [winner], [SPACE]) == ()


def test_gap_rules_underfitting_out(falling):
    """A model with a gap beyond noise is not underfit, even if its loss still falls: D001 alone."""
    winner = falling(train=minus(LOSSES, 0.40))
    assert [finding.code for finding in diagnose(winner, [winner], [SPACE])] == ["D001"]


def test_skipped_folds_have_no_say(trial):
    """NaN folds drop out of every comparison; one fold left is no evidence."""
    losses = (0.50, math.nan, 0.48, 0.51, 0.49)
    winner = trial(1, losses, minus(losses, 0.40))
    simpler = trial(0, losses, minus(losses, 0.10))
    (finding,) = diagnose(winner, [simpler, winner], [SPACE])
    assert (finding.code, finding.severity) == ("D001", "warning")
    alone = (0.50, math.nan, math.nan, math.nan, math.nan)
    single = trial(0, LOSSES, minus(LOSSES, 0.40))
    single = replace(single, scores=replace(single.scores, fold_losses=alone))
    assert diagnose(single, [single], [SPACE]) == ()


def test_failed_trials_have_no_say(trial, make_trial):
    """A winner without scores has no diagnosis, and failed trials are not compared."""
    failed = make_trial(0, state="FAIL", params=PARAMS)
    assert diagnose(failed, [failed], [SPACE]) == ()
    winner = trial(1, LOSSES, minus(LOSSES, 0.40))
    (finding,) = diagnose(winner, [failed, winner], [SPACE])
    assert finding.severity == "info"


def test_noise_alone_is_rarely_diagnosed(trial, make_curves):
    """Without a gap and on a flat path, a finding is as rare as the test's level says: about 5%."""
    rng = np.random.default_rng(0)
    codes = []
    for _ in range(400):
        losses, train = rng.normal(0.5, 0.05, size=(2, 5))
        curves = make_curves(rng.normal(0.5, 0.05, size=(5, 3)))
        winner = trial(0, losses, train, curves=curves, path_point=2, path_value=3.0)
        codes += [finding.code for finding in diagnose(winner, [winner], [SPACE])]
    # two one-sided tests at 5%: about 20 each of 400; three simulation errors are 13
    assert codes.count("D001") <= 33
    assert codes.count("D002") <= 33
