"""Networks: what training does, that folds leave each other alone, that NumPy predicts what was trained."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import expit, log_softmax

from search_spaces import SPACES
from tuner import TuningConfig, tune
from tuner._folds.splits import plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._records import Configuration
from tuner._rows.data import make_dataset
from tuner._trials.bench import Bench
from tuner._trials.evaluation import Effort, evaluate
from tuner.families import FAMILIES
from tuner.families._front import Front
from tuner.families._layers import activated
from tuner.families._network import Layout, Network
from tuner.families._stack import (
    MOMENTUM,
    SQUARES,
    Recipe,
    Rows,
    Stack,
    _wanted,
    steps_an_epoch,
)
from tuner.families.mlp import N_FILTERS, Inputs, epoch_grid

FAMILY = FAMILIES["mlp"]
PLAIN = Recipe(
    "regression", absolute_error=False, dropout=0.0, l1=0.0, l2=0.0, label_smoothing=0.0, learning_rate=0.01
)


def params_of(**partial):
    """Return a complete configuration."""
    return SPACES["mlp"].complete(partial)


def make_bench(task, *, n_rows=120, with_gaps=False, with_weights=False):
    """Return five folds of a small table with signal; a column is missing in some folds' rows only."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n_rows, 4)), columns=list("abcd"))
    X["colour"] = rng.choice(["red", "blue", "green"], n_rows)
    signal = X["a"] * X["b"] + X["c"] + (X["colour"] == "red") + 0.1 * rng.normal(size=n_rows)
    if with_gaps:
        X.loc[0, "d"] = np.nan  # the fold that holds row 0 out never sees a gap
    classes = {"binary": 2, "multiclass": 3}.get(task)
    y = signal if classes is None else pd.qcut(signal, classes, labels=False)
    weights = rng.uniform(0.5, 2.0, n_rows) if with_weights else None
    data = make_dataset(X, y, sample_weight=weights)
    metric = resolve_metric(None, task, classes=data.classes, weighted=with_weights)
    return Bench(data, plan_choosing(data, n_folds=5, n_repeats=1, seed=0), metric, 0)


def bench_of(X, y):
    """Return five folds of rows of two classes."""
    data = make_dataset(X, y)
    metric = resolve_metric(None, "binary", classes=data.classes)
    return Bench(data, plan_choosing(data, n_folds=5, n_repeats=1, seed=0), metric, 0)


def make_image_bench(shape):
    """Return five folds of 80 small images of noise, brighter in one class."""
    y = np.arange(80) % 2
    return bench_of(np.random.default_rng(0).normal(size=(80, *shape)) + 0.5 * y[:, *[None] * len(shape)], y)


def held_out(fits, points):
    """Walk the fits by turns, the first one ahead by two points, and return predictions by fold and point."""
    ahead = 2
    for _ in range(ahead):
        fits[0].advance()
    rows = [[] for _ in fits]
    for point in range(points):
        for place, fit in enumerate(fits):
            if place or point >= ahead:
                fit.advance()
            rows[place].append(fit.validation_prediction())
    return rows


def stack(X, y, *, recipe=PLAIN, width=4, depth=1, norm="none", seed=0, n_an_epoch=None):
    """Return one network in training on a regression."""
    layout = Layout(X.shape[1], 1, width, depth, norm)
    rows = Rows(
        X.astype(np.float32),
        y.astype(np.float32),
        np.ones(len(y), np.float32),
        np.zeros(1, np.float32),
        n_an_epoch or len(y),
    )
    return Stack([layout], [rows], recipe, [seed])


