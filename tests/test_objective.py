"""The objective: every formula by hand, with weights, thresholds and repeats, and its invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner._decisions.objective import (
    first_minimum,
    fold_mean,
    gap_penalty,
    judged,
    nested_scores,
    objective,
    others_mean,
    penalty_cap,
)
from tuner._metrics.metrics import resolve_metric
from tuner._records import TrialRecord

NAN = math.nan
# Three folds, three path points.
VALIDATION = [[0.30, 0.20, 0.40], [0.50, 0.10, 0.10], [0.40, 0.60, 0.20]]
TRAIN = [[0.20, 0.10, 0.00], [0.30, 0.20, 0.10], [0.25, 0.15, 0.05]]


# By hand


def test_nested_loss_by_hand(make_curves):
    """Each fold is scored at the point that the other two like best."""
    scores = nested_scores(make_curves(VALIDATION, TRAIN, path_values=(8.0, 16.0, 32.0)))
    # sums of the others:  fold 0: .90 .70 .30 -> 2    fold 1: .70 .80 .60 -> 2    fold 2: .80 .30 .50 -> 1
    assert scores.fold_points == (2, 2, 1)
    assert scores.fold_losses == (0.40, 0.10, 0.60)
    assert scores.nested_loss == pytest.approx(1.10 / 3)


def test_train_loss_and_gap_by_hand(make_curves):
    """The training loss is read at the same points; the gap is the difference of the means."""
    scores = nested_scores(make_curves(VALIDATION, TRAIN))
    assert scores.fold_train_losses == (0.00, 0.10, 0.15)
    assert scores.train_loss == pytest.approx(0.25 / 3)
    assert scores.gap == pytest.approx(1.10 / 3 - 0.25 / 3)


def test_standard_error_by_hand(make_curves):
    """Over sqrt(J), with ddof 1."""
    # deviations .0333 -.2667 .2333; squares .001111 + .071111 + .054444 = .126667; / 2 = .063333;
    # sd = .251661; / sqrt(3) = .145297
    assert nested_scores(make_curves(VALIDATION, TRAIN)).standard_error == pytest.approx(0.145297, abs=1e-6)


def test_common_path_point_by_hand(make_curves):
    """The shipped point minimises the mean of all folds: sums 1.2 .9 .7, so the third, 32 rounds."""
    scores = nested_scores(make_curves(VALIDATION, TRAIN, path_values=(8.0, 16.0, 32.0)))
    assert (scores.path_point, scores.path_value, scores.threshold) == (2, 32.0, None)


def test_a_guide_chooses_and_the_metric_scores_by_hand(make_curves):
    """Points are the guide's, losses are the metric's."""
    guide = [[0.7, 0.6, 0.5], [0.6, 0.4, 0.9], [0.6, 0.5, 0.7]]
    scores = nested_scores(make_curves(VALIDATION, TRAIN, path_values=(8.0, 16.0, 32.0), guide=guide))
    # its sums of the others: fold 0: 1.2 .9 1.6 -> 1; fold 1: 1.3 1.1 1.2 -> 1; fold 2: 1.3 1.0 1.4 -> 1
    assert scores.fold_points == (1, 1, 1)
    assert scores.fold_losses == (0.20, 0.10, 0.60)
    assert scores.fold_train_losses == (0.10, 0.20, 0.15)
    assert (scores.path_point, scores.path_value) == (1, 16.0)  # where the metric alone would say 32


def test_ties_go_to_the_smaller_model(make_curves):
    """Equal means: the earlier point, for every fold and for the common point."""
    # others of every fold: .75 .50 .50 -> 1
    scores = nested_scores(make_curves([[0.75, 0.5, 0.5]] * 3))
    assert scores.fold_points == (1, 1, 1)
    assert scores.path_point == 1
    # fold 2's others: (.25 + .75, .75 + .25) -> a tie of different losses
    assert nested_scores(make_curves([[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]])).fold_points[2] == 0


def test_other_repeats_do_not_choose(make_curves):
    """With two repeats of two folds, only the other fold of the same repeat chooses."""
    curves = make_curves([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [0.6, 0.5]], repeats=(0, 0, 1, 1))
    scores = nested_scores(curves)
    # fold 2 looks at fold 3 alone (.6 .5 -> 1); folds 0, 1 and 3 together (1.5 1.6) would say 0
    assert scores.fold_points == (1, 0, 1, 0)
    assert scores.nested_loss == pytest.approx((0.9 + 0.8 + 0.4 + 0.6) / 4)
    # all four folds: deviations .225 .125 -.275 -.075; squares sum to .1475; sqrt(.1475 / 3) / 2 = .110868
    assert scores.standard_error == pytest.approx(0.110868, abs=1e-6)


def test_folds_without_a_score_are_skipped_and_counted(make_curves):
    """A NaN fold neither chooses, nor scores, nor counts in J; its training loss is left out as well."""
    validation = [[0.20, 0.40], [0.50, 0.25], [NAN, NAN], [0.60, 0.10]]
    train = [[0.0, 0.1], [0.0, 0.2], [0.0, 0.9], [0.0, 0.3]]
    scores = nested_scores(make_curves(validation, train))
    # fold 0: (.55, .175) -> 1    fold 1: (.40, .25) -> 1    fold 3: (.35, .325) -> 1
    assert scores.fold_points == (1, 1, 1, 1)
    assert scores.skipped_folds == 1
    assert math.isnan(scores.fold_losses[2])
    assert scores.nested_loss == pytest.approx((0.40 + 0.25 + 0.10) / 3)
    assert scores.train_loss == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    # deviations .15 0 -.15: sd = sqrt(.045 / 2) = .15, over sqrt(3) and not sqrt(4)
    assert scores.standard_error == pytest.approx(0.15 / math.sqrt(3))
    assert scores.path_point == 1


def test_fold_without_a_training_loss_is_skipped(make_curves):
    """Nested and training loss are means over the same folds, so their difference is a gap."""
    scores = nested_scores(make_curves([[0.2], [0.4], [0.9]], [[0.1], [0.1], [NAN]]))
    assert (scores.nested_loss, scores.train_loss, scores.skipped_folds) == (pytest.approx(0.3), 0.1, 1)


@pytest.mark.parametrize("validation", [[[0.1]], [[0.1], [NAN]], [[NAN], [NAN], [NAN]]])
def test_fewer_than_two_scorable_folds_are_an_error(make_curves, validation):
    """No inner selection is possible, so no score is invented."""
    with pytest.raises(ValueError, match=r"finite loss|At least 2 folds"):
        nested_scores(make_curves(validation))


def test_threshold_is_part_of_the_path_point(make_curves):
    """Two sizes with two thresholds are four points, chosen like any other."""
    # The points are size 8 at .5 and at .4, then size 16 at .5 and at .4.
    validation = [[0.4, 0.3, 0.4, 0.2], [0.4, 0.1, 0.3, 0.2], [0.4, 0.4, 0.1, 0.2]]
    scores = nested_scores(make_curves(validation, path_values=(8.0, 16.0), thresholds=(0.5, 0.4)))
    # others' sums: fold 0: .8 .5 .4 .4 -> 2    fold 1: .8 .7 .5 .4 -> 3    fold 2: .8 .4 .7 .4 -> 1
    assert scores.fold_points == (2, 3, 1)
    assert scores.fold_losses == (0.4, 0.2, 0.4)
    # all: 1.2 .8 .8 .6 -> point 3
    assert (scores.path_point, scores.path_value, scores.threshold) == (3, 16.0, 0.4)


def test_penalty_and_objective_by_hand(make_curves):
    """The weight times what the gap has beyond the standard error, at most the cap."""
    scores = nested_scores(make_curves(VALIDATION, TRAIN))
    # gap .283333 - standard error .145297 = .138037; times .1 = .013804
    assert gap_penalty(scores, weight=0.1, cap=1.0) == pytest.approx(0.013804, abs=1e-6)
    assert objective(scores, weight=0.1, cap=1.0) == pytest.approx(0.366667 + 0.013804, abs=1e-6)
    assert gap_penalty(scores, weight=0.1, cap=0.01) == 0.01
    assert objective(scores, weight=0.1, cap=0.01) == scores.nested_loss + 0.01
    assert gap_penalty(scores, weight=0.0, cap=0.01) == 0.0


def test_gap_within_fold_noise_costs_nothing(make_scores):
    """Up to one standard error the gap is free; a negative gap earns nothing."""
    assert gap_penalty(make_scores(gap=0.02, standard_error=0.02), weight=5.0, cap=1.0) == 0.0
    assert gap_penalty(make_scores(gap=-0.5, standard_error=0.02), weight=5.0, cap=1.0) == 0.0
    assert gap_penalty(make_scores(gap=0.03, standard_error=0.02), weight=5.0, cap=1.0) == pytest.approx(0.05)


def test_cap_is_one_standard_error_of_the_best_default(make_trial, make_scores):
    """The best default sets the cap, not the quietest; a failed default has no say."""
    quiet = make_trial(0, scores=make_scores(nested_loss=0.5, standard_error=0.01))
    best = make_trial(1, scores=make_scores(nested_loss=0.4, standard_error=0.03))
    assert penalty_cap([quiet, best, make_trial(2, state="FAIL")]) == 0.03
    assert penalty_cap([make_trial(0, state="FAIL")]) == 0.0
    assert penalty_cap([]) == 0.0


def test_judged_stores_every_term(make_trial, make_scores):
    """Weight, cap, penalty and objective stand in the record beside the scores."""
    scores = make_scores(nested_loss=0.5, gap=0.3, standard_error=0.1)
    record = judged(make_trial(scores=scores), weight=0.1, cap=0.05)
    # .1 * (.3 - .1) = .02
    assert (record.gap_weight, record.penalty_cap) == (0.1, 0.05)
    assert record.gap_penalty == pytest.approx(0.02)
    assert record.objective == pytest.approx(0.52)
    assert record.scores is scores


def test_judged_leaves_a_failed_trial_without_a_score(make_trial):
    """A failure stays a failure: no objective is made up."""
    failed = make_trial(state="FAIL")
    assert judged(failed, weight=0.1, cap=0.05) is failed


def test_first_minimum_passes_over_what_is_not_finite():
    """NaN is no minimum, and without a finite value there is none."""
    assert first_minimum(np.array([NAN, 0.2, -np.inf, 0.1, 0.1])) == 3
    with pytest.raises(ValueError, match="finite"):
        first_minimum(np.array([NAN, np.inf]))


def test_means_over_known_folds():
    """Means leave NaN out, and are NaN where nothing is left."""
    losses = np.array([[0.2, NAN], [0.4, NAN], [NAN, NAN]])
    np.testing.assert_allclose(fold_mean(losses), [0.3, NAN])
    elsewhere = others_mean(losses, np.array([0, 0, 0]))
    np.testing.assert_allclose(elsewhere, [[0.4, NAN], [0.2, NAN], [0.3, NAN]])


@given(st.integers(1, 20).flatmap(lambda n: st.lists(st.floats(0, 1), min_size=3 * n, max_size=3 * n)))
def test_point_alone_has_the_same_mean_as_among_others(losses):
    """To the bit, for any number of folds: the walk sees one point at a time and must choose the same p_k."""
    table = np.array(losses).reshape(-1, 3)
    repeats = np.zeros(len(table))
    alone = np.hstack([others_mean(table[:, [point]], repeats) for point in range(3)])
    np.testing.assert_array_equal(alone, others_mean(table, repeats))


def test_tie_of_the_same_losses_in_another_order(make_curves):
    """.1 + .2 + .3 and .3 + .2 + .1 differ in the last bit, but are a tie: the smaller model."""
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    scores = nested_scores(make_curves([[0.5, 0.5], [0.1, 0.3], [0.2, 0.2], [0.3, 0.1]]))
    assert scores.fold_points[0] == 0


# By hand, with sample weights, through the real metric


def weighted_curves(make_curves, metric, folds, predict, n_sizes):
    """Curves of a model that predicts without a fit; training rows of a fold are the other folds' rows."""
    validation, train = [], []
    for k, own in enumerate(folds):
        others = [fold for j, fold in enumerate(folds) if j != k]
        training = tuple(np.concatenate(columns) for columns in zip(*others, strict=True))
        for rows, losses in ((own, validation), (training, train)):
            y, x, weights = rows
            at_sizes = [metric.losses(y, predict(x, size), weights)[0] for size in range(n_sizes)]
            losses.append(np.concatenate(at_sizes))
    return make_curves(validation, train, thresholds=metric.thresholds)


