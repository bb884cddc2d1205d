from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

from search_spaces import DEFAULT_FAMILIES, PORTFOLIOS, SPACES, Categorical, Float, Int
from tuner._options.config import TuningConfig, check_config
from tuner._options.settings import AUTO_NOMINATING_WEIGHTS, AUTO_SEARCH_WEIGHT, resolve
from tuner._options.spaces import resolve_spaces
from tuner._search.proposals import first_proposals
from tuner.exceptions import InputError


def refused(**options):
    """Return the InputError of a config, after checking that rule, value and cure are filled in."""
    with pytest.raises(InputError) as caught:
        check_config(TuningConfig(**options))
    error = caught.value
    assert error.rule.endswith(".")
    assert str(error.value)
    assert error.cure.endswith((".", "?"))
    return error


def settings(*, has_time=False, has_images=False, task="binary", **options):
    """Return the settings of a config."""
    return resolve(TuningConfig(**options), task=task, has_time=has_time, has_images=has_images)


def test_parameters_of_categories_vary_only_where_there_are_categories():
    """A table of numbers leaves them at the library's defaults, in every trial."""
    with_them = resolve(TuningConfig(), task="binary", has_time=False, has_categories=True)
    without = resolve(TuningConfig(), task="binary", has_time=False, has_categories=False)
    assert isinstance(with_them.space("lightgbm").dimensions["min_data_per_group"], Int)
    assert without.space("lightgbm").dimensions["min_data_per_group"] == 100
    assert without.space("lightgbm").dimensions["max_cat_to_onehot"] == 4
    assert without.space("linear") == with_them.space("linear")


