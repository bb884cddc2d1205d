"""Augmentation: what each transform does, and that nothing of a held-out row can be in a copy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search_spaces import SPACES, augmentation
from search_spaces.augmentation import augmentation_of
from tuner import TuningConfig, tune
from tuner._augmentation.augmentation import TABLE_COPIES, made_rows
from tuner._augmentation.images import (
    IMAGE_TRANSFORMS,
    cut_out,
    flipped_horizontally,
    rotated,
    shifted,
    zoomed,
)
from tuner._augmentation.tables import (
    TABLE_TRANSFORMS,
    masked,
    minority_rows,
    mixed_rows,
    noisy,
    spreads,
    swapped,
)
from tuner._folds.splits import Fold, FoldPlan, plan_choosing
from tuner._metrics.metrics import resolve_metric
from tuner._options.settings import resolve
from tuner._rows.data import make_dataset
from tuner._rows.preparation import Design
from tuner._rows.table import Table
from tuner._trials.bench import Bench, augmented, training_rows
from tuner.checks import with_copies
from tuner.exceptions import InputError
from tuner.families import FAMILIES, Designed, Designs, TrainingRows

AUGMENTING = [name for name, space in SPACES.items() if "augment" in space.dimensions]
FOLD = Fold(0, 0, np.arange(40), np.arange(40, 60))
ALL_OF_TABLE = {
    "augment": "table",
    "augment_noise": 0.2,
    "augment_swap": 0.2,
    "augment_mask": 0.2,
    "augment_mixup": 1.0,
    "augment_smote": True,
}
ALL_OF_IMAGE = {
    "augment": "image",
    "augment_copies": 2,
    "augment_shift": 0.2,
    "augment_rotate": 20.0,
    "augment_zoom": 0.2,
    "augment_flip_horizontal": True,
    "augment_flip_vertical": True,
    "augment_contrast": 0.2,
    "augment_cutout": 0.25,
}


def rng(seed=0):
    """Return a generator."""
    return np.random.default_rng(seed)


def images_and_labels(shape=(6, 5)):
    """Return 60 images of a bright spot left or right, and the side; a third of them are of class 1."""
    labels = np.arange(60) % 3 == 0
    images = rng().uniform(0, 0.2, (60, *shape))
    images[~labels, 2, 1] += 1.0
    images[labels, 2, 3] += 1.0
    return images, labels.astype(int)


def make_bench(kind="table", *, weights=None, spoil=None):
    """Return one fold; ``spoil`` replaces rows of the table and their targets before the split."""
    images, y = images_and_labels()
    X = images if kind == "image" else images.reshape(60, -1)
    if spoil is not None:
        X, y = X.copy(), y.copy()
        X[spoil], y[spoil] = 1e3 + 10 * rng(1).random(X[spoil].shape), 1
    data = make_dataset(X, y, sample_weight=weights)
    return Bench(data, FoldPlan("stratified", (FOLD,), ()), resolve_metric(None, "binary"), 0)


def made_of(bench, chosen, *, rows=None):
    """Return the rows made for the fold, from its training rows or from those given (a leak)."""
    rows = training_rows(bench.dataset, bench.plan.folds[0], bench.metric) if rows is None else rows
    return augmented(rows, chosen, seed=3).made


def hears_of_held_out_rows(make):
    """Whether what is made changes when held-out rows do."""
    plain, spoiled = make(make_bench("table")), make(make_bench("table", spoil=FOLD.test))
    return plain.table.n_rows != spoiled.table.n_rows or not np.array_equal(
        plain.table.numeric, spoiled.table.numeric, equal_nan=True
    )


def everything(bench):
    """Return all rows as if they were a fold's training rows: augmentation before the split."""
    return training_rows(bench.dataset, Fold(0, 0, np.arange(60), np.arange(40, 60)), bench.metric)


@pytest.mark.parametrize("name", list(ALL_OF_TABLE)[1:])
def test_held_out_rows_are_in_no_copy_and_in_no_scale(name):
    """Wild held-out rows change nothing that is made: no neighbour, partner, spread or value is theirs.

    The same check finds the leak where rows are made before the split.
    """
    chosen = {"augment": "table", name: ALL_OF_TABLE[name]}
    assert not hears_of_held_out_rows(lambda bench: made_of(bench, chosen))
    assert hears_of_held_out_rows(lambda bench: made_of(bench, chosen, rows=everything(bench)))


