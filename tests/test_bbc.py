"""Bootstrap bias corrected cross-validation: luck taken out, all of the choice repeated, tuning judged."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from tuner._claims import bbc as _bbc
from tuner._claims import replay as _replay
from tuner._claims.bbc import _bootstrap_counts, bbc, flatters
from tuner._claims.claims import Build
from tuner._claims.replay import Replay, within_reach
from tuner._folds.splits import Fold, FoldPlan, plan_choosing
from tuner._line import claim as _claim
from tuner._line.claim import claim
from tuner._line.clock import Clock
from tuner._line.election import Turn
from tuner._metrics.metrics import resolve_metric
from tuner._process.deadline import Deadline
from tuner._rows.data import make_dataset
from tuner._trials.bench import Bench
from tuner._trials.trials import Place


@pytest.fixture
def noise(make_trial, make_scores):
    """Return a bench of random labels and 40 trials that predict at random."""
    rng = np.random.default_rng(0)
    dataset = make_dataset(rng.normal(size=(100, 3)), np.arange(100) % 2)
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric("brier", "binary"), 0)
    trials, predictions, losses = [], {}, []
    for number in range(40):
        guesses = rng.uniform(0, 1, 100)
        predictions[number] = tuple(guesses[fold.test] for fold in plan.folds)
        folds = [np.mean((dataset.y[fold.test] - guesses[fold.test]) ** 2) for fold in plan.folds]
        losses.append(np.mean(folds))
        trials.append(make_trial(number, scores=make_scores(folds, [0.1] * 5)))
    return bench, trials, predictions, losses


@pytest.mark.parametrize(
    ("name", "n_rows", "expected"),
    [
        ("roc_auc", 1000, True),
        ("roc_auc", 1001, False),
        ("f1", 100, True),
        ("log_loss", 100, False),
    ],
)
def test_ranks_of_few_rows_are_flattered(name, n_rows, expected):
    """By AUC and F1, which are no means over rows; log loss is one."""
    assert flatters(resolve_metric(name, "binary"), n_rows) is expected


def test_bbc_takes_the_luck_out_of_the_luckiest_trial(noise, make_settings):
    """Forty random guessers: the smallest loss flatters, bbc comes back to the expected 1/3."""
    bench, trials, predictions, losses = noise
    estimates = bbc(trials, predictions, bench, make_settings("binary", final="refit"), default=0)
    expected = 1 / 3  # E (y - u)^2 for u uniform
    assert min(losses) < expected - 0.03
    assert abs(estimates.tuned.value - expected) < abs(min(losses) - expected) / 2
    assert estimates.tuned.low <= estimates.tuned.value <= estimates.tuned.high
    assert estimates.default.value == pytest.approx(losses[0], abs=0.02)
    assert estimates.paid.difference == pytest.approx(estimates.tuned.loss - estimates.default.loss)
    assert estimates.build == Build(80.0, 1.0)
    assert estimates.apparent_loss == pytest.approx(min(losses))


def test_bbc_ships_no_luck(noise, make_settings):
    """The luckiest of 39 guessers beats the default on the rows that chose it, and loses on the others.

    The default says 1/2 + d of every row, d^2 = .04: it loses (1/2 - d)^2 and (1/2 + d)^2 on half of the rows
    each, 1/4 + d^2 = .29 in the mean; a guesser is expected to lose 1/3.
    """
    bench, trials, predictions, losses = noise
    constant = {0: tuple(np.full(len(fold.test), 0.7) for fold in bench.plan.folds)}
    estimates = bbc(trials, predictions | constant, bench, make_settings("binary", final="refit"), default=0)
    assert min(losses[1:]) < 0.29
    assert estimates.default_apparent_loss == pytest.approx(0.29)
    assert estimates.paid.verdict == "did not pay"
    assert estimates.paid.difference == pytest.approx(1 / 3 - 0.29, abs=0.02)


def test_bbc_takes_the_luck_out_of_the_ensemble(noise, make_settings):
    """Four of forty guessers averaged are expected to lose 1/4 + 1/12/4; on the rows that chose them less."""
    bench, trials, predictions, _ = noise
    estimates = bbc(trials, predictions, bench, make_settings("binary"), default=0)
    expected = 1 / 4 + 1 / 48
    assert estimates.apparent_loss is not None
    assert estimates.apparent_loss < expected - 0.03
    assert abs(estimates.tuned.value - expected) < abs(estimates.apparent_loss - expected) / 2
    assert estimates.tuned.estimand.startswith("the procedure, trained on about 80 rows")


def test_bbc_estimates_what_members_bring_together(make_trial, make_scores, make_settings):
    """Opposite errors of +1 and -1 cancel in an ensemble of both; alone each loses 1."""
    y = np.random.default_rng(0).normal(size=60)
    dataset = make_dataset(y[:, None], y)
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric("rmse", "regression"), 0)
    predictions = {
        number: tuple(y[fold.test] + error for fold in plan.folds) for number, error in enumerate((1, -1))
    }
    trials = [make_trial(number, scores=make_scores([1.0] * 5, [0.1] * 5)) for number in predictions]
    together = bbc(trials, predictions, bench, make_settings(), default=0)
    assert together.tuned.loss == pytest.approx(0.0, abs=1e-3)
    assert together.default.loss == pytest.approx(1.0)
    assert together.paid.verdict == "paid"
    assert together.paid.scale == "squared loss"
    assert together.paid.difference == pytest.approx(-1.0, abs=1e-3)
    assert together.default_apparent_loss == pytest.approx(1.0)
    alone = bbc(trials, predictions, bench, make_settings(final="bag"), default=0)
    assert alone.tuned.loss == pytest.approx(1.0)
    assert alone.paid.verdict == "not judged"  # the default was chosen in every bootstrap
    assert alone.tuned.estimand.startswith("the selected configuration")


def test_bbc_averages_squares_and_not_their_roots(make_trial, make_scores, make_settings):
    """Errors of 1, 1, 1, 1 and 5 on five folds: the root of 29 / 5, not the mean of 9 / 5."""
    y = np.random.default_rng(0).normal(size=60)
    dataset = make_dataset(y[:, None], y)
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric("rmse", "regression"), 0)
    errors = (1.0, 1.0, 1.0, 1.0, 5.0)
    predictions = {0: tuple(y[fold.test] + error for fold, error in zip(plan.folds, errors, strict=True))}
    trials = [make_trial(0, scores=make_scores(errors, [0.1] * 5))]
    estimates = bbc(trials, predictions, bench, make_settings(), default=0)
    assert estimates.default.loss == pytest.approx(
        np.sqrt(29 / 5), abs=2e-3
    )  # a fold may have no row left out
    assert estimates.default_apparent_loss == pytest.approx(np.sqrt(29 / 5))


def test_bbc_chooses_the_threshold_on_other_rows_than_it_scores(make_trial, make_scores, make_settings):
    """Accuracy of random probabilities: the best of many thresholds flatters, out of bag it is 1/2."""
    rng = np.random.default_rng(3)
    y = rng.permutation(np.arange(60) % 2)
    dataset = make_dataset(rng.normal(size=(60, 1)), y)
    plan = plan_choosing(dataset, n_folds=2, n_repeats=1, seed=0)
    metric = resolve_metric("accuracy", "binary")
    guesses = rng.uniform(size=60)
    trials = [make_trial(0, scores=make_scores([0.5, 0.5], [0.1] * 2))]
    predictions = {0: tuple(guesses[fold.test] for fold in plan.folds)}
    estimates = bbc(trials, predictions, Bench(dataset, plan, metric, 0), make_settings("binary"), default=0)
    assert estimates.apparent_loss is not None
    assert estimates.apparent_loss < 0.5
    assert estimates.tuned.loss > estimates.apparent_loss + 0.05


@pytest.mark.parametrize("n_repeats", [1, 2])
def test_bbc_does_not_flatter_by_scoring_few_positives(n_repeats, make_trial, make_scores, make_settings):
    """Average precision of one fixed model, 22 positives in 740 rows: most of the flattery is taken off.

    Scores are normal, those of positives higher by 2.5: on 200,000 rows the loss is .353, on folds with four
    or five positives .29, on the one or two left out of a bootstrap .24 (means over many tables).
    """
    metric = resolve_metric("average_precision", "binary")
    y = np.zeros(740, dtype=int)
    y[:22] = 1
    claims, folds_alone = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = expit(rng.normal(size=740) + 2.5 * y)
        dataset = make_dataset(rng.normal(size=(740, 1)), y)
        plan = plan_choosing(dataset, n_folds=5, n_repeats=n_repeats, seed=seed)
        predictions = {0: tuple(scores[fold.test] for fold in plan.folds)}
        losses = [metric.losses(y[fold.test], scores[fold.test])[0, 0] for fold in plan.folds]
        trials = [make_trial(0, scores=make_scores(losses, [0.1] * len(losses)))]
        claims.append(
            bbc(trials, predictions, Bench(dataset, plan, metric, 0), make_settings("binary"), default=0)
        )
        folds_alone.append(np.mean(losses))
    expected = 0.353
    claimed = np.mean([1 - claim.tuned.value for claim in claims])
    assert np.mean(folds_alone) < expected - 0.04
    assert abs(claimed - expected) < abs(np.mean(folds_alone) - expected)
    assert claimed > np.mean(folds_alone) + 0.02


def test_bbc_claims_f1_of_all_folds_together(make_trial, make_scores, make_settings):
    """Both positives of every other fold are found, of the rest none: F1 1 and 0, .5 on average.

    Together 10 hits and 10 missed: 2/3.
    """
    y, found = np.tile([1, 1, 0, 0], 10), np.tile([1, 1, 0, 0, 0, 0, 0, 0], 5)
    dataset = make_dataset(np.arange(40.0)[:, None], y)
    tests = np.split(np.arange(40), 10)
    folds = tuple(Fold(0, i, np.setdiff1d(np.arange(40), test), test) for i, test in enumerate(tests))
    predictions = {0: tuple(0.01 + 0.98 * found[test] for test in tests)}
    trials = [make_trial(0, scores=make_scores([0.0, 1.0] * 5, [0.1] * 10))]
    bench = Bench(dataset, FoldPlan("stratified", folds, ()), resolve_metric("f1", "binary"), 0)
    estimates = bbc(trials, predictions, bench, make_settings("binary", final="refit"), default=0)
    assert estimates.apparent_loss == pytest.approx(1 / 3)
    assert estimates.tuned.loss == pytest.approx(1 / 3, abs=0.02)


def test_bbc_is_the_same_in_blocks(noise, monkeypatch, make_settings):
    """On large tables a few bootstraps are drawn at a time; which does not show."""
    bench, trials, predictions, _ = noise
    whole = bbc(trials, predictions, bench, make_settings("binary"), default=0)
    monkeypatch.setattr(_bbc, "MAX_CELLS", 700)  # seven bootstraps of 100 rows; 300 is no multiple
    assert len(list(_bootstrap_counts(bench.dataset, seed=0))) == 43
    blocks = bbc(trials, predictions, bench, make_settings("binary"), default=0)
    assert replace(blocks, paid=whole.paid) == whole
    assert blocks.paid.difference == pytest.approx(whole.paid.difference)  # sums in another order
    assert replace(blocks.paid, difference=whole.paid.difference) == whole.paid


@pytest.fixture
def ranked(noise):
    """Return the same guessers on a bench of ranks, which flatter."""
    bench, trials, predictions, _ = noise
    return trials[:8], predictions, replace(bench, metric=resolve_metric("roc_auc", "binary"))


def test_bbc_ends_with_its_time_after_a_hundred_bootstraps(ranked, monkeypatch, make_settings):
    """The first hundred of the same draws count, for what is taken off as well."""
    settings = make_settings("binary", final="refit")
    late = bbc(*ranked, settings, default=0, deadline=Deadline.after(0.0))
    assert late.notes == ("The estimate is by 100 bootstraps instead of 300: no time was left.",)
    monkeypatch.setattr(
        _bbc,
        "_bootstrap_counts",
        lambda dataset, seed, n_bootstraps=100, **_: _bootstrap_counts(dataset, seed, n_bootstraps),
    )
    assert bbc(*ranked, settings, default=0) == late


def test_bbc_counts_all_bootstraps_that_time_was_left_for(ranked, monkeypatch, make_settings):
    """Time is up when the clock is looked at for the third time, 25 bootstraps after each of the others."""
    looks = iter([False, False, True])
    monkeypatch.setattr(Deadline, "reached", property(lambda _: next(looks)))
    estimates = bbc(*ranked, make_settings("binary"), default=0, deadline=Deadline.after(60.0))
    assert estimates.notes == ("The estimate is by 150 bootstraps instead of 300: no time was left.",)


@pytest.mark.parametrize("final", ["ensemble", "refit"])
def test_bbc_is_the_same_where_time_suffices(final, ranked, make_settings):
    """A look at the clock now and then changes no number."""
    settings = make_settings("binary", final=final)
    whole = bbc(*ranked, settings, default=0)
    assert whole.notes == ()
    assert bbc(*ranked, settings, default=0, deadline=Deadline.after(600.0)) == whole


def test_mixtures_are_scored_side_by_side(ranked, monkeypatch, make_settings):
    """Two threads score a mixture each at one time; the losses are those of a single thread."""
    trials, predictions, bench = ranked
    mixtures = [((0, 1.0),), ((1, 0.5), (2, 0.5))]
    counts = np.ones((2, 100), dtype=bool)
    alone = Replay(trials, predictions, bench, make_settings("binary", n_jobs=1))
    expected = alone.losses(mixtures, counts, counts)
    met, scored = Barrier(2), Replay._scored

    def meet(*args):
        met.wait(timeout=5.0)
        return scored(*args)

    monkeypatch.setattr(Replay, "_scored", meet)
    both = Replay(trials, predictions, bench, make_settings("binary", n_jobs=2))
    assert both.losses(mixtures, counts, counts).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("estimate", "end"),
    [
        ("bbc", 94.0),  # 3 of 100 s for the conclusion and 3 for the probes
        ("crossfit", 97.0),  # no time was left for it; bbc instead, the probes then have none
    ],
)
def test_bootstraps_end_with_their_reserve(estimate, end, ranked, monkeypatch, make_settings):
    """They have 5 percent of the budget that no fit may use; instead of crossfit those of the probes."""
    trials, predictions, bench = ranked
    heard = []

    def noted(*_, deadline, **__):
        heard.append(deadline.at)
        raise TimeoutError

    monkeypatch.setattr(_claim, "bbc", noted)
    settings = replace(
        make_settings("binary", time_budget=100.0), estimate=estimate, outer_share=0.3, or_bbc=True
    )
    search = SimpleNamespace(trials=[replace(trials[0], shortened=True)], predictions=predictions, default=0)
    clock = Clock(0.0, settings, tracking=False)
    turn = Turn(Place("study", "search"), clock.end, print)
    choice = SimpleNamespace(search=search, bench=bench)
    with pytest.raises(TimeoutError):
        claim(SimpleNamespace(settings=settings), choice, turn, bootstraps=clock.bootstraps)
    assert heard == [pytest.approx(end)]


def test_trials_beyond_reach_are_those_behind_in_every_bootstrap():
    """Means above the best's .2 by .1, .2 and .2; differences spread by 0, .1 * sqrt(2) and .02 * sqrt(2)."""
    best = [0.1, 0.3]
    always = [0.2, 0.4]  # .1 above, without a spread
    at_times = [0.2, 0.6]  # .1 and .3 above: 1.4 standard deviations
    hardly = [0.28, 0.52]  # .18 and .22 above: 7 standard deviations
    unknown = [np.inf, np.inf]
    assert within_reach(np.array([best, always, at_times, hardly, unknown])) == [0, 2, 4]


