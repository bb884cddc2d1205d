"""What the MLflow listener reports at the end of a run; standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackingInfo:
    """Where a run was tracked, and what is missing there.

    Attributes
    ----------
    uri : str
        Tracking URI, passwords and tokens masked.
    experiment_id : str or None
        None where the store was never reached.
    experiment : str
        Name of the experiment.
    run_id : str or None
        The parent run.
    model_uri : str or None
        ``models:/...`` of the logged model.
    n_logged, n_missing : int
        Trials in the store, and trials that are not (the trial store still has them).
    problems : tuple of str
        What went wrong, one line each; empty where all is well.
    """

    uri: str
    experiment_id: str | None
    experiment: str
    run_id: str | None
    model_uri: str | None
    n_logged: int
    n_missing: int
    problems: tuple[str, ...] = ()