def scale_hears_of_held_out_rows(numeric):
    """Whether clean training rows are encoded otherwise when held-out rows are wild."""
    encoded = []
    for bench in (make_bench(), make_bench(spoil=FOLD.test)):
        rows = training_rows(bench.dataset, FOLD, bench.metric)
        encoded.append(rows.designed(numeric, seed=0).design.transform(rows.table))
    return not np.array_equal(*encoded)


@pytest.mark.parametrize(
    "numeric", ["standardize", "robust", "piecewise_linear", "quantile_normal", "common"]
)
def test_scalings_never_hear_of_held_out_rows(numeric, monkeypatch):
    """Wild held-out rows move no mean, spread or rank; without the guard, fitted on both, the check fails."""
    assert not scale_hears_of_held_out_rows(numeric)
    honest = Design.fit
    monkeypatch.setattr(
        TrainingRows, "designed", lambda rows, numeric, *, seed: leaking(honest, rows, numeric, seed)
    )
    assert scale_hears_of_held_out_rows(numeric)


def leaking(fit, rows, numeric, seed):
    """Fit a design on training and held-out rows."""
    parts = [rows.table, rows.validation]
    both = Table(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("numeric", "categorical"))
    )
    design = fit(both, numeric=numeric, seed=seed)
    return Designed(design, design.transform(rows.table), design.transform(rows.validation))


def straddling(dataset):
    """Return how many copies of a row are trained on while another is held out, over all folds."""
    plan = plan_choosing(dataset, n_folds=5, n_repeats=1, seed=0)
    numbers = dataset.table.numeric
    return sum(
        int((numbers[fold.test][:, None] == numbers[fold.train]).all(axis=2).any(axis=1).sum())
        for fold in plan.folds
    )


def test_copies_of_one_row_are_on_one_side():
    """Rows given twice never straddle a fold; without the guard that marks copies they do."""
    X = np.repeat(rng().normal(size=(40, 3)), 2, axis=0)
    dataset = make_dataset(X, np.repeat(np.arange(40) % 2, 2))
    assert straddling(with_copies(dataset)) == 0
    assert straddling(dataset) > 0


def network_inputs(bench, rows, made_from):
    """Return what networks with filters train on: rows of a fold and copies made of the rows given."""
    chosen = {name: ALL_OF_IMAGE[name] for name in ("augment", "augment_copies", "augment_cutout")}
    params = SPACES["mlp"].narrowed(has_images=True).complete(chosen)
    made = made_of(bench, chosen, rows=made_from)
    return FAMILIES["mlp"].prepare(params, replace(rows, made=made), seed=0).rows.X


def test_networks_on_images_never_hear_of_held_out_ones():
    """Wild held-out images change no pixel that filters see; copies made before the split would."""
    benches = [make_bench("image"), make_bench("image", spoil=FOLD.test)]
    rows = [training_rows(bench.dataset, FOLD, bench.metric) for bench in benches]
    honest = [network_inputs(bench, each, each) for bench, each in zip(benches, rows, strict=True)]
    assert honest[0].shape == (40 * 3, 30)
    np.testing.assert_array_equal(*honest)
    leaking = [
        network_inputs(bench, each, everything(bench)) for bench, each in zip(benches, rows, strict=True)
    ]
    assert not np.array_equal(leaking[0][: 40 * 3], leaking[1][: 40 * 3])


def test_no_copy_is_held_out_and_every_copy_is_of_a_training_row():
    """The held-out rows are those of the plan, untouched; each copy names a training row with its target."""
    bench = make_bench("image", weights=np.arange(1.0, 61.0))
    rows = training_rows(bench.dataset, FOLD, bench.metric)
    with_copies = augmented(rows, ALL_OF_IMAGE, seed=0)
    np.testing.assert_array_equal(with_copies.validation.numeric, bench.dataset.table.take(FOLD.test).numeric)
    made = with_copies.made
    assert set(made.source) == set(range(40))
    np.testing.assert_array_equal(made.y, rows.y[made.source])
    np.testing.assert_array_equal(made.weights, rows.weights[made.source])
    np.testing.assert_array_equal(with_copies.table.numeric, rows.table.numeric)  # scored clean


