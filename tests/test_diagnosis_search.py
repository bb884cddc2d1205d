"""Findings about the search: the case that triggers each, and the nearest one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import Float, Int, SearchSpace
from tuner._claims.claims import Paid
from tuner._decisions.objective import nested_scores
from tuner._diagnosis.diagnosis import Evidence, diagnose
from tuner._diagnosis.search import at_the_edge, families_disagree, noise_limited, unstable

SPACE = SearchSpace(
    "toy",
    {
        "leaves": Int(4, 64, log=True, default=31, simpler="low"),
        "rate": Float(0.0, 0.5, default=0.1),
        "share": Float(0.2, 1.0, default=0.8),
    },
)
LOSSES = (0.50, 0.52, 0.48, 0.51, 0.49)
WORSE = (0.60, 0.63, 0.57, 0.61, 0.59)  # by .10 .11 .09 .10 .10: mean .10, noise .0032
ALIKE = (0.52, 0.50, 0.50, 0.49, 0.51)  # by .02 -.02 .02 -.02 .02: mean .004, noise .0098, t = .41 < 2.13


@pytest.fixture
def trial(make_trial, make_scores):
    """Trial of the toy family from the losses of its folds."""

    def build(number, losses, *, family="toy", curves=None, params=None, **scores):
        params = {"leaves": 16, "rate": 0.1, "share": 0.8} | (params or {})
        return make_trial(
            number, scores=make_scores(losses, **scores), params=params, family=family, curves=curves
        )

    return build


def test_half_of_the_trials_alike_is_noise(trial):
    """D003: three of six others cannot be told from the winner; with two of six it is silent."""
    winner = trial(0, LOSSES)
    alike = [trial(number, ALIKE) for number in (1, 2, 3)]
    worse = [trial(number, WORSE) for number in (4, 5, 6)]
    found = noise_limited(winner, [winner, *alike, *worse])
    assert (found.code, found.severity) == ("D003", "info")
    assert "3 of 6 others" in found.title
    assert noise_limited(winner, [winner, *alike[:2], *worse, trial(7, WORSE)]) is None


def test_four_other_trials_are_too_few_to_count(trial):
    """D003 says nothing of a search that has hardly begun."""
    winner = trial(0, LOSSES)
    assert noise_limited(winner, [winner, *(trial(number, ALIKE) for number in range(1, 5))]) is None


def test_a_winner_at_the_end_of_a_range_is_found(trial):
    """D005: 64 of [4, 64] wins, five trials at 16 (the middle in logarithms) are worse beyond noise."""
    winner = trial(0, LOSSES, params={"leaves": 64})
    inside = [trial(number, WORSE) for number in range(1, 6)]
    found = at_the_edge(winner, [winner, *inside], SPACE)
    assert (found.code, found.severity) == ("D005", "warning")
    widened = 'search_space={"toy": {"leaves": Int(4, 256, log=True)}}'
    assert found.next_step == f"Widen it: {widened}; or let the search do it: widen=True."


@pytest.mark.parametrize(
    ("params", "losses"),
    [
        ({"leaves": 60}, WORSE),  # near the end: log(60/4) / log(64/4) = .977 < .98
        ({"leaves": 64}, ALIKE),  # the inside does as well
        ({"share": 1.0}, WORSE),  # nothing lies beyond a share of 1
        ({"rate": 0.0}, WORSE),  # nor below 0
    ],
)
def test_no_edge_where_it_does_not_matter(trial, params, losses):
    """Neither near an end, nor where the inside does as well, nor at a natural end."""
    winner = trial(0, LOSSES, params=params)
    assert at_the_edge(winner, [winner, *(trial(n, losses) for n in range(1, 6))], SPACE) is None


def test_following_the_next_step_widens_the_space(trial):
    """D005: in the space of the next step the same winner lies inside, and nothing is said."""
    winner = trial(0, LOSSES, params={"leaves": 64})
    trials = [winner, *(trial(number, WORSE) for number in range(1, 6))]
    assert at_the_edge(winner, trials, SPACE) is not None
    assert at_the_edge(winner, trials, SPACE.override({"leaves": Int(4, 256, log=True)})) is None


@pytest.mark.parametrize(("verdict", "codes"), [("did not pay", ["D006"]), ("not shown", []), ("paid", [])])
def test_tuning_that_did_not_pay_is_found(trial, verdict, codes):
    """D006 where the verdict says so, with its interval; not where it is open or positive."""
    winner = trial(0, LOSSES, fold_train_losses=LOSSES)
    evidence = Evidence(paid=Paid(verdict, 0.01, -0.02, 0.04))
    found = diagnose(winner, [winner], [SPACE], evidence)
    assert [each.code for each in found] == codes
    assert all("+0.01" in each.evidence for each in found)


def test_families_that_do_equally_well_are_named(trial):
    """D007: the best of another family is within noise on the fresh folds, not worse, not better."""
    winner = trial(0, LOSSES)
    assert families_disagree(winner, [winner, trial(1, ALIKE, family="other")]).code == "D007"
    assert families_disagree(winner, [winner, trial(1, WORSE, family="other")]) is None
    assert families_disagree(trial(1, WORSE, family="other"), [winner]) is None  # surely better is told, too
    assert families_disagree(winner, [winner, trial(1, ALIKE)]) is None  # its own family


def test_repeats_of_the_same_rows_do_not_tell_families_apart(trial, make_curves):
    """Differences .02 .004 | .004 .02: four folds of one are sure (mean .012, noise .0046, t 2.6 > 2.35).

    Two repeats have the noise of one: .008, t 1.5 < 2.92. The evidence shows that one.
    """
    curves = make_curves(np.full((4, 1), 0.5), repeats=(0, 0, 1, 1))
    winner = trial(0, (0.5, 0.5, 0.5, 0.5), curves=curves)
    other = trial(1, (0.52, 0.504, 0.504, 0.52), family="other")
    found = families_disagree(winner, [winner, other])
    assert found.code == "D007"
    assert found.evidence == "loss difference +0.012, fold noise 0.008"


def test_an_unstable_size_is_found(trial, make_curves):
    """D008: own choices lose .02 .03 .02 .03 .02 against point 1: mean .024, noise .0024.

    The loss is known to .0093 (sd .0207, 5 folds): (.024 - .0093) / .0024 = 6.0 > 2.13.
    """
    common = np.array(LOSSES)
    own = common + np.array([0.02, 0.03, 0.02, 0.03, 0.02])
    curves = make_curves(np.column_stack([own, common, own]), path_values=(8.0, 16.0, 32.0))
    found = unstable(trial(0, own, curves=curves, path_point=1, fold_points=(0, 2, 0, 2, 0)))
    assert (found.code, found.severity) == ("D008", "warning")
    assert "from 8 to 32" in found.evidence


def test_a_size_that_costs_nothing_sure_is_stable(trial, make_curves):
    """D008 needs a cost beyond noise: one fold of five loses, mean .02, noise .02, t = 1."""
    common = np.array(LOSSES)
    own = common + np.array([0.10, 0.0, 0.0, 0.0, 0.0])
    curves = make_curves(np.column_stack([own, common]))
    assert unstable(trial(0, own, curves=curves, path_point=1)) is None


def test_a_sure_cost_that_does_not_matter_is_stable(trial, make_curves):
    """D008: .002 .003 .002 .003 .002 is sure (t = 9.8) and never below 0; the loss is known to .0073."""
    common = np.array(LOSSES)
    own = common + np.array([0.002, 0.003, 0.002, 0.003, 0.002])
    curves = make_curves(np.column_stack([own, common]))
    assert unstable(trial(0, own, curves=curves, path_point=1)) is None


def test_sizes_that_are_all_the_common_one_are_stable(trial, make_curves):
    """D008: of one size each fold takes another threshold at a cost of .1; that is no matter of size."""
    common = np.array(LOSSES)
    curves = make_curves(np.column_stack([common, common + 0.1]), path_values=(120.0,), thresholds=(0.5, 0.4))
    assert unstable(trial(0, common + 0.1, curves=curves, path_point=0, fold_points=(1,) * 5)) is None


def test_noise_on_a_flat_path_is_stable(make_trial, make_curves):
    """D008: 200 flat paths of 30 points, noise .01 at each and .05 between folds: hardly one is called so."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        curves = make_curves(rng.normal(0.5, 0.05, (5, 1)) + rng.normal(0, 0.01, (5, 30)))
        scores = nested_scores(curves)
        common = np.array(curves.validation)[:, scores.path_point]
        assert min(np.subtract(scores.fold_losses, common)) > -1e-12  # whatever the noise
        found += unstable(make_trial(0, scores=scores, curves=curves)) is not None
    assert found <= 10
