"""Fits on whole tables: each member once, then again with other seeds while these differ and time is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from threading import Event
from time import monotonic

import numpy as np

from tuner._process.deadline import NO_DEADLINE, Deadline
from tuner._process.pool import cancellable_pool
from tuner._records import Configuration
from tuner._seeds import child_seed
from tuner._trials.bench import augmented
from tuner._types import FloatArray
from tuner.exceptions import DeadlineReachedError
from tuner.families import FAMILIES, Check, Predictor, TrainingRows

PROBE_ROWS = 200  # tell whether another seed made another model


@dataclass(frozen=True, eq=False)
class Refit:
    """What is to be fitted once more: a configuration up to a path value, on rows, with a seed."""

    configuration: Configuration
    path_value: float
    rows: TrainingRows
    seed: int


def _fitted(wanted: Refit, seed: int, check: Check) -> Predictor:
    """Fit once on the rows up to the path value, which is not scaled with their number."""
    params, family = wanted.configuration.params, FAMILIES[wanted.configuration.family]
    size = family.path_values(params).index(wanted.path_value)
    rows = augmented(wanted.rows, params, seed=child_seed(seed, "augment-refit"))
    prepared = family.prepare(params, rows, seed=child_seed(seed, "prepare-refit"))
    fit = family.start(params, prepared, seed=child_seed(seed, "refit"))
    for _ in range(size + 1):
        fit.advance(check)
    return fit.predictor(size)


def refits(
    wanted: Sequence[Refit], *, n_fits: int = 1, n_workers: int = 1, deadline: Deadline = NO_DEADLINE
) -> list[tuple[Predictor, ...]]:
    """Fit everything once, whatever the time; then again with other seeds, all in turn, while time is left.

    A model that another seed only repeats is kept once. A further fit that fails is one model less.

    Parameters
    ----------
    n_fits : int
        How often each is fitted, at most.
    n_workers : int
        Fits side by side.

    Raises
    ------
    ValueError
        If a first fit predicts what is not finite; else whatever it raises.
    """
    cancelled = Event()

    def check() -> None:
        if cancelled.is_set():
            raise DeadlineReachedError("the run was stopped")

    with cancellable_pool(n_workers, "refit", cancelled) as pool:
        firsts = list(pool.map(_first, wanted, repeat(check)))
        made = [[first.model] for first in firsts]
        varied = list(range(len(wanted)))

        def again(position: int, index: int) -> Predictor | None:
            first = firsts[position]
            is_time = first.seconds <= deadline.left
            return _another(wanted[position], first, index, check) if is_time else None

        for index in range(1, n_fits):
            models = list(pool.map(again, varied, repeat(index)))
            found = {
                position: model for position, model in zip(varied, models, strict=True) if model is not None
            }
            for position, model in found.items():
                made[position].append(model)
            varied = list(found)
    return [tuple(models) for models in made]


@dataclass(frozen=True, eq=False)
class _First:
    """A first fit: what it predicts for some rows, and what it took."""

    model: Predictor
    probe: FloatArray
    seconds: float


def _first(wanted: Refit, check: Check) -> _First:
    started = monotonic()
    model, probe = _probed(wanted, wanted.seed, check)
    return _First(model, probe, monotonic() - started)


def _another(wanted: Refit, first: _First, index: int, check: Check) -> Predictor | None:
    """Return a fit with another seed; None where it repeats the first one or fails."""
    try:
        model, probe = _probed(wanted, child_seed(wanted.seed, "refit again", index), check)
    except Exception:  # noqa: BLE001 - a model less, no lost run
        return None
    least = 1e-6 * float(np.std(first.probe))  # in its own spread: targets may be tiny, or far from 0
    return None if np.allclose(probe, first.probe, rtol=0.0, atol=least) else model


def _probed(wanted: Refit, seed: int, check: Check) -> tuple[Predictor, FloatArray]:
    """Return a fit and what it predicts for some rows, all of it finite."""
    model = _fitted(wanted, seed, check)
    probe = np.asarray(model.predict(wanted.rows.table.part(0, PROBE_ROWS)))
    if not np.isfinite(probe).all():
        raise ValueError(f"{wanted.configuration.family} predicts values that are not finite")
    return model, probe
