from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Categorical, Condition, Float, Int, SearchSpace, SpaceError, dimension_from_toml

SPACE = SearchSpace(
    "toy",
    {
        "rate": Float(0.1, 1.0, log=True, default=0.5, simpler="low"),
        "dropped": Int(1, 9, default=2),  # written before its parent on purpose
        "kind": Categorical(("tree", "dart", "net"), simpler="tree"),
        "leaves": Int(2, 64, log=True, default=31, simpler="low"),
        "deep": Categorical((False, True)),
        "fixed": 3,
    },
    conditions={"dropped": Condition("kind", "dart"), "deep": Condition("dropped", 2)},
    limits={"rate": (0.001, 10.0), "leaves": (2, 1000)},
)


def test_default_holds_active_parameters_parents_first() -> None:
    """Defaults and fixed values are there, what does not apply is not."""
    assert SPACE.default() == {"rate": 0.5, "kind": "tree", "leaves": 31, "fixed": 3}


def test_an_end_moves_outward_within_the_limits() -> None:
    """Fourfold on a log scale, by the width otherwise; 64 * 4 = 256, .1 / 4 = .025; default and rest stay."""
    wider = SPACE.widened("leaves", "high")
    assert wider.dimensions["leaves"] == Int(2, 256, log=True, default=31, simpler="low")
    assert wider.dimensions["rate"] == SPACE.dimensions["rate"]
    assert SPACE.widened("rate", "low").dimensions["rate"] == Float(
        0.025, 1.0, log=True, default=0.5, simpler="low"
    )
    assert SPACE.widened("leaves", "low") == SPACE  # two leaves are the library's least
    assert SPACE.widened("dropped", "high").dimensions["dropped"] == Int(1, 17, default=2)


def test_without_limits_neither_0_nor_1_is_crossed() -> None:
    """Shares stay shares and counts stay positive where nobody says what the library accepts."""
    assert SPACE.widened("dropped", "low") == SPACE
    space = SearchSpace("toy", {"share": Float(0.2, 0.9), "shift": Float(-3.0, 3.0)})
    assert space.widened("share", "low").dimensions["share"] == Float(0.0, 0.9)
    assert space.widened("share", "high").dimensions["share"] == Float(0.2, 1.0)
    assert space.widened("shift", "low").dimensions["shift"] == Float(-9.0, 3.0)


def test_only_ranges_can_be_widened() -> None:
    """Choices and fixed values have no end, unknown names no range."""
    for name in ("kind", "fixed"):
        with pytest.raises(ValueError, match="Only a range"):
            SPACE.widened(name, "high")
    with pytest.raises(ValueError, match="must be a known one"):
        SPACE.widened("leafs", "high")


def test_what_is_fixed_keeps_its_default() -> None:
    """A range or a choice becomes its default; a value the user has fixed stays; the others still vary."""
    space = SearchSpace(
        "toy",
        {"group": Int(2, 200, default=100), "linear": Categorical((False, True)), "leaves": Int(2, 64)},
    )
    fixed = space.fixed(("group", "linear"))
    assert fixed.dimensions == {"group": 100, "linear": False, "leaves": Int(2, 64)}
    assert fixed.complete({"group": 7})["group"] == 100
    assert space.override({"group": 7}).fixed(("group",)).dimensions["group"] == 7
    assert SPACE.fixed(()) == SPACE
    with pytest.raises(SpaceError, match="Did you mean 'group'"):
        space.fixed(("groups",))


def test_what_needs_categories_must_exist() -> None:
    """A marked name that is no parameter is an error."""
    with pytest.raises(ValueError, match="must be a known one"):
        SearchSpace("toy", {"leaves": Int(2, 64)}, for_categories=("leafs",))


def test_parents_come_before_children() -> None:
    """A conditional parameter follows what it depends on; otherwise the order is as written."""
    assert SPACE.ordered() == ("rate", "kind", "dropped", "leaves", "deep", "fixed")


def test_activity_follows_the_chain_of_parents() -> None:
    """A parameter applies only if its parent applies too."""
    assert SPACE.active("deep", {"kind": "dart", "dropped": 2})
    assert not SPACE.active("deep", {"kind": "dart", "dropped": 3})
    assert not SPACE.active("deep", {"kind": "tree", "dropped": 2})
    assert not SPACE.active("dropped", {})
    assert SPACE.active("rate", {})


def test_space_survives_pickling_and_outside_changes() -> None:
    """A space can be sent to a worker, and does not change with the mapping it was made from."""
    dimensions: dict[str, Any] = {"rate": Float(0, 1)}
    space = SearchSpace("toy", dimensions)
    dimensions["other"] = 1
    assert tuple(space.dimensions) == ("rate",)
    assert pickle.loads(pickle.dumps(SPACE)) == SPACE


