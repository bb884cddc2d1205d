"""One contract for every family: all tasks, all kinds of input."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from search_spaces import PORTFOLIOS, SPACES
from tuner._folds.splits import Fold
from tuner._metrics.metrics import resolve_metric
from tuner._rows.data import make_dataset
from tuner._trials.bench import training_rows
from tuner.families import FAMILIES, Designs, TrainingRows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TASKS = ("binary", "multiclass", "regression")
INPUTS = ("dense", "sparse")
N_ROWS, N_TRAIN, POINTS = 90, 60, 8
FOLD = Fold(0, 0, np.arange(N_TRAIN), np.arange(N_TRAIN, N_ROWS))
# Every known-good configuration and the default; DART and elastic net are among them.
CONFIGURATIONS = [
    pytest.param(name, {**partial}, id=f"{name}-{place}")
    for name in FAMILIES
    for place, partial in enumerate([{}, *PORTFOLIOS[name]])
]
SUBSAMPLED = {"bagging_fraction": 0.7, "feature_fraction": 0.6, "extra_trees": True, "boosting": "dart"}
LINEAR = {"linear_tree": True, "linear_lambda": 0.01}
FEW_LEAVES = {**LINEAR, "num_leaves": 4, "min_data_in_leaf": 12}

every_family = pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in FAMILIES])
every_task = pytest.mark.parametrize("task", TASKS)
every_input = pytest.mark.parametrize("kind", INPUTS)


def make_rows(task, kind="dense", *, weights=None, metric=None):
    """Return the training rows and held-out rows of a small table with signal."""
    rng = np.random.default_rng(0)
    if kind == "sparse":
        X = sparse.random(N_ROWS, 10, density=0.4, format="csr", rng=rng)
        signal = np.asarray(X[:, :2].sum(axis=1)).ravel() + 0.2 * rng.normal(size=N_ROWS)
    else:
        X = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=list("abc"))
        X["colour"] = rng.choice(["red", "blue", "green"], N_ROWS)
        X["rare"] = [f"id{row}" for row in range(N_ROWS)]  # no held-out code occurs in training rows
        signal = 2 * X["a"] + (X["colour"] == "red") + 0.3 * rng.normal(size=N_ROWS)
        X.loc[::7, "a"] = np.nan
        X.loc[::9, "colour"] = None
        X.loc[N_TRAIN + 1 :: 8, "b"] = np.nan  # missing in held-out rows only
    signal = np.asarray(signal)
    classes = {"binary": 2, "multiclass": 3}.get(task)
    y = signal if classes is None else pd.qcut(signal, classes, labels=False)
    data = make_dataset(X, y, sample_weight=weights)
    assert data.task == task
    return training_rows(data, FOLD, resolve_metric(metric, task))


def params_of(name, partial=None):
    """Return a complete configuration."""
    return SPACES[name].complete(partial or {})


def start(name, rows, partial=None, *, seed=1):
    """Return a fit that has not yet advanced."""
    family, params = FAMILIES[name], params_of(name, partial)
    return family.start(params, family.prepare(params, rows, seed=0), seed=seed)


def walk(name, rows, partial=None, *, seed=1, points=POINTS):
    """Return the fit after some points, and its predictions of held-out and training rows at each."""
    fit = start(name, rows, partial, seed=seed)
    held_out, fitted = [], []
    for _ in range(points):
        fit.advance()
        held_out.append(fit.validation_prediction())
        fitted.append(fit.train_prediction())
    return fit, np.array(held_out), np.array(fitted)


def shape_of(task, n_rows):
    """Return the shape predictions must have."""
    return (n_rows, 3) if task == "multiclass" else (n_rows,)


def test_every_family_has_a_space_of_its_name():
    """The tables of families and of spaces have the same names, and each family knows its own."""
    assert set(FAMILIES) == set(SPACES)
    assert all(family.name == name for name, family in FAMILIES.items())
    assert all(family.patience(params_of(name)) >= 1 for name, family in FAMILIES.items())


@pytest.mark.parametrize(("name", "partial"), CONFIGURATIONS)
def test_path_is_common_to_folds_and_starts_small(name, partial):
    """Path values are different, monotone, at least 10, and do not depend on the rows."""
    values = FAMILIES[name].path_values(params_of(name, partial))
    steps = np.diff(values)
    assert len(values) >= 10
    assert (steps > 0).all() or (steps < 0).all()
    assert values == FAMILIES[name].path_values(params_of(name, partial))


UNIT = 2.0**-30  # exact in floating point


@every_family
def test_the_unit_of_a_target_does_not_matter(name):
    """Penalties are in spreads of the target: in billionths predictions are the same ones."""
    rows = make_rows("regression")
    partial = {"lambda_l1": 3.0, "min_data_in_leaf": 5} if name == "lightgbm" else {}
    _, plain, _ = walk(name, rows, partial)
    fit, small, _ = walk(name, replace(rows, y=rows.y * UNIT), partial)
    np.testing.assert_allclose(small / UNIT, plain, rtol=1e-6)
    kept = fit.predictor(POINTS - 1).predict(rows.validation) / UNIT
    np.testing.assert_allclose(kept, plain[-1], rtol=1e-4)
    assert np.std(plain[-1]) > 0.1  # nothing is equal because nothing was learned


@every_family
def test_the_unit_of_weights_does_not_matter(name):
    """They say what a row counts beside others: whole numbers, and their thousandths, make one model."""
    weights = np.arange(1.0, N_ROWS + 1)
    partial = {"lambda_l2": 10.0, "min_data_in_leaf": 5} if name == "lightgbm" else {}
    whole, small = (
        walk(name, make_rows("binary", weights=each), partial)[1] for each in (weights, weights / 1024)
    )
    np.testing.assert_allclose(small, whole, rtol=1e-6)


@pytest.mark.parametrize(("name", "partial"), CONFIGURATIONS)
def test_the_first_point_is_the_smaller_model(name, partial):
    """The training loss of a later point is below that of the first one."""
    rows = make_rows("regression")
    leaves = {"min_data_in_leaf": 5} if name == "lightgbm" else {}  # 60 rows cannot fill leaves of 40
    _, _, fitted = walk(name, rows, {**partial, **leaves}, points=10)
    losses = ((fitted - rows.y) ** 2).mean(axis=1)
    assert losses[-1] < losses[0]


@every_input
@every_task
@pytest.mark.parametrize(("name", "partial"), CONFIGURATIONS)
def test_predictions_and_predictors(name, partial, task, kind):
    """All points: finite, right shape, sums of 1; the stored model repeats what was scored, pickled too."""
    rows = make_rows(task, kind)
    fit, held_out, fitted = walk(name, rows, partial)
    assert held_out.shape == (POINTS, *shape_of(task, N_ROWS - N_TRAIN))
    assert fitted.shape == (POINTS, *shape_of(task, N_TRAIN))
    assert np.isfinite(held_out).all()
    if task != "regression":
        assert ((held_out >= 0) & (held_out <= 1)).all()
    if task == "multiclass":
        np.testing.assert_allclose(held_out.sum(axis=2), 1.0)
    for point in (POINTS - 1, 3, 0):  # the current one, and earlier ones
        predictor = pickle.loads(pickle.dumps(fit.predictor(point)))
        np.testing.assert_allclose(predictor.predict(rows.validation), held_out[point], rtol=1e-6)
        np.testing.assert_allclose(predictor.predict(rows.table), fitted[point], rtol=1e-6)


@every_task
@pytest.mark.parametrize(("name", "partial"), CONFIGURATIONS)
def test_the_seed_decides_alone(name, partial, task):
    """The same seed gives the same bits, whether or not a predictor was taken on the way."""
    rows = make_rows(task)
    _, first, _ = walk(name, rows, partial)
    fit = start(name, rows, partial)
    again = []
    for point in range(POINTS):
        fit.advance()
        again.append(fit.validation_prediction())
        fit.predictor(point // 2)
    np.testing.assert_array_equal(first, np.array(again))


@every_family
def test_a_target_far_from_zero_is_learned(name):
    """Adding ten million to a target adds it to the predictions: nothing is lost to single precision."""
    rows = make_rows("regression")
    far = replace(rows, y=rows.y + 1e7, designs=Designs())
    _, _, fitted = walk(name, rows)
    _, _, fitted_far = walk(name, far)
    np.testing.assert_allclose(fitted_far - 1e7, fitted, atol=0.05 * rows.y.std())


def test_another_seed_draws_other_trees():
    """Bagging, column sampling, random thresholds and dropout follow the seed."""
    rows = make_rows("regression")
    _, first, _ = walk("lightgbm", rows, SUBSAMPLED, seed=1)
    _, second, _ = walk("lightgbm", rows, SUBSAMPLED, seed=2)
    assert not np.allclose(first[-1], second[-1])


@every_input
@every_task
@every_family
def test_held_out_rows_are_never_learned_from(name, task, kind):
    """Other held-out rows, even wild ones, leave training predictions and the model as they are."""
    rows = make_rows(task, kind)
    wild = replace(
        rows.validation,
        numeric=rows.validation.numeric * 1e3,
        categorical=np.zeros_like(rows.validation.categorical),
    )
    fit, _, fitted = walk(name, rows)
    other_fit, _, other_fitted = walk(name, replace(rows, validation=wild, designs=Designs()))
    np.testing.assert_array_equal(fitted, other_fitted)
    probe = rows.validation
    np.testing.assert_array_equal(
        fit.predictor(POINTS - 1).predict(probe), other_fit.predictor(POINTS - 1).predict(probe)
    )


@every_family
def test_held_out_targets_are_never_given(name):
    """What a family receives has as many targets as training rows, and no field for others."""
    rows = make_rows("binary", weights=np.arange(1, N_ROWS + 1))
    lengths = {len(getattr(rows, field)) for field in ("y", "weights")}
    assert lengths == {N_TRAIN}
    assert {field.name for field in fields(TrainingRows)} == {
        "table",
        "y",
        "weights",
        "validation",
        "task",
        "n_classes",
        "absolute_error",
        "n_threads",
        "image_shape",
        "made",
        "designs",
    }
    assert list(inspect.signature(FAMILIES[name].prepare).parameters) == ["params", "rows", "seed"]


@every_task
@every_family
def test_equal_weights_are_no_weights(name, task):
    """Weights of 1 give the fit without weights."""
    _, plain, _ = walk(name, make_rows(task))
    _, weighted, _ = walk(name, make_rows(task, weights=np.ones(N_ROWS)))
    np.testing.assert_allclose(weighted, plain, rtol=1e-6)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@every_family
def test_a_heavier_class_becomes_more_probable(name, task):
    """Five times the weight for class 1 raises its mean probability on held-out rows."""
    plain = make_rows(task)
    _, before, _ = walk(name, plain, points=4)
    _, after, _ = walk(name, replace(plain, weights=np.where(plain.y == 1, 5.0, 1.0)), points=4)
    p_before, p_after = (p[-1] if task == "binary" else p[-1][:, 1] for p in (before, after))
    assert p_after.mean() > p_before.mean() + 0.05


@pytest.mark.parametrize("partial", [{"min_data_in_leaf": 2}, {"penalty": "l2"}], ids=["lightgbm", "linear"])
def test_zero_weight_silences_targets(partial):
    """Targets of rows with weight 0 may be anything: the model stays the same."""
    name = "linear" if "penalty" in partial else "lightgbm"
    rows = make_rows("regression")
    weights = np.where(np.arange(N_TRAIN) < 10, 0.0, 1.0)
    _, before, _ = walk(name, replace(rows, weights=weights), partial)
    _, after, _ = walk(name, replace(rows, weights=weights, y=np.where(weights == 0, 50.0, rows.y)), partial)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-6)


@every_input
@every_family
def test_a_class_the_fold_lacks_gets_the_smoothed_prior(name, kind):
    """Class 1 has no training row: its probability is 1 / (60 + 3), never 1e-15, at every point."""
    rows = make_rows("multiclass", kind)
    lacking = replace(rows, y=np.where(rows.y == 1, 2, rows.y))
    fit, held_out, _ = walk(name, lacking)
    np.testing.assert_allclose(held_out[:, :, 1], 1 / (N_TRAIN + 3))
    np.testing.assert_allclose(held_out.sum(axis=2), 1.0)
    np.testing.assert_allclose(fit.predictor(2).predict(rows.validation), held_out[2], rtol=1e-6)


@every_family
def test_two_of_four_classes_present_still_give_four_columns(name):
    """Where only two of four classes can be learned, both absent ones get 1 / (60 + 4)."""
    rows = make_rows("multiclass")
    lacking = replace(rows, y=np.where(rows.y == 1, 3, rows.y * 0), n_classes=4)
    _, held_out, _ = walk(name, lacking)
    assert held_out.shape == (POINTS, N_ROWS - N_TRAIN, 4)
    np.testing.assert_allclose(held_out[:, :, [1, 2]], 1 / (N_TRAIN + 4))
    np.testing.assert_allclose(held_out.sum(axis=2), 1.0)


@pytest.mark.parametrize(
    ("name", "weak", "strong"),
    [
        ("lightgbm", {}, {"lambda_l2": 100.0}),
        ("lightgbm", {}, {"lambda_l1": 10.0}),
        ("lightgbm", {}, {"path_smooth": 100.0}),
        ("lightgbm", {}, {"num_leaves": 2}),
        ("lightgbm", FEW_LEAVES, {**FEW_LEAVES, "linear_lambda": 100.0}),
        ("lightgbm", {"boosting": "dart", "drop_rate": 0.02}, {"boosting": "dart", "drop_rate": 0.5}),
    ],
    ids=["l2", "l1", "smoothing", "stumps", "linear", "dropout"],
)
def test_regularization_shrinks_the_gap(name, weak, strong):
    """On a target of noise, the train/validation gap of the regularized model is smaller at equal rounds."""
    rows = make_rows("regression")
    rng = np.random.default_rng(3)
    rows = replace(rows, y=rng.normal(size=N_TRAIN))
    y_held_out = rng.normal(size=N_ROWS - N_TRAIN)
    common = {"min_data_in_leaf": 2, "skip_drop": 0.0}
    gaps = []
    for partial in (weak, strong):
        _, held_out, fitted = walk(name, rows, {**common, **partial}, points=14)
        gaps.append(((held_out[-1] - y_held_out) ** 2).mean() - ((fitted[-1] - rows.y) ** 2).mean())
    assert gaps[1] < 0.9 * gaps[0]


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic_net"])
@every_task
def test_the_linear_gap_grows_along_the_path(penalty, task):
    """From strong to weak penalty the training loss falls; at the start the fit is near the prior."""
    rows = make_rows(task)
    points = len(FAMILIES["linear"].path_values({}))
    metric = resolve_metric(None, task)
    _, held_out, fitted = walk("linear", rows, {"penalty": penalty}, points=points)
    losses = [metric.losses(rows.y, prediction)[0, 0] for prediction in fitted]
    assert losses[-1] < 0.9 * losses[0]
    assert held_out[0].std() < held_out[-1].std()


def test_l1_zeroes_coefficients():
    """At the same point the lasso keeps fewer columns than ridge."""
    rows = make_rows("regression")
    counts = []
    for penalty in ("l1", "l2"):
        fit, _, _ = walk("linear", rows, {"penalty": penalty}, points=6)
        counts.append(int((np.abs(fit.predictor(5).coefficients) > 1e-8).sum()))
    assert counts[0] < counts[1]


def sloped(outlier=1.0):
    """Return rows on a line of slope 3, a tenth of them missing, and held-out rows far beyond them."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, N_ROWS)
    X = pd.DataFrame({"x": x, "none": np.full(N_ROWS, np.nan)})
    X.loc[N_TRAIN:, "none"] = 1.0  # known in held-out rows only
    X.loc[N_TRAIN : N_TRAIN + 1, "x"] = [outlier, x[:N_TRAIN].max()]
    X.loc[: N_TRAIN - 1 : 10, "x"] = np.nan
    y = np.where(X["x"].isna(), 5.0, 3 * x)
    return training_rows(make_dataset(X, y), FOLD, resolve_metric(None, "regression"))


