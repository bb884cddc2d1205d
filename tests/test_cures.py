"""Each mechanical cure, read off the finding's next step and followed, removes the finding."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from search_spaces import SPACES, Float, Int
from tuner import TuningConfig, tune
from tuner._diagnosis.search import at_the_edge, families_disagree
from tuner._rows.data import make_dataset
from tuner.checks import check_dataset, with_copies
from tuner.findings import codes

DROP = ("G003", "G004", "G007")  # the column that the title names
ROLE = ("G005", "G006")  # the role that the next step spells out
BY_HAND = ("G001", "G002", "G009", "G010", "G011")  # the next step names the action, not the values
ON_RECORDS = ("D005", "D007")  # `widen=True`, D005's other cure, is followed in test_search.py
NEEDS_A_RUN = ("D001", "D002", "D003", "D009")  # the parameter named, followed in whole runs
# More rows, a look at the table or at how labels were made, another promise: nothing code can do. D008: with
# more `n_repeats` the common size is steadier, but a fold's own choice is not; it stays, or even shows first.
FOR_PEOPLE = ("D004", "D006", "D008", "D011", "D012", "D013", "D014", "G008", "G012")
SCHEDULED = (
    "M001",
    "M002",
    "M003",
    "M004",
    "M005",
    "M006",
    "M007",
    "M008",
)  # `tuner retune` follows them by itself


def test_every_code_has_a_decision():
    """A new code says whether its cure can be followed, and is tested if so."""
    decided = DROP + ROLE + BY_HAND + ON_RECORDS + NEEDS_A_RUN + FOR_PEOPLE + SCHEDULED
    assert sorted(codes()) == sorted(decided)


def cancer():
    """Breast cancer rows, shuffled."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    order = np.random.default_rng(0).permutation(len(y))
    return X.iloc[order].reset_index(drop=True), y.iloc[order].reset_index(drop=True)


def found(X, y, slices=(), **roles):
    """Return the findings by code."""
    dataset = with_copies(make_dataset(X, y, task="classification", **roles))
    return {each.code: each for each in check_dataset(dataset, slices=slices)}


def planted(code):
    """Return a table with the defect that a code finds."""
    X, y = cancer()
    time = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(569), unit="D")
    if code == "G003":
        return X.assign(leak=y + 0.0), y, {}
    if code == "G004":
        return X.assign(number=np.arange(569)), y, {}
    if code == "G007":
        return X.assign(closed=time + pd.Timedelta(days=30)), y, {"time": time}
    if code == "G006":
        order = np.argsort(np.argsort(y + np.random.default_rng(0).normal(size=569)))
        return X.assign(visit=time[order]), y, {}
    rows = np.random.default_rng(3).permutation(np.repeat(np.arange(150), 3))
    X = X.iloc[rows] * (1 + 1e-3 * np.random.default_rng(2).normal(size=(450, 30)))
    key = np.random.default_rng(2).permutation(150)[rows] * 17
    return X.assign(patient=key).reset_index(drop=True), y.iloc[rows].reset_index(drop=True), {}


@pytest.mark.parametrize("code", DROP)
def test_dropping_the_column_named_removes_the_finding(code):
    """The next step says "drop it", the title in backticks what."""
    X, y, roles = planted(code)
    finding = found(X, y, **roles)[code]
    assert "Drop it" in finding.next_step
    named = re.findall("`(.+?)`", finding.title)[0]
    assert code not in found(X.drop(columns=named), y, **roles)


@pytest.mark.parametrize("code", ROLE)
def test_giving_the_role_removes_the_finding(code):
    """The next step spells an argument of `tune`, such as groups=X["patient"]."""
    X, y, _ = planted(code)
    role, column = re.search(r'(\w+)=X\["(.+?)"\]', found(X, y)[code].next_step).groups()
    assert code not in found(X.drop(columns=column), y, **{role: X[column]})