def test_the_defaults_are_those_of_the_contract():
    """Names and defaults that jobs and users rely on."""
    assert {item.name: item.default for item in fields(TuningConfig)} == {
        "task": "auto",
        "metric": None,
        "time_budget": 60.0,
        "max_trials": None,
        "families": None,
        "search_space": None,
        "widen": False,
        "gap_weight": "auto",
        "aggregate": "mean",
        "final": "ensemble",
        "max_members": None,
        "estimate": "auto",
        "outer_folds": 5,
        "n_folds": 5,
        "n_repeats": 1,
        "n_jobs": -1,
        "random_state": None,
        "tracking": True,
        "tracking_uri": None,
        "experiment_name": None,
        "storage": None,
        "study_name": None,
        "allow": (),
        "slices": (),
        "max_memory": None,
        "verbose": 1,
    }
    check_config(TuningConfig())


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"time_budget": None, "max_trials": None}, "A run must have an end."),
        *[
            ({"time_budget": value}, "`time_budget` must be a positive number of seconds or None.")
            for value in (0, -1, math.inf, math.nan, "60", True)
        ],
        *[
            ({"max_trials": value}, "`max_trials` must be an integer of at least 1.")
            for value in (0, 1.5, True)
        ],
        *[({"outer_folds": value}, "`outer_folds` must be an integer of at least 2.") for value in (1, None)],
        *[({"n_folds": value}, "`n_folds` must be an integer of at least 2.") for value in (1, "5", 2.0)],
        *[({"n_repeats": value}, "`n_repeats` must be an integer of at least 1.") for value in (0, False)],
        *[({"n_jobs": value}, "`n_jobs` must be -1 or a positive integer.") for value in (0, -2, 1.0, None)],
        *[
            ({"gap_weight": value}, '`gap_weight` must be "auto" or a number of at least 0.')
            for value in (-0.1, math.inf, math.nan, None, True)
        ],
        *[
            ({name: value}, f"`{name}` must be True or False.")
            for name in ("widen", "tracking")
            for value in ("yes", 1, None)
        ],
        *[
            ({"verbose": value}, "`verbose` must be True, False or an integer of at least 0.")
            for value in (-1, 1.0, "1", None)
        ],
        ({"gap_weight": "weak"}, "`gap_weight` must be one of its known values."),
        ({"task": "ranking"}, "`task` must be one of its known values."),
        ({"final": "stack"}, "`final` must be one of its known values."),
        ({"estimate": "cv"}, "`estimate` must be one of its known values."),
        ({"aggregate": "max"}, "`aggregate` must be one of its known values."),
        ({"aggregate": "worst_slice"}, '`aggregate="worst_slice"` needs slices to judge.'),
        *[
            (
                {"aggregate": "worst_slice", "slices": ["site"], "estimate": value},
                "The worst slice can only be estimated by folds around the whole procedure.",
            )
            for value in ("bbc", "crossfit")
        ],
        *[
            ({"families": value}, "`families` must be a list of names.")
            for value in ("lightgbm", (), [], 5, {"linear"}, iter(["linear"]))
        ],
        *[({"slices": value}, "`slices` must be a list of names.") for value in ("a", {"a"}, iter(["a"]))],
        *[
            ({"tracking_uri": value}, "`tracking_uri` must be the address of a server or a database.")
            for value in (
                "mlruns",
                "uc_runs",
                "C:/runs",
                "/data/mlruns",
                "file:///data/mlruns",
                "localhost:5000",
                "127.0.0.1:5000",
            )
        ],
        ({"families": ["lightgbn"]}, "A family must be a known one."),
        ({"families": ["linear", "linear"]}, "`families` must name each family once."),
        ({"search_space": {"lightgbn": {}}}, "A family in `search_space` must be a known one."),
        (
            {"families": ["linear"], "search_space": {"lightgbm": {}}},
            "A family in `search_space` must be a known one.",
        ),
        ({"search_space": ["lightgbm"]}, "`search_space` must be a mapping from names."),
        ({"search_space": {"lightgbm": 5}}, '`search_space["lightgbm"]` must be a mapping from names.'),
        (
            {"search_space": {"lightgbm": {"num_leafs": 5}}},
            "Every parameter of `lightgbm` must be a known one.",
        ),
        ({"search_space": {"lightgbm": {"num_leaves": 1}}}, "`lightgbm.num_leaves` must lie in [2, 131072]."),
        (
            {"search_space": {"lightgbm": {"num_leaves": Float(2, 9)}}},
            "`lightgbm.num_leaves` must take whole numbers.",
        ),
        (
            {"search_space": {"linear": {"penalty": Categorical(("l2", "l0"))}}},
            "`linear.penalty` must be among ('l2', 'l1', 'elastic_net').",
        ),
        (
            {"search_space": {"lightgbm": {"learning_rate": "fast"}}},
            "`lightgbm.learning_rate` must be a finite number.",
        ),
        (
            {"search_space": {"linear": {"penalty": np.array(["l1", "l2"])}}},
            "`linear.penalty` must be among ('l2', 'l1', 'elastic_net').",
        ),
    ],
)
def test_every_rule_has_its_error(options, rule):
    """Each broken rule is an InputError with the rule, the value and a cure."""
    assert refused(**options).rule == rule


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"families": ["ligthgbm"]}, "'lightgbm'"),
        ({"families": ["Linear"]}, "'linear'"),
        ({"families": ["xgb"]}, "'lightgbm'"),
        ({"aggregate": "worst_slices"}, "'worst_slice'"),
        ({"final": "ensembl"}, "'ensemble'"),
        ({"search_space": {"lihgtgbm": {}}}, "'lightgbm'"),
        ({"search_space": {"lightgbm": {"num_leafs": 5}}}, "'num_leaves'"),
    ],
)
def test_the_nearest_valid_name_is_named(options, name):
    """A misspelt family or parameter is told which one was meant."""
    assert f"Did you mean {name}?" in refused(**options).cure


def test_a_value_of_a_space_may_read_like_a_message():
    """Rule, value and cure are never parsed: a value keeps its full stops."""
    error = refused(search_space={"linear": {"penalty": "l1. Got l2. Use both."}})
    assert error.value == "'l1. Got l2. Use both.'"
    assert error.cure == "Name one of them, or a `Categorical` of some of them."


