"""The time of one choice: what finalists are reserved, and the divisions that fit into what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuner._finals.pace import FINALS_SHARE, Pace, wanted_repeats
from tuner._process.deadline import Deadline

N_FOLDS = 4


@pytest.mark.parametrize(("n_rows", "repeats"), [(100, 3), (1_999, 3), (2_000, 2), (50_000, 2)])
def test_small_tables_are_divided_anew_more_often(n_rows, repeats):
    """Three fresh repeats below 2,000 rows, two from there on."""
    assert wanted_repeats(n_rows) == repeats


@pytest.mark.parametrize(("left", "repeats"), [(1000.0, 6), (5.0, 4), (1.0, 1)])
def test_fresh_repeats_that_fit(make_trial, make_settings, left, repeats):
    """A trial of 1 s is reckoned 1 s a repeat, the assembly .3 s: four repeats take 4.3 s, five 5.3 s."""
    trial = replace(make_trial(0), objective=0.5, fit_seconds=1.0)
    pace = Pace(make_settings("binary", n_folds=N_FOLDS), Deadline.after(left), wanted_repeats=6)
    assert pace.fresh_folds([trial]) == (N_FOLDS, repeats)


@pytest.mark.parametrize(("left", "division"), [(3.0, (6, 2)), (2.6, (3, 2)), (1.0, (3, 1))])
def test_finer_folds_where_time_allows(make_trial, make_settings, left, division):
    """Two repeats of six folds are worth five of three: 2 * (6 - 1) / (3 - 1).

    For a trial of .5 s that is 2.5 s, and .3 s for the assembly.
    """
    trial = replace(make_trial(0), objective=0.5, fit_seconds=0.5)
    pace = Pace(make_settings("binary", n_folds=3), Deadline.after(left), wanted_repeats=2, finest=6)
    assert pace.fresh_folds([trial]) == division


@pytest.mark.parametrize(("final", "division"), [("ensemble", (2 * N_FOLDS, 2)), ("refit", (N_FOLDS, 2))])
def test_an_ensemble_of_all_rows_is_elected_on_finer_folds_too(make_trial, make_settings, final, division):
    """Their models train on nearly all rows: what they choose fits models of all rows better."""
    trial = replace(make_trial(0), objective=0.5, fit_seconds=0.1)
    pace = Pace(
        make_settings("binary", n_folds=N_FOLDS, final=final),
        Deadline(),
        wanted_repeats=2,
        finest=2 * N_FOLDS,
        refits=True,
    )
    assert pace.fresh_folds([trial]) == division


def test_a_dear_default_and_a_dear_family_are_reckoned_with(make_trial, make_settings):
    """6 s and, the worst of all, 2 s; of twelve at .1 s eight more: 1.2 * (6 + 2 + .8) + .3 = 10.86 s."""
    default = replace(make_trial(0), objective=0.8, fit_seconds=6.0)
    cheap = [replace(make_trial(number), objective=0.5, fit_seconds=0.1) for number in range(1, 13)]
    other = replace(make_trial(13, family="other"), objective=0.9, fit_seconds=2.0)
    pace = Pace(make_settings("binary", n_folds=N_FOLDS), Deadline.after(1000.0), wanted_repeats=1)
    assert pace.reserve([default, *cheap, other]) == pytest.approx(10.86)


def test_crossfit_is_reserved_what_it_will_take(make_trial, make_settings):
    """Five folds: three repeats of 1 s and five assemblies of .3 s are 4.5 s; at most .3 of the time."""
    trial = replace(make_trial(0), objective=0.5, fit_seconds=1.0)
    settings = make_settings("binary", n_folds=5, estimate="crossfit")
    pace = Pace(settings, Deadline.after(100.0), wanted_repeats=1, crossfits=True)
    assert pace.crossfit_seconds([trial]) == pytest.approx(4.5)
    assert pace.before_crossfit([trial]).deadline.left == pytest.approx(95.5, abs=0.1)
    assert pace.crossfit_seconds([replace(trial, fit_seconds=50.0)]) == pytest.approx(30.0, rel=0.01)
    for other in (replace(pace, crossfits=False), replace(pace, deadline=Deadline())):
        assert other.crossfit_seconds([trial]) == 0.0
        assert other.before_crossfit([trial]).deadline == other.deadline


def test_one_trial_is_not_divided_among_workers(make_trial, make_settings):
    """6 s and 1 s on four workers take 7.2 s with caution, not a quarter of 8.4 s; the assembly .3 s."""
    trials = [replace(make_trial(n), objective=0.5, fit_seconds=s) for n, s in enumerate((6.0, 1.0))]
    pace = Pace(make_settings("binary"), Deadline.after(100.0), n_workers=4, wanted_repeats=1)
    assert pace.reserve(trials) == pytest.approx(7.5)


def test_the_finals_never_take_more_than_their_share(make_trial, make_settings):
    """However dear the trials, the search keeps the larger part of the time."""
    trial = replace(make_trial(0), objective=0.5, fit_seconds=1e6)
    pace = Pace(make_settings("binary", n_folds=N_FOLDS), Deadline.after(10.0), wanted_repeats=6)
    assert pace.reserve([trial]) == pytest.approx(FINALS_SHARE * 10.0, rel=0.01)
