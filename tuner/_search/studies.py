"""Optuna's studies, made without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from announcing studies."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def make_study(name: str) -> optuna.Study:
    """Return an empty study of losses in memory."""
    with quiet():
        return optuna.create_study(study_name=name, direction="minimize")
