"""The scikit-learn face: its own checks, and what users of scikit-learn expect."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from tuner import InputError, TunedClassifier, TunedRegressor, TuningConfig

QUICK = {
    "max_trials": 2,
    "time_budget": None,
    "n_folds": 3,
    "final": "refit",
    "estimate": None,
    "tracking": False,
    "verbose": 0,
}

COPIES = (
    "copies of a handful of rows straddle the folds, so repeating a row and weighting it are different data"
)
ONE_ROW = "the check's target has a class of one row, which the tuner refuses: it cannot be held out"


def expected_failures(estimator: object) -> dict[str, str]:
    """Return scikit-learn's checks that cannot hold, with the reason."""
    failures = {
        "check_sample_weight_equivalence_on_dense_data": COPIES,
        "check_sample_weight_equivalence_on_sparse_data": COPIES,
    }
    if isinstance(estimator, TunedClassifier):
        one_row = (
            "check_dont_overwrite_parameters",
            "check_f_contiguous_array_estimator",
            "check_methods_sample_order_invariance",
            "check_methods_subset_invariance",
            "check_dict_unchanged",
            "check_fit2d_predict1d",
        )
        failures |= dict.fromkeys(one_row, ONE_ROW)
    return failures


@pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input:sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [TunedClassifier(**QUICK), TunedRegressor(**QUICK)], expected_failed_checks=expected_failures
)
@pytest.mark.usefixtures("one_fresh_repeat")
def test_scikit_learn_check(estimator, check):
    """Every check of scikit-learn holds, but for those listed with their reason (assertions inside)."""
    check(estimator)


@pytest.fixture(scope="module")
def fitted():
    """Return a classifier fitted on named columns."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return TunedClassifier(**QUICK, random_state=0).fit(X, y), X


def test_prediction_of_a_subset_and_of_reordered_rows_is_the_same(fitted):
    """The checks skipped for their one-row class hold on real rows: each row is predicted by itself."""
    model, X = fitted
    whole = model.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X[::-1])[::-1], whole)
    np.testing.assert_allclose(model.predict_proba(X[:7]), whole[:7])


def test_prediction_leaves_the_estimator_unchanged(fitted):
    """Predicting adds and changes no attribute."""
    model, X = fitted
    before = dict(vars(model))
    model.predict(X)
    assert vars(model) == before


def test_a_single_row_as_vector_is_refused_with_the_cure(fitted):
    """A 1d row is an error that says to reshape."""
    model, X = fitted
    with pytest.raises(ValueError, match="Reshape your data"):
        model.predict(X.to_numpy()[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.drop(columns="mean radius"),
        lambda X: X.assign(extra=1.0),
        lambda X: X.rename(columns={"mean radius": "radius"}),
        lambda X: X[X.columns[::-1]],
    ],
)
def test_columns_that_differ_at_predict_are_refused(fitted, change):
    """Missing, extra, renamed or reordered columns at predict are an error."""
    model, X = fitted
    with pytest.raises(ValueError, match=r"feature names|features"):
        model.predict(change(X))


def test_no_password_is_shown_or_pickled():
    """Neither in a notebook nor in a log; a URI of MLflow without one is kept."""
    pytest.importorskip("sqlalchemy")
    model = TunedClassifier(storage="postgresql://me:pw1@db/x", tracking_uri="http://me:pw2@host")
    for shown in (repr(model), model._repr_html_()):
        assert "***@db/x" in shown
        assert not any(secret in shown for secret in ("pw1", "pw2"))
    assert not any(secret in pickle.dumps(model) for secret in (b"pw1", b"pw2"))
    assert (
        pickle.loads(pickle.dumps(TunedClassifier(tracking_uri="http://host"))).tracking_uri == "http://host"
    )


def test_a_pickled_estimator_predicts_the_same_and_carries_no_url(tmp_path):
    """Pickling keeps the predictions and leaves the storage URL's database behind."""
    X, y = load_breast_cancer(return_X_y=True)
    url = f"sqlite:///{tmp_path}/secret-name.db"
    model = TunedClassifier(**QUICK, random_state=0, storage=url).fit(X, y)
    pickled = pickle.dumps(model)
    assert b"secret-name" not in pickled
    assert model.storage == url
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert len(again.result_.study.trials) == 2


def test_labels_come_back_as_they_were_given():
    """Text labels are predicted as text, in the order of classes_."""
    X, y = load_wine(return_X_y=True)
    names = np.array(["barolo", "grignolino", "barbera"])[y]
    model = TunedClassifier(**QUICK, random_state=0).fit(X, names)
    assert list(model.classes_) == ["barbera", "barolo", "grignolino"]
    assert model.score(X, names) > 0.9