def test_bbc_is_the_same_without_trials_beyond_reach(noise, monkeypatch, make_settings):
    """Trials that no bootstrap elects are not scored in them."""
    bench, trials, predictions, _ = noise
    for number in range(20, 40):
        predictions[number] = tuple(1.0 - bench.dataset.y[fold.test] for fold in bench.plan.folds)
    kept = []

    def noted(objectives):
        kept.append(within_reach(objectives))
        return kept[-1]

    monkeypatch.setattr(_replay, "within_reach", noted)
    short = bbc(trials, predictions, bench, make_settings("binary", final="refit"), default=0)
    assert kept == [list(range(20))]
    monkeypatch.setattr(_replay, "within_reach", lambda each: list(range(len(each))))
    assert bbc(trials, predictions, bench, make_settings("binary", final="refit"), default=0) == short


def test_bbc_draws_groups_whole():
    """Rows of one group are drawn equally often in every bootstrap."""
    groups = np.repeat(np.arange(10), 3)
    dataset = make_dataset(np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2, groups=groups)
    (counts,) = _bootstrap_counts(dataset, seed=0)
    for group in range(10):
        drawn = counts[:, groups == group]
        assert (drawn == drawn[:, :1]).all()
    assert (counts.sum(axis=1) == 30).all()


@pytest.mark.parametrize(("n_groups", "half_width"), [(2, 12.706), (4, 3.182)])
def test_bbc_of_few_groups_is_no_surer_than_a_t_test_over_them(
    n_groups, half_width, make_trial, make_scores, make_settings
):
    """Two hospitals with losses 1 and 2: a mean of 1.5, and t(.975, 1) = 12.7 standard errors of .5."""
    y = np.random.default_rng(0).normal(size=60)
    groups = np.arange(60) % n_groups
    dataset = make_dataset(y[:, None], y, groups=groups)
    plan = plan_choosing(dataset, n_folds=n_groups, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric("mae", "regression"), 0)
    errors = 1.0 + groups % 2
    predictions = {
        number: tuple(y[fold.test] + share * errors[fold.test] for fold in plan.folds)
        for number, share in enumerate((1.0, 0.9))
    }
    trials = [make_trial(number, scores=make_scores([1.0] * n_groups, [0.1] * n_groups)) for number in (0, 1)]
    estimates = bbc(trials, predictions, bench, make_settings(final="refit"), default=0)
    each = np.resize([1.0, 2.0], n_groups)
    half = half_width * each.std(ddof=1) / np.sqrt(n_groups)
    assert estimates.default.low == pytest.approx(max(0.0, 1.5 - half), abs=1e-3)
    assert estimates.default.high == pytest.approx(1.5 + half, abs=1e-3)
    assert (estimates.paid.verdict == "paid") == (n_groups == 4)  # -.1 and -.2, twice each
