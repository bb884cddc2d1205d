"""What is shipped on fewer rows, on random folds and on groups left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss

from tuner import TuningConfig, tune
from tuner._claims.learning import Probe, _rearranged, leave_groups_out
from tuner._decisions.selection import Nomination
from tuner._diagnosis.rows import new_groups
from tuner._finals.finals import assemble
from tuner._folds.splits import plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._options.settings import resolve
from tuner._process.deadline import Deadline
from tuner._rows.data import make_dataset
from tuner._search.proposals import first_proposals
from tuner._trials.bench import Bench
from tuner._trials.trials import Place, run_trial

CONFIG = TuningConfig(max_trials=1, time_budget=None, families=["linear"], random_state=0, n_jobs=1)


@pytest.fixture
def probe():
    """Return a builder of probes of the default linear model on breast cancer rows."""

    def build(deadline=Deadline(), n_jobs=1, n_rows=300, **roles):  # noqa: B008  a frozen record
        X, y = load_breast_cancer(return_X_y=True)
        dataset = make_dataset(X[:n_rows], y[:n_rows], **roles)
        config = replace(CONFIG, n_jobs=n_jobs)
        settings = resolve(config, task="binary", has_time=False)
        plan = plan_choosing(dataset, n_folds=3, n_repeats=1, seed=0)
        bench = Bench(dataset, plan, resolve_metric("log_loss", "binary"), 0)
        default = first_proposals(settings)[0].configuration
        other = replace(default, params={**default.params, "numeric": "piecewise_linear"})
        trials = [
            run_trial(each, bench, place=Place("s", "search"), number=number)
            for number, each in enumerate([default, other])
        ]
        nominations = [Nomination(number, ()) for number in range(2)]
        finals = assemble(trials, nominations, bench, settings)
        return Probe(trials[0].record, finals, finals.tuned, bench, replace(settings, n_folds=3), deadline)

    return build


def test_the_curve_grows_to_the_shipped_ensemble(probe):
    """A quarter, a half and all of 200 training rows; the last losses are those of the held-out mixture."""
    asked = probe()
    assert len(asked.shipped.shares) == 2  # or it shows nothing of mixing
    curve = asked.learning_curve()
    assert curve.rows == (50, 100, 200)
    y = asked.bench.dataset.y
    expected = [
        log_loss(y[fold.test], held_out)
        for fold, held_out in zip(asked.finals.plan.folds, asked.shipped.held_out, strict=True)
    ]
    assert curve.losses[-1] == pytest.approx(expected)
    assert np.mean(curve.losses[0]) > np.mean(curve.losses[-1])


def test_members_are_mixed_at_their_shares_on_every_size(probe):
    """On all rows instead of a half, members fitted anew give the shipped mixture's losses again."""
    asked = probe()
    (again,) = asked._shipped_on([asked.bench])  # its folds elected
    for each, known in zip(again, asked.shipped.held_out, strict=True):
        assert each == pytest.approx(known, abs=1e-6)


def test_smaller_parts_lie_in_larger_ones_and_hold_whole_groups(probe):
    """Rows are drawn once: nested parts, groups whole, nobody tested trains."""
    groups = np.arange(300) // 5
    asked = probe(groups=groups)
    fold = asked.bench.plan.folds[0]
    quarter, half = (asked._part(fold, share).train for share in (0.25, 0.5))
    assert set(quarter) < set(half) < set(fold.train)
    assert not set(groups[half]) & set(groups[fold.test])
    assert np.isin(np.flatnonzero(np.isin(groups, groups[half])), half).all()


def test_threads_do_not_change_the_curve(probe):
    """The curve is a function of the seed."""
    assert probe(n_jobs=1).learning_curve() == probe(n_jobs=2).learning_curve()


def test_no_time_or_few_rows_give_no_curve(probe):
    """It is skipped where it would not fit into what is left, or a quarter of it is too little."""
    assert probe(deadline=Deadline.after(0.0)).learning_curve() is None
    assert probe(n_rows=60).learning_curve() is None
    assert probe(groups=np.arange(300) % 3).learning_curve() is None  # two groups have no quarter