@pytest.mark.parametrize("name", AUGMENTING)
def test_scalings_learn_from_clean_training_rows_only(name):
    """A family's design or bins are the same with and without copies, which may be far outside."""
    bench = make_bench()
    rows = training_rows(bench.dataset, FOLD, bench.metric)
    family, params = FAMILIES[name], SPACES[name].default()
    made = made_of(bench, {"augment": "table", "augment_noise": 0.2})
    far = replace(made, table=Table(made.table.numeric * 1e6, made.table.categorical))
    plain, copied = (
        family.prepare(params, replace(rows, made=each, designs=Designs()), seed=0) for each in (None, far)
    )
    if name == "lightgbm":
        assert copied.train.reference is not None
        assert copied.train.num_data() == 40 + 80
        np.testing.assert_array_equal(copied.validation.num_data(), 20)
        return
    inputs = [prepared.X_validation for prepared in (plain, copied)]
    np.testing.assert_array_equal(*inputs)


@pytest.mark.parametrize("name", AUGMENTING)
def test_a_family_fits_on_copies_and_is_scored_on_clean_rows(name):
    """Training predictions are of the 40 clean rows; copies of another class move them."""
    bench = make_bench("image")
    rows = training_rows(bench.dataset, FOLD, bench.metric)
    family = FAMILIES[name]
    given = {"lightgbm": {"min_data_in_leaf": 2}, "mlp": {"width": 128}}  # learn from 40 rows in five points
    params = SPACES[name].complete(given.get(name, {}))
    made = made_of(bench, {"augment": "image", "augment_copies": 4, "augment_contrast": 0.2})
    wrong = replace(made, y=1 - made.y)
    means = []
    for each in (made, wrong):
        fit = family.start(params, family.prepare(params, replace(rows, made=each), seed=0), seed=0)
        for _ in range(5):
            fit.advance()
        prediction = fit.train_prediction()
        assert prediction.shape == (40,)
        model = fit.predictor(4)
        np.testing.assert_allclose(model.predict(rows.table), prediction, rtol=1e-5)
        means.append(prediction[rows.y == 1].mean() - prediction[rows.y == 0].mean())
    assert means[0] > means[1] + 0.05


def test_augmented_folds_are_made_once_for_a_trial_and_not_held():
    """The same copies every time, from the seed alone; the bench keeps the clean fold only."""
    bench = make_bench("image")
    params = SPACES["kernel"].complete(ALL_OF_IMAGE)
    first, again = (bench.prepared(FAMILIES["kernel"], params, 0) for _ in range(2))
    np.testing.assert_array_equal(first.X, again.X)
    assert first.X.shape[0] == 40 * 3
    assert not bench._prepared
    clean = SPACES["kernel"].complete({})
    assert bench.prepared(FAMILIES["kernel"], clean, 0) is bench.prepared(FAMILIES["kernel"], clean, 0)


@pytest.mark.parametrize("shape", [(60, 6, 5), (60, 6, 5, 3)])
@pytest.mark.parametrize("name", IMAGE_TRANSFORMS)
def test_every_image_transform_keeps_shape_and_range(name, shape):
    """With and without channels: same shape, within the range of the training pixels, changed."""
    images = rng().uniform(2, 5, shape)
    changed = IMAGE_TRANSFORMS[name](images.copy(), ALL_OF_IMAGE[name], rng(1), images)
    assert changed.shape == shape
    assert changed.min() >= 2 - 1e-9
    assert changed.max() <= 5 + 1e-9
    assert not np.array_equal(changed, images)


def test_shifts_by_hand():
    """A row 0 1 2 3 moved by one pixel is 0 0 1 2 or 1 2 3 3: the edge is repeated, nothing wraps."""
    images = np.tile(np.arange(4.0), (200, 1, 1))
    found = {tuple(map(float, image[0])) for image in shifted(images, 0.1, rng(), images)}
    assert found == {(0.0, 1.0, 2.0, 3.0), (0.0, 0.0, 1.0, 2.0), (1.0, 2.0, 3.0, 3.0)}


