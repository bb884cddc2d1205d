"""How one parameter of a space takes a change: check it, convert it, keep what it leaves open."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.dimensions import Categorical, Dimension, Float, Int, Scalar, is_number, same_scalar
from search_spaces.errors import SpaceError

Limits = tuple[float, float]


def adopt(
    name: str, original: Dimension | Scalar, change: object, limits: Limits | None
) -> Dimension | Scalar:
    """
    Turn a requested change of one parameter into its new dimension or fixed value.

    Parameters
    ----------
    name : str
        The parameter, ``family.parameter``, for messages.
    original : Dimension or scalar
        What the parameter was.
    change : Dimension or scalar
        What it shall be.
    limits : tuple of two floats, optional
        The range the library accepts.

    Returns
    -------
    Dimension or scalar
        The change, of the parameter's type, with the original's default and `simpler` where the change names
        none and they still fit.

    Raises
    ------
    SpaceError
        If the change has another type than the parameter, or leaves `limits` or the original choices.
    """
    if isinstance(original, bool | str):
        original = Categorical((original,))
    if isinstance(original, Categorical):
        return _adopt_categorical(name, original, change)
    adopted = _adopt_number(name, original, change)
    check_limits(name, adopted, limits)
    return adopted


def check_limits(name: str, value: Dimension | Scalar, limits: Limits | None) -> None:
    """
    Raise if a number, or an end of a range, is one the library does not accept.

    Parameters
    ----------
    name : str
        The parameter, ``family.parameter``, for messages.
    value : Dimension or scalar
        Its dimension or fixed value.
    limits : tuple of two floats, optional
        The range the library accepts.

    Raises
    ------
    SpaceError
        If a number lies outside `limits`.
    """
    if limits is None:
        return
    ends = (value.low, value.high) if isinstance(value, Float | Int) else (value,)
    for end in ends:
        if not (is_number(end) and limits[0] <= end <= limits[1]):
            rule = f"`{name}` must lie in [{limits[0]:g}, {limits[1]:g}]."
            raise SpaceError(rule, repr(end), "Choose bounds, or a fixed value, inside.")


def _adopt_categorical(name: str, original: Categorical, change: object) -> Dimension | Scalar:
    requested = change.choices if isinstance(change, Categorical) else (change,)
    for choice in requested:
        if not original.contains(choice):
            rule = f"`{name}` must be among {original.choices}."
            raise SpaceError(rule, repr(choice), "Name one of them, or a `Categorical` of some of them.")
    if not isinstance(change, Categorical):
        # The choice itself rather than its look-alike: 1.0 becomes 1.
        return next(choice for choice in original.choices if same_scalar(choice, change))
    kept_default = original.default_value if change.contains(original.default_value) else None
    kept_simpler = original.simpler if change.contains(original.simpler) else None
    return replace(
        change,
        default=kept_default if change.default is None else change.default,
        simpler=kept_simpler if change.simpler is None else change.simpler,
    )


def _adopt_number(name: str, original: Float | Int | float, change: object) -> Float | Int | float:
    whole = isinstance(original, Int | int)
    if not isinstance(change, Float | Int):
        return _fixed_number(name, whole=whole, value=change)
    if whole and isinstance(change, Float):
        cure = f"Use `Int({round(change.low)}, {round(change.high)})`."
        raise SpaceError(f"`{name}` must take whole numbers.", str(change), cure)
    if not whole and isinstance(change, Int):
        change = Float(
            change.low, change.high, log=change.log, default=change.default, simpler=change.simpler
        )
    return _keep_unstated(original, change)


def _fixed_number(name: str, *, whole: bool, value: object) -> float:
    kind = "Int" if whole else "Float"
    if not is_number(value):
        cure = f"Give a number, or a range `{kind}(low, high)`."
        raise SpaceError(f"`{name}` must be a finite number.", repr(value), cure)
    if not whole:
        return float(value)
    if not float(value).is_integer():
        raise SpaceError(f"`{name}` must be a whole number.", repr(value), f"Use {round(value)}.")
    return int(value)


def _keep_unstated(original: Float | Int | float, change: Float | Int) -> Float | Int:
    if isinstance(original, Float | Int):
        start: float = original.default_value
        simpler = original.simpler if change.simpler is None else change.simpler
    else:
        start, simpler = original, change.simpler
    if change.default is not None or not change.contains(start):
        return replace(change, simpler=simpler)
    if isinstance(change, Int):
        return replace(change, default=int(start), simpler=simpler)
    return replace(change, default=float(start), simpler=simpler)
