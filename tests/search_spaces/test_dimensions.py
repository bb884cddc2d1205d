from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Categorical, Float, Int

BOUNDS = st.floats(-1e300, 1e300) | st.floats(1e-300, 1e-290) | st.floats(-10, 10)
SCALARS = st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text(max_size=3)


@st.composite
def ranges(draw: st.DrawFn) -> Float | Int:
    """Draw a range of either kind, on either scale, without a default."""
    ends: list[Any]
    if draw(st.booleans()):
        ends = sorted(draw(st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=2, unique=True)))
        return Int(ends[0], ends[1], log=ends[0] > 0 and draw(st.booleans()))
    ends = sorted(draw(st.lists(BOUNDS, min_size=2, max_size=2, unique=True)))
    return Float(ends[0], ends[1], log=ends[0] > 0 and draw(st.booleans()))


@given(ranges())
def test_default_always_lies_inside(dimension: Float | Int) -> None:
    """Whatever the bounds and the scale, the default is a value of the dimension."""
    assert dimension.contains(dimension.default_value)


@given(ranges())
def test_bounds_are_included_and_their_neighbours_are_not(dimension: Float | Int) -> None:
    """Both ends belong to a range; the next number outside does not."""
    assert dimension.contains(dimension.low)
    assert dimension.contains(dimension.high)
    step_down = dimension.low - 1 if isinstance(dimension, Int) else math.nextafter(dimension.low, -math.inf)
    step_up = dimension.high + 1 if isinstance(dimension, Int) else math.nextafter(dimension.high, math.inf)
    assert not dimension.contains(step_down)
    assert not dimension.contains(step_up)


@given(st.lists(SCALARS, min_size=1, max_size=6, unique_by=lambda value: (isinstance(value, bool), value)))
def test_categorical_starts_with_its_first_choice(choices: list[Any]) -> None:
    """Without a default, the first choice is the default, and every choice is allowed."""
    dimension = Categorical(tuple(choices))
    assert dimension.default_value == choices[0]
    assert all(dimension.contains(choice) for choice in choices)


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (Float(1, 3), 2.0),  # (1 + 3) / 2
        (Float(0.01, 1.0, log=True), 0.1),  # sqrt(.01 * 1)
        (Int(1, 6), 4),  # 3.5, to the even neighbour
        (Int(4, 64, log=True), 16),  # sqrt(4 * 64)
        (Int(2, 10, log=True), 4),  # sqrt(20) = 4.47
        (Float(0, 1, default=0.9), 0.9),
    ],
)
def test_default_is_the_midpoint_of_the_scale(dimension: Float | Int, expected: float) -> None:
    """The default is the arithmetic or the geometric midpoint unless one is given."""
    assert dimension.default_value == pytest.approx(expected, rel=1e-12)
    assert type(dimension.default_value) is type(dimension.low)


def test_float_bounds_become_floats() -> None:
    """Ranges that mean the same are equal and print the same."""
    assert repr(Float(0, 1)) == repr(Float(0.0, 1.0))


@pytest.mark.parametrize("value", ["2", True, math.nan, math.inf, None, 0, 6])
def test_ranges_contain_only_finite_numbers_inside(value: object) -> None:
    """Strings, truth values, missing and infinite values and outsiders belong to no range."""
    assert not Int(1, 5).contains(value)
    assert not Float(1, 5).contains(value)


def test_int_contains_no_floats() -> None:
    """A whole number written as a float is not a value of an `Int`."""
    assert Int(1, 5).contains(3)
    assert not Int(1, 5).contains(3.0)


def test_true_is_not_one() -> None:
    """Truth values and the numbers 0 and 1 are different choices."""
    assert not Categorical((False, True)).contains(1)
    assert not Categorical((0, 1)).contains(value=True)
    assert Categorical((1, True)).choices == (1, True)


@pytest.mark.parametrize(
    ("kind", "arguments", "options", "message"),
    [
        (Float, (1, 1), {}, r"`low` must be below `high`. Got 1.0 and 1.0. Swap"),
        (Float, (0, math.inf), {}, r"`high` must be a finite number. Got inf."),
        (Float, (math.nan, 1), {}, r"`low` must be a finite number. Got nan."),
        (Float, (False, 1), {}, r"`low` must be a finite number. Got False."),
        (Float, ("0", 1), {}, r"`low` must be a finite number. Got '0'."),
        (Float, (0, 1), {"log": True}, r"`low` must be above 0 on a log scale. Got 0.0. Raise"),
        (Float, (0, 1), {"log": 1}, r"`log` must be True or False. Got 1."),
        (Float, (0, 1), {"default": 2}, r"`default` must lie in \[0.0, 1.0\]. Got 2.0. Widen"),
        (Float, (0, 1), {"simpler": "lower"}, r"`simpler` must be 'low', 'high' or None. Got 'lower'."),
        (Int, (1.0, 3), {}, r"`low` of an `Int` must be a whole number. Got 1.0. Round it, or use `Float`."),
        (Int, (1, True), {}, r"`high` of an `Int` must be a whole number. Got True."),
        (Int, (1, 3), {"default": 1.5}, r"`default` of an `Int` must be a whole number. Got 1.5."),
        (Int, (5, 3), {}, r"`low` must be below `high`. Got 5 and 3."),
        (Categorical, ((),), {}, r"`choices` must not be empty."),
        (Categorical, ("abc",), {}, r"`choices` must be a sequence. Got 'abc'."),
        (Categorical, (7,), {}, r"`choices` must be a sequence. Got 7."),
        (Categorical, (("a", "b", "a"),), {}, r"`choices` must all differ. Got 'a' twice."),
        (Categorical, ((None, 1),), {}, r"Each choice must be .* Got None."),
        (Categorical, (("a",),), {"default": "b"}, r"`default` must be one of the choices .* Got 'b'."),
        (Categorical, (("a",),), {"simpler": "b"}, r"`simpler` must be one of the choices .* Got 'b'."),
    ],
)
def test_bad_dimensions_name_rule_value_and_cure(
    kind: type[Any], arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    """Each rule about dimensions is checked where they are made."""
    with pytest.raises(ValueError, match=message):
        kind(*arguments, **options)
