"""The whole line on real rows: reproducible, leak-free, honest, and told."""

from __future__ import annotations

import dataclasses
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from search_spaces import Int
from tuner import InputError, TrialsFailedError, TuningConfig, tune
from tuner._line import claim as _claim
from tuner._line import tune as _tune
from tuner._line.checked import check_run
from tuner._line.clock import Clock
from tuner._line.tune import _begun_with
from tuner._records import Configuration, TrialRecord
from tuner._rows.data import make_dataset
from tuner.exceptions import TimeBudgetWarning
from tuner.families.lightgbm import LightGBMFamily

FAST = {"lightgbm": {"learning_rate": 0.3, "boosting": "gbdt"}}  # short paths: these tests are about the line
BASE = TuningConfig(
    families=["lightgbm", "linear"],
    search_space=FAST,
    max_trials=3,
    time_budget=None,
    n_folds=3,
    outer_folds=3,
    tracking=False,
    verbose=0,
    random_state=0,
)


def config(**changes: object) -> TuningConfig:
    """Return the quick configuration with changes."""
    return dataclasses.replace(BASE, **changes)


def without_times(record: TrialRecord) -> TrialRecord:
    """Return the record with its clock readings blanked."""
    return dataclasses.replace(record, started=0.0, completed=0.0, fit_seconds=0.0)


# Of the delivered model, what differs from the models behind the estimate. Three folds of 190 rows: one fit
# of a fold (bbc) or averages of three fresh repeats, nine. Of 148 rows 98.7 are outer training rows, and two
# thirds of these, 65.7, train a fit. Of 60 rows no quarter of a training part is a curve's beginning.
@pytest.mark.parametrize(
    ("load", "changes", "steps"),
    [
        (
            load_breast_cancer,
            {"max_trials": 10, "estimate": "bbc", "families": None},
            [("rows", 126.7, 158.3), ("models", 1, 12)],
        ),
        (load_wine, {"max_trials": 3, "estimate": "nested"}, []),
        (load_diabetes, {"max_trials": 4, "estimate": "nested", "final": "bag"}, [("rows", 82.2, 123.3)]),
    ],
)
def test_same_seed_same_everything_with_one_or_two_threads(load, changes, steps):
    """With max_trials, trials, finalists, estimates and predictions do not depend on runs or threads."""
    X, y = load(return_X_y=True)
    X, y = X[::3], y[::3]
    task = "regression" if load is load_diabetes else "classification"
    results = [tune(X, y, config=config(task=task, n_jobs=n_jobs, **changes)) for n_jobs in (1, 2)]
    first, other = results
    assert list(map(without_times, other.trials)) == list(map(without_times, first.trials))
    assert list(map(without_times, other.finalists)) == list(map(without_times, first.finalists))
    assert other.estimate == first.estimate
    assert other.delivered_estimate == first.delivered_estimate
    assert other.best_params == first.best_params
    np.testing.assert_array_equal(other.model.predict(X), first.model.predict(X))
    delivered = first.delivered_estimate
    found = () if delivered is None else delivered.steps
    assert [step.what for step in found] == [what for what, *_ in steps]
    for step, (_, before, after) in zip(found, steps, strict=True):
        assert (step.before, step.after) == pytest.approx((before, after), abs=0.1)


@pytest.mark.usefixtures("one_fresh_repeat")
def test_different_seeds_give_different_folds():
    """The seed draws the folds: two seeds do not share a plan."""
    X, y = load_wine(return_X_y=True)
    plans = {tune(X, y, config=config(random_state=seed, estimate=None)).fold_plan_hash for seed in (0, 1)}
    assert len(plans) == 2


@pytest.mark.usefixtures("one_fresh_repeat")
def test_permuted_labels_are_not_learned():
    """On permuted labels the nested interval of the AUC contains 0.5."""
    X, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = rng.choice(len(y), 150, replace=False)
    estimate = tune(
        X[rows], rng.permutation(y[rows]), config=config(metric="roc_auc", estimate="nested", outer_folds=5)
    ).estimate
    assert estimate.low <= 0.5 <= estimate.high


def ten_estimates_of_noise(method):
    """Return the estimates of the AUC of ten permutations of the labels."""
    X, y = load_breast_cancer(return_X_y=True)
    estimates = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(y), 150, replace=False)
        options = {"metric": "roc_auc", "estimate": method, "outer_folds": 5, "max_trials": 12}
        result = tune(X[rows], rng.permutation(y[rows]), config=config(random_state=seed, **options))
        estimates.append(result.estimate)
    return estimates


