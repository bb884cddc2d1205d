"""What all threads of a run have in common: one thread of BLAS a fit, and no warnings of what is meant."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

# Of what our sampler asks for, and of MLflow's import, which ignores it where no other thread undoes that.
KNOWN_WARNINGS = (
    "Argument ``group`` is an experimental feature",
    'Field name "schema" in "JsonSchemaSpec" shadows an attribute',
)


@contextmanager
def one_thread_a_fit() -> Iterator[None]:
    """Pin BLAS to one thread, and keep warnings of what is meant from the progress.

    Warning filters belong to the process: threads that set and restore them (scikit-learn's trees do, and
    MLflow's imports) can undo each other's. So all are set here, around every thread of a run.
    """
    with warnings.catch_warnings(), threadpool_limits(1):
        # Path points are judged by held-out loss, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for known in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=known)
        yield