def test_flips_by_hand():
    """Half of the images are mirrored: 1 2 becomes 2 1."""
    images = np.tile([[1.0, 2.0]], (400, 1, 1))
    mirrored = flipped_horizontally(images, True, rng(), images)[:, 0, 0] == 2.0  # noqa: FBT003
    assert 160 < mirrored.sum() < 240


def test_turns_and_zooms_leave_the_middle():
    """The middle pixel of odd images stays where it is, a pixel at the edge does not."""
    images = rng().random((20, 7, 7))
    for transform, strength in ((rotated, 20.0), (zoomed, 0.2)):
        changed = transform(images, strength, rng(1), images)
        np.testing.assert_allclose(changed[:, 3, 3], images[:, 3, 3], atol=1e-9)
        assert not np.allclose(changed[:, 0, 3], images[:, 0, 3])


def test_cutout_blots_one_square():
    """A quarter of 8 pixels is 2: four pixels become the mean of the training pixels, 60 stay."""
    images = rng().random((10, 8, 8))
    changed = cut_out(images, 0.25, rng(1), np.full((3, 3), 9.0)) != images
    assert (changed.sum(axis=(1, 2)) == 4).all()
    assert (cut_out(images, 0.25, rng(1), np.full((3, 3), 9.0))[changed] == 9.0).all()


def table_of(numeric, categorical=None):
    """Return a table of numbers and codes."""
    numeric = np.asarray(numeric, dtype=float)
    codes = np.empty((len(numeric), 0)) if categorical is None else np.asarray(categorical)
    return Table(numeric, codes.astype(np.int32))


def test_spreads_by_hand():
    """Quartiles of 0 1 2 3 4 are 1 and 3: 2 / 1.349; mostly one value has none; gaps are skipped."""
    columns = np.array([[0, 7, 0.0], [1, 7, np.nan], [2, 7, 2.0], [3, 7, 4.0], [4, 9, np.nan]], dtype=float)
    np.testing.assert_allclose(spreads(columns), [2 / 1.349, 0.0, 2 / 1.349])


def test_noise_follows_the_spread_of_the_column():
    """Columns a thousand times apart get noise a thousand times apart; gaps stay gaps."""
    rows = table_of(rng().normal(size=(500, 2)) * [1.0, 1000.0])
    rows.numeric[0, 0] = np.nan
    added = noisy(rows, 0.2, rng(1), rows).numeric - rows.numeric
    np.testing.assert_allclose(np.nanstd(added, axis=0), [0.2, 200.0], rtol=0.15)
    assert np.isnan(added).sum() == 1


def test_swaps_and_masks_touch_their_share_of_cells():
    """A fifth of the cells; swapped values are the column's own, masked ones are missing."""
    rows = table_of(rng().normal(size=(500, 2)), rng(1).integers(0, 50, (500, 1)))
    taken = swapped(rows, 0.2, rng(2), rows)
    assert 0.15 < (taken.numeric != rows.numeric).mean() < 0.25
    assert np.isin(taken.numeric[:, 0], rows.numeric[:, 0]).all()
    assert np.isin(taken.categorical, rows.categorical).all()
    hidden = masked(rows, 0.2, rng(2), rows)
    assert 0.15 < np.isnan(hidden.numeric).mean() < 0.25
    assert 0.15 < (hidden.categorical == -1).mean() < 0.25


def test_mixed_labels_share_the_weight():
    """Each mixed row comes with both labels, and the two shares sum to 1."""
    rows, y = table_of(rng().normal(size=(30, 2))), np.arange(30) % 2
    made = mixed_rows(rows, y, 1.0, rng(1), has_classes=True)
    assert made.table.n_rows == 60
    np.testing.assert_allclose(made.shares[:30] + made.shares[30:], 1.0)
    np.testing.assert_array_equal(made.table.numeric[:30], made.table.numeric[30:])
    expected = made.shares[:30, None] * rows.numeric + made.shares[30:, None] * rows.numeric[made.source[30:]]
    np.testing.assert_allclose(made.table.numeric[:30], expected)