def test_linear_leaves_follow_a_line_where_constants_make_steps():
    """After 22 rounds of stumps, what is left of a line is a tenth of what steps leave."""
    rows = sloped()
    known = np.isfinite(rows.table.numeric[:, 0])
    left = {}
    for linear in (False, True):
        partial = {**LINEAR, "linear_tree": linear, "num_leaves": 2, "learning_rate": 0.3}
        _, _, fitted = walk("lightgbm", rows, partial)
        left[linear] = ((fitted[-1] - rows.y)[known] ** 2).mean()
    assert left[True] < 0.1 * left[False]


def test_linear_leaves_end_where_the_training_rows_end():
    """A held-out value of a million is predicted like the largest of the training rows."""
    fit, held_out, _ = walk("lightgbm", sloped(outlier=1e6), LINEAR)
    np.testing.assert_array_equal(held_out[:, 0], held_out[:, 1])
    np.testing.assert_allclose(
        fit.predictor(POINTS - 1).predict(sloped(1e6).validation), held_out[-1], atol=1e-6
    )


def test_linear_leaves_learn_of_rows_with_gaps():
    """A gap in the second column adds 5: leaves of such rows alone are fitted like others."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2))
    X[::3, 1] = np.nan
    data = make_dataset(X, 2 * X[:, 0] + 5 * np.isnan(X[:, 1]))
    rows = training_rows(data, FOLD, resolve_metric(None, "regression"))
    few = {**LINEAR, "num_leaves": 4, "min_data_in_leaf": 5, "learning_rate": 0.3}
    _, held_out, _ = walk("lightgbm", rows, few)
    errors = held_out[-1] - data.y[N_TRAIN:]
    assert np.abs(errors[np.isnan(X[N_TRAIN:, 1])]).max() < 1.0


def test_linear_leaves_are_the_same_on_two_threads():
    """Sums of more than 1,024 rows are rounded by thread: a fit has one, whatever it may use."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 4))
    fold = Fold(0, 0, np.arange(2500), np.arange(2500, 3000))
    data = make_dataset(X, X[:, 0] * X[:, 1] + rng.normal(size=3000))
    metric = resolve_metric(None, "regression")
    one, two = (
        walk("lightgbm", training_rows(data, fold, metric, n_threads=n_threads), LINEAR)[1]
        for n_threads in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_linear_leaves_of_categories_alone_are_constants():
    """Where no column holds numbers there is nothing to be linear in: nothing fails, nothing changes."""
    codes = np.tile(["a", "b", "c"], N_ROWS // 3)
    data = make_dataset(pd.DataFrame({"c": codes}), np.tile([1.0, 2.0, 3.0], N_ROWS // 3))
    rows = training_rows(data, FOLD, resolve_metric(None, "regression"))
    few = {"min_data_in_leaf": 2, "min_data_per_group": 2}
    for partial in ({"boosting": "gbdt"}, {"boosting": "dart"}):
        _, constant, _ = walk("lightgbm", rows, {**few, **partial})
        fit, linear, _ = walk("lightgbm", rows, {**few, **partial, **LINEAR})
        np.testing.assert_allclose(linear, constant, atol=1e-4)
        np.testing.assert_allclose(fit.predictor(POINTS - 1).predict(rows.validation), linear[-1])


def test_absolute_errors_read_the_path_of_linear_leaves():
    """LightGBM refuses to fit linear leaves to absolute errors; they are fitted to squared ones."""
    rows = make_rows("regression")
    _, squared, _ = walk("lightgbm", rows, LINEAR)
    _, absolute, _ = walk("lightgbm", replace(rows, absolute_error=True), LINEAR)
    np.testing.assert_array_equal(absolute, squared)


def test_rows_of_linear_leaves_are_held_in_single_precision():
    """90 rows of three numbers and three gaps take 4 bytes each; without linear leaves nothing does."""
    family, table = FAMILIES["lightgbm"], make_dataset(np.arange(270.0).reshape(90, 3), np.arange(90.0)).table
    assert family.fold_bytes(table, params_of("lightgbm")) == 0
    assert family.fold_bytes(table, params_of("lightgbm", LINEAR)) == 90 * 6 * 4


def test_mae_trains_on_absolute_errors():
    """One huge target pulls the squared fit of a constant table, not the absolute one."""
    rows = make_rows("regression", metric="mae")
    assert rows.absolute_error
    y = np.where(np.arange(N_TRAIN) == 0, 1e4, 1.0 + 0.01 * np.arange(N_TRAIN))
    _, absolute, _ = walk("lightgbm", replace(rows, y=y))
    _, squared, _ = walk("lightgbm", replace(rows, y=y, absolute_error=False))
    assert absolute[-1].max() < 2.0  # near the median, 1.3
    assert squared[-1].mean() > 100.0  # near the mean, 168


@pytest.mark.parametrize("boosting", ["gbdt", "dart"])
def test_unseen_and_missing_categories_are_scored_as_they_will_be_predicted(boosting):
    """With real splits on categories, held-out codes unknown to the fold agree between score and model."""
    rng = np.random.default_rng(1)
    codes = rng.choice(6, 420)
    codes[400:] = np.tile([0, 3, 6, 7, -1], 4)  # 6 and 7 occur in held-out rows only
    y = np.array([0.0, 3.0, -2.0, 1.0, 4.0, -4.0, 9.0, 9.0, 9.0])[codes] + 0.1 * rng.normal(size=420)
    names = [None if code < 0 else f"c{code}" for code in codes]
    data = make_dataset(pd.DataFrame({"c": names, "x": rng.normal(size=420)}), y)
    rows = training_rows(
        data, Fold(0, 0, np.arange(400), np.arange(400, 420)), resolve_metric("rmse", "regression")
    )
    partial = {"boosting": boosting, "min_data_in_leaf": 5}
    fit, held_out, _ = walk("lightgbm", rows, partial, points=12)
    assert np.ptp(held_out[-1]) > 0.8  # the categories are used
    for point in (11, 5):
        np.testing.assert_allclose(
            fit.predictor(point).predict(rows.validation), held_out[point], rtol=1e-6, atol=1e-9
        )


@every_input
@every_task
@pytest.mark.parametrize("boosting", ["gbdt", "dart"])
def test_rounds_without_a_split_do_not_shift_the_path(boosting, task, kind):
    """Bags too small to split give rounds without a tree; every point's model still is what was scored."""
    rows = make_rows(task, kind)
    partial = {
        "boosting": boosting,
        "bagging_fraction": 0.5,
        "feature_fraction": 0.3,
        "min_data_in_leaf": 13,
        "num_leaves": 4,
        "drop_rate": 0.5,
        "skip_drop": 0.0,
    }
    fit, held_out, fitted = walk("lightgbm", rows, partial, points=14)
    n_trees = fit.predictor(13).model.count("\nTree=") / (3 if task == "multiclass" else 1)
    assert 1 <= n_trees < FAMILIES["lightgbm"].path_values(params_of("lightgbm", partial))[13]
    for point in range(14):
        predictor = fit.predictor(point)
        np.testing.assert_allclose(predictor.predict(rows.validation), held_out[point], rtol=1e-6)
        np.testing.assert_allclose(predictor.predict(rows.table), fitted[point], rtol=1e-6)


def test_a_fold_too_small_to_split_predicts_the_mean():
    """With 60 rows and leaves of 40 no tree can grow: every point predicts the training mean."""
    rows = make_rows("regression")
    for boosting in ("gbdt", "dart"):
        fit, held_out, _ = walk("lightgbm", rows, {"boosting": boosting, "min_data_in_leaf": 40})
        np.testing.assert_allclose(held_out, np.mean(rows.y), rtol=1e-6)
        np.testing.assert_allclose(fit.predictor(3).predict(rows.validation), np.mean(rows.y), rtol=1e-6)


@every_family
def test_sparse_rows_with_gaps_can_be_fitted(name):
    """NaN in a sparse matrix is a missing value to every family."""
    rows = make_rows("binary", "sparse")
    rows.table.numeric.data[::9] = np.nan
    rows.validation.numeric.data[::9] = np.nan
    _, held_out, _ = walk(name, rows, points=3)
    assert np.isfinite(held_out).all()


@every_family
def test_preparation_is_shared_only_where_it_is_the_same(name):
    """Equal keys mean exchangeable preparations: every configuration predicts the same on either."""
    family, rows = FAMILIES[name], make_rows("binary")
    by_key = {}
    for partial in [{}, *PORTFOLIOS[name]]:
        params = params_of(name, partial)
        own = family.prepare(params, rows, seed=0)
        shared = by_key.setdefault(family.preparation_key(params), own)
        fits = [family.start(params, prepared, seed=1) for prepared in (own, shared)]
        for fit in fits:
            fit.advance()
            fit.advance()
        np.testing.assert_array_equal(*(fit.validation_prediction() for fit in fits))
