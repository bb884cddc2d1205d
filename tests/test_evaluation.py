from __future__ import annotations

from dataclasses import replace
from itertools import count
from threading import Event

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from search_spaces import SPACES
from tuner._decisions.objective import nested_scores, others_mean
from tuner._decisions.racing import Race
from tuner._folds.splits import Fold, FoldPlan, plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._process.deadline import Deadline
from tuner._records import Configuration
from tuner._rows.data import make_dataset
from tuner._trials import bench as _bench
from tuner._trials import evaluation as _evaluation
from tuner._trials.bench import Bench, threads_a_fit, training_rows
from tuner._trials.evaluation import Effort, evaluate
from tuner.exceptions import DeadlineReachedError, RaceLostError
from tuner.families import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS = 90


def make_bench(task="binary", metric=None, *, n_folds=3, n_repeats=1, weights=None, seed=0):
    """Return a bench over a small noisy table."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=list("abc"))
    X["colour"] = rng.choice(["red", "blue", None], N_ROWS)
    signal = X["a"].to_numpy() + (X["colour"] == "red") + rng.normal(size=N_ROWS)
    classes = {"binary": 2, "multiclass": 3}.get(task)
    y = np.asarray(signal) if classes is None else pd.qcut(signal, classes, labels=False)
    data = make_dataset(X, y, sample_weight=weights)
    plan = plan_choosing(data, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    return Bench(data, plan, resolve_metric(metric, task, weighted=weights is not None), seed)


def configuration(family="lightgbm", **partial):
    """Return a complete configuration of a family."""
    return Configuration(family, SPACES[family].complete(partial))


class ScriptedFit:
    """A fit whose held-out probability of class 1 follows a script, one value a path point."""

    def __init__(self, family, n_train, n_held_out):
        self._family, self._sizes, self._index = family, (n_train, n_held_out), -1

    def advance(self, check):
        """Take the next value of the script."""
        check()
        self._index += 1
        self._family.steps += 1

    def train_prediction(self):
        """Return it for every training row."""
        return np.full(self._sizes[0], self._family.script[self._index])

    def validation_prediction(self):
        """Return it for every held-out row."""
        return np.full(self._sizes[1], self._family.script[self._index])

    def predictor(self, size_index):
        """Return the size itself."""
        return size_index


class ScriptedFamily:
    """A family without a model: mean absolute error is the distance of the script to the target 0."""

    name = "scripted"

    def __init__(self, script, patience, fold_bytes=0):
        self.script, self._patience, self.steps, self.prepared = script, patience, 0, 0
        self._bytes = fold_bytes

    def fold_bytes(self, table, params):  # noqa: ARG002
        """Return what the test says."""
        return self._bytes

    def patience(self, params):  # noqa: ARG002
        """Return the patience a test gave."""
        return self._patience

    def rewrites(self, params):  # noqa: ARG002
        """Return False."""
        return False

    def path_values(self, params):  # noqa: ARG002
        """Return 1, 2, 3, ..."""
        return tuple(float(size) for size in range(1, len(self.script) + 1))

    def preparation_key(self, params):
        """Return the key a test gave."""
        return params.get("key", "")

    def prepare(self, params, rows, *, seed):  # noqa: ARG002
        """Count, and return the sizes."""
        self.prepared += 1
        return rows.table.n_rows, rows.validation.n_rows

    def start(self, params, prepared, *, seed):  # noqa: ARG002
        """Return a fit at the start of the script."""
        return ScriptedFit(self, *prepared)


@pytest.fixture
def scripted(monkeypatch):
    """Evaluate a scripted path on a target near 0; returns the family and the evaluation."""

    def run(script, *, patience=4, fold_bytes=0, **options):
        family = ScriptedFamily(script, patience, fold_bytes)
        monkeypatch.setitem(_evaluation.FAMILIES, "scripted", family)
        bench = make_bench("regression", "mae")
        bench = replace(bench, dataset=replace(bench.dataset, y=np.full(N_ROWS, 0.0)))
        return family, evaluate(Configuration("scripted", {}), bench, Effort(**options))

    return run


# Curves


def test_a_fold_loses_what_its_worst_slice_loses(monkeypatch):
    """Targets 0 and 1 (10 rows a fold each), 5 (9 rows: too few); s loses the larger of s and 1 - s."""
    monkeypatch.setitem(_evaluation.FAMILIES, "scripted", ScriptedFamily([0.9, 0.6, 0.4, 0.2], patience=4))
    bench = make_bench("regression", "mae")
    masks, y = np.zeros((3, N_ROWS), dtype=bool), np.zeros(N_ROWS)
    for fold in bench.plan.folds:
        for mask, rows, target in zip(
            masks, (fold.test[:10], fold.test[10:20], fold.test[20:29]), (0.0, 1.0, 5.0), strict=True
        ):
            mask[rows], y[rows] = True, target
    bench = replace(bench, dataset=replace(bench.dataset, y=y, slice_masks=masks))
    evaluation = evaluate(Configuration("scripted", {}), bench)
    assert np.allclose(evaluation.curves.validation, [[0.9, 0.6, 0.6, 0.8]] * 3)
    assert np.allclose(evaluation.curves.train, [[0.9, 0.6, 0.6, 0.8]] * 3)  # the rare slice is out here, too
    assert evaluation.scores.nested_loss == pytest.approx(0.6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_curves_cover_every_fold_and_point(task, family):
    """Two repeats of 3 folds: six curves of equal length, a prefix of the family's path."""
    bench = make_bench(task, n_repeats=2)
    result = evaluate(configuration(family), bench, Effort(keep_models=True))
    curves = result.curves
    n_points = len(curves.path_values)
    assert np.shape(curves.train) == np.shape(curves.validation) == (6, n_points)
    assert curves.repeats == (0, 0, 0, 1, 1, 1)
    assert curves.path_values == FAMILIES[family].path_values(configuration(family).params)[:n_points]
    assert result.scores == nested_scores(curves)
    assert len(result.models) == len(result.predictions) == 6
    assert result.fit_seconds > 0


