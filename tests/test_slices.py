"""Slices: labels, scores by hand, names that are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from tuner import InputError, TuningConfig, tune
from tuner._claims.slices import skipped_slices, slice_scores
from tuner._decisions.shares import blend
from tuner._finals.held_out import FoldScorer, fits_on
from tuner._folds.splits import Fold, FoldPlan
from tuner._line.study import study_hash
from tuner._metrics.metrics import METRICS, resolve_metric
from tuner._report.page import render
from tuner._rows.data import make_dataset
from tuner._rows.slices import slice_labels, with_slices
from tuner._trials.bench import Bench


def test_labels_by_hand():
    """Categories by name, few numbers by value, many in quarters, gaps apart."""
    frame = pd.DataFrame(
        {"site": ["b", "a", None, "a"] * 10, "grade": [1.0, 2.0, 2.0, np.nan] * 10, "size": np.arange(40.0)}
    )
    dataset = make_dataset(frame, np.arange(40) % 2)
    names, codes = slice_labels(dataset, "site")
    assert (names, codes[:4].tolist()) == (("a", "b", "missing"), [1, 0, 2, 0])
    names, codes = slice_labels(dataset, "grade")
    assert (names, codes[:4].tolist()) == (("1", "2", "missing"), [0, 1, 1, 2])
    names, codes = slice_labels(dataset, "size")
    assert names == ("0 to 9.75", "9.75 to 19.5", "19.5 to 29.25", "29.25 to 39")
    assert np.bincount(codes).tolist() == [10, 10, 10, 10]


def test_rare_labels_share_one():
    """Of 25 sites the 20 most frequent keep their name."""
    site = [f"s{i:02d}" for i in range(25) for _ in range(2 + (i < 20))]
    dataset = make_dataset(pd.DataFrame({"site": site}), np.arange(len(site)) % 2)
    names, codes = slice_labels(dataset, "site")
    assert (len(names), names[-1], int((codes == 20).sum())) == (21, "other values", 10)


def scored(sites, *predictions, **options):
    """Return the mean absolute errors of six rows, 0 to 5, at sites, of which each half was held out."""
    dataset = make_dataset(pd.DataFrame({"site": list(sites), "x": np.arange(6.0)}), np.arange(6.0))
    first, second = np.array([0, 1, 2]), np.array([3, 4, 5])
    folds = [Fold(0, 0, second, first), Fold(0, 1, first, second)]
    metric = resolve_metric("mae", "regression")
    held_out = [np.array(each, dtype=float) for each in predictions]
    return slice_scores(dataset, metric, folds, held_out, columns=["site"], threshold=None, **options)


def test_scores_by_hand():
    """Absolute errors: a 1, 3 | 1, b 0 | 2, 2; means a 2, 1 -> 1.5, b 0, 2 -> 1; excess of a 2 and -1."""
    a, b = scored("aabbab", [1, 4, 2], [5, 5, 7])
    assert (a.label, a.n_rows, a.value, a.loss) == ("a", 3, 1.5, 1.5)
    assert a.excess == (2.0, -1.0)
    assert (b.label, b.n_rows, b.value) == ("b", 3, 1.0)
    # corrected t with 2 folds: 12.706 * sd .7071 * sqrt(1/2 + 3/3) = 11.0; no error is below 0
    assert (a.low, a.high) == (0.0, pytest.approx(1.5 + 11.004, abs=0.01))


def test_simultaneous_intervals_share_the_error_over_the_slices(monkeypatch):
    """Two slices, 2.5% each: half-width 25.452 * sd .7071 * sqrt(1/2 + 3/3) = 22.04 in the case above."""
    monkeypatch.setattr("tuner._claims.slices.LEAST_ROWS", 1)
    a, _ = scored("aabbab", [1, 4, 2], [5, 5, 7], simultaneous=True)
    assert (a.value, a.low, a.high) == (1.5, 0.0, pytest.approx(1.5 + 22.042, abs=0.01))


def test_the_worst_slice_is_one_of_those_that_are_judged(monkeypatch):
    """Of site b one row lies in each fold where two are asked for: no loss, and no part of the error."""
    monkeypatch.setattr("tuner._claims.slices.LEAST_ROWS", 2)
    a, b = scored("aabaab", [1, 2, 9], [5, 6, 9], simultaneous=True)
    assert np.isnan(b.loss)
    # Losses 1 and 2; one slice that counts: 12.706 * .7071 * sqrt(1/2 + 3/3) = 11.004
    assert (a.value, a.high) == (1.5, pytest.approx(1.5 + 11.004, abs=0.01))


def sliced(*, n_few=12):
    """Return a dataset of 40 rows at one site and a few at another, marked as slices for two folds."""
    site = np.repeat(["many", "few"], [40, n_few])
    frame = pd.DataFrame({"site": site, "x": np.arange(float(len(site)))})
    return with_slices(make_dataset(frame, frame["x"].to_numpy()), ["site", "x"], n_folds=2)


def test_every_slice_of_every_column_is_marked():
    """Two sites and four quarters of x: each row lies in one slice a column."""
    dataset = sliced()
    assert dataset.slice_masks.sum(axis=1).tolist() == [12, 40, 13, 13, 13, 13]
    assert dataset.slice_masks.sum(axis=0).tolist() == [2] * 52


def test_slices_too_rare_on_a_fold_are_counted():
    """Each half holds 6 of the 12 rows of a site and 6 or 7 of a quarter's 13: five slices, in both."""
    dataset = sliced()
    even, odd = np.arange(0, 52, 2), np.arange(1, 52, 2)
    folds = [Fold(0, 0, odd, even), Fold(0, 1, even, odd)]
    (note,) = skipped_slices(dataset, folds)
    assert note.startswith("5 of 6 slices have fewer than 10 rows in a search fold")
    assert "10 times in 2 folds" in note
    only_the_large = replace(dataset, slice_masks=dataset.slice_masks[1:2])
    assert skipped_slices(only_the_large, folds) == ()
    assert skipped_slices(replace(dataset, slice_masks=None), folds) == ()