@pytest.fixture
def line():
    """Rows on a line."""
    X = np.linspace(-1, 1, 32)[:, None]
    return X, X[:, 0]


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_folds_trained_together_learn_what_each_learns_alone(task, norm):
    """With dropout, gaps in some folds only, weights, and one fold ahead: the same to single precision."""
    bench = make_bench(task, with_gaps=True, with_weights=True)
    params = params_of(dropout=0.3, norm=norm, width=16)
    prepared = [bench.prepared(FAMILY, params, fold) for fold in range(5)]
    assert len({fold.rows.X.shape[1] for fold in prepared}) > 1  # the missing column's indicator
    together = FAMILY.start_together(params, prepared, range(5))
    assert len({id(fit._training) for fit in together}) == 1  # one training
    alone = [FAMILY.start(params, fold, seed=seed) for seed, fold in enumerate(prepared)]
    for left, right in zip(held_out(together, 6), held_out(alone, 6), strict=True):
        np.testing.assert_allclose(left[:4], right[:4], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("shape", [(6, 5), (4, 4, 3)])
def test_folds_of_images_trained_together_learn_what_each_learns_alone(shape):
    """With filters, dropout and copies of images, the same to single precision; the filters see the shape."""
    bench = make_image_bench(shape)
    params = params_of(dropout=0.3, width=16, augment="image", augment_shift=0.2, augment_copies=2)
    prepared = [bench.prepared(FAMILY, params, fold) for fold in range(5)]
    together = FAMILY.start_together(params, prepared, range(5))
    assert len({id(fit._training) for fit in together}) == 1
    assert together[0]._training._stack.layout.front == Front.of(shape, N_FILTERS)
    alone = [FAMILY.start(params, fold, seed=seed) for seed, fold in enumerate(prepared)]
    for left, right in zip(held_out(together, 5), held_out(alone, 5), strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-3, atol=2e-4)


def test_filters_find_a_stroke_wherever_it_is():
    """A stroke of two pixels falls or rises somewhere: filters tell on new rows, dense layers do not."""
    rng = np.random.default_rng(0)
    images, y, row = 0.2 * rng.normal(size=(300, 8, 8)), np.arange(300) % 2, np.arange(300)
    top, left = rng.integers(0, 7, (2, 300))
    images[row, top, left + y] += 2.0
    images[row, top + 1, left + 1 - y] += 2.0
    bench = bench_of(images, y)
    by_filters, by_pixels = (
        evaluate(
            Configuration("mlp", params_of(numeric="common", width=32, convolution=convolution)),
            bench,
            Effort(n_points=20),
        ).scores
        for convolution in (True, False)
    )
    assert by_filters.nested_loss < 0.5 < by_pixels.nested_loss


def test_a_network_with_filters_survives_storage():
    """A fold model read back by skops predicts the same, from types of ours and NumPy's only."""
    import skops.io

    bench = make_image_bench((4, 4, 3))
    model = evaluate(Configuration("mlp", params_of(width=16)), bench, Effort(keep_models=True)).models[0]
    stored = skops.io.dumps(model)
    unknown = skops.io.get_untrusted_types(data=stored)
    table = bench.dataset.table
    found = skops.io.loads(stored, trusted=unknown).predict(table)
    np.testing.assert_array_equal(found, model.predict(table))


def test_rows_of_a_table_have_no_filters():
    """Where rows are no images, nothing changes by it."""
    bench = make_bench("binary")
    layouts = [
        FAMILY.start(params, bench.prepared(FAMILY, params, 0), seed=0)._training._stack.layout
        for params in (params_of(convolution=True), params_of(convolution=False))
    ]
    assert layouts[0] == layouts[1]
    assert layouts[0].front is None


def test_a_fold_does_not_hear_of_its_neighbours():
    """Other targets in four folds leave the fifth as it was, bit for bit."""
    bench = make_bench("regression")
    params = params_of(width=16)
    prepared = [bench.prepared(FAMILY, params, fold) for fold in range(5)]
    other = [
        replace(fold, rows=replace(fold.rows, target=fold.rows.target[::-1].copy())) for fold in prepared[:4]
    ]
    plain, mixed = (
        FAMILY.start_together(params, folds, range(5))[4] for folds in (prepared, [*other, prepared[4]])
    )
    for fit in (plain, mixed):
        fit.advance()
        fit.advance()
    np.testing.assert_array_equal(plain.validation_prediction(), mixed.validation_prediction())


@pytest.mark.parametrize("change", ["outputs", "steps", "parameters"])
def test_folds_of_other_shapes_train_alone(change):
    """Another number of outputs or steps, or too many parameters, and each fold has its own training."""
    bench = make_bench("multiclass")
    params = params_of(width=256 if change == "parameters" else 16)
    prepared = [bench.prepared(FAMILY, params, fold) for fold in range(2)]
    if change == "outputs":
        few = prepared[0].rows
        rows = replace(few, target=few.target % 2, start=np.zeros(2, np.float32))
        prepared[0] = replace(prepared[0], rows=rows)
    if change == "steps":
        rows = prepared[0].rows
        few = Rows(rows.X[:40], rows.target[:40], rows.weights[:40], rows.start, n_an_epoch=40)
        prepared[0] = replace(prepared[0], rows=few)
    fits = FAMILY.start_together(params, prepared, [0, 1])
    assert fits[0]._training is not fits[1]._training


def test_the_walk_scores_the_folds_together_and_keeps_their_models():
    """A whole trial: kept models repeat the scored predictions; a second run gives the same bits."""
    bench = make_bench("binary")
    configuration = Configuration("mlp", params_of(width=16, dropout=0.2))
    first, second = (evaluate(configuration, bench, Effort(keep_models=True)) for _ in range(2))
    assert first.curves == second.curves
    assert first.scores.nested_loss < np.log(2)  # a coin's
    metric, point = bench.metric, first.scores.path_point
    for fold, model, curve in zip(bench.plan.folds, first.models, first.curves.validation, strict=True):
        prediction = model.predict(bench.dataset.table.take(fold.test))
        assert metric.losses(bench.dataset.y[fold.test], prediction)[0, 0] == pytest.approx(curve[point])


def test_epochs_grow_by_a_fifth():
    """1 to 8 one by one, then round(1.2 e): 8, 10, 12, 14, 17; 256 ends."""
    grid = epoch_grid()
    assert grid[:12] == (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17)
    assert grid[-1] == 256
    assert all(left < right for left, right in pairwise(grid))


def loss_of(outputs, target, task):
    """Return the textbook loss of each row, shape (n_folds, n_rows)."""
    if task == "multiclass":
        return -(target * log_softmax(outputs, axis=-1)).sum(axis=-1)
    if task == "binary":
        return (np.logaddexp(0.0, outputs) - target * outputs).sum(axis=-1)
    return ((outputs - target) ** 2).sum(axis=-1)


@pytest.mark.parametrize("front", [None, Front.of((4, 3), 2)], ids=["dense", "filters"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize(("task", "n_outputs"), [("regression", 1), ("binary", 1), ("multiclass", 3)])
def test_gradients_are_those_of_differences(task, n_outputs, norm, front):
    """Of the weighted loss of two folds, one with fewer rows, in double precision, with silenced units."""
    n_rows, rng = 6, np.random.default_rng(0)
    recipe = replace(PLAIN, task=task, dropout=0.3)
    layout = Layout(12, n_outputs, 3, 2, norm, front)
    X = rng.normal(size=(n_rows, 12)).astype(np.float32)
    y = rng.normal(size=n_rows) if task == "regression" else rng.integers(0, max(2, n_outputs), n_rows)
    rows = Rows(X, y, np.ones(n_rows, np.float32), np.zeros(n_outputs, np.float32), n_rows)
    fitted = Stack([layout, layout], [rows, rows], recipe, [0, 1])
    fitted._values = fitted._values.astype(float) + 0.3 * rng.normal(size=len(fitted._values))
    fitted._gradients = np.zeros_like(fitted._values)
    fitted._layers, fitted._slots = fitted._views(fitted._values), fitted._views(fitted._gradients)
    there = np.ones((2, n_rows))
    there[1, -2:] = 0.0
    shares = rng.uniform(0.5, 1.5, there.shape) * there
    target = _wanted(y, n_outputs, recipe).astype(float)
    kept = [each[0].astype(float) for each in fitted._kept(1)]
    X = np.stack([fitted._X[:n_rows], fitted._X[n_rows:]]).astype(float)

    def loss():
        outputs = fitted._passed(X, there, kept)[-1].outputs
        return (loss_of(outputs, target, task) * shares).sum()

    passed = fitted._passed(X, there, kept)
    fitted._go_back(passed, fitted._slopes(passed[-1].outputs, target) * shares[..., None])
    expected = np.empty_like(fitted._values)
    for place, value in enumerate(fitted._values.tolist()):
        ends = []
        for moved in (value - 1e-5, value + 1e-5):
            fitted._values[place] = moved
            ends.append(loss())
        fitted._values[place] = value
        expected[place] = (ends[1] - ends[0]) / 2e-5
    assert (np.abs(expected) > 1e-3).mean() > 0.5
    np.testing.assert_allclose(fitted._gradients, expected, rtol=1e-4, atol=1e-6)


def test_an_epoch_of_augmented_rows_is_as_long_as_one_of_the_rows_they_are_made_from(line):
    """8 rows and 24 copies: every epoch draws 8 of the 32, each at most once, in time others; 1 step."""
    X, y = line
    network = stack(X, y, n_an_epoch=8)
    epochs = [network._order().ravel() for _ in range(40)]
    assert all(len(set(drawn)) == len(drawn) == 8 for drawn in epochs)
    assert set(np.concatenate(epochs)) == set(range(32))
    network.epoch(lambda: None)
    assert network._step == steps_an_epoch(8) == 1


@pytest.mark.parametrize(
    ("n_rows", "steps"), [(10, 1), (64, 4), (128, 8), (2000, 8), (2560, 10), (25600, 100)]
)
def test_steps_an_epoch(n_rows, steps):
    """At least 16 rows a step; 8 steps; on large tables 256 rows a step."""
    assert steps_an_epoch(n_rows) == steps


def test_numpy_predicts_by_hand():
    """One unit: 1 * 2 + 1 = 3, silu(3) = 3 / (1 + e^-3) = 2.8577, times -1 plus .5 = -2.3577."""
    layout = Layout(1, 1, 1, 1, "none")
    network = Network(layout, np.array([2.0, 1.0, -1.0, 0.5], dtype=np.float32))
    assert network.outputs(np.ones((1, 1), np.float32))[0, 0] == pytest.approx(-3 * expit(3) + 0.5, rel=1e-6)


def test_slopes_of_absolute_errors_are_signs(line):
    """An output of 1 where .5 is wanted goes down, one of -2 where -1 is wanted goes up."""
    fitted = stack(*line, recipe=replace(PLAIN, absolute_error=True))
    slopes = fitted._slopes(np.array([[1.0], [-2.0]]), np.array([[0.5], [-1.0]]))
    np.testing.assert_array_equal(slopes, [[1.0], [-1.0]])


def test_targets_are_smoothed_by_hand():
    """A share of .2 over two classes leaves .9 and .1, over four .85 and .05; numbers stay."""
    binary, many = (replace(PLAIN, task=task, label_smoothing=0.2) for task in ("binary", "multiclass"))
    np.testing.assert_allclose(_wanted(np.array([1.0, 0.0]), 1, binary), [[0.9], [0.1]], rtol=1e-6)
    np.testing.assert_allclose(_wanted(np.array([2]), 4, many), [[0.05, 0.05, 0.85, 0.05]], rtol=1e-6)
    np.testing.assert_allclose(_wanted(np.array([1.5]), 1, PLAIN), [[1.5]])


def test_a_step_is_that_of_adamw(line):
    """Three steps from the same gradients, as in Loshchilov and Hutter (2019), algorithm 2, in doubles."""
    recipe = replace(PLAIN, l2=2.0)
    fitted = stack(*line, recipe=recipe)
    values = fitted._values.astype(float)
    decay = np.repeat([1 - recipe.learning_rate * 2.0, 1.0], [8, 5])  # 1 x 4 and 4 x 1 entries, 5 offsets
    momentum, squares = np.zeros((2, len(values)))
    rng = np.random.default_rng(0)
    for step in (1, 2, 3):
        gradients = rng.normal(size=len(values))
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradients
        squares = SQUARES * squares + (1 - SQUARES) * gradients**2
        spread = np.sqrt(squares / (1 - SQUARES**step)) + 1e-8
        values = decay * values - recipe.learning_rate * momentum / (1 - MOMENTUM**step) / spread
        fitted._gradients[:] = gradients
        fitted._update()
    np.testing.assert_allclose(fitted._values, values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_training_and_delivered_network_agree(norm, line):
    """On all rows as one batch, what training computes is what the delivered network predicts."""
    fitted = stack(*line, norm=norm, depth=2)
    for _ in range(5):
        fitted.epoch(lambda: None)
    X = line[0].astype(np.float32)
    fitted._values[:] = fitted._average
    expected = fitted._passed(X[None], np.ones((1, len(X)), np.float32), [])[-1].outputs[0]
    layout = fitted.layout
    found = Network.settled(layout, fitted.flat(0), X).outputs(X)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_rows_read_a_few_at_a_time_are_predicted_as_all_at_once(norm, line, monkeypatch):
    """Where there are many rows, no layer holds the units of all of them: here seven rows at a time."""
    fitted = stack(*line, norm=norm, depth=3)
    for _ in range(5):
        fitted.epoch(lambda: None)
    X = line[0].astype(np.float32)
    whole = Network.settled(fitted.layout, fitted.flat(0), X)
    expected = whole.outputs(X)
    monkeypatch.setattr("tuner.families._network.ROWS_AT_ONCE", 7)
    sizes, sums = [], Network._sums
    monkeypatch.setattr(
        Network, "_sums", lambda net, place, rows: sizes.append(len(rows)) or sums(net, place, rows)
    )
    parts = Network.settled(fitted.layout, fitted.flat(0), X)
    np.testing.assert_allclose(parts.outputs(X), expected, rtol=1e-4, atol=1e-5)
    assert max(sizes) == 7


def test_normalization_over_rows_leaves_out_those_that_are_not_there():
    """Rows 1 and 3 have mean 2 and spread 1; a third row of 100 that is padding changes nothing."""
    sums = np.array([[[1.0], [3.0], [100.0]]])
    identity, zeros, ones = np.ones((1, 1, 1)), np.zeros((1, 1)), np.ones((1, 1))
    there = np.array([[1.0, 1.0, 0.0]])
    outputs = activated(sums, [identity, zeros, ones, zeros], there, "batch").outputs
    np.testing.assert_allclose(outputs[0, :2, 0], [-expit(-1.0), expit(1.0)], atol=1e-4)


def test_l1_silences_and_l2_shrinks(line):
    """Strong L1 makes matrix entries exactly 0, strong L2 small but not 0; without, they are neither."""
    entries = {}
    for name, recipe in {
        "plain": PLAIN,
        "l1": replace(PLAIN, l1=3.0),
        "l2": replace(PLAIN, l2=3.0),
    }.items():
        fitted = stack(*line, recipe=recipe, width=16)
        for _ in range(60):
            fitted.epoch(lambda: None)
        entries[name] = np.abs(fitted._layers[0][0])  # the last step's, of the first matrix
    assert (entries["l1"] == 0).mean() > 0.5
    assert (entries["plain"] > 0).all()
    assert (entries["l2"] > 0).all()
    assert entries["l2"].mean() < 0.7 * entries["plain"].mean()


def test_dropout_silences_its_share_and_keeps_the_mean(line):
    """A quarter of the units is 0, the others are 4/3: the mean stays 1."""
    fitted = stack(*line, recipe=replace(PLAIN, dropout=0.25), width=64, depth=2)
    kept = np.stack(fitted._kept(2))
    assert kept.shape == (2, 2, 1, 16, 64)  # layers, steps, folds, rows, units
    assert set(np.unique(kept)) == {0.0, np.float32(4 / 3)}
    assert abs(kept.mean() - 1) < 0.05


def test_dropout_shrinks_the_gap():
    """On a target of noise, a network with dropout fits its training rows less."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 10)), rng.normal(size=64)
    losses = []
    for dropout in (0.0, 0.5):
        fitted = stack(X, y, recipe=replace(PLAIN, dropout=dropout), width=64, depth=2)
        for _ in range(60):
            fitted.epoch(lambda: None)
        outputs = Network(fitted.layout, fitted.flat(0)).outputs(X.astype(np.float32))[:, 0]
        losses.append(((outputs - y) ** 2).mean())
    assert losses[1] > 2 * losses[0]


def test_smoothed_labels_bound_the_probabilities():
    """With a share of .2 a separable problem is fitted to .9, not to 1: 1 - .2 / 2."""
    X = np.repeat([[-1.0], [1.0]], 32, axis=0)
    y = np.repeat([0.0, 1.0], 32)
    recipe = replace(PLAIN, task="binary", label_smoothing=0.2)
    fitted = stack(X, y, recipe=recipe, width=8)
    for _ in range(150):
        fitted.epoch(lambda: None)
    outputs = Network(fitted.layout, fitted.flat(0)).outputs(X.astype(np.float32))[:, 0]
    np.testing.assert_allclose(expit(outputs[y == 1]), 0.9, atol=0.01)


def test_wide_sparse_rows_are_projected_on_training_directions():
    """600 sparse columns become at most 128 inputs of spread about 1, and other rows do not change them."""
    X = sparse.random(200, 600, density=0.02, format="csr", rng=np.random.default_rng(0))

    class Same:
        def transform(self, table):
            return table

    inputs = Inputs.fit(Same(), X, seed=0)
    dense = inputs.transform(X)
    assert dense.shape == (200, 128)
    np.testing.assert_allclose((dense**2).mean(axis=0), 1.0, rtol=1e-3)
    np.testing.assert_allclose(inputs.transform(X[:3]), dense[:3], rtol=1e-5, atol=1e-6)


def test_the_global_generator_is_left_alone():
    """Training draws from its own seeds: NumPy's global state stays."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    evaluate(Configuration("mlp", params_of(width=16)), make_bench("binary"))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.usefixtures("one_fresh_repeat")
def test_a_run_does_not_depend_on_the_number_of_threads():
    """Six trials on one thread and on two: the same losses and predictions, bit for bit."""
    bench = make_bench("binary", n_rows=200)
    X = pd.DataFrame(bench.dataset.table.numeric)
    runs = [
        tune(
            X,
            bench.dataset.y,
            config=TuningConfig(
                families=["mlp", "linear"],
                max_trials=6,
                time_budget=None,
                n_jobs=n_jobs,
                random_state=0,
                tracking=False,
                estimate=None,
                verbose=0,
            ),
        )
        for n_jobs in (1, 2)
    ]
    losses = [[trial.scores.nested_loss for trial in run.trials] for run in runs]
    assert losses[0] == losses[1]
    assert {trial.configuration.family for trial in runs[0].trials} == {"mlp", "linear"}
    np.testing.assert_array_equal(*(run.model.predict_proba(X) for run in runs))


@pytest.mark.slow
def test_a_delivered_network_survives_mlflow(tmp_path):
    """The stored model holds trusted types only, and predicts the same once loaded by skops."""
    import skops.io

    from tuner._tracking.model import trusted_types

    bench = make_bench("binary", n_rows=150)
    X = pd.DataFrame(bench.dataset.table.numeric)
    config = TuningConfig(
        families=["mlp"],
        search_space={"mlp": {"norm": "batch", "width": 16}},
        max_trials=2,
        time_budget=None,
        random_state=0,
        tracking=False,
        estimate=None,
        verbose=0,
    )
    model = tune(X, bench.dataset.y, config=config).model
    trusted = trusted_types(model)
    skops.io.dump(model, tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=trusted)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_a_network_that_diverges_shows_in_its_predictions(line):
    """At a rate of 1e6 the squares of gradients overflow: no warning, and predictions that are no numbers."""
    fitted = stack(*line, recipe=replace(PLAIN, learning_rate=1e6), depth=4)
    for _ in range(100):
        fitted.epoch(lambda: None)
    assert not np.isfinite(Network(fitted.layout, fitted.flat(0)).outputs(line[0].astype(np.float32))).all()