def test_weighted_absolute_error_by_hand(make_curves):
    """Weights count rows inside a fold; folds count equally, whatever their weight."""
    folds = [
        (np.array([0.0, 4.0]), np.zeros(2), np.array([3.0, 1.0])),
        (np.array([2.0, 2.0, 0.0]), np.zeros(3), np.array([1.0, 1.0, 2.0])),
        (np.array([2.0, 0.0]), np.zeros(2), np.array([9.0, 1.0])),
    ]
    metric = resolve_metric("mae", "regression", weighted=True)
    # The smaller model says 0 everywhere, the larger 2.
    curves = weighted_curves(make_curves, metric, folds, lambda x, size: x + 2.0 * size, 2)
    # fold 0: (3*0 + 1*4) / 4 = 1           (3*2 + 1*2) / 4 = 2
    # fold 1: (1*2 + 1*2 + 2*0) / 4 = 1     (0 + 0 + 2*2) / 4 = 1
    # fold 2: (9*2 + 1*0) / 10 = 1.8        (9*0 + 1*2) / 10 = .2
    np.testing.assert_allclose(curves.validation, [[1.0, 2.0], [1.0, 1.0], [1.8, 0.2]])
    scores = nested_scores(curves)
    # others' sums: fold 0: 2.8 1.2 -> 1    fold 1: 2.8 2.2 -> 1    fold 2: 2 3 -> 0
    assert scores.fold_points == (1, 1, 0)
    assert scores.nested_loss == pytest.approx((2.0 + 1.0 + 1.8) / 3)  # 1.6
    # training rows: folds 1, 2 at 2: (4 + 2) / 14    folds 0, 2 at 2: (8 + 2) / 14    folds 0, 1 at 0: 8 / 8
    assert scores.train_loss == pytest.approx((6 / 14 + 10 / 14 + 1) / 3)  # .714286
    assert scores.gap == pytest.approx(0.885714, abs=1e-6)
    # deviations .4 -.6 .2: sqrt(.56 / 2) / sqrt(3) = .305505
    assert scores.standard_error == pytest.approx(0.305505, abs=1e-6)
    # .1 * (.885714 - .305505) = .058021
    assert objective(scores, weight=0.1, cap=1.0) == pytest.approx(1.6 + 0.058021, abs=1e-6)