@pytest.mark.slow
@pytest.mark.usefixtures("one_fresh_repeat")
def test_permuted_labels_are_not_learned_over_ten_seeds():
    """Of ten permutations at least nine nested intervals contain 0.5 (nominal: 9.5)."""
    covered = [each.low <= 0.5 <= each.high for each in ten_estimates_of_noise("nested")]
    assert sum(covered) >= 9, covered


@pytest.mark.parametrize(("n_groups", "method"), [(30, "crossfit"), (2, "bbc")])
def test_ranks_of_few_rows_are_estimated_by_crossfit_where_there_are_folds(n_groups, method):
    """By "auto": two groups make two folds, of which none can be left out; the result says what it did."""
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(120, 3)), np.arange(120) % n_groups
    y = (X[:, 0] + rng.normal(size=120) > 0).astype(int)
    result = tune(
        X, y, groups=groups, config=config(metric="roc_auc", estimate="auto", max_trials=3, allow=["G008"])
    )
    assert result.estimate.method == method
    assert result.estimate.low <= result.estimate.value <= result.estimate.high
    assert ("bbc estimates instead" in " ".join(result.notes)) == (method == "bbc")


@pytest.mark.slow
@pytest.mark.usefixtures("one_fresh_repeat")
def test_crossfit_does_not_flatter_noise():
    """Over ten permutations its AUC is 0.5 on average, or below, within two standard errors.

    Its intervals, of three folds here, are not tested: that is what a coverage study is for.
    """
    values = [each.value for each in ten_estimates_of_noise("crossfit")]
    assert np.mean(values) <= 0.5 + 2 * np.std(values, ddof=1) / np.sqrt(len(values)), values


@pytest.mark.usefixtures("one_fresh_repeat")
def test_a_copy_of_the_target_is_used_without_error():
    """A planted duplicate of the target, where it is allowed, is a feature like any other."""
    X, y = load_wine(return_X_y=True)
    result = tune(np.column_stack([X, y]), y, config=config(estimate="nested", allow=["G003"]))
    assert result.estimate.loss < 0.05