def test_thresholds_run_fastest():
    """For decisions every path point has a loss per threshold: column size * n_thresholds + threshold."""
    bench = make_bench("binary", "accuracy")
    curves = evaluate(configuration("linear"), bench).curves
    n_thresholds = len(bench.metric.thresholds)
    assert curves.thresholds == bench.metric.thresholds
    assert np.shape(curves.validation) == (3, len(curves.path_values) * n_thresholds)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc", "f1"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n_folds", [3, 10])
def test_kept_predictions_are_those_at_the_nested_points(metric, family, n_folds):
    """Scoring fold k's kept predictions gives v_k(p_k), at the threshold of p_k."""
    bench = make_bench("binary", metric, n_folds=n_folds)
    result = evaluate(configuration(family), bench)
    for fold, kept, point, loss in zip(
        bench.plan.folds,
        result.predictions,
        result.scores.fold_points,
        result.scores.fold_losses,
        strict=True,
    ):
        losses = bench.metric.losses(bench.dataset.y[fold.test], kept)[0]
        assert kept.dtype == np.float32
        assert losses[point % len(losses)] == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
@pytest.mark.parametrize("family", FAMILIES)
def test_where_the_metric_ranks_the_guide_chooses_on_other_folds(metric, family):
    """Points are where the guide's mean over the other folds is smallest; losses are the metric's there."""
    bench = make_bench("binary", metric)
    curves, scores = (result := evaluate(configuration(family), bench)).curves, result.scores
    assert np.shape(curves.guide) == np.shape(curves.validation)
    assert not np.allclose(curves.guide, curves.validation)
    guide = np.array(curves.guide)
    assert scores.path_point == guide.mean(axis=0).argmin()
    for index, loss in enumerate(scores.fold_losses):
        point = np.delete(guide, index, axis=0).mean(axis=0).argmin()
        assert scores.fold_points[index] == point
        assert loss == curves.validation[index][point]