def test_weighted_accuracy_by_hand_chooses_its_threshold_elsewhere(make_curves):
    """A fold is decided at the threshold that suits the other fold, not its own."""
    folds = [
        (np.array([1, 0]), np.array([0.45, 0.35]), np.array([3.0, 1.0])),
        (np.array([1, 0]), np.array([0.65, 0.55]), np.array([1.0, 4.0])),
    ]
    metric = resolve_metric("accuracy", "binary", weighted=True)
    curves = weighted_curves(make_curves, metric, folds, lambda x, _: x, 1)
    # thresholds          .5   .4   .6   .3   .7
    # fold 0 (3 : 1)     .75    0  .75  .25  .75     right only between .35 and .45
    # fold 1 (1 : 4)      .8   .8    0   .8   .2     right only between .55 and .65
    np.testing.assert_allclose(curves.validation[0][:5], [0.75, 0.0, 0.75, 0.25, 0.75])
    np.testing.assert_allclose(curves.validation[1][:5], [0.8, 0.8, 0.0, 0.8, 0.2])
    scores = nested_scores(curves)
    assert scores.fold_points == (2, 1)
    assert scores.nested_loss == pytest.approx((0.75 + 0.8) / 2)
    # the other fold is the training data: 0 at its own best threshold
    assert (scores.train_loss, scores.gap) == (0.0, pytest.approx(0.775))
    # common: 1.55 .8 .75 1.05 .95 ... -> .6
    assert (scores.path_point, scores.path_value, scores.threshold) == (2, 1.0, 0.6)


