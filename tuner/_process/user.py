"""Who runs: a container may have no name for it."""

from __future__ import annotations

import getpass


def user_name(otherwise: str) -> str:
    """Return the user's name, or what stands for it in a container without a user database."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return otherwise