@given(st.floats(0.001, 10), st.floats(0.001, 10))
def test_override_keeps_the_default_that_lies_inside(first: float, second: float) -> None:
    """A range without a default keeps the old one if it can, and else starts at its own midpoint."""
    low, high = min(first, second), max(first, second) + 0.0001
    high = min(high, 10.0)
    if not low < high:
        low = high / 2
    rate = SPACE.override({"rate": Float(low, high)}).dimensions["rate"]
    assert isinstance(rate, Float)
    assert rate.simpler == "low"
    assert rate.log is False
    assert rate.default_value == (0.5 if low <= 0.5 <= high else Float(low, high).default_value)


@given(st.floats(-1e6, 1e6), st.integers(-100, 100), st.sampled_from(["tree", "dart", "net", "old"]))
def test_completed_configurations_lie_inside_and_stay(rate: float, leaves: int, kind: str) -> None:
    """Whatever comes in, what goes out is allowed, holds exactly what applies, and completes to itself."""
    space = SPACE.override({"kind": Categorical(("dart", "tree")), "rate": Float(0.2, 0.3)})
    params = space.complete({"rate": rate, "leaves": leaves, "kind": kind})
    for name, value in params.items():
        dimension = space.dimensions[name]
        assert value == dimension if isinstance(dimension, int) else dimension.contains(value)  # type: ignore[union-attr]
    assert set(params) == {name for name in space.dimensions if space.active(name, params)}
    assert space.complete(params) == params


def test_complete_clips_and_obeys_fixed_values() -> None:
    """Numbers go to the nearest bound, fixed values win, forbidden choices become the default."""
    space = SPACE.override({"leaves": Int(4, 16), "fixed": 5, "kind": Categorical(("dart", "net"))})
    params = space.complete({"leaves": 31, "fixed": 9, "kind": "tree", "dropped": 4})
    # The old default "tree" is gone, so the first choice left is the default; `dropped` then applies.
    assert params == {"rate": 0.5, "kind": "dart", "dropped": 4, "leaves": 16, "fixed": 5}


def test_complete_drops_what_does_not_apply() -> None:
    """A value for an inactive parameter is left out."""
    assert "dropped" not in SPACE.override({"kind": "tree"}).complete({"kind": "dart", "dropped": 4})


def test_override_keeps_what_is_not_stated() -> None:
    """`simpler` is kept, a stated default wins, `log` is as given, and the original space is untouched."""
    changed = SPACE.override({"leaves": Int(4, 40, default=8), "kind": Categorical(("net", "tree"))})
    assert changed.dimensions["leaves"] == Int(4, 40, default=8, simpler="low")
    assert changed.dimensions["kind"] == Categorical(("net", "tree"), default="tree", simpler="tree")
    assert SPACE.dimensions["leaves"] == Int(2, 64, log=True, default=31, simpler="low")


def test_override_converts_to_the_type_of_the_parameter() -> None:
    """Whole numbers serve as floats, and floats without a fraction as whole numbers."""
    space = SPACE.override({"rate": Int(1, 4), "leaves": 8.0})
    assert space.dimensions["rate"] == Float(1.0, 4.0, simpler="low")
    leaves, rate = space.dimensions["leaves"], SPACE.override({"rate": 1}).dimensions["rate"]
    assert (leaves, type(leaves)) == (8, int)
    assert (rate, type(rate)) == (1.0, float)


def test_images_and_tables_narrow_a_space() -> None:
    """What is said of images holds on images, what is said of tables on tables; the rest stays."""
    space = replace(SPACE, on_images={"kind": "net"}, on_tables={"leaves": Int(2, 8), "kind": "tree"})
    assert space.narrowed(has_images=True).default() == {"rate": 0.5, "kind": "net", "leaves": 31, "fixed": 3}
    assert space.narrowed(has_images=False).dimensions["leaves"] == Int(2, 8, simpler="low")
    assert SPACE.narrowed(has_images=True) == SPACE


def test_fixed_value_can_be_opened_again() -> None:
    """A range for a fixed number starts at that number if it can."""
    fixed = SPACE.override({"rate": 0.3})
    assert fixed.override({"rate": Float(0.1, 1.0)}).default()["rate"] == 0.3
    assert SPACE.override({"fixed": Int(1, 9)}).default()["fixed"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"leafs": 3},
            r"Every parameter of `toy` .* Got 'leafs'. Did you mean 'leaves'\? Valid: rate, dropped",
        ),
        ({"leaves": 1001}, r"`toy.leaves` must lie in \[2, 1000\]. Got 1001."),
        ({"leaves": Int(1, 20)}, r"`toy.leaves` must lie in \[2, 1000\]. Got 1."),
        ({"rate": Float(0.1, 11)}, r"`toy.rate` must lie in \[0.001, 10\]. Got 11.0."),
        ({"leaves": 3.5}, r"`toy.leaves` must be a whole number. Got 3.5. Use 4."),
        ({"leaves": Float(2, 20)}, r"`toy.leaves` must take whole numbers. .* Use `Int\(2, 20\)`."),
        ({"leaves": True}, r"`toy.leaves` must be a finite number. Got True. .*`Int\(low, high\)`"),
        ({"rate": False}, r"`toy.rate` must be a finite number. Got False. .*`Float\(low, high\)`"),
        ({"rate": "fast"}, r"`toy.rate` must be a finite number. Got 'fast'."),
        ({"rate": float("nan")}, r"`toy.rate` must be a finite number. Got nan."),
        ({"rate": {"low": 1}}, r"`toy.rate` must be a finite number. Got \{'low': 1\}."),
        ({"rate": Categorical((0.1, 0.2))}, r"`toy.rate` must be a finite number. Got Categorical"),
        ({"kind": "forest"}, r"`toy.kind` must be among \('tree', 'dart', 'net'\). Got 'forest'."),
        ({"kind": Categorical(("tree", "forest"))}, r"`toy.kind` must be among .* Got 'forest'."),
        ({"kind": Int(1, 3)}, r"`toy.kind` must be among .* Got Int"),
        ({"deep": 1}, r"`toy.deep` must be among \(False, True\). Got 1."),
    ],
)
def test_bad_overrides_name_rule_value_and_cure(changes: dict[str, Any], message: str) -> None:
    """An override that does not fit is refused before anything is fitted."""
    with pytest.raises(ValueError, match=message):
        SPACE.override(changes)


