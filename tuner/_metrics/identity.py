"""What tells one metric from another: of a function what it does, as its text has an address in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from inspect import getattr_static
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

_PARTS: dict[type, tuple[str, ...]] = {
    partial: ("func", "args", "keywords"),
    MethodType: ("__func__", "__self__"),
    FunctionType: ("__code__", "__defaults__", "__kwdefaults__", "__closure__"),
    CellType: ("cell_contents",),
    CodeType: ("co_code", "co_names", "co_consts"),
}


def identity(metric: object) -> str:
    """Return a text that two processes agree on, and that changes with what a callable metric does.

    Seen are its code, its defaults, what it encloses and, of an object such as a scorer, its attributes; not
    seen is what it calls by a global name.
    """
    if not callable(metric):
        return str(metric)
    named: Any = metric
    name = f"{named.__module__}.{getattr(named, '__qualname__', type(metric).__qualname__)}"
    return f"{name} {hashlib.sha256(repr(_told(metric, ())).encode()).hexdigest()}"


def _told(value: Any, around: tuple[int, ...]) -> object:
    """Return what a value is made of, in plain types; ``around`` are the ids of what it lies in."""
    if id(value) in around:  # a function that calls itself encloses itself
        return "itself"
    inside = (*around, id(value))

    def told(values: Iterable[Any]) -> list[object]:
        return [_told(each, inside) for each in values]

    for kind, names in _PARTS.items():
        if isinstance(value, kind):
            return told(getattr(value, name) for name in names)
    if isinstance(value, Mapping):
        return sorted((str(key), repr(_told(item, inside))) for key, item in value.items())
    if isinstance(value, list | tuple):
        return told(value)
    if isinstance(value, set | frozenset):
        return sorted(map(repr, told(value)))
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return getattr(value, "__qualname__", None) or repr(value)
    call = getattr_static(type(value), "__call__", None)
    return [type(value).__qualname__, *told([getattr(call, "__code__", None), vars(value)])]