def test_no_guide_where_the_metric_can_choose():
    """Log loss moves with every row."""
    assert evaluate(configuration("linear"), make_bench("binary")).curves.guide is None


@pytest.mark.parametrize("family", FAMILIES)
def test_kept_models_are_at_the_common_point(family):
    """Models predict their fold's held-out rows with the loss of the curve at `path_point`."""
    bench = make_bench("multiclass")
    result = evaluate(configuration(family), bench, Effort(keep_models=True))
    for index, (fold, model) in enumerate(zip(bench.plan.folds, result.models, strict=True)):
        prediction = model.predict(bench.dataset.table.take(fold.test))
        loss = bench.metric.losses(bench.dataset.y[fold.test], prediction)[0, 0]
        assert loss == pytest.approx(result.curves.validation[index][result.scores.path_point], rel=1e-6)


def test_weights_reach_fits_and_scores():
    """Fold losses are weighted means: a weight of 1000 on one row makes its fold's loss that row's loss."""
    weights = np.ones(N_ROWS)
    weights[0] = 1000.0
    bench = make_bench("regression", "mae", weights=weights)
    result = evaluate(configuration("linear"), bench)
    index = next(k for k, fold in enumerate(bench.plan.folds) if 0 in fold.test)
    fold, kept = bench.plan.folds[index], result.predictions[index]
    errors = np.abs(bench.dataset.y[fold.test] - kept)
    expected = np.average(errors, weights=weights[fold.test])
    assert result.scores.fold_losses[index] == pytest.approx(expected, rel=1e-5)
    assert training_rows(bench.dataset, fold, bench.metric).weights.tolist() == weights[fold.train].tolist()
    plain = evaluate(configuration("linear"), make_bench("regression", "mae"))
    assert plain.scores.fold_train_losses != result.scores.fold_train_losses


def test_held_out_targets_do_not_reach_the_models():
    """Changing the targets of one fold's held-out rows changes no prediction of that fold's model."""
    bench = make_bench("regression")
    fold = bench.plan.folds[0]
    y = bench.dataset.y.copy()
    y[fold.test] += 100.0
    other = replace(bench, dataset=replace(bench.dataset, y=y), _prepared={})
    for family in FAMILIES:
        models = []
        for each in (bench, other):
            params = configuration(family).params
            fit = FAMILIES[family].start(params, each.prepared(FAMILIES[family], params, 0), seed=0)
            fit.advance()
            fit.advance()
            models.append(fit.validation_prediction())
        np.testing.assert_array_equal(*models)


# Stopping


@pytest.mark.parametrize("family", FAMILIES)
def test_stopping_early_changes_no_score(family, monkeypatch):
    """Curves with one minimum: the walk with patience and the full walk give the same scores."""
    bench = make_bench("regression")
    chosen = configuration(family, **({"learning_rate": 0.3} if family == "lightgbm" else {}))
    short = evaluate(chosen, bench)
    full_points = min(len(FAMILIES[family].path_values(chosen.params)), len(short.curves.path_values) + 6)
    monkeypatch.setattr(type(FAMILIES[family]), "patience", lambda *_: full_points)
    full = evaluate(chosen, bench)
    assert len(full.curves.path_values) >= len(short.curves.path_values)
    assert full.curves.validation[0][: len(short.curves.validation[0])] == short.curves.validation[0]
    assert full.scores == short.scores
    for kept, again in zip(short.predictions, full.predictions, strict=True):
        np.testing.assert_array_equal(kept, again)


