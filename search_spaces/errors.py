"""The error of a search space: the rule it breaks, the value, the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpaceError(ValueError):
    """
    A broken rule of a dimension or a search space.

    Parameters
    ----------
    rule : str
        The rule, a sentence with its full stop.
    value : str
        What was given.
    cure : str
        What to do, a sentence with its full stop.

    Examples
    --------
    >>> str(SpaceError("`low` must be below `high`.", "9 and 1", "Swap them."))
    '`low` must be below `high`. Got 9 and 1. Swap them.'
    """

    def __init__(self, rule: str, value: str, cure: str) -> None:
        super().__init__(rule, value, cure)
        self.rule = rule
        self.value = value
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.rule} Got {self.value}. {self.cure}"


def unknown_name(rule: str, name: object, valid: Iterable[str]) -> SpaceError:
    """
    Say which rule an unknown name breaks, and which valid name comes nearest.

    Parameters
    ----------
    rule : str
        The rule, a sentence with its full stop.
    name : object
        What was given.
    valid : iterable of str
        The names that are allowed.

    Returns
    -------
    SpaceError
        Not raised yet.

    Examples
    --------
    >>> str(unknown_name("A colour must be known.", "gren", ["red", "green"]))
    "A colour must be known. Got 'gren'. Did you mean 'green'? Valid: red, green."
    """
    names = list(valid)
    # With a cutoff of zero the nearest name is always given, however far it is.
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return SpaceError(rule, repr(name), f"{hint}Valid: {', '.join(names)}.")
