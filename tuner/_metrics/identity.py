"""What tells one metric from another: of a function what it does, as its text has an address in it."""

from __future__ import annotations

from pickle import PicklingError
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from joblib.hashing import NumpyHasher

_PARTS: dict[type, tuple[str, ...]] = {
    MethodType: ("__func__", "__self__"),
    FunctionType: ("__qualname__", "__code__", "__defaults__", "__kwdefaults__", "__closure__"),
    CellType: ("cell_contents",),
    CodeType: ("co_code", "co_names", "co_consts"),
}


def identity(metric: object) -> str:
    """Return a text that two processes agree on, and that changes with what a callable metric does.

    Seen are its code, its defaults, what it encloses and, of an object such as a scorer, its attributes and
    the code of its class. Not seen are what it calls by a global name, modules, what cannot be pickled, and
    what lies too deep in itself for that.
    """
    if not callable(metric):
        return str(metric)
    try:
        return f"{_name(metric)} {_Hasher().hash(metric)}"
    except RecursionError:
        return _name(metric)


class _Hasher(NumpyHasher):
    """Hashes functions by what they do, where joblib goes by their names, and all else as joblib does."""

    def __init__(self) -> None:
        super().__init__("sha256")
        self._begun: dict[int, Any] = {}  # by id: what is taken apart, and must live as long as its id counts

    def save(self, obj: Any) -> None:
        """Add an object to the hash."""
        names = next((names for kind, names in _PARTS.items() if isinstance(obj, kind)), None)
        if isinstance(obj, ModuleType) or (names and id(obj) in self._begun):  # a function may enclose itself
            obj = _name(obj)
        elif names:
            self._begun[id(obj)] = obj
            obj = tuple(getattr(obj, name) for name in names)
        elif isinstance(obj, frozenset):  # of which joblib keeps the order, another one in each process
            obj = set(obj)
        elif callable(obj) and not isinstance(obj, type | BuiltinFunctionType):
            super().save(_methods(type(obj)))
        try:
            super().save(obj)
        except (PicklingError, TypeError, AttributeError):
            super().save(_name(obj))


def _methods(kind: type) -> list[tuple[str, CodeType]]:
    """Return the code of a class and its bases, as far as they are Python."""
    found = ((name, each) for base in kind.__mro__ for name, each in vars(base).items())
    return [(name, each.__code__) for name, each in found if isinstance(each, FunctionType)]


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return value.__name__ if isinstance(value, ModuleType) else f"{named.__module__}.{named.__qualname__}"