def test_patience_is_counted_from_the_last_folds_minimum(scripted):
    """Losses 3, 2, 1, 2, 2, 2, ...: the minimum is point 2, patience 2, so points 0 to 4 are walked."""
    family, result = scripted([3.0, 2, 1, 2, 2, 2, 2, 2], patience=2)
    assert len(result.curves.path_values) == 5
    assert family.steps == 3 * 5
    assert result.scores.fold_points == (2, 2, 2)
    assert (result.scores.path_value, result.scores.nested_loss) == (3.0, 1.0)


def test_ties_go_to_the_smaller_model(scripted):
    """p_k is the first of equally good points; a plateau is walked on, as it may still fall."""
    _, result = scripted([1.0, 1, 1, 1, 2, 2, 2, 2, 2], patience=3)
    assert result.scores.fold_points == (0, 0, 0)
    assert len(result.curves.path_values) == 7  # the plateau ends at point 3, and 3 more are walked


def test_a_path_without_a_turn_is_walked_to_its_end(scripted):
    """While the loss falls, nothing stops before the last point."""
    _, result = scripted([5.0, 4, 3, 2, 1], patience=1)
    assert len(result.curves.path_values) == 5
    assert result.scores.fold_points == (4, 4, 4)


def test_models_are_taken_at_the_size_not_at_the_threshold(scripted):
    """The kept model index is the path size of the common point."""
    _, result = scripted([3.0, 1, 2, 3, 4, 5], patience=2, keep_models=True)
    assert result.models == (1, 1, 1)
    assert all((kept == 1.0).all() for kept in result.predictions)


def test_non_finite_predictions_are_an_error(scripted):
    """A NaN prediction is never scored."""
    with pytest.raises(FloatingPointError, match="path value 2"):
        scripted([1.0, np.nan, 1.0])


def test_a_stop_cuts_between_points(scripted):
    """Once told to stop no further step is begun; the message names the point."""
    with pytest.raises(DeadlineReachedError, match="path value 1"):
        scripted([1.0, 2.0], stop=Deadline.after(-1.0).until(Event()))
    answers = iter([False] * 14 + [True])  # a point asks twice a fold, 6 times: the third point is begun
    with pytest.raises(DeadlineReachedError, match="path value 3"):
        scripted([3.0, 2.0, 1.0, 0.5], stop=lambda: next(answers))


def test_deadlines():
    """None never comes; earlier moves it; what is left shrinks to nothing."""
    assert Deadline().left == np.inf
    assert not Deadline.after(None).earlier(100).reached
    assert 9 < Deadline.after(10).left <= 10
    assert Deadline.after(10).earlier(11).reached


# Racing


def race(*fold_losses, cap):
    """Return a race against one trial with these fold losses."""
    return Race(fold_losses, float(np.mean(fold_losses)), cap)


def test_a_lost_race_stops_after_the_folds_it_needs(scripted):
    """At 3 a fold against 1, margin .35 * 1 * 3 ** .75 = .80: lost after the first of three folds."""
    with pytest.raises(RaceLostError, match="after 1 of 3 folds") as caught:
        scripted([5.0, 3.0, 4.0], race=race(1.0, 1.0, 1.0, cap=1.0))
    assert caught.value.losses == (3.0,)


def test_a_race_may_be_lost_later_and_never_on_the_last_fold(scripted):
    """Behind by 2: a margin of .35 * 3 * 3 ** .75 = 2.4 holds once, .35 * 3 * 1.5 ** .75 = 1.4 no more."""
    with pytest.raises(RaceLostError, match="after 2 of 3 folds"):
        scripted([5.0, 3.0, 4.0], race=race(1.0, 1.0, 1.0, cap=3.0))
    scripted([5.0, 3.0, 4.0], race=race(9.0, 9.0, 0.0, cap=0.1))