def test_actions_remove_their_findings():
    """Copies dropped, near copies grouped, raw columns instead of means and scaled ones, slices merged."""
    X, y = cancer()
    rows = np.r_[np.arange(569), np.arange(60)]
    copied, labels = X.iloc[rows], y.iloc[rows]
    assert "G001" in found(copied, labels)
    assert "G001" not in found(copied.drop_duplicates(), labels[~copied.duplicated()])
    noise = 1 + 0.005 * np.random.default_rng(0).normal(size=copied.shape)
    noise[:569] = 1
    assert "G002" in found(copied * noise, labels)
    assert "G002" not in found(copied * noise, labels, groups=rows)
    ward = np.random.default_rng(0).integers(0, 40, 569)
    assert "G009" in found(X.assign(ward=y.groupby(ward).transform("mean")), y)
    assert "G009" not in found(X.assign(ward=[f"w{each}" for each in ward]), y)
    assert "G010" in found((X - X.mean()) / X.std(), y)
    assert "G010" not in found(X, y)
    site = np.r_[["a"] * 24, ["b"] * 245, ["c"] * 300]
    assert "G011" in found(X.assign(site=site), y, slices=("site",))
    assert "G011" not in found(X.assign(site=np.where(site == "a", "b", site)), y, slices=("site",))


LOSSES, WORSE = (0.50, 0.52, 0.48, 0.51, 0.49), (0.60, 0.63, 0.57, 0.61, 0.59)


def at_edge(make_trial, make_scores, name, value, inside):
    """Return the winner at an end of a LightGBM range and five worse trials inside."""
    space = SPACES["lightgbm"]

    def trial(number, losses, at):
        params = {**space.default(), name: at}
        return make_trial(number, scores=make_scores(losses), params=params, family="lightgbm")

    winner = trial(0, LOSSES, value)
    return winner, [winner, *(trial(number, WORSE, inside) for number in range(1, 6))]


@pytest.mark.parametrize(("name", "value", "inside"), [("num_leaves", 128, 16), ("learning_rate", 0.3, 0.03)])
def test_widening_as_shown_removes_the_edge(make_trial, make_scores, name, value, inside):
    """D005: the space of the next step is accepted, and the same winner lies inside it."""
    winner, trials = at_edge(make_trial, make_scores, name, value, inside)
    next_step = at_the_edge(winner, trials, SPACES["lightgbm"]).next_step
    changes = eval(re.search(r"search_space=(\{.*\});", next_step)[1], {"Int": Int, "Float": Float})
    wider = SPACES["lightgbm"].override(changes["lightgbm"])
    assert at_the_edge(winner, trials, wider) is None


def test_no_range_is_asked_for_that_the_library_refuses(make_trial, make_scores):
    """D005: two rows a leaf are LightGBM's own limit here, so nothing lies beyond."""
    winner, trials = at_edge(make_trial, make_scores, "min_data_in_leaf", 2, 50)
    assert at_the_edge(winner, trials, SPACES["lightgbm"]) is None


def test_choosing_the_family_named_ends_the_disagreement(make_trial, make_scores):
    """D007: with families=["other"] alone there is nobody to disagree."""
    winner = make_trial(0, scores=make_scores(LOSSES), family="toy")
    other = make_trial(1, scores=make_scores((0.52, 0.50, 0.50, 0.49, 0.51)), family="other")
    next_step = families_disagree(winner, [winner, other]).next_step
    (family,) = re.findall(r'families=\["(.+?)"\]', next_step)
    left = [trial for trial in (winner, other) if trial.configuration.family == family]
    assert families_disagree(left[0], left) is None


# Cures that only a whole run can show


def diagnosed(X, y, *, task="regression", **options):
    """Return the findings of a run by code, and its space of LightGBM."""
    config = TuningConfig(
        task=task, time_budget=None, estimate=None, final="bag", random_state=0, n_jobs=1,
        tracking=False, verbose=0, **options,
    )  # fmt: skip
    return {each.code: each for each in tune(X, y, config=config).diagnosis}