def test_mixed_numbers_have_partners_with_similar_targets():
    """Where y is x, mixed rows stay on the line, and partners are nearer than random ones."""
    x = rng().normal(size=400)
    made = mixed_rows(table_of(x[:, None]), x, 1.0, rng(1), has_classes=False)
    np.testing.assert_allclose(made.table.numeric[:, 0], made.y)
    assert np.abs(made.y - x[made.source]).mean() < 0.5 * np.abs(x[:, None] - x).mean() * 0.5


def test_minority_rows_even_the_classes_out():
    """Of 20 and 5 rows, 15 are made, between rows of the rare class: inside its box."""
    numeric = np.concatenate([rng().normal(size=(20, 2)), rng(1).uniform(5, 6, (5, 2))])
    y = np.repeat([0, 1], [20, 5])
    made = minority_rows(table_of(numeric), y, True, rng(2), has_classes=True)  # noqa: FBT003
    assert made.table.n_rows == 15
    assert (made.y == 1).all()
    low, high = numeric[20:].min(axis=0), numeric[20:].max(axis=0)
    assert ((made.table.numeric >= low) & (made.table.numeric <= high)).all()


def test_a_table_without_numbers_is_augmented_all_the_same():
    """Noise finds nothing to change; rows of a rare class come from those with the most cells alike."""
    codes = np.array([[0, 0, 0]] * 6 + [[1, 1, 1], [1, 1, 2], [7, 8, 9]], dtype=np.int32)
    table = Table(np.empty((9, 0)), codes)
    y = np.repeat([0, 1], [6, 3])
    made = made_rows(
        {"augment": "table", "augment_noise": 0.1, "augment_smote": True},
        table, y, None, image_shape=None, has_classes=True, seed=0,
    )  # fmt: skip
    n_copies = TABLE_COPIES * 9
    np.testing.assert_array_equal(made.table.categorical[:n_copies], np.tile(codes, (TABLE_COPIES, 1)))
    assert made.y[n_copies:].tolist() == [1, 1, 1]
    assert np.isin(made.table.categorical[n_copies:], codes[6:]).all()


@pytest.mark.parametrize("family", AUGMENTING)
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_where_no_class_is_rare_nothing_is_made_and_the_rows_are_fitted(family, task):
    """SMOTE alone, of even classes or of numbers as target: the configuration is that without it."""
    X = rng().normal(size=(40, 2))
    y = np.arange(40) % 2 if task == "binary" else X[:, 0]
    config = TuningConfig(
        families=[family], search_space={family: {"augment": "table", "augment_smote": True}}, n_folds=2,
        max_trials=1, time_budget=None, estimate=None, tracking=False, verbose=0, random_state=0, n_jobs=1,
    )  # fmt: skip
    assert tune(X, y, config=config).trials[0].scores is not None


def test_strength_zero_makes_nothing():
    """A configuration without a strength above 0 is the clean one, whatever its kind or number of copies."""
    for name in AUGMENTING:
        assert augmentation_of(SPACES[name].default()) == {}
        for kind in ("image", "table"):
            assert augmentation_of(SPACES[name].complete({"augment": kind})) == {}


def test_the_number_of_copies():
    """Three copies of an image, two of a table row; even classes get no minority row."""
    bench = make_bench("image")
    assert made_of(bench, {**ALL_OF_IMAGE, "augment_copies": 3}).table.n_rows == 120
    assert made_of(bench, {"augment": "table", "augment_swap": 0.2}).table.n_rows == TABLE_COPIES * 40
    even = made_rows(
        {"augment": "table", "augment_smote": True},
        table_of(np.zeros((4, 1))),
        np.array([0, 1, 0, 1]),
        None,
        image_shape=None,
        has_classes=True,
        seed=0,
    )
    assert even.table.n_rows == 0