@pytest.mark.parametrize("params", [{}, {"extra_trees": True, "bagging_fraction": 0.6}, {"boosting": "dart"}])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_race_that_is_not_lost_changes_nothing(task, params):
    """Walking ahead on the first folds leaves every loss, choice and prediction as it is side by side."""
    bench = make_bench(task)
    alone = evaluate(configuration(**params), bench)
    raced = evaluate(configuration(**params), bench, Effort(race=race(9.0, 9.0, 9.0, cap=1.0)))
    assert raced.curves == alone.curves
    assert raced.scores == alone.scores
    for one, other in zip(raced.predictions, alone.predictions, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_race_where_predictions_would_not_fit_into_memory(scripted, monkeypatch):
    """A trial whose folds may not walk ahead is not raced: one that would lose is scored as it is alone."""
    sure_to_lose = race(1.0, 1.0, 1.0, cap=1.0)
    with pytest.raises(RaceLostError):
        scripted([5.0, 3.0, 4.0], race=sure_to_lose)
    monkeypatch.setattr(_evaluation, "MAX_BYTES_AHEAD", 1)
    _, raced = scripted([5.0, 3.0, 4.0], race=sure_to_lose)
    _, alone = scripted([5.0, 3.0, 4.0])
    assert raced.scores == alone.scores


def test_with_a_guide_the_race_is_run_where_the_guide_chooses():
    """By its luckiest AUC on the path a trial would run against rivals who have none."""
    unbeatable = Race(fold_losses=(0.0, 0.0, 0.0), best=-1.0, cap=0.0)
    flattered = []
    for seed in range(6):
        bench = make_bench("binary", "roc_auc", seed=seed)
        with pytest.raises(RaceLostError) as caught:
            evaluate(configuration("extra_trees"), bench, Effort(race=unbeatable))
        curves = evaluate(configuration("extra_trees"), bench).curves
        point = int(np.argmin(curves.guide[0][::-1]))  # of equal ones the last
        assert caught.value.losses == (curves.validation[0][::-1][point],)
        flattered.append(caught.value.losses[0] - min(curves.validation[0]))
    assert max(flattered) > 0


def test_a_guide_that_hardly_falls_ends_the_path(monkeypatch):
    """Where classes are nearly told apart every round sharpens them a little, up to the last of thousands."""
    data = make_dataset(*load_breast_cancer(return_X_y=True, as_frame=True))
    plan = plan_choosing(data, n_folds=3, n_repeats=1, seed=0)
    bench = Bench(data, plan, resolve_metric("roc_auc", "binary"), 0)
    stopped = evaluate(configuration(), bench)
    monkeypatch.setattr(_evaluation, "LEAST_GAIN", 0.0)
    walked = evaluate(configuration(), bench)
    n_points = len(stopped.curves.path_values)
    assert n_points < len(walked.curves.path_values)
    assert stopped.curves.guide == tuple(fold[:n_points] for fold in walked.curves.guide)
    assert stopped.scores.nested_loss < walked.scores.nested_loss + 0.02


def test_with_slices_the_guide_is_that_of_the_worst_slice():
    """Search and slices judge the same thing: the largest guide over the slices of a fold."""
    bench = make_bench("binary", "roc_auc", n_folds=2)
    halves = [np.arange(N_ROWS) % 2 == each for each in (0, 1)]

    def guide_of(masks):
        data = replace(bench.dataset, slice_masks=np.array(masks))
        return evaluate(configuration("extra_trees"), replace(bench, dataset=data)).curves.guide

    worst = np.maximum(guide_of(halves[:1]), guide_of(halves[1:]))
    np.testing.assert_allclose(guide_of(halves), worst)


def test_dart_models_are_taken_when_passed():
    """DART scales earlier trees later on: the kept models predict the held-out rows as they were scored."""
    bench = make_bench()
    result = evaluate(configuration(boosting="dart", learning_rate=0.3), bench, Effort(keep_models=True))
    for fold, model, kept, point in zip(
        bench.plan.folds, result.models, result.predictions, result.scores.fold_points, strict=True
    ):
        if point == result.scores.path_point:
            np.testing.assert_allclose(model.predict(bench.dataset.table.take(fold.test)), kept, atol=1e-6)
    assert result.scores.path_point in result.scores.fold_points


# The bench


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "n_jobs", "expected"),
    [
        (100, 1, 4, 1),
        (100, 2, 4, 2),
        (100, 3, 4, 4),  # three threads would leave the fourth idle
        (100, 9, 4, 4),
        (100, 9, 1, 1),
        (100, 1, 3, 1),
        (100, 2, 3, 3),
    ],
)
def test_threads_of_a_fit(n_rows, n_columns, n_jobs, expected, monkeypatch):
    """One thread for each step of cells, spread so that the trials side by side use all threads."""
    monkeypatch.setattr(_bench, "CELLS_A_THREAD", 100)
    X = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    assert threads_a_fit(make_dataset(X, np.arange(n_rows) % 2), n_jobs) == expected


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_threads_inside_a_fit_change_nothing(task):
    """The same curves, predictions and models with one thread and with two."""
    one = make_bench(task)
    results = [
        evaluate(configuration(), replace(one, n_threads=n_threads, _prepared={}), Effort(keep_models=True))
        for n_threads in (1, 2)
    ]
    assert_same(*results, one.dataset.table)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("task", "penalty"), [("binary", "l2"), ("multiclass", "l1"), ("regression", "l1")])