def test_the_threshold_of_a_decision_metric_is_used_by_predict():
    """With metric f1 the labels follow the tuned threshold, not 0.5."""
    X, y = load_breast_cancer(return_X_y=True)
    rare = np.flatnonzero((y == 1) | (np.arange(len(y)) % 6 == 0))
    model = TunedClassifier(**QUICK, metric="f1", random_state=0).fit(X[rare], 1 - y[rare])
    threshold = model.result_.model.blended.threshold
    np.testing.assert_array_equal(model.predict(X), (model.predict_proba(X)[:, 1] > threshold).astype(int))


def test_a_regressor_predicts_natural_units_for_rmsle():
    """With rmsle models train on log1p and predictions come back on the target's own scale."""
    X, y = load_diabetes(return_X_y=True)
    model = TunedRegressor(**QUICK, metric="rmsle", random_state=0).fit(X, y)
    assert 0.5 < model.predict(X).mean() / y.mean() < 1.5
    with pytest.raises(InputError, match="rmsle"):
        TunedRegressor(**QUICK, metric="rmsle").fit(X, y - 1000)


def test_estimators_work_inside_scikit_learn():
    """Clone and cross_val_score treat the tuner as any estimator."""
    X, y = load_breast_cancer(return_X_y=True)
    model = clone(TunedClassifier(**QUICK, random_state=0))
    scores = cross_val_score(model, X, y, cv=2)
    assert scores.min() > 0.9


def test_a_column_that_is_the_target_is_no_feature():
    """A Series that is also a column of X is a role, not a feature, and a note says so."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    table = X.assign(target=y)
    model = TunedClassifier(**QUICK, random_state=0).fit(table, table["target"])
    assert any("'target' is the target" in note for note in model.result_.notes)
    probabilities = model.predict_proba(table)
    np.testing.assert_array_equal(probabilities, model.predict_proba(table.assign(target=1 - y)))


def test_the_story_is_told_by_repr_and_html(fitted):
    """The repr and the notebook page hold the estimate line, the winner and the trials."""
    model, _ = fitted
    text = repr(model)
    page = model._repr_html_()
    for label in ("estimate", "winner", "trials", "gap"):
        assert label in text
        assert f">{label}<" in page


@pytest.mark.parametrize("described", [TunedClassifier, TuningConfig])
def test_every_option_is_described(described):
    """Each option has an entry in the docstring's list of parameters."""
    entries = re.findall(r"^(\w[\w, ]*) : ", inspect.getdoc(described), re.MULTILINE)
    names = {name for entry in entries for name in entry.split(", ")}
    assert set(inspect.signature(described).parameters) <= names


def test_importing_the_package_stays_light():
    """`import tuner` pulls in neither mlflow, torch, dask, matplotlib nor jinja2."""
    heavy = ("mlflow", "torch", "dask", "matplotlib", "jinja2")
    code = f"import sys, tuner; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_mixed_columns_with_gaps_are_tuned_and_predicted():
    """Categories, texts, booleans, dates and gaps go in as they are; unseen categories predict."""
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "number": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "category": pd.Categorical(rng.choice(["a", "b", None], n)),
            "text": rng.choice(["red", "green", "blue"], n),
            "flag": pd.array(rng.choice([True, False, None], n), dtype="boolean"),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 400, n), unit="D"),
            "empty": np.nan,
        }
    )
    y = (frame["text"] == "red").to_numpy().astype(int)
    model = TunedClassifier(**QUICK, allow=["G003"], random_state=0).fit(frame, y)  # the text tells it all
    assert model.score(frame, y) > 0.95
    unseen = frame.assign(text="purple")
    assert np.isfinite(model.predict_proba(unseen)).all()
    assert any("empty" in note for note in model.result_.notes)


def test_a_column_that_is_twice_at_predict_is_named():
    """Not in the words of a library the user has never heard of."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = TunedRegressor(**QUICK, random_state=0).fit(X[:120], y[:120])
    with pytest.raises(InputError, match=r"'bmi'.* more than once"):
        model.predict(pd.concat([X, X[["bmi"]]], axis=1))


def test_targets_far_from_zero_are_claimed_as_they_are_predicted():
    """Held-out predictions keep their digits: at a hundred million the estimate is what it is at zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=80)
    options = {**QUICK, "estimate": "crossfit", "families": ["linear"], "random_state": 0}
    near, far = (TunedRegressor(**options).fit(X, y + offset).result_ for offset in (0.0, 2.0**27))
    assert far.estimate.loss == pytest.approx(near.estimate.loss, rel=1e-4)


def test_a_lazy_frame_is_refused_without_a_warning():
    """Polars warns when a lazy frame is asked for its columns."""
    lazy = pl.DataFrame({"a": np.arange(40.0)}).lazy()
    with pytest.raises(InputError, match="in memory"):
        TunedRegressor(**QUICK).fit(lazy, np.arange(40.0))
