"""What one hyperparameter may be: a range of numbers or a set of choices, in natural units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Literal, TypeGuard

from search_spaces.errors import SpaceError

Scalar = float | int | bool | str
Simpler = Literal["low", "high"]


def same_scalar(left: object, right: object) -> bool:
    """
    Tell whether two scalars are equal, keeping truth values apart from the numbers 0 and 1.

    Parameters
    ----------
    left, right : object
        The values to compare.

    Returns
    -------
    bool
        Whether they are the same value.

    Examples
    --------
    >>> same_scalar(1, 1.0), same_scalar(1, True)
    (True, False)
    """
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def is_number(value: object) -> TypeGuard[float]:
    """
    Tell whether a value is a finite real number; truth values are not.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    bool
        Whether it is a finite number.
    """
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Float:
    """
    A range of real numbers, both ends included.

    Parameters
    ----------
    low, high : float
        The smallest and the largest value, ``low < high``.
    log : bool, default False
        Whether equal ratios, not equal differences, are equal steps; needs ``low > 0``.
    default : float, optional
        The value to start from. Without it, ``default_value`` is the midpoint (the geometric one if `log`).
    simpler : {"low", "high"}, optional
        Which end gives the simpler model; None if neither does.

    Raises
    ------
    SpaceError
        If the bounds are not finite numbers in rising order, `log` meets ``low <= 0``, `default` lies
        outside, or `simpler` names no end.

    Examples
    --------
    >>> Float(0.01, 1.0, log=True).default_value
    0.1
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    default: float | None = None
    simpler: Simpler | None = None

    def __post_init__(self) -> None:
        for field in ("low", "high"):
            object.__setattr__(self, field, _as_float(field, getattr(self, field)))
        if self.default is not None:
            object.__setattr__(self, "default", _as_float("default", self.default))
        _check_range(self)

    @property
    def default_value(self) -> float:
        """The value to start from: `default` if given, else the midpoint."""
        return _midpoint(self) if self.default is None else self.default

    def contains(self, value: object) -> bool:
        """
        Tell whether a value is a number inside the bounds.

        Parameters
        ----------
        value : object
            Any value.

        Returns
        -------
        bool
            Whether the value is allowed.
        """
        return is_number(value) and self.low <= float(value) <= self.high