def test_a_server_without_its_protocol_is_told_it():
    """MLflow takes host and port for the name of a folder."""
    assert refused(tracking_uri="localhost:5000").cure == 'Try "http://localhost:5000".'


def test_folders_may_be_allowed_as_mlflow_allows_them(monkeypatch):
    """MLflow keeps runs in folders where its own variable says so."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    check_config(TuningConfig(tracking_uri="mlruns"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    refused(tracking_uri="mlruns")


@pytest.mark.parametrize("estimate", ["bbc", "crossfit"])
def test_with_time_only_windows_report(estimate):
    """Predictions of blocks have seen the future, whatever is done with them."""
    with pytest.raises(InputError, match="must look forward"):
        settings(estimate=estimate, has_time=True)
    assert settings(estimate=estimate).estimate == estimate


@pytest.mark.parametrize(
    "options",
    [
        {"time_budget": None, "max_trials": np.int64(3)},
        {"time_budget": np.float64(0.5)},
        {"gap_weight": 0},
        {"gap_weight": np.float32(0.3)},
        {"n_jobs": 1, "families": ("linear",), "estimate": None},
        {"families": np.array(["linear"])},
        {"tracking_uri": "http://127.0.0.1:5000"},
        *[{"tracking_uri": uri} for uri in ("databricks", "databricks://me", "uc:http://x", "arn:aws:x:y")],
        {"tracking": np.True_, "widen": np.False_, "verbose": np.True_},
        {"tracking_uri": "mlruns", "tracking": False},
        {"search_space": {}},
        *[{"verbose": value} for value in (True, False, 0, 2, np.int64(1))],
    ],
)
def test_what_is_allowed(options):
    """Numpy numbers, either limit, any sequence of families, and truth values as `verbose` pass."""
    check_config(TuningConfig(**options))


# Settings


@pytest.mark.parametrize(
    ("gap_weight", "search", "nominating"),
    [
        ("auto", AUTO_SEARCH_WEIGHT, AUTO_NOMINATING_WEIGHTS),
        (0.3, 0.3, (0.0, 0.3)),
        (0, 0.0, (0.0,)),
    ],
)
def test_gap_weights(gap_weight, search, nominating):
    """Under "auto" .05 searches and five weights nominate; w: w searches, 0 and w nominate."""
    chosen = settings(gap_weight=gap_weight)
    assert (chosen.search_weight, chosen.nominating_weights) == (search, nominating)
    assert 0.0 in AUTO_NOMINATING_WEIGHTS


@pytest.mark.parametrize(
    ("estimate", "has_time", "method"),
    [
        ("auto", False, "bbc"),
        ("auto", True, "nested"),
        ("nested", False, "nested"),
        ("nested", True, "nested"),
        ("bbc", False, "bbc"),
        (None, True, None),
    ],
)
def test_estimate_methods(estimate, has_time, method):
    """By "auto", bbc where it does not flatter; nested on forward windows with time."""
    assert settings(estimate=estimate, has_time=has_time).estimate == method


@pytest.mark.parametrize(
    ("fault", "options", "method"),
    [
        ("bbc_flatters", {}, "crossfit"),
        ("bbc_is_slow", {}, "crossfit"),
        ("bbc_flatters", {"estimate": "bbc"}, "bbc"),  # asked for
        ("bbc_flatters", {"n_folds": 2}, "nested"),  # crossfit needs a third
        ("bbc_is_slow", {"n_folds": 2}, "nested"),
        ("bbc_is_slow", {"estimate": None}, None),
    ],
)
def test_by_auto_crossfit_where_bbc_is_no_default(fault, options, method):
    """Ranks of few rows, which it flatters, and scorers, which it calls for minutes: these never by bbc."""
    resolved = resolve(TuningConfig(**options), task="binary", has_time=False, **{fault: True})
    assert resolved.estimate == method
    assert resolved.or_bbc == (method == "crossfit" and fault == "bbc_flatters")


def test_the_worst_slice_is_estimated_by_outer_folds():
    """By "auto", nested; None stays None."""
    for estimate, method in (("auto", "nested"), ("nested", "nested"), (None, None)):
        resolved = settings(aggregate="worst_slice", slices=["site"], estimate=estimate)
        assert (resolved.aggregate, resolved.estimate) == ("worst_slice", method)
        assert resolved.outer_share == (0.5 if method else 0.0)


def test_bbc_is_refused_with_time():
    """Block predictions have seen the future."""
    with pytest.raises(InputError, match="look forward") as caught:
        settings(estimate="bbc", has_time=True)
    assert "nested" in caught.value.cure


def test_random_states():
    """An int is the seed; a RandomState or Generator is drawn from; None draws a new one each time."""
    assert settings(random_state=np.int64(3)).seed == 3
    for make in (np.random.RandomState, np.random.default_rng):
        first, again = (settings(random_state=make(5)).seed for _ in range(2))
        assert first == again
    state = np.random.RandomState(0)
    assert settings(random_state=state).seed != settings(random_state=state).seed
    drawn = {settings().seed for _ in range(5)}
    assert len(drawn) == 5
    assert all(0 <= seed < 2**31 for seed in drawn)


@pytest.mark.parametrize("random_state", [-1, 1.5, "0", True])
def test_bad_random_states_are_refused(random_state):
    """Rule, value, cure."""
    with pytest.raises(InputError, match="random_state") as caught:
        settings(random_state=random_state)
    assert caught.value.cure == "Try `random_state=0`."


def test_threads():
    """-1 is all cores this process may use; a number is itself."""
    assert settings(n_jobs=3).n_jobs == 3
    assert settings(n_jobs=-1).n_jobs >= 1


def test_the_default_family_comes_first():
    """The named default is LightGBM's, in whatever order families are given."""
    chosen = settings(families=["linear", "lightgbm"])
    assert [space.family for space in chosen.spaces] == ["lightgbm", "linear"]
    assert set(chosen.portfolios) == {"lightgbm", "linear"}
    assert [space.family for space in settings().spaces] == list(DEFAULT_FAMILIES)
    only = settings(families=["linear"])
    assert [space.family for space in only.spaces] == ["linear"]
    assert only.portfolios == {"linear": PORTFOLIOS["linear"]}