@given(st.lists(st.integers(1, 5), min_size=6, max_size=6))
def test_whole_weights_are_repeated_rows(make_curves, weights):
    """A row of weight 3 scores like three rows."""
    y, x = np.array([0.0, 3.0, 1.0, 5.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0, 4.0, 0.0, 3.0])
    metric = resolve_metric("rmse", "regression", weighted=True)
    weighted = [(y[i : i + 2], x[i : i + 2], np.array(weights[i : i + 2], float)) for i in (0, 2, 4)]
    repeated = [
        (np.repeat(y, w.astype(int)), np.repeat(x, w.astype(int)), np.ones(int(w.sum())))
        for y, x, w in weighted
    ]
    by_weight, by_row = (
        nested_scores(weighted_curves(make_curves, metric, folds, lambda x, size: x / (size + 1), 2))
        for folds in (weighted, repeated)
    )
    assert by_weight.nested_loss == pytest.approx(by_row.nested_loss)
    assert by_weight.train_loss == pytest.approx(by_row.train_loss)


# Invariants; losses are multiples of 1/64, so that sums are exact and ties are ties


def table(n_folds, n_points):
    """Losses of shape (n_folds, n_points)."""
    row = st.lists(st.integers(0, 64).map(lambda n: n / 64), min_size=n_points, max_size=n_points)
    return st.lists(row, min_size=n_folds, max_size=n_folds)