@pytest.mark.usefixtures("one_fresh_repeat")
def test_groups_that_carry_the_label_do_not_flatter():
    """Labels that are constant within groups and noise between them score at chance with groups."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    centers = rng.normal(size=(40, 4))
    X = centers[groups] + 0.01 * rng.normal(size=(200, 4))
    y = rng.integers(0, 2, 40)[groups]
    nested = config(metric="roc_auc", estimate="nested", max_trials=2)
    grouped = tune(X, y, groups=groups, config=nested)
    random = tune(X, y, config=nested)
    assert random.estimate.value > 0.9
    assert grouped.estimate.value < 0.7
    assert grouped.fold_plan.endswith("groups")


@pytest.mark.usefixtures("one_fresh_repeat")
def test_time_chooses_by_blocks_reports_forward_and_refits_on_all_rows():
    """With time the estimate is a forward one, and every delivered member saw the latest rows."""
    rng = np.random.default_rng(0)
    time = np.arange(240)
    X = np.column_stack([time / 240, rng.normal(size=240)])
    y = X[:, 1] + 3 * X[:, 0] + 0.1 * rng.normal(size=240)
    result = tune(X, y, time=time, config=config(task="regression", families=None))
    assert result.estimate.method == "nested"
    assert "next window" in result.estimate.estimand
    assert result.delivered_estimate is None  # later rows are other rows: nothing to correct by
    assert result.fold_plan.endswith("blocks")
    members = result.model.blended.members
    assert [len(member.models) for member in members] == [1] * len(members)
    assert {model.n_train for member in members for model in member.models} == {240}


@pytest.mark.usefixtures("one_fresh_repeat")
def test_weights_reach_fits_and_scores():
    """Rows of zero weight with wrong labels neither teach nor score."""
    X, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.4
    labels = np.where(wrong, 1 - y, y)
    nested = config(estimate="nested", max_trials=2)
    weighted = tune(X, labels, sample_weight=np.where(wrong, 0.0, 1.0), config=nested)
    plain = tune(X, labels, config=nested)
    assert weighted.estimate.loss < 0.2
    assert plain.estimate.loss > 0.5


@pytest.mark.usefixtures("one_fresh_repeat")
def test_the_default_is_shipped_where_tuning_does_not_pay(monkeypatch):
    """If the tuned model is not better on the outer folds, the default ships and the result says so."""
    monkeypatch.setattr("tuner._claims.estimate.judge_tuning", lambda _: _did_not_pay())
    X, y = load_wine(return_X_y=True)
    result = tune(X, y, config=config(estimate="nested", max_trials=2))
    assert result.shipped_default
    assert result.winner.number == 0
    assert result.best_params["family"] == "lightgbm"
    assert result.estimate == result.default_estimate
    assert "default was shipped" in str(result)
    assert {member.family for member in result.model.blended.members} == {"lightgbm"}


def _did_not_pay() -> object:
    from tuner._claims.claims import Paid

    return Paid("did not pay", 0.01, -0.02, 0.04)


@pytest.mark.usefixtures("one_fresh_repeat")
def test_a_run_with_a_store_is_resumed_and_equals_an_uninterrupted_one(tmp_path):
    """Trials of a stored run are not fitted again, and the end is that of a run never stopped."""
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[::3], y[::3]
    url = f"sqlite:///{tmp_path}/store.db"
    short = config(families=["lightgbm", "linear"], max_trials=12, estimate=None)
    long = dataclasses.replace(short, max_trials=16)
    tune(X, y, config=dataclasses.replace(short, storage=url, study_name="s"))
    resumed = tune(X, y, config=dataclasses.replace(long, storage=url, study_name="s"))
    whole = tune(X, y, config=long)
    assert [trial.configuration for trial in resumed.trials] == [
        trial.configuration for trial in whole.trials
    ]
    assert [trial.scores for trial in resumed.trials] == [trial.scores for trial in whole.trials]
    np.testing.assert_array_equal(resumed.model.predict_proba(X), whole.model.predict_proba(X))


@pytest.mark.parametrize("final", ["ensemble", "bag", "refit"])
def test_every_final_form_predicts_better_than_a_constant(final):
    """Ensemble, bag and refit deliver models that learned."""
    X, y = load_diabetes(return_X_y=True)
    held_out = np.arange(len(y)) % 4 == 0
    result = tune(
        X[~held_out], y[~held_out], config=config(task="regression", final=final, estimate=None, max_trials=4)
    )
    error = np.mean((result.model.predict(X[held_out]) - y[held_out]) ** 2)
    assert error < 0.8 * np.var(y[held_out])


def test_a_time_budget_holds_and_leaves_a_model():
    """A budget of a few seconds ends in time, with an estimate and a model."""
    X, y = load_breast_cancer(return_X_y=True)
    result = tune(X, y, config=config(time_budget=8.0, max_trials=None, estimate="nested", n_folds=5))
    assert result.seconds < 12.0
    assert result.estimate.low <= result.estimate.value <= result.estimate.high
    assert np.isfinite(result.model.predict_proba(X)).all()


@pytest.mark.parametrize("failing", [{1}, {1, 2, 3}])
def test_outer_folds_that_cannot_be_scored_cost_no_model(monkeypatch, failing):
    """Few positives in few groups may leave an outer fold without a scorable division of its own."""
    choose = _claim.choose
    begun = []

    def fail_at_times(*arguments, turn, **options):
        begun.append(turn.place.phase)
        if turn.place.phase == "outer_fold" and begun.count("outer_fold") in failing:
            raise TrialsFailedError("No default configuration could be scored, so no other will.")
        return choose(*arguments, turn=turn, **options)

    monkeypatch.setattr(_claim, "choose", fail_at_times)
    X, y = load_breast_cancer(return_X_y=True)
    result = tune(X[:150], y[:150], config=config(estimate="nested"))
    assert np.isfinite(result.model.predict_proba(X)).all()
    assert begun.count("outer_fold") == 3
    if len(failing) == 1:
        assert np.isfinite(result.estimate.fold_losses).sum() == 2
        assert "1 outer fold(s) could not be scored." in result.notes
    else:
        assert result.estimate is None
        assert "No estimate: no outer fold could be scored." in result.notes


def test_bootstraps_need_the_default(monkeypatch):
    """A resumed run may find no time to predict with it again: there is a model, and no claim."""
    choose = _tune.choose

    def forget(*arguments, **options):
        choice = choose(*arguments, **options)
        known = dict(choice.search.predictions)
        del known[choice.search.default]
        return dataclasses.replace(choice, search=dataclasses.replace(choice.search, predictions=known))

    monkeypatch.setattr(_tune, "choose", forget)
    X, y = load_breast_cancer(return_X_y=True)
    result = tune(X[:150], y[:150], config=config(estimate="bbc"))
    assert result.estimate is None
    assert "No estimate: no time was left to predict with the default again." in result.notes
    assert np.isfinite(result.model.predict_proba(X)).all()


def test_a_default_for_want_of_time_claims_nothing_of_the_search(monkeypatch):
    """No time for finals: the default comes with its own estimate, and nobody says that tuning paid."""
    monkeypatch.setattr("tuner._line.choice.Pace.has_time_for", lambda *_: False)
    X, y = load_breast_cancer(return_X_y=True)
    result = tune(X, y, config=config(estimate="bbc", time_budget=60.0, max_trials=4))
    assert result.shipped_default
    assert result.estimate == result.default_estimate
    assert result.paid.verdict == "not judged"
    shown = {row.label: row.value for row in result.optimism_table.rows}
    assert shown["estimate"] == shown["default"]
    assert result.optimism == pytest.approx(result.estimate.loss - result.selection_loss)


def test_a_budget_too_short_for_anything_delivers_the_default_and_says_so():
    """With half a second there is still a model; there is no estimate, and both are said."""
    X, y = load_breast_cancer(return_X_y=True)
    slow = {"lightgbm": {"learning_rate": 0.001, "num_leaves": 31}}  # all 2,000 rounds: seconds anywhere
    result = tune(
        X, y, config=config(time_budget=0.5, max_trials=None, estimate="nested", n_folds=5, search_space=slow)
    )
    assert result.winner.shortened
    assert result.estimate is None
    assert result.shipped_default
    assert any("No time was left for an estimate" in note for note in result.notes)
    assert any("Time ended the default's path" in note for note in result.notes)
    assert any("the default is delivered" in note for note in result.notes)
    assert np.isfinite(result.model.predict_proba(X)).all()


def test_a_step_longer_than_the_budget_is_warned_of_and_reported(monkeypatch):
    """Three preparations of 1.2 s cannot be divided: the default is delivered, the overrun is said."""
    prepare = LightGBMFamily.prepare

    def slow(self, params, rows, *, seed):
        time.sleep(1.2)
        return prepare(self, params, rows, seed=seed)

    monkeypatch.setattr(LightGBMFamily, "prepare", slow)
    X, y = load_wine(return_X_y=True)
    with pytest.warns(TimeBudgetWarning, match="`time_budget` is 1"):
        result = tune(X, y, config=config(time_budget=1.0, max_trials=None, families=["lightgbm"]))
    assert result.seconds > 3.0
    assert result.shipped_default
    assert any("a step that cannot be divided" in note for note in result.notes)
    assert np.isfinite(result.model.predict_proba(X)).all()


def test_folds_shrink_for_rare_classes_and_few_groups_and_say_so():
    """Two rows of a class leave two folds; the note says why."""
    X, y = load_wine(return_X_y=True)
    rows = np.concatenate(
        [np.flatnonzero(y == 0)[:30], np.flatnonzero(y == 1)[:30], np.flatnonzero(y == 2)[:2]]
    )
    result = tune(X[rows], y[rows], config=config(estimate=None))
    assert any("shrank from 3 to 2" in note for note in result.notes)
    grouped = tune(X, y, groups=np.arange(len(y)) % 2, config=config(estimate=None))
    assert any("shrank from 3 to 2" in note for note in grouped.notes)
    assert any("search folds" in note for note in grouped.notes)


def test_a_dataset_that_no_default_can_score_stops_at_once(monkeypatch):
    """A failing dataset is an error with its reason, not an empty search."""

    def fail(*_: object, **__: object) -> object:
        raise RuntimeError("no fit today")

    monkeypatch.setattr("tuner._trials.trials.evaluate", fail)
    X, y = load_wine(return_X_y=True)
    with pytest.raises(TrialsFailedError, match="no fit today"):
        tune(X, y, config=config())


@pytest.mark.parametrize(("widen", "leaves"), [(False, 64), (True, 100)])
def test_what_was_elected_beyond_a_range_begins_the_next_search_as_it_is(widen, leaves):
    """A job that widens keeps what an earlier run found beyond the range; else it is clipped."""
    X, y = load_wine(return_X_y=True)
    space = {"lightgbm": {"num_leaves": Int(4, 64, log=True)}}
    checked = check_run(
        make_dataset(X, y), TuningConfig(families=["lightgbm"], search_space=space, widen=widen)
    )
    settings = _begun_with(checked.settings, [Configuration("lightgbm", {"num_leaves": 100})])
    assert settings.portfolios["lightgbm"][0]["num_leaves"] == leaves
    assert settings.space("lightgbm").dimensions["num_leaves"].contains(leaves)


@pytest.mark.usefixtures("one_fresh_repeat")
def test_a_search_space_override_is_obeyed():
    """Fixed values and narrowed bounds hold in every trial, and unknown names are refused."""
    X, y = load_wine(return_X_y=True)
    space = {"lightgbm": {"num_leaves": Int(4, 8), "learning_rate": 0.2}}
    result = tune(X, y, config=config(families=["lightgbm"], search_space=space, max_trials=8, estimate=None))
    for trial in result.trials:
        assert 4 <= trial.configuration.params["num_leaves"] <= 8
        assert trial.configuration.params["learning_rate"] == 0.2
    assert "lightgbm.learning_rate" in result.best_params
    with pytest.raises(InputError, match="num_leaves"):
        tune(X, y, config=config(search_space={"lightgbm": {"num_leafs": 4}}))


@pytest.mark.usefixtures("one_fresh_repeat")
def test_warnings_filters_are_as_before_afterwards():
    """The run leaves the process's warning filters alone."""
    X, y = load_wine(return_X_y=True)
    before = list(warnings.filters)
    tune(X, y, config=config(estimate=None))
    assert warnings.filters == before