def test_an_error_has_rule_value_and_cure_and_survives_pickling() -> None:
    """The parts are fields, so a value may hold full stops."""
    with pytest.raises(SpaceError) as caught:
        SPACE.override({"rate": "0.5. Faster"})
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.rule == "`toy.rate` must be a finite number."
    assert error.value == "'0.5. Faster'"
    assert error.cure == "Give a number, or a range `Float(low, high)`."
    assert str(error) == f"{error.rule} Got {error.value}. {error.cure}"


def test_fixed_choice_cannot_become_an_unknown_one() -> None:
    """A fixed choice stays what it is: the space no longer knows the others."""
    fixed = SPACE.override({"kind": "dart"})
    assert fixed.override({"kind": "dart"}) == fixed
    with pytest.raises(ValueError, match="must be among"):
        fixed.override({"kind": "forest"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditions": {"b": Condition("a", 1)}}, "Got 'b'. Did you mean 'a'"),
        ({"conditions": {"a": Condition("b", 1)}}, "Got 'b'. Did you mean 'a'"),
        ({"conditions": {"a": Condition("a", 1)}}, "must not form a circle. Got a -> a."),
        ({"limits": {"b": (0, 1)}}, "Got 'b'. Did you mean 'a'"),
        ({"limits": {"a": (0, 1)}}, r"`toy.a` must lie in \[0, 1\]. Got 9."),
    ],
)
def test_inconsistent_spaces_are_refused(options: dict[str, Any], message: str) -> None:
    """Conditions and limits must fit the dimensions."""
    with pytest.raises(ValueError, match=message):
        SearchSpace("toy", {"a": Int(1, 9)}, **options)


def test_unknown_names_are_refused_everywhere() -> None:
    """`complete` and `active` know the same names as `override`."""
    with pytest.raises(ValueError, match="Did you mean 'leaves'"):
        SPACE.complete({"leafs": 3})
    with pytest.raises(ValueError, match="Did you mean 'leaves'"):
        SPACE.active("leafs", {})


def test_complete_refuses_what_is_no_number() -> None:
    """A range cannot clip a word."""
    with pytest.raises(ValueError, match=r"`toy.rate` must be a finite number. Got 'fast'."):
        SPACE.complete({"rate": "fast"})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"low": 4, "high": 64, "log": True}, Int(4, 64, log=True)),
        ({"low": 1, "high": 2.5}, Float(1, 2.5)),
        ({"low": 0, "high": 1, "default": 0.3}, Float(0, 1, default=0.3)),
        ({"low": 0, "high": 4, "simpler": "low"}, Int(0, 4, simpler="low")),
        ({"choices": ["a", "b"], "default": "b"}, Categorical(("a", "b"), default="b")),
        (0.05, 0.05),
        (True, True),
        ("dart", "dart"),
    ],
)
def test_toml_values_become_dimensions(raw: object, expected: object) -> None:
    """Tables and scalars of a job file turn into what they mean."""
    dimension = dimension_from_toml(raw)
    assert dimension == expected
    assert type(dimension) is type(expected)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"low": 1, "hihg": 2}, r"Every key .* Got 'hihg'. Did you mean 'high'\? Valid: low, high, log"),
        ({"choices": ["a"], "log": True}, r"Every key .* Got 'log'. .*Valid: choices, default, simpler"),
        ({"low": 1}, r"A range needs `low` and `high`.* Add `high`."),
        ({}, r"A range needs `low` and `high`.* Add `low`."),
        ([1, 2], r"A dimension must be a scalar or a table. Got \[1, 2\]. Write"),
        ({"low": 3, "high": 1}, r"`low` must be below `high`."),
    ],
)
def test_bad_toml_names_rule_value_and_cure(raw: object, message: str) -> None:
    """A typing error in a job file is found and the nearest key named."""
    with pytest.raises(ValueError, match=message):
        dimension_from_toml(raw)