def test_slices_that_no_fold_can_judge_are_refused():
    """Ten rows a fold are asked for: 12 rows are too few for two folds."""
    frame = pd.DataFrame({"site": np.repeat(list("ab"), 12), "x": np.arange(24.0)})
    dataset = make_dataset(frame, frame["x"].to_numpy())
    with pytest.raises(InputError, match="12 rows in the largest slice of 'site'"):
        with_slices(dataset, ["site"], n_folds=2)


def test_elections_judge_the_worst_slice_and_shares_all_rows():
    """Prediction .25 of targets 0 and 1: worst slice .75; the shares are those without slices."""
    y = np.tile([0.0, 0.0, 1.0], 20)
    dataset = replace(make_dataset(np.arange(60.0)[:, None], y), slice_masks=np.array([y == 0, y == 1]))
    halves = np.arange(30), np.arange(30, 60)
    plan = FoldPlan("plain", (Fold(0, 0, halves[1], halves[0]), Fold(0, 1, *halves)), ())
    bench = Bench(dataset, plan, resolve_metric("mae", "regression"), 0)
    plain = replace(bench, dataset=replace(dataset, slice_masks=None))
    low, high = ([np.full(30, value)] * 2 for value in (0.25, 0.6))
    by_slices, by_rows = (FoldScorer(each, n_averaged=1) for each in (bench, plain))
    assert by_slices.fold_losses(low) == (0.75, 0.75)
    assert by_rows.fold_losses(low) == pytest.approx((1.25 / 3, 1.25 / 3))
    first, second = (
        blend(fits_on(each), [low, high], ["linear", "lightgbm"], elected=1, max_members=None)
        for each in (bench, plain)
    )
    assert first == second
    assert first.weights[0] > 0  # what is better on all rows has a share, though its worst slice is worse


