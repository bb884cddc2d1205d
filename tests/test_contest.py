"""Champion against challenger: the interval by hand, the rule, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from tuner._metrics.metrics import METRICS, Metric
from tuner._schedule.contest import Contestant, group_blocks, hold_contest, loss_interval, time_blocks


def _contest(metric, y, old, new, blocks, **options):
    old, new = (
        each if isinstance(each, Contestant) else Contestant(np.asarray(each), None, 4) for each in (old, new)
    )
    return hold_contest(
        METRICS[metric], np.asarray(y), None, np.asarray(blocks), champion=old, challenger=new, **options
    )


def test_interval_of_a_row_mean_is_the_paired_t_interval_of_block_means():
    """With blocks of one size the jackknife's pseudo-values are the blocks' mean differences."""
    errors = np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 2.0, 2.0, 0.0, 4.0])
    # Absolute errors of the champion; the challenger's are 1, 1, 0, 2, 2, 1, 1, 2, 0, 2.
    better = np.array([1.0, 1.0, 0.0, 2.0, 2.0, 1.0, 1.0, 2.0, 0.0, 2.0])
    blocks = np.repeat(np.arange(5), 2)
    # Differences -0, -1, 0, +1, -1, 0, -1, 0, 0, -2; means of pairs: -.5, .5, -.5, -.5, -1. Mean -.4.
    means = np.array([-0.5, 0.5, -0.5, -0.5, -1.0])
    half = student.ppf(0.975, 4) * means.std(ddof=1) / np.sqrt(5)
    contest = _contest("mae", np.zeros(10), errors, better, blocks)
    assert contest.champion_loss == pytest.approx(1.6)
    assert contest.challenger_loss == pytest.approx(1.2)
    assert contest.difference == pytest.approx(-0.4)
    assert (contest.low, contest.high) == pytest.approx((-0.4 - half, -0.4 + half))
    assert contest.verdict == "not better"


def test_a_challenger_better_in_every_block_is_promoted_and_only_beyond_the_margin():
    """Errors of .9 against 1.0 everywhere: better by 10%, which a margin of 20% does not let pass."""
    y, blocks = np.zeros(40), time_blocks(40)
    noise = np.random.default_rng(0).normal(0, 0.01, 40)
    old, new = 1.0 + noise, 0.9 + noise
    assert _contest("mae", y, old, new, blocks).verdict == "better"
    assert _contest("mae", y, old, new, blocks, margin=0.05).promotes
    assert _contest("mae", y, old, new, blocks, margin=0.2).verdict == "not better"


def test_worse_is_said_only_of_what_is_shown_to_be():
    """Errors of 1.1 against 1 everywhere are worse; errors that differ by chance alone are not."""
    y, blocks, generator = np.zeros(40), time_blocks(40), np.random.default_rng(0)
    assert _contest("mae", y, np.ones(40), np.full(40, 1.1), blocks).is_worse
    assert not _contest("mae", y, *generator.uniform(0.5, 1.5, (2, 40)), blocks).is_worse


def test_squared_metrics_are_judged_on_squares():
    """RMSE 2 against 1: the difference of squares is -3, and a margin of half the RMSE is three quarters."""
    y, blocks = np.zeros(40), time_blocks(40)
    contest = _contest("rmse", y, np.full(40, 2.0), np.full(40, 1.0), blocks)
    assert (contest.champion_loss, contest.challenger_loss) == pytest.approx((2.0, 1.0))
    assert contest.difference == pytest.approx(-3.0)
    assert _contest("rmse", y, np.full(40, 2.0), np.full(40, 1.0), blocks, margin=0.49).promotes
    assert not _contest("rmse", y, np.full(40, 2.0), np.full(40, 1.0), blocks, margin=0.51).promotes


def test_an_equal_model_is_promoted_only_if_markedly_smaller():
    """The same predictions by half the models win; by three quarters of them they do not."""
    y, blocks, errors = np.zeros(40), time_blocks(40), np.ones(40)
    champion = Contestant(errors, None, 20)
    smaller = _contest("mae", y, champion, Contestant(errors, None, 10), blocks)
    assert smaller.verdict == "equal and smaller"
    assert smaller.promotes
    assert _contest("mae", y, champion, Contestant(errors, None, 15), blocks).verdict == "not better"
    worse = Contestant(1.02 * errors, None, 10)  # 2% worse everywhere is not equal
    assert _contest("mae", y, champion, worse, blocks).verdict == "not better"


def _profit(_y, prediction, _thresholds):
    """Score predictions by their mean: the loss of a scorer is minus its score."""
    return lambda weights: -(weights @ prediction / weights.sum(axis=1))[:, None]


@pytest.mark.parametrize(
    ("profit", "n_fits", "verdict"),
    [
        (0.95, 4, "not better"),  # higher by .05; 10% of -1, not taken as .1, would let it pass
        (1.05, 4, "not better"),  # lower by .05 is within the margin
        (1.2, 4, "better"),  # lower by .2 is not
        (0.995, 2, "equal and smaller"),  # higher by .005 is less than 1%
    ],
)
def test_a_margin_is_a_share_of_a_negative_loss_as_well(profit, n_fits, verdict):
    """The champion makes 1 on every row, a loss of -1: the margin of 10% is .1 to the better side."""
    metric = Metric("profit", frozenset({"regression"}), _profit, value="minus_loss")
    champion, challenger = Contestant(np.ones(40), None, 4), Contestant(np.full(40, profit), None, n_fits)
    contest = hold_contest(
        metric, np.zeros(40), None, time_blocks(40), champion=champion, challenger=challenger, margin=0.1
    )
    assert contest.verdict == verdict


def test_every_use_of_the_rows_widens_the_interval():
    """The second contest on the same rows is judged at 97.5%, the fifth at 99%."""
    generator = np.random.default_rng(1)
    old, new = generator.normal(1, 0.3, 200), generator.normal(1, 0.3, 200)
    contests = [_contest("mae", np.zeros(200), old, new, time_blocks(200), n_uses=uses) for uses in (1, 2, 5)]
    assert [contest.level for contest in contests] == pytest.approx([0.95, 0.975, 0.99])
    widths = [contest.high - contest.low for contest in contests]
    assert widths[0] < widths[1] < widths[2]


def test_too_few_rows_keep_the_champion():
    """Nine rows make four blocks, which say nothing of their own noise."""
    contest = _contest("mae", np.zeros(9), np.ones(9), np.zeros(9), time_blocks(9))
    assert contest.verdict == "too few rows"
    assert not contest.promotes


def test_a_block_that_holds_all_positives_does_not_spoil_the_interval():
    """Without that block the AUC is not defined; the other blocks still give an interval."""
    y = np.r_[1, 1, 1, 1, np.zeros(36, dtype=int)]
    prediction = np.linspace(1, 0, 40)
    contest = _contest("roc_auc", y, prediction[::-1].copy(), prediction, time_blocks(40))
    assert contest.champion_loss == pytest.approx(1.0)
    assert contest.challenger_loss == pytest.approx(0.0)
    assert np.isfinite([contest.low, contest.high]).all()


def test_each_model_decides_by_its_own_threshold():
    """At .3 the champion calls all right, at .5 half of the positives are missed."""
    y = np.tile([0, 1, 0, 1], 10)
    prediction = np.tile([0.1, 0.4, 0.1, 0.6], 10)
    champion, challenger = Contestant(prediction, 0.5, 1), Contestant(prediction, 0.3, 1)
    contest = _contest("accuracy", y, champion, challenger, time_blocks(40))
    assert contest.champion_loss == pytest.approx(0.25)
    assert contest.challenger_loss == pytest.approx(0.0)


def test_loss_interval_is_the_t_interval_of_block_means():
    """Absolute errors 0 and 2 by turns in blocks of one row: mean 1, and t of 10 rows around it."""
    errors = np.tile([0.0, 2.0], 5)
    interval = loss_interval(METRICS["mae"], np.zeros(10), None, np.arange(10), Contestant(errors, None, 1))
    half = student.ppf(0.975, 9) * errors.std(ddof=1) / np.sqrt(10)
    assert (interval.value, interval.low, interval.high) == pytest.approx((1.0, 1 - half, 1 + half))


def test_the_worst_slice_of_each_model_is_judged():
    """Errors at a and b by turns: 1 and 3 against 2 and 1, so b meets a, 3 against 2; means of 2 and 1.5."""
    y, blocks, slices = np.zeros(20), time_blocks(20), np.tile(np.eye(2, dtype=bool), 10)
    champion, challenger = (Contestant(np.tile(errors, 10), None, 4) for errors in ([1.0, 3.0], [2.0, 1.0]))
    contest = hold_contest(METRICS["mae"], y, slices, blocks, champion=champion, challenger=challenger)
    assert (contest.champion_loss, contest.challenger_loss) == (3.0, 2.0)
    assert (contest.low, contest.high) == pytest.approx((-1.0, -1.0))
    assert contest.promotes


def test_of_two_slices_that_are_as_bad_one_is_judged():
    """Errors 0 and 2 by turns at a, 2 and 0 at b, ten rows each: a mean of 1 and the interval of ten rows.

    The larger of both means without a block is 10 / 9 for every block: pseudo-values of 0 would follow.
    """
    errors, slices = np.tile([0.0, 2.0, 2.0, 0.0], 5), np.tile(np.eye(2, dtype=bool), 10)
    interval = loss_interval(
        METRICS["mae"], np.zeros(20), slices, time_blocks(20), Contestant(errors, None, 1)
    )
    half = student.ppf(0.975, 9) * np.tile([0.0, 2.0], 5).std(ddof=1) / np.sqrt(10)
    assert (interval.value, interval.low, interval.high) == pytest.approx((1.0, 1 - half, 1 + half))


@pytest.mark.parametrize(("n_blocks", "is_known"), [(4, False), (5, True)])
def test_a_worst_slice_in_few_blocks_has_no_interval(n_blocks, is_known):
    """Its rows lie in the first blocks of ten: four say as little of their own noise as four in all."""
    blocks = np.repeat(np.arange(10), 2)
    bad = blocks < n_blocks
    model = Contestant(np.where(bad, 2.0, 1.0), None, 1)
    interval = loss_interval(METRICS["mae"], np.zeros(20), np.array([~bad, bad]), blocks, model)
    assert interval.value == 2.0
    assert np.isfinite([interval.low, interval.high]).all() == is_known


def test_groups_stay_whole_in_blocks_of_about_one_size():
    """60 groups of 1 to 6 rows: no group in two blocks, and no block larger than twice the mean."""
    groups = np.repeat(np.arange(60), np.tile([1, 2, 3, 4, 5, 6], 10))
    blocks = group_blocks(groups)
    assert all(len(set(blocks[groups == group])) == 1 for group in range(60))
    sizes = np.bincount(blocks)
    assert len(sizes) == 20
    assert sizes.max() <= 2 * sizes.mean()


@pytest.mark.parametrize("n_slices", [1, 4])
@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "rmse"])
def test_of_200_contests_between_equals_at_most_ten_promote(metric, n_slices):
    """Two models of equal true quality: 2.5% of 200 are 5, and more than 10 would be no accident."""
    generator = np.random.default_rng(7)
    promoted = sum(_equal_contest(METRICS[metric], generator, n_slices).promotes for _ in range(200))
    assert promoted <= 10


def _equal_contest(metric: Metric, generator: np.random.Generator, n_slices: int):
    """Return a contest of two models that see the truth through noise of one size, on 200 new rows."""
    signal = generator.normal(size=200)
    seen = [signal + generator.normal(0, 1.0, 200) for _ in range(2)]
    if metric.name == "rmse":
        y = signal + generator.normal(0, 0.5, 200)
    else:
        y = (generator.random(200) < 1 / (1 + np.exp(-2 * signal))).astype(int)
        seen = [1 / (1 + np.exp(-each)) for each in seen]
    old, new = (Contestant(each, None, 4) for each in seen)
    slices = np.arange(200) % n_slices == np.arange(n_slices)[:, None]
    return hold_contest(metric, y, slices, time_blocks(200), champion=old, challenger=new)
