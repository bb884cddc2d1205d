"""Error text for a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name_message(rule: str, name: object, valid: Iterable[str]) -> str:
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
    str
        Rule, value, cure.

    Examples
    --------
    >>> unknown_name_message("A colour must be known.", "gren", ["red", "green"])
    "A colour must be known. Got 'gren'. Did you mean 'green'? Valid: red, green."
    """
    names = list(valid)
    # With a cutoff of zero the nearest name is always given, however far it is.
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{rule} Got {name!r}.{hint} Valid: {', '.join(names)}."