def two_sites():
    """Return a table of two sites: a wave on 270 rows and, far away, a steep line on 60."""
    rng = np.random.default_rng(0)
    x = rng.permutation(np.concatenate([rng.uniform(0, 1, 270), rng.uniform(10, 20, 60)]))
    y = np.where(x < 5, np.sin(12 * x), 10 * x) + rng.normal(0, 0.1, 330)
    return pd.DataFrame({"x": x, "site": np.where(x < 5, "many", "few")}), y


@pytest.fixture(scope="module")
def tuned():
    """Return the runs on two sites, judged by all rows and by the worst slice."""
    X, y = two_sites()
    config = TuningConfig(
        slices=["site"], metric="mae", max_trials=2, time_budget=None, families=["lightgbm", "linear"],
        search_space={"lightgbm": {"learning_rate": 0.3}}, final="bag", n_folds=3, outer_folds=3,
        tracking=False, verbose=0, random_state=0, n_jobs=2,
    )  # fmt: skip
    mean = tune(X, y, config=replace(config, estimate=None))
    worst = replace(config, aggregate="worst_slice")
    return mean, tune(X, y, config=worst), tune(X, y, config=replace(worst, n_jobs=1))


def test_the_worst_slice_chooses_what_the_mean_does_not(tuned):
    """Trees follow the wave and miss the few on the line, whom a mean over all rows does not heed."""
    by_mean, by_worst, _ = tuned
    assert by_mean.best_params["family"] == "lightgbm"
    assert by_worst.best_params["family"] == "linear"
    assert by_mean.worst_slice.label == "few"
    assert by_worst.worst_slice.loss < by_mean.worst_slice.loss / 2
    for trial, same in zip(by_worst.trials, by_mean.trials, strict=True):
        assert trial.configuration == same.configuration
        assert trial.scores.nested_loss > same.scores.nested_loss


def test_the_estimate_and_the_intervals_are_those_of_the_worst_slice(tuned):
    """Nested by "auto", named where it is shown; slices' intervals are wider, as they hold at once."""
    by_mean, by_worst, _ = tuned
    assert by_worst.estimate.method == "nested"
    assert by_worst.estimate.estimand.startswith("the procedure's worst slice, trained on about 220 rows")
    assert by_worst.estimate.loss > min(each.loss for each in by_worst.slices)
    assert by_worst.optimism_table.metric == "mae of the worst slice"
    facts = dict(by_worst.facts())
    assert facts["estimate"].startswith("mae of the worst slice ")
    assert "simultaneous 95% interval" in facts["worst slice"]
    assert "simultaneous" not in dict(by_mean.facts())["worst slice"]
    page = render(by_worst)
    assert "mae of the worst slice" in page
    assert "intervals hold all at once (Bonferroni)" in page


def test_the_worst_slice_is_the_same_with_one_thread(tuned):
    """Trials and estimate are a function of the seed."""
    _, two, one = tuned
    assert [trial.scores for trial in one.trials] == [trial.scores for trial in two.trials]
    assert one.estimate == two.estimate


def test_trials_of_the_worst_slice_are_a_study_of_their_own():
    """Stored losses of all rows must not be taken for those of slices, nor of other slices."""
    X, y = two_sites()
    dataset = make_dataset(X, y)
    plain = TuningConfig(slices=["site"], random_state=0)
    worst = replace(plain, aggregate="worst_slice")
    hashes = {study_hash(dataset, config) for config in (plain, worst, replace(worst, slices=["x"]))}
    assert len(hashes) == 3
    assert study_hash(dataset, replace(plain, slices=())) == study_hash(dataset, plain)


def test_few_dates_and_few_large_numbers_are_told_apart():
    """The ends of four quarters are days, four stores beyond a million have four names."""
    ends = pd.to_datetime(["2024-03-31", "2024-06-30", "2024-09-30", "2024-12-31"])
    stores = 1_234_561 + np.arange(4)
    dataset = make_dataset(
        pd.DataFrame({"quarter": np.tile(ends, 10), "store": np.tile(stores, 10)}), np.tile([0, 1], 20)
    )
    assert slice_labels(dataset, "quarter")[0] == ("2024-03-31", "2024-06-30", "2024-09-30", "2024-12-31")
    assert slice_labels(dataset, "store")[0] == ("1234561", "1234562", "1234563", "1234564")