@pytest.mark.usefixtures("one_fresh_repeat")
def test_polars_and_pandas_give_the_same_model():
    """The same columns as a polars frame give the same predictions."""
    polars = pytest.importorskip("polars")
    X, y = load_wine(return_X_y=True, as_frame=True)
    frame = X.assign(name=np.where(y == 0, "a", "b"))
    pandas_result = tune(frame, y.to_numpy(), config=config(estimate=None))
    polars_result = tune(
        polars.from_dicts(frame.to_dict("records")), y.to_numpy(), config=config(estimate=None)
    )
    np.testing.assert_array_equal(
        polars_result.model.predict_proba(frame), pandas_result.model.predict_proba(frame)
    )
    assert isinstance(pandas_result.trials.to_frame(), pd.DataFrame)


def test_rows_that_cannot_be_divided_do_not_spoil_their_study(tmp_path):
    """Groups that hold one class each are refused; set right, the same study begins."""
    X, y = load_breast_cancer(return_X_y=True)
    begun = config(max_trials=1, estimate=None, storage=f"sqlite:///{tmp_path}/store.db", study_name="s")
    begun = dataclasses.replace(begun, families=["linear"], search_space={})
    with pytest.raises(InputError, match="two classes"):
        tune(X, y, groups=y, config=begun)
    assert tune(X, y, groups=np.arange(len(y)) // 4, config=begun).study_name == "s"


@pytest.mark.parametrize("change", ["space", "rows", "folds", "random_state"])
def test_a_stored_study_is_not_continued_with_something_else(tmp_path, change):
    """A study name that was begun otherwise is an error, not a mixture of both."""
    X, y = load_wine(return_X_y=True)
    begun = config(max_trials=2, estimate=None, storage=f"sqlite:///{tmp_path}/store.db", study_name="s")
    tune(X, y, config=begun)
    changes = {
        "space": {"search_space": {"lightgbm": {"learning_rate": 0.2}}},
        "folds": {"n_folds": 4},
        "random_state": {"random_state": 1},
    }
    rows = slice(0, 150) if change == "rows" else slice(None)
    with pytest.raises(InputError, match="begun with"):
        tune(X[rows], y[rows], config=dataclasses.replace(begun, **changes.get(change, {})))


@pytest.mark.parametrize(
    ("estimate", "choice", "end", "probes"),
    [("bbc", 84.0, 84.0, 92.0), ("crossfit", 89.0, 89.0, 92.0), ("nested", 50.0, 89.0, 92.0)],
)
def test_every_stage_has_its_reserve(make_settings, estimate, choice, end, probes):
    """Of 100 s, 5 are for tracking, 3 to conclude, 3 for probes, 5 for bootstraps, 50 for outer choices."""
    clock = Clock(0.0, make_settings("binary", time_budget=100.0, estimate=estimate), tracking=True)
    found = [deadline.at for deadline in (clock.choice, clock.end, clock.probes)]
    assert found == pytest.approx([choice, end, probes])
