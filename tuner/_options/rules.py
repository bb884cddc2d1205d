"""Rules that an option can break, whichever option it is: each raises rule, value and cure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import TypeGuard

import numpy as np

from tuner.exceptions import InputError


def check_mapping(name: str, value: object) -> None:
    """Refuse what is no mapping."""
    if not isinstance(value, Mapping):
        raise InputError(
            f"`{name}` must be a mapping from names.",
            repr(value),
            'Try {"lightgbm": {"learning_rate": 0.05}}.',
        )


def check_known(what: str, name: object, valid: Sequence[str]) -> None:
    """Refuse a name that is not among the valid ones, and say which of them comes nearest."""
    if name not in valid:
        raise InputError(f"A {what} must be a known one.", repr(name), nearest(name, valid))


def check_choice(name: str, value: object, valid: Sequence[str | None]) -> None:
    """Refuse a value of an option that has few."""
    if value not in valid:
        hint = _hint(value, [each for each in valid if each is not None])
        cure = f"{hint}Use one of {', '.join(map(repr, valid))}."
        raise InputError(f"`{name}` must be one of its known values.", repr(value), cure)


def check_names(name: str, given: object, valid: Sequence[str] | None, example: str) -> None:
    """Refuse what is no list of names; with ``valid``, names beyond it."""
    if not is_list(given):
        raise InputError(f"`{name}` must be a list of names.", repr(given), f"Try `{example}`.")
    for each in given:
        if valid is not None and each not in valid:
            raise InputError(f"`{name}` must hold known names only.", repr(each), nearest(each, valid))


def is_list(given: object) -> TypeGuard[Iterable[object]]:
    """Whether the value has an order, and can be read twice: sets and generators are no lists."""
    return isinstance(given, Iterable) and not isinstance(given, str | Set | Iterator)


def nearest(name: object, valid: Sequence[str]) -> str:
    """Return a sentence that names the closest valid name and lists the rest."""
    return f"{_hint(name, valid)}Valid: {', '.join(map(repr, valid))}."


def _hint(name: object, valid: Sequence[str]) -> str:
    close = get_close_matches(name, valid, n=1, cutoff=0.0) if isinstance(name, str) else []
    return f"Did you mean {close[0]!r}? " if close else ""


def is_path(uri: str) -> bool:
    """Whether MLflow takes a URI for the path of a folder: no scheme (a drive's letter is none), no host."""
    has_scheme = re.match(r"[A-Za-z][\w+.-]+:|[\d.]+:\d+", uri)
    return not has_scheme and uri not in ("databricks", "databricks-uc", "uc")


def is_number(value: object) -> bool:
    """Whether the value is a number; True and False are none here."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