def test_quarters_of_dates_and_of_large_numbers_are_told_apart():
    """Sixteen days, sixteen hours of one day and sixteen numbers near a million, by their ends."""
    days = pd.date_range("2026-01-01", periods=16, freq="D")
    hours = pd.date_range("1969-12-31", periods=16, freq="h")
    numbers = 1e6 + np.arange(16)
    X = pd.DataFrame({"day": np.tile(days, 10), "hour": np.tile(hours, 10), "number": np.tile(numbers, 10)})
    dataset = make_dataset(X, np.tile([0, 1], 80))
    assert slice_labels(dataset, "day")[0][0] == "2026-01-01 to 2026-01-04"
    assert slice_labels(dataset, "hour")[0][0] == "1969-12-31T00:00 to 1969-12-31T03:45"
    assert slice_labels(dataset, "number")[0][0] == "1000000 to 1000003.75"


def test_another_gap_weight_is_another_study():
    """The sampler proposes by what was judged with it, so stored trials would not be asked for again."""
    dataset = make_dataset(*two_sites())
    weights = ("auto", 0, 0.0, 0.1)
    hashes = [study_hash(dataset, TuningConfig(gap_weight=weight)) for weight in weights]
    assert hashes[1] == hashes[2]
    assert len(set(hashes)) == 3


def test_other_thresholds_make_another_study(monkeypatch):
    """A stored path point counts them: with one more it would stand for another size."""
    dataset, config = make_dataset(*two_sites()), TuningConfig(metric="accuracy")
    before = study_hash(dataset, config)
    metric = METRICS["accuracy"]
    monkeypatch.setitem(METRICS, "accuracy", replace(metric, thresholds=(*metric.thresholds, 0.45)))
    assert study_hash(dataset, config) != before


def test_a_scorer_is_the_same_in_another_process():
    """Functions that do the same, defined twice, are one metric; what they hold tells them apart."""

    def scorer_of(value):
        def scorer(model, X, y):  # noqa: ARG001
            return value

        return scorer

    dataset = make_dataset(*two_sites())
    first, second, other = (TuningConfig(metric=scorer_of(value)) for value in (1, 1, 2))
    assert study_hash(dataset, first) == study_hash(dataset, second) != study_hash(dataset, other)
    assert study_hash(dataset, TuningConfig(metric=lambda m, X, y: min(y))) != study_hash(  # noqa: ARG005
        dataset,
        TuningConfig(metric=lambda m, X, y: max(y)),  # noqa: ARG005
    )


def test_a_slice_made_of_noise_is_the_worst_and_is_told():
    """Rows of one site have labels drawn by lot: the result names the site, and D011 warns of it."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(0)
    site = np.where(rng.random(len(y)) < 0.3, "lot", "clinic")
    y = np.where(site == "lot", rng.permutation(y), y)
    config = TuningConfig(
        slices=["site"], metric="accuracy", max_trials=1, time_budget=None, families=["lightgbm"],
        search_space={"lightgbm": {"learning_rate": 0.3}}, estimate=None, tracking=False, verbose=0,
        random_state=0,
    )  # fmt: skip
    result = tune(X.assign(site=site), y, config=config)
    assert (result.worst_slice.column, result.worst_slice.label) == ("site", "lot")
    assert "D011" in [each.code for each in result.diagnosis]
    assert "site = lot" in str(result)
    assert result.worst_slice.low < result.worst_slice.value < result.worst_slice.high


@pytest.mark.parametrize(
    ("slices", "message"), [(["sit"], "Did you mean 'site'"), ("site", "must be a list")]
)
def test_unknown_slices_are_refused_before_any_fit(slices, message):
    """A slice is a feature column, given by name in a list."""
    frame = pd.DataFrame({"site": list("ab") * 10, "x": np.arange(20.0)})
    with pytest.raises(InputError, match=message):
        tune(frame, np.arange(20) % 2, config=TuningConfig(slices=slices))
