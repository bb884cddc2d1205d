"""Records: lossless JSON, names used outside, and what a path point stands for."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner._records import Configuration, Curves, Scores, TrialRecord

FLOATS = st.floats(allow_nan=True, allow_infinity=True)  # -0.0 and subnormal numbers included
TEXTS = st.text(max_size=8)
SCALARS = st.one_of(st.floats(allow_nan=False), st.integers(-(2**70), 2**70), st.booleans(), TEXTS)


def rows(n_folds, n_points):
    """Losses of every fold at every point."""
    row = st.lists(FLOATS, min_size=n_points, max_size=n_points).map(tuple)
    return st.lists(row, min_size=n_folds, max_size=n_folds).map(tuple)


@st.composite
def curves(draw):
    """Curves with or without thresholds."""
    n_folds, n_sizes = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    thresholds = draw(st.sampled_from([None, (0.5,), (0.5, 0.4, 0.6)]))
    n_points = n_sizes * len(thresholds or (None,))
    return Curves(
        path_values=tuple(draw(st.lists(FLOATS, min_size=n_sizes, max_size=n_sizes))),
        thresholds=thresholds,
        repeats=tuple(draw(st.lists(st.integers(0, 3), min_size=n_folds, max_size=n_folds))),
        train=draw(rows(n_folds, n_points)),
        validation=draw(rows(n_folds, n_points)),
        guide=draw(st.none() | rows(n_folds, n_points)),
    )


SCORES = st.builds(
    Scores,
    **dict.fromkeys(("nested_loss", "train_loss", "gap", "standard_error", "path_value"), FLOATS),
    fold_losses=st.lists(FLOATS, max_size=4).map(tuple),
    fold_train_losses=st.lists(FLOATS, max_size=4).map(tuple),
    fold_points=st.lists(st.integers(0, 99), max_size=4).map(tuple),
    path_point=st.integers(0, 99),
    threshold=st.none() | st.floats(0, 1),
    skipped_folds=st.integers(0, 4),
)
RECORDS = st.builds(
    TrialRecord,
    study=TEXTS,
    phase=st.sampled_from(["search", "finalist", "outer_fold"]),
    outer=st.integers(0, 5),
    number=st.integers(0, 999),
    state=st.sampled_from(["COMPLETE", "PRUNED", "FAIL"]),
    configuration=st.builds(Configuration, family=TEXTS, params=st.dictionaries(TEXTS, SCALARS, max_size=4)),
    scores=st.none() | SCORES,
    curves=st.none() | curves(),
    **{name: st.none() | FLOATS for name in ("gap_weight", "penalty_cap", "gap_penalty", "objective")},
    **dict.fromkeys(("fit_seconds", "started", "completed"), FLOATS),
    reason=st.none() | TEXTS,
)


@given(RECORDS)
def test_json_loses_nothing(record):
    """Every float comes back bit for bit, every tuple as a tuple, 1 and 1.0 and True apart."""
    # repr, because NaN differs from itself, 1 equals True, and repr tells -0.0 from 0.0.
    assert repr(TrialRecord.from_json(record.to_json())) == repr(record)


@given(RECORDS)
def test_json_of_a_copy_is_the_same_text(record):
    """Writing what was read gives the same text: a store can be replayed any number of times."""
    text = record.to_json()
    assert TrialRecord.from_json(text).to_json() == text


def test_json_keeps_special_floats(make_trial, make_scores, make_curves):
    """NaN folds, an infinite path value and a threshold survive."""
    record = make_trial(
        scores=make_scores((0.1, math.nan, 0.3), path_value=math.inf, threshold=0.4),
        curves=make_curves([[0.1, -math.inf]], thresholds=(0.5, 0.4), path_values=(math.inf,)),
    )
    copy = TrialRecord.from_json(record.to_json())
    assert math.isnan(copy.scores.fold_losses[1])
    assert copy.scores.fold_losses[::2] == (0.1, 0.3)
    assert (copy.scores.path_value, copy.scores.threshold, copy.scores.skipped_folds) == (math.inf, 0.4, 1)
    assert copy.curves == record.curves
    assert copy.curves.at(1) == (math.inf, 0.4)


@pytest.mark.parametrize("state", ["PRUNED", "FAIL"])
def test_json_of_a_trial_without_scores(make_trial, state):
    """A pruned or failed trial keeps its state and reason, and invents no score."""
    record = make_trial(7, state=state, reason="time budget: cut at path value 8")
    copy = TrialRecord.from_json(record.to_json())
    assert copy == record
    assert (copy.state, copy.scores, copy.curves, copy.objective) == (state, None, None, None)
    assert copy.reason == "time budget: cut at path value 8"


def test_json_is_one_flat_line_of_the_fields(make_trial):
    """The stored text names every field, so other programs can read it."""
    text = make_trial(3).to_json()
    assert "\n" not in text
    raw = json.loads(text)
    assert (raw["number"], raw["scores"]["nested_loss"], raw["configuration"]["params"]) == (
        3,
        0.5,
        {"size": 3},
    )


def test_trial_key_by_hand(make_trial):
    """The key is study/phase/outer/number."""
    assert (
        make_trial(12, study="churn-0a1b", phase="outer_fold", outer=3).trial_key
        == "churn-0a1b/outer_fold/3/12"
    )


@given(RECORDS)
def test_trial_key_names_one_trial(record):
    """Study, phase, outer fold and number can be read back from the key, whatever the study's name."""
    study, phase, outer, number = record.trial_key.rsplit("/", 3)
    assert (study, phase, int(outer), int(number)) == (
        record.study,
        record.phase,
        record.outer,
        record.number,
    )


def test_flat_names_of_a_configuration():
    """Outside, parameters are called family.parameter."""
    flat = Configuration("lightgbm", {"num_leaves": 15, "extra_trees": True}).flat()
    assert flat == {"family": "lightgbm", "lightgbm.num_leaves": 15, "lightgbm.extra_trees": True}


def test_path_point_without_thresholds(make_curves):
    """Without thresholds a path point is a size."""
    curves = make_curves([[0.3, 0.2, 0.1]], path_values=(8.0, 16.0, 32.0))
    assert [curves.at(point) for point in range(3)] == [(8.0, None), (16.0, None), (32.0, None)]


def test_path_point_with_thresholds(make_curves):
    """The threshold runs fastest: points are (8, .5), (8, .4), (16, .5), (16, .4)."""
    curves = make_curves([[0.4, 0.3, 0.2, 0.1]], path_values=(8.0, 16.0), thresholds=(0.5, 0.4))
    assert [curves.at(point) for point in range(4)] == [(8.0, 0.5), (8.0, 0.4), (16.0, 0.5), (16.0, 0.4)]


def test_records_are_frozen(make_trial):
    """A stage cannot change what another has recorded."""
    record = make_trial()
    with pytest.raises(FrozenInstanceError):
        record.objective = 0.0
    assert record.objective is None