@dataclass(frozen=True)
class Int:
    """
    A range of whole numbers, both ends included.

    Parameters
    ----------
    low, high : int
        The smallest and the largest value, ``low < high``.
    log : bool, default False
        Whether equal ratios, not equal differences, are equal steps; needs ``low > 0``.
    default : int, optional
        The value to start from. Without it, ``default_value`` is the rounded midpoint (the geometric one if
        `log`).
    simpler : {"low", "high"}, optional
        Which end gives the simpler model; None if neither does.

    Raises
    ------
    SpaceError
        If the bounds are not whole numbers in rising order, `log` meets ``low <= 0``, `default` lies outside,
        or `simpler` names no end.

    Examples
    --------
    >>> Int(4, 64, log=True).default_value
    16
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    default: int | None = None
    simpler: Simpler | None = None

    def __post_init__(self) -> None:
        for field in ("low", "high"):
            object.__setattr__(self, field, _as_int(field, getattr(self, field)))
        if self.default is not None:
            object.__setattr__(self, "default", _as_int("default", self.default))
        _check_range(self)

    @property
    def default_value(self) -> int:
        """The value to start from: `default` if given, else the rounded midpoint."""
        return round(_midpoint(self)) if self.default is None else self.default

    def contains(self, value: object) -> bool:
        """
        Tell whether a value is a whole number inside the bounds.

        Parameters
        ----------
        value : object
            Any value; 3.0 is not a whole number here, 3 is.

        Returns
        -------
        bool
            Whether the value is allowed.
        """
        return is_number(value) and isinstance(value, Integral) and self.low <= int(value) <= self.high


@dataclass(frozen=True)
class Categorical:
    """
    A set of choices without an order.

    Parameters
    ----------
    choices : sequence of scalars
        The allowed values, at least one, all different.
    default : scalar, optional
        The value to start from. Without it, ``default_value`` is the first choice.
    simpler : scalar, optional
        The choice that gives the simplest model; None if none does.

    Raises
    ------
    SpaceError
        If `choices` is empty, repeats a value or holds something else than scalars, or if `default` or
        `simpler` is not one of them.

    Examples
    --------
    >>> Categorical(("gbdt", "dart")).default_value
    'gbdt'
    """

    choices: tuple[Scalar, ...]
    _: KW_ONLY
    default: Scalar | None = None
    simpler: Scalar | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _as_choices(self.choices))
        for field in ("default", "simpler"):
            value = getattr(self, field)
            if value is not None and not self.contains(value):
                rule = f"`{field}` must be one of the choices {self.choices}."
                raise SpaceError(rule, repr(value), "Add it to the choices or name another.")

    @property
    def default_value(self) -> Scalar:
        """The value to start from: `default` if given, else the first choice."""
        return self.choices[0] if self.default is None else self.default

    def contains(self, value: object) -> bool:
        """
        Tell whether a value is one of the choices; True is not 1.

        Parameters
        ----------
        value : object
            Any value.

        Returns
        -------
        bool
            Whether the value is allowed.
        """
        return _is_scalar(value) and any(same_scalar(value, choice) for choice in self.choices)


Dimension = Float | Int | Categorical


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | str) or is_number(value)


def _as_float(field: str, value: object) -> float:
    if not is_number(value):
        raise SpaceError(f"`{field}` must be a finite number.", repr(value), "Give a number such as 0.1.")
    return float(value)


def _as_int(field: str, value: object) -> int:
    if not (is_number(value) and isinstance(value, Integral)):
        rule = f"`{field}` of an `Int` must be a whole number."
        raise SpaceError(rule, repr(value), "Round it, or use `Float`.")
    return int(value)


def _as_choices(choices: object) -> tuple[Scalar, ...]:
    if isinstance(choices, str) or not isinstance(choices, Iterable):
        raise SpaceError("`choices` must be a sequence.", repr(choices), "Put the choices into a tuple.")
    values = tuple(choices)
    if not values:
        raise SpaceError("`choices` must not be empty.", "()", "Name at least one value.")
    for index, value in enumerate(values):
        if not _is_scalar(value):
            rule = "Each choice must be a finite number, a truth value or a string."
            raise SpaceError(rule, repr(value), "Use a name for it and translate the name in the family.")
        if any(same_scalar(value, earlier) for earlier in values[:index]):
            raise SpaceError("`choices` must all differ.", f"{value!r} twice", "Remove one of them.")
    return values


def _check_range(dimension: Float | Int) -> None:
    low, high, default = dimension.low, dimension.high, dimension.default
    if not low < high:
        cure = "Swap them, or give one number to fix the value."
        raise SpaceError("`low` must be below `high`.", f"{low} and {high}", cure)
    if not isinstance(dimension.log, bool):
        cure = "Leave it out for a linear scale."
        raise SpaceError("`log` must be True or False.", repr(dimension.log), cure)
    if dimension.log and low <= 0:
        cure = "Raise `low` a little, or use `log=False`."
        raise SpaceError("`low` must be above 0 on a log scale.", str(low), cure)
    if default is not None and not low <= default <= high:
        cure = "Widen the range or move the default."
        raise SpaceError(f"`default` must lie in [{low}, {high}].", str(default), cure)
    if dimension.simpler not in (None, "low", "high"):
        cure = "Name the end that gives the simpler model."
        raise SpaceError("`simpler` must be 'low', 'high' or None.", repr(dimension.simpler), cure)


def _midpoint(dimension: Float | Int) -> float:
    low, high = dimension.low, dimension.high
    # Halves and roots are taken before they meet, so that a wide range does not overflow; what rounding
    # pushes over an end is pulled back.
    middle = math.sqrt(low) * math.sqrt(high) if dimension.log else low / 2 + high / 2
    return min(max(middle, low), high)
