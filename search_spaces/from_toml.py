"""Read a dimension from what a job file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.dimensions import Categorical, Dimension, Float, Int, Scalar
from search_spaces.errors import SpaceError, unknown_name

_RANGE_KEYS = ("low", "high", "log", "default", "simpler")
_CHOICE_KEYS = ("choices", "default", "simpler")


def dimension_from_toml(raw: object) -> Dimension | Scalar:
    """
    Turn a TOML value into a dimension or a fixed value.

    Parameters
    ----------
    raw : object
        A scalar, or a table with ``low`` and ``high`` (and perhaps ``log``, ``default``, ``simpler``), or one
        with ``choices`` (and perhaps ``default``, ``simpler``).

    Returns
    -------
    Dimension or scalar
        A `Float` if a bound or the default is written with a decimal point, else an `Int`; a `Categorical`
        for ``choices``; a scalar as it is.

    Raises
    ------
    SpaceError
        If a key is unknown or missing, a value does not fit, or `raw` is neither a scalar nor a table.

    Examples
    --------
    >>> dimension_from_toml({"choices": ["gbdt", "dart"]})
    Categorical(choices=('gbdt', 'dart'), default=None, simpler=None)
    """
    if isinstance(raw, bool | int | float | str):
        return raw
    if not isinstance(raw, Mapping):
        rule = "A dimension must be a scalar or a table."
        raise SpaceError(rule, repr(raw), "Write {low = 1, high = 9} or {choices = [...]}.")
    if "choices" in raw:
        _check_keys(raw, valid=_CHOICE_KEYS, required=("choices",))
        return Categorical(**raw)
    _check_keys(raw, valid=_RANGE_KEYS, required=("low", "high"))
    numbers = (raw["low"], raw["high"], raw.get("default"))
    kind = Float if any(isinstance(number, float) for number in numbers) else Int
    return kind(**raw)


def _check_keys(raw: Mapping[str, Any], *, valid: tuple[str, ...], required: tuple[str, ...]) -> None:
    for key in raw:
        if key not in valid:
            raise unknown_name("Every key of a dimension must be a known one.", key, valid)
    for key in required:
        if key not in raw:
            rule = "A range needs `low` and `high`, a choice needs `choices`."
            raise SpaceError(rule, str(dict(raw)), f"Add `{key}`.")