def test_groups_are_left_out_one_by_one_or_in_ten_parts():
    """Four groups make four folds; 60 make ten of six groups each; in fewer parts, more groups each."""
    X = np.random.default_rng(0).normal(size=(120, 2))
    few = leave_groups_out(make_dataset(X, np.arange(120) % 2, groups=np.arange(120) // 30), 0)
    assert [set(fold.test // 30) for fold in few.folds] == [{0}, {1}, {2}, {3}]
    groups = np.arange(120) // 2
    many = leave_groups_out(make_dataset(X, np.arange(120) % 2, groups=groups), 0)
    assert [len(set(groups[fold.test])) for fold in many.folds] == [6] * 10
    assert sorted(np.concatenate([fold.test for fold in many.folds])) == list(range(120))
    thirds = leave_groups_out(make_dataset(X, np.arange(120) % 2, groups=groups), 0, n_parts=3)
    assert [len(set(groups[fold.test])) for fold in thirds.folds] == [20] * 3


def test_predictions_go_with_their_rows_to_other_folds():
    """Rows 0 to 5, predicted as 10 times their number on folds 0 2 4 | 1 3 5, on folds of two groups."""
    X = np.arange(6.0)[:, None]
    by_parity = leave_groups_out(make_dataset(X, np.arange(6) // 3, groups=np.arange(6) % 2), 0)
    halves = leave_groups_out(make_dataset(X, np.arange(6) % 2, groups=np.arange(6) // 3), 0)
    moved = _rearranged([np.array([0.0, 20.0, 40.0]), np.array([10.0, 30.0, 50.0])], by_parity, halves)
    assert [each.tolist() for each in moved] == [[0, 10, 20], [30, 40, 50]]


def test_groups_left_out_are_compared_on_the_same_rows(probe):
    """Six groups, six losses of either kind; without groups, or with time, there is nothing to compare."""
    scores = probe(groups=np.arange(300) % 6).groups()
    assert (len(scores.random_losses), len(scores.left_out_losses)) == (6, 6)
    assert probe().groups() is None


def site_scores(X, y, site, metric):
    """Return what the default linear model loses on random folds and on sites left out."""
    dataset = make_dataset(X, y, groups=site)
    settings = resolve(CONFIG, task="binary", has_time=False)
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric(metric, "binary"), 0)
    default = first_proposals(settings)[0].configuration
    winner = run_trial(default, bench, place=Place("s", "search"), number=0).record
    return Probe(winner, None, None, bench, settings, Deadline()).groups()  # finals have no say in it


def test_sites_that_are_harder_known_or_not_are_no_new_group_effect():
    """Five sites of 40 coin flips and an easy one of 800 rows: rows of each are judged in either case.

    Random folds lose some .2 a row, sites left out .6 on average; but the flips lose .69 either way.
    """
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(6), (40, 40, 40, 40, 40, 800))
    y = rng.integers(0, 2, 1000)
    tells = np.where(site == 5, 3.0 * y - 1.5 + rng.normal(size=1000), 0.0)
    X = np.column_stack([tells, rng.normal(size=1000)])
    scores = site_scores(X, y, site, "log_loss")
    assert np.array(scores.random_losses[:5]) == pytest.approx(0.69, abs=0.05)
    assert np.array(scores.left_out_losses[:5]) == pytest.approx(0.69, abs=0.05)
    assert scores.random_losses[5] < 0.3
    assert new_groups(scores) is None


def test_ranks_are_compared_within_sites():
    """A site's level tells one site from another and no row within: AUC .5 there, left out or not."""
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(8), 60)
    level = np.linspace(-2, 2, 8)[site]
    y = (rng.random(480) < 1 / (1 + np.exp(-level))).astype(int)
    scores = site_scores(np.column_stack([level, rng.normal(size=480)]), y, site, "roc_auc")
    assert np.mean(scores.random_losses) > 0.4  # pooled over sites it is about .2
    assert new_groups(scores) is None


def test_a_run_on_sites_that_differ_warns_of_new_ones():
    """D012: each site has labels of its own kind, told by a site number that new sites do not share."""
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(12), 40)
    flips = rng.permutation(np.arange(12) % 2)
    x = rng.normal(size=480)
    y = ((x > 0) ^ flips[site].astype(bool)).astype(int)
    config = TuningConfig(
        max_trials=1, time_budget=None, families=["lightgbm"], estimate=None, tracking=False, verbose=0,
        random_state=0, search_space={"lightgbm": {"learning_rate": 0.3}},
    )  # fmt: skip
    result = tune(np.column_stack([x, site + 0.0]), y, groups=site, config=config)
    assert "D012" in [each.code for each in result.diagnosis]
    assert "on groups left out" in str(result)
    assert np.mean(result.group_scores.left_out_losses) > np.mean(result.group_scores.random_losses)