def lightgbm(**varied):
    """Return LightGBM's space with all parameters at their defaults but the varied ones."""
    fixed = {name: value for name, value in SPACES["lightgbm"].default().items() if "augment" not in name}
    return {"lightgbm": {**fixed, **varied}}


def moved(finding):
    """Return the parameter to lower or to raise, which of the two, and its value now."""
    verb, name, value = re.search(r"(lower|raise) lightgbm\.(\w+) \(now (.+?)\)", finding.next_step).groups()
    return verb, name, float(value)


@pytest.mark.slow
def test_a_simpler_space_ends_overfitting():
    """D001: three leaves win by luck with twice the gap of two; "lower num_leaves", and two are left."""
    rng = np.random.default_rng(2)
    X = rng.random((150, 5))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    y = y + rng.normal(size=150)
    asked = {"families": ["lightgbm"], "max_trials": 12, "n_folds": 4}
    leaves = Int(2, 3, log=True, simpler="low")
    finding = diagnosed(X, y, search_space=lightgbm(num_leaves=leaves, learning_rate=0.2), **asked)["D001"]
    assert finding.severity == "warning"
    verb, name, now = moved(finding)
    assert (verb, name, now) == ("lower", "num_leaves", 3)
    cured = diagnosed(X, y, search_space=lightgbm(num_leaves=2, learning_rate=0.2), **asked)
    assert "D001" not in cured or cured["D001"].severity == "info"  # harmless as it stands


@pytest.mark.slow
def test_a_larger_model_ends_underfitting():
    """D002: with an L2 of 700 thirty rows are fitted at a snail's pace; "lower lambda_l2" ends that."""
    rng = np.random.default_rng(0)
    X = rng.random((60, 3))
    y = 10 * X[:, 0] + 5 * X[:, 1] + 3 * rng.normal(size=60)
    asked = {"families": ["lightgbm"], "max_trials": 1, "n_folds": 2}
    still = {"num_leaves": 2, "min_data_in_leaf": 5, "learning_rate": 0.01}
    strong = Float(500.0, 1000.0, log=True, default=700.0, simpler="high")
    finding = diagnosed(X, y, search_space=lightgbm(lambda_l2=strong, **still), **asked)["D002"]
    verb, name, now = moved(finding)
    assert (verb, name, now) == ("lower", "lambda_l2", 700)
    weaker = Float(1e-4, now, log=True, default=1.0, simpler="high")
    assert "D002" not in diagnosed(X, y, search_space=lightgbm(lambda_l2=weaker, **still), **asked)


@pytest.mark.slow
def test_more_repeats_see_through_the_noise():
    """D003: two folds cannot tell a leaf of 5 rows from one of 60; "raise n_repeats", and ten folds can."""
    rng = np.random.default_rng(0)
    X = rng.random((150, 5))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 10 * X[:, 3] + 2 * rng.normal(size=150)
    asked = {"families": ["lightgbm"], "max_trials": 20, "n_folds": 2}
    asked["search_space"] = lightgbm(min_data_in_leaf=Int(2, 70), learning_rate=0.2)
    finding = diagnosed(X, y, **asked)["D003"]
    assert "`n_repeats`" in finding.next_step
    assert "D003" not in diagnosed(X, y, n_repeats=5, **asked)


@pytest.mark.slow
def test_log_loss_puts_probabilities_right():
    """D009: chosen by accuracy, averaged trees are not sharp enough; with the metric named they are right."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8))
    y = (rng.random(600) < 1 / (1 + np.exp(-1.5 * X[:, 0] - X[:, 1]))).astype(int)
    asked = {"task": "classification", "families": ["extra_trees"], "max_trials": 1}
    finding = diagnosed(X, y, metric="accuracy", **asked)["D009"]
    (metric,) = re.findall(r'metric="(.+?)"', finding.next_step)
    assert "D009" not in diagnosed(X, y, metric=metric, **asked)