@st.composite
def tables(draw):
    """Draw validation losses, training losses and repeats, at least two folds a repeat."""
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=2))
    n_points = draw(st.integers(1, 4))
    repeats = [repeat for repeat, size in enumerate(sizes) for _ in range(size)]
    return draw(table(len(repeats), n_points)), draw(table(len(repeats), n_points)), repeats


SCORED = st.tuples(st.floats(0, 1), st.floats(-1, 1), st.floats(0, 0.5))
WEIGHTS = st.floats(0, 10)


@given(tables())
def test_definition_spelled_out(make_curves, drawn):
    """The scores are what the design's formulas say, written as plain loops."""
    validation, train, repeats = drawn
    scores = nested_scores(make_curves(validation, train, repeats=repeats))
    folds, points = range(len(repeats)), range(len(validation[0]))
    chosen = [
        min(
            points,
            key=lambda p: (sum(validation[j][p] for j in folds if j != k and repeats[j] == repeats[k]), p),
        )
        for k in folds
    ]
    held_out = [validation[k][chosen[k]] for k in folds]
    fitted = [train[k][chosen[k]] for k in folds]
    mean = sum(held_out) / len(held_out)
    variance = sum((loss - mean) ** 2 for loss in held_out) / (len(held_out) - 1)
    assert scores.fold_points == tuple(chosen)
    assert scores.nested_loss == pytest.approx(mean)
    assert scores.train_loss == pytest.approx(sum(fitted) / len(fitted))
    assert scores.gap == pytest.approx(mean - sum(fitted) / len(fitted))
    assert scores.standard_error == pytest.approx(math.sqrt(variance / len(held_out)))


@given(tables(), st.randoms(use_true_random=False))
def test_order_of_folds_does_not_matter(make_curves, drawn, random):
    """Permuted folds give the same scores, permuted."""
    validation, train, repeats = drawn
    order = list(range(len(repeats)))
    random.shuffle(order)
    scores = nested_scores(make_curves(validation, train, repeats=repeats))
    permuted = nested_scores(
        make_curves(
            [validation[k] for k in order], [train[k] for k in order], repeats=[repeats[k] for k in order]
        )
    )
    assert permuted.fold_losses == tuple(scores.fold_losses[k] for k in order)
    assert permuted.fold_points == tuple(scores.fold_points[k] for k in order)
    assert (permuted.nested_loss, permuted.train_loss) == (scores.nested_loss, scores.train_loss)
    assert permuted.standard_error == pytest.approx(scores.standard_error)
    assert permuted.path_point == scores.path_point


@given(tables(), st.integers(-64, 64).map(lambda n: n / 64))
def test_shift_by_a_constant(make_curves, drawn, shift):
    """A constant on every loss moves the losses and leaves choices, gap, noise and penalty."""
    validation, train, repeats = (np.array(part) for part in drawn)
    before = nested_scores(make_curves(validation, train, repeats=repeats))
    after = nested_scores(make_curves(validation + shift, train + shift, repeats=repeats))
    assert after.fold_points == before.fold_points
    assert after.path_point == before.path_point
    assert after.nested_loss == pytest.approx(before.nested_loss + shift)
    assert after.gap == pytest.approx(before.gap)
    assert after.standard_error == pytest.approx(before.standard_error)
    penalties = [gap_penalty(scores, weight=0.1, cap=0.02) for scores in (before, after)]
    assert penalties[1] == pytest.approx(penalties[0])