def test_every_strength_has_a_transform_and_starts_at_nothing():
    """Names of strengths are those of transforms; nothing is the first choice of each."""
    assert set(augmentation.IMAGE) == {"augment_copies", *IMAGE_TRANSFORMS}
    assert set(augmentation.TABLE) == {*TABLE_TRANSFORMS, "augment_mixup", "augment_smote"}
    for name, dimension in {**augmentation.IMAGE, **augmentation.TABLE}.items():
        assert name == "augment_copies" or not dimension.default_value


def settings_of(changes=None, **data):
    """Return the settings of LightGBM on data of a kind."""
    config = TuningConfig(families=["lightgbm"], search_space={"lightgbm": changes or {}})
    return resolve(config, task="binary", has_time=False, **data)


def test_augmentation_varies_on_images_and_where_it_is_asked_for():
    """Images: none or image; a table knows nothing of it, unless a strength is named."""
    kinds = {
        "image": settings_of(has_images=True),
        "table": settings_of(),
        "asked": settings_of({"augment_noise": 0.05}),
    }
    found = {name: settings.space("lightgbm").dimensions.get("augment") for name, settings in kinds.items()}
    assert found["image"].choices == ("none", "image")
    assert found["table"] is None
    assert not any("augment" in name for name in kinds["table"].space("lightgbm").default())
    assert found["asked"].choices == ("none", "table")
    assert found["asked"].default_value == "none"
    known = {name: kinds[name].portfolios["lightgbm"] for name in ("image", "table")}
    assert known["image"] == (*known["table"], *augmentation.FIRST)
    images = resolve(TuningConfig(families=["kernel"]), task="binary", has_time=False, has_images=True)
    first, known = (
        augmentation.FIRST,
        resolve(TuningConfig(families=["kernel"]), task="binary", has_time=False).portfolios["kernel"],
    )
    assert images.portfolios["kernel"][:4] == (first[0], known[0], first[1], known[1])


@pytest.mark.parametrize(
    ("changes", "data", "said"),
    [
        ({"augment_shift": 0.1}, {}, "images"),
        ({"augment": "image"}, {}, "images"),
        ({"augment_noise": 0.05}, {"is_sparse": True}, "dense table"),
        ({"augment_shift": 0.9}, {"has_images": True}, "among"),
        ({"augment_copies": 1000}, {"has_images": True}, "[1, 64]"),
        ({"augment_shift": -0.1}, {"has_images": True}, "among"),
    ],
)
def test_augmentation_that_does_not_fit_is_refused_before_any_fit(changes, data, said):
    """Images' transforms on a table, cells' on sparse rows, strengths out of range."""
    with pytest.raises(InputError) as caught:
        settings_of(changes, **data)
    assert said in str(caught.value)


@pytest.mark.parametrize("shape", [(20, 4), (20, 2, 2, 1, 1)])
def test_image_augmentation_of_two_or_five_dimensions_is_refused(shape):
    """Two dimensions are a table, five are nothing: an error before any fit either way."""
    config = TuningConfig(
        families=["lightgbm"], search_space={"lightgbm": {"augment": "image"}}, max_trials=1
    )
    with pytest.raises(InputError):
        tune(rng().random(shape), np.arange(20) % 2, config=config)


def test_missing_pixels_are_refused():
    """A NaN among pixels is an error that counts them; flattened it is a missing value."""
    images, y = images_and_labels()
    images[3, 2, 2] = np.nan
    with pytest.raises(InputError, match="1 missing"):
        make_dataset(images, y)
    assert make_dataset(images.reshape(60, -1), y).n_rows == 60


def test_a_whole_search_on_images_ends_with_a_model():
    """The default comes first and clean, then a shift, and the seed gives the same model again."""
    images, y = images_and_labels()
    config = TuningConfig(
        families=["extra_trees"],
        max_trials=2,
        n_folds=2,
        time_budget=None,
        random_state=0,
        tracking=False,
        estimate=None,
        verbose=0,
        final="refit",
    )
    result = tune(images, y, config=config)
    first, second = (trial.configuration.params for trial in result.trials[:2])
    assert first["augment"] == "none"
    assert second["augment"] == "image"
    assert second["augment_shift"] == 0.1
    assert result.model.predict(images).shape == (60,)
    again = tune(images, y, config=config)
    np.testing.assert_array_equal(result.model.predict_proba(images), again.model.predict_proba(images))