def test_changes_reach_the_space_they_name():
    """Bounds and fixed values land in their family; the other family stays as it is."""
    changes = {"lightgbm": {"num_leaves": Int(4, 64, log=True), "learning_rate": 0.05}}
    boosted, linear = resolve_spaces(["lightgbm", "linear"], changes)
    assert (boosted.dimensions["num_leaves"].low, boosted.dimensions["num_leaves"].high) == (4, 64)
    assert boosted.dimensions["num_leaves"].default == 31
    assert boosted.dimensions["learning_rate"] == 0.05
    assert linear == resolve_spaces(None, None)[1]


@pytest.mark.parametrize(
    ("kind", "options", "has_networks"),
    [
        ({}, {}, True),
        ({"n_rows": 20_000}, {}, True),
        ({"n_rows": 20_001}, {}, False),
        ({"has_images": True}, {}, False),
        ({"is_sparse": True}, {}, False),
        ({"is_large": True}, {}, False),
        ({"is_large": True}, {"search_space": {"mlp": {"width": 32}}}, True),
        ({"has_images": True}, {"families": list(DEFAULT_FAMILIES)}, True),
    ],
)
def test_networks_are_left_out_of_the_defaults_where_they_take_long(kind, options, has_networks):
    """Unless they are named; the other families are always there."""
    found = resolve(TuningConfig(**options), task="binary", has_time=False, **kind)
    families = [space.family for space in found.spaces]
    assert families == [name for name in DEFAULT_FAMILIES if has_networks or name != "mlp"]