def test_folds_too_big_to_hold_are_walked_alone_and_change_nothing(task, penalty, n_threads, monkeypatch):
    """The same scores, predictions and models; no prepared fold stays behind."""
    bench = make_bench(task)
    chosen = configuration("linear", penalty=penalty)
    together = evaluate(chosen, bench, Effort(keep_models=True))
    monkeypatch.setattr(_bench, "MAX_BYTES_HELD", 0)
    apart = make_bench(task)
    apart = replace(apart, n_threads=n_threads, _prepared={})
    assert_same(together, evaluate(chosen, apart, Effort(keep_models=True)), bench.dataset.table)
    assert not apart._prepared


def assert_same(first, second, table):
    """Compare two evaluations, models by what they predict."""
    assert repr(first.curves) == repr(second.curves)
    assert repr(first.scores) == repr(second.scores)
    for one, other in zip(first.predictions, second.predictions, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(first.models, second.models, strict=True):
        np.testing.assert_array_equal(one.predict(table), other.predict(table))


def test_a_path_can_be_bounded(scripted):
    """A path that would go on ends after the points another plan looked at, with the best of them."""
    _, evaluation = scripted([0.5, 0.4, 0.3, 0.2], n_points=2)
    assert evaluation.curves.path_values == (1.0, 2.0)
    assert evaluation.scores.path_value == 2.0
    assert not evaluation.shortened


def test_a_stop_cuts_folds_that_walk_alone(scripted, monkeypatch):
    """Cancelled between points; a path that may be shortened ends at the last point all folds passed."""
    monkeypatch.setattr(_bench, "MAX_BYTES_HELD", 0)
    script = [0.5, 0.4, 0.3, 0.2]

    def stop_at(question):
        asked = count()
        return {"fold_bytes": 1, "stop": lambda: next(asked) >= question}  # once a fold and once a point

    with pytest.raises(DeadlineReachedError, match="in fold 1"):
        scripted(script, **stop_at(7))
    with pytest.raises(DeadlineReachedError, match="before fold 1"):
        scripted(script, **stop_at(5))
    _, shortened = scripted(script, shorten="always", keep_models=True, **stop_at(7))
    assert shortened.shortened
    assert len(shortened.curves.path_values) == 1  # the second fold had time for one point
    assert shortened.models == (0, 0, 0)


def test_a_stop_late_on_the_path_ends_it_there(scripted, monkeypatch):
    """Of 4 points 2 are half: a cut at the third leaves a path of 2, an earlier one or one alone nothing."""
    script = [0.5, 0.4, 0.3, 0.2]

    def stop_at(question):
        asked = count()  # twice a fold and point: before it, and at its step
        return {"shorten": "late", "stop": lambda: next(asked) >= question}

    _, late = scripted(script, **stop_at(6 * 2 + 3))
    assert late.shortened
    assert late.curves.path_values == (1.0, 2.0)
    assert late.scores.path_value == 2.0
    _, whole = scripted(script, **stop_at(6 * 4))
    assert not whole.shortened
    with pytest.raises(DeadlineReachedError):
        scripted(script, **stop_at(6 * 2 - 1))
    monkeypatch.setattr(_bench, "MAX_BYTES_HELD", 0)
    with pytest.raises(DeadlineReachedError, match="fold 2"):
        scripted(script, fold_bytes=1, **stop_at(5 * 2 + 3))


def test_prepared_folds_can_be_let_go():
    """Nothing is held afterwards, and the next trial prepares anew with the same result."""
    bench = make_bench()
    before = evaluate(configuration(), bench)
    bench.let_go()
    assert not bench._prepared
    assert evaluate(configuration(), bench).curves == before.curves


def test_a_fold_is_prepared_once_for_equal_keys(monkeypatch):
    """Three folds and two keys make six preparations, however many trials there are."""
    family = ScriptedFamily([1.0, 2.0, 3.0], patience=1)
    monkeypatch.setitem(_evaluation.FAMILIES, "scripted", family)
    bench = make_bench("regression")
    for key in ("a", "b", "a", "a"):
        evaluate(Configuration("scripted", {"key": key}), bench)
    assert family.prepared == 6


def test_evaluation_is_a_function_of_the_seed():
    """Same bench seed, same scores; another seed draws other bags."""
    bagged = configuration("lightgbm", bagging_fraction=0.5, min_data_in_leaf=5)
    first, again, other = (
        evaluate(bagged, replace(make_bench(), seed=seed, _prepared={})).scores for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_only_fold_of_a_repeat_that_can_be_scored_is_predicted_all_the_same():
    """Nothing tells its p_k: it is skipped and predicted at the first point, as its score is."""
    y = np.r_[np.ones(10, dtype=int), np.zeros(30, dtype=int)]
    data = make_dataset(np.column_stack([np.arange(40.0) % 7, y + np.arange(40) % 3]), y)
    parts = [np.r_[0:5, 10:25], np.r_[5:10, 25:40], np.r_[0:9, 10:25], np.r_[25:40]]
    folds = tuple(
        Fold(place // 2, place % 2, np.setdiff1d(np.arange(40), test), test)
        for place, test in enumerate(parts)
    )
    bench = Bench(data, FoldPlan("groups", folds, ()), resolve_metric("roc_auc", "binary"), 0)
    result = evaluate(configuration(), bench)
    assert result.scores.skipped_folds == 2
    assert result.scores.fold_points[2] == 0
    assert [len(kept) for kept in result.predictions] == [20, 20, 24, 15]


def test_a_fold_without_a_class_is_skipped_and_counted():
    """AUC of a fold with one class is not defined: the fold is left out of the means and counted."""
    bench = make_bench("binary", "roc_auc")
    lone = bench.plan.folds[0]
    only = lone.test[bench.dataset.y[lone.test] == 0]
    folds = (replace(lone, test=only), *bench.plan.folds[1:])
    bench = replace(bench, plan=replace(bench.plan, folds=folds), _prepared={})
    result = evaluate(configuration("linear"), bench)
    assert result.scores.skipped_folds == 1
    assert np.isnan(result.scores.fold_losses[0])
    assert result.scores.nested_loss == pytest.approx(np.mean(result.scores.fold_losses[1:]))


def test_means_of_other_folds_do_not_depend_on_how_many_points_there_are():
    """One column at a time or all at once: the same bits, so the kept point is the scored point."""
    rng = np.random.default_rng(0)
    losses = rng.integers(0, 9, size=(40, 60)) / 9
    repeats = np.repeat([0, 1], 20)
    at_once = others_mean(losses, repeats)
    singly = np.hstack([others_mean(losses[:, [point]], repeats) for point in range(60)])
    np.testing.assert_array_equal(at_once, singly)


def test_rare_categories_are_split_on_where_the_space_allows():
    """Six categories of 25 rows decide the target: 100 rows a group see none of them, 10 see all."""
    rng = np.random.default_rng(0)
    kinds = np.tile(list("abcdef"), 25)
    y = np.isin(kinds, ["b", "d", "e"]).astype(int)
    X = pd.DataFrame({"noise": rng.normal(size=150), "kind": pd.Categorical(kinds)})
    dataset = make_dataset(X, y, task="classification")
    plan = plan_choosing(dataset, n_folds=3, n_repeats=1, seed=0)
    bench = Bench(dataset, plan, resolve_metric("log_loss", "binary"), 0)

    def loss(**params):
        return evaluate(configuration(**params), bench).scores.nested_loss

    assert loss(min_data_per_group=100) > 0.5
    assert loss(min_data_per_group=10) < 0.1


@pytest.mark.parametrize("unit", [1.0, 1e-9, 3.0])
def test_fits_get_weights_that_are_one_on_average_where_there_is_one(unit):
    """Whatever the unit: 1, 2 and 6 have mean 3; rows of weight 0 are as good as absent."""
    weights = unit * np.resize([0.0, 1.0, 2.0, 6.0], N_ROWS)
    bench = make_bench("regression", weights=weights)
    rows = training_rows(bench.dataset, Fold(0, 0, np.arange(8), np.arange(8, 12)), bench.metric)
    np.testing.assert_allclose(rows.weights, np.resize([0, 1 / 3, 2 / 3, 2], 8), rtol=1e-12)
    assert bench.dataset.weights.tolist() == weights.tolist()


def counts_bench(metric):
    """Return a bench over rare counts, of which some linear predictions are below 0."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2))
    data = make_dataset(X, rng.poisson(np.exp(1.2 * X[:, 0] - 0.5)).astype(float), task="regression")
    return Bench(data, plan_choosing(data, n_folds=3, n_repeats=1, seed=0), metric, 0)


def test_a_path_ends_before_predictions_that_a_scorer_refuses():
    """A deviance of counts takes none below 0: no model is scored on the folds alone that it is valid on."""
    result = evaluate(
        configuration("linear"), counts_bench(resolve_metric("neg_mean_poisson_deviance", "regression"))
    )
    n_points = len(result.curves.path_values)
    assert 1 <= n_points < len(FAMILIES["linear"].path_values(configuration("linear").params))
    assert np.isfinite(result.curves.validation).all()
    assert np.isfinite(result.curves.train).all()  # there are more of them, so one is below 0 earlier
    assert not result.shortened


@pytest.mark.parametrize("alone", [False, True])
def test_a_model_that_is_refused_from_the_start_fails_in_the_words_of_the_scorer(monkeypatch, alone):
    """A scorer of constants can score the rows, but no model."""

    def constants(estimator, X, y):
        if np.ptp(estimator.predict(X)) > 0:
            raise ValueError("only constants")
        return -float(np.mean((y - estimator.predict(X)) ** 2))

    plain = resolve_metric("neg_mean_poisson_deviance", "regression")
    metric = replace(plain, kernel=replace(plain.kernel, scorer=constants, takes_weight=False))
    monkeypatch.setattr(_bench.Bench, "walks_alone", lambda *_: alone)
    with pytest.raises(FloatingPointError, match=r"the metric refuses the predictions \(only constants\)"):
        evaluate(configuration("linear"), counts_bench(metric))