@given(tables(), st.sampled_from([0.25, 2.0, 3.0, 1024.0]), WEIGHTS)
def test_scaling(make_curves, drawn, scale, weight):
    """In other units of the loss everything scales, cap included, so no decision changes."""
    validation, train, repeats = (np.array(part) for part in drawn)
    before = nested_scores(make_curves(validation, train, repeats=repeats))
    after = nested_scores(make_curves(scale * validation, scale * train, repeats=repeats))
    assert after.fold_points == before.fold_points
    assert after.standard_error == pytest.approx(scale * before.standard_error)
    objectives = [objective(scores, weight=weight, cap=scores.standard_error) for scores in (before, after)]
    assert objectives[1] == pytest.approx(scale * objectives[0], abs=1e-9)


@given(tables(), WEIGHTS, WEIGHTS, st.floats(0, 0.1))
def test_any_weight_is_replayed_from_the_stored_record(make_curves, make_trial, drawn, searched, other, cap):
    """What is stored under one gap weight gives the objective under any other, with no fit."""
    validation, train, repeats = drawn
    curves = make_curves(validation, train, repeats=repeats)
    trial = make_trial(scores=nested_scores(curves), curves=curves)
    stored = TrialRecord.from_json(judged(trial, weight=searched, cap=cap).to_json())
    assert nested_scores(stored.curves) == stored.scores
    replayed = judged(stored, weight=other, cap=stored.penalty_cap)
    assert replayed == judged(trial, weight=other, cap=cap)
    assert judged(replayed, weight=searched, cap=stored.penalty_cap) == stored


@given(SCORED, SCORED, WEIGHTS, st.floats(0, 0.5))
def test_trial_worse_by_more_than_the_cap_never_overtakes(make_scores, left, right, weight, cap):
    """Whatever the gaps and the weight, a loss worse by more than the cap stays worse."""
    better, worse = (
        make_scores(nested_loss=loss, gap=gap, standard_error=noise)
        for loss, gap, noise in sorted((left, right), key=lambda scored: scored[0])
    )
    if worse.nested_loss > better.nested_loss + cap:
        assert objective(worse, weight=weight, cap=cap) > objective(better, weight=weight, cap=cap)
    else:  # and nobody gains more than the cap
        difference = objective(better, weight=weight, cap=cap) - objective(worse, weight=weight, cap=cap)
        assert difference <= cap - (worse.nested_loss - better.nested_loss) + 1e-12


def test_underfit_model_cannot_win_by_having_no_gap(make_scores):
    """A constant model with no gap at all loses to a model with a large one, at any weight."""
    underfit = make_scores([0.69, 0.70, 0.68], [0.69, 0.70, 0.68])  # gap 0
    fitted = make_scores([0.40, 0.42, 0.38], [0.0, 0.0, 0.0])  # gap .40, standard error .0115
    cap = fitted.standard_error
    for weight in (0.05, 0.2, 1.0, 1e6):
        assert objective(underfit, weight=weight, cap=cap) == underfit.nested_loss
        assert objective(fitted, weight=weight, cap=cap) <= 0.40 + 0.0116
    # without the cap it would: .40 + 1 * (.40 - .0115) = .79 > .69
    assert objective(fitted, weight=1.0, cap=math.inf) > objective(underfit, weight=1.0, cap=math.inf)


@given(SCORED, WEIGHTS, WEIGHTS, st.floats(0, 0.5))
def test_penalty_is_bounded_and_grows_with_the_weight(make_scores, scored, weight, more, cap):
    """Between 0 and the cap, and never smaller for a larger weight."""
    scores = make_scores(nested_loss=scored[0], gap=scored[1], standard_error=scored[2])
    low, high = (gap_penalty(scores, weight=w, cap=cap) for w in sorted((weight, more)))
    assert 0.0 <= low <= high <= cap
