"""What all threads of a run have in common: one thread of BLAS a fit, and no warnings of what is meant."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from threading import Lock
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController

# Of what our sampler asks for, and of MLflow's import, which ignores it where no other thread undoes that.
KNOWN_WARNINGS = (
    "Argument ``group`` is an experimental feature",
    'Field name "schema" in "JsonSchemaSpec" shadows an attribute',
)


class Shared:
    """A state of the process that the first of several threads sets and the last one takes back.

    Each for itself, in any order, they would take back what another still needs, and leave it for good.

    Parameters
    ----------
    make : callable
        Returns the context manager that sets it.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        self._make = make
        self._lock = Lock()
        self._n_inside = 0
        self._state = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._state.enter_context(self._make())
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._state.close()


@contextmanager
def one_thread_a_fit() -> Iterator[None]:
    """Pin BLAS to one thread, and keep warnings of what is meant from the progress, and MLflow from our fits.

    All belong to the process. Threads that set and restore warning filters (scikit-learn's trees do, and
    MLflow's imports) can undo each other's, so all are set here, around every thread of a run; and once
    where runs go side by side. OpenMP counts threads for each thread that asks: there each run sets its own.
    """
    with _RUNS, ThreadpoolController().select(user_api="openmp").limit(limits=1):
        yield


@contextmanager
def _as_a_run_needs_it() -> Iterator[None]:
    with warnings.catch_warnings(), _one_blas_thread(), _without_autologging():
        # Path points are judged by held-out loss, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for known in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=known)
        yield


_RUNS = Shared(_as_a_run_needs_it)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Pin BLAS so that any thread can undo it."""
    blas = ThreadpoolController().select(user_api="blas")
    pinned = blas.limit(limits=1)
    _let_go(blas)
    try:
        yield
    finally:
        pinned.restore_original_limits()
        _let_go(blas)


def _let_go(blas: ThreadpoolController) -> None:
    """Let other threads set the number of BLAS.

    From 3.8 on, threadpoolctl lets none but the thread that did, until a ``with`` of that thread ends: one
    that changes nothing is enough.
    """
    with blas.limit(limits=None):
        pass


def _without_autologging() -> AbstractContextManager[object]:
    """Keep MLflow's autologging out of our fits: each would get a run of its own, and take seconds for it.

    Only who has imported MLflow can have switched it on.
    """
    autologging: Any = sys.modules.get("mlflow.utils.autologging_utils")
    disable = getattr(autologging, "disable_autologging", None)  # none, too, while another thread imports it
    return nullcontext() if disable is None else disable()