def test_pixels_are_scaled_in_common_and_read_by_filters():
    """On images both are part of the space, on tables neither; asking for them there is an error."""
    found = {
        has_images: settings(families=["mlp"], has_images=has_images).space("mlp").dimensions
        for has_images in (True, False)
    }
    assert found[True]["numeric"] == "common"
    assert found[True]["convolution"].default_value is True
    assert found[False]["numeric"].choices == ("robust", "piecewise_linear")
    assert found[False]["convolution"] is False
    for change in ({"convolution": True}, {"numeric": "common"}):
        with pytest.raises(InputError, match="among"):
            settings(families=["mlp"], search_space={"mlp": change}, has_images=False)


def test_relevance_is_searched_for_numbers_unless_asked_for():
    """Classes gain nothing by it: there it stays at its default, or where it is named in its range."""
    asked = {"kernel": {"relevance_rounds": Int(0, 2)}}
    found = [
        resolve(TuningConfig(families=["kernel"], search_space=change), task=task, has_time=False)
        .space("kernel")
        .dimensions["relevance_rounds"]
        for task, change in (("regression", None), ("binary", None), ("binary", asked))
    ]
    searched = SPACES["kernel"].dimensions["relevance_rounds"]
    assert found == [searched, 0, Int(0, 2, default=0, simpler="low")]


@pytest.mark.parametrize(
    ("rows", "change", "searched"),
    [
        ({"task": "regression"}, {}, True),
        ({"task": "binary"}, {}, False),
        ({"task": "regression", "is_sparse": True}, {}, False),
        ({"task": "regression", "is_large": True}, {}, False),
        ({"task": "regression", "has_images": True}, {}, False),
        ({"task": "regression"}, {"linear_tree": False}, False),
        ({"task": "binary"}, {"linear_tree": Categorical((False, True))}, True),
    ],
)
def test_linear_leaves_are_searched_for_numbers_on_dense_tables_of_middling_size(rows, change, searched):
    """Elsewhere they are off unless named, and no known-good configuration is about them."""
    config = TuningConfig(families=["lightgbm"], search_space={"lightgbm": change})
    found = resolve(config, has_time=False, **rows)
    space = found.space("lightgbm")
    assert isinstance(space.dimensions["linear_tree"], Categorical) == searched
    assert any("linear_tree" in known for known in found.portfolios["lightgbm"]) == searched


@pytest.mark.parametrize("family", ["linear", "kernel", "extra_trees", "mlp"])
def test_one_scaling_is_tried_of_sparse_rows(family):
    """All scalings of sparse numbers are the same: to try each would fit and keep the same rows thrice."""
    config = TuningConfig(families=[family], search_space={family: {"numeric": "piecewise_linear"}})
    found = {
        is_sparse: resolve(
            TuningConfig(families=[family]), task="binary", has_time=False, is_sparse=is_sparse
        )
        for is_sparse in (True, False)
    }
    assert found[True].space(family).dimensions["numeric"] == SPACES[family].default()["numeric"]
    assert isinstance(found[False].space(family).dimensions["numeric"], Categorical)
    tried = [each.configuration for each in first_proposals(found[True])]
    assert not any(one == other for place, one in enumerate(tried) for other in tried[:place])
    if family != "extra_trees":  # which has another name for it
        asked = resolve(config, task="binary", has_time=False, is_sparse=True)
        assert asked.space(family).dimensions["numeric"] == "piecewise_linear"


def test_label_smoothing_is_searched_for_classes_only():
    """Where the target is a number it stays at its default."""
    config = TuningConfig(families=["mlp"])
    by_task = {
        task: resolve(config, task=task, has_time=False).space("mlp").dimensions["label_smoothing"]
        for task in ("binary", "regression")
    }
    assert by_task == {"binary": SPACES["mlp"].dimensions["label_smoothing"], "regression": 0.0}
