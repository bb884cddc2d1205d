"""Fits on whole tables: each member once, then again with other seeds while these differ and time is left."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from time import monotonic

import numpy as np

from tuner._process.deadline import Deadline
from tuner._records import Configuration
from tuner._seeds import child_seed
from tuner._trials.bench import augmented
from tuner._types import FloatArray
from tuner.families import FAMILIES, Predictor, TrainingRows

PROBE_ROWS = 200  # tell whether another seed made another model
NO_DEADLINE = Deadline()


@dataclass(frozen=True, eq=False)
class Refit:
    """What is to be fitted once more: a configuration up to a path value, on rows, with a seed."""

    configuration: Configuration
    path_value: float
    rows: TrainingRows
    seed: int


def refit(configuration: Configuration, path_value: float, rows: TrainingRows, *, seed: int) -> Predictor:
    """Fit once on the rows up to a path value; the value is not scaled with their number."""
    family = FAMILIES[configuration.family]
    size = family.path_values(configuration.params).index(path_value)
    rows = augmented(rows, configuration.params, seed=child_seed(seed, "augment-refit"))
    prepared = family.prepare(configuration.params, rows, seed=child_seed(seed, "prepare-refit"))
    fit = family.start(configuration.params, prepared, seed=child_seed(seed, "refit"))
    for _ in range(size + 1):
        fit.advance()
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
    with ThreadPoolExecutor(n_workers, thread_name_prefix="refit") as pool:
        firsts = list(pool.map(_first, wanted))
        made = [[first.model] for first in firsts]
        varied = list(range(len(wanted)))

        def again(position: int, index: int) -> Predictor | None:
            first = firsts[position]
            return _another(wanted[position], first, index) if first.seconds <= deadline.left else None

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


def _first(wanted: Refit) -> _First:
    started = monotonic()
    model, probe = _probed(wanted, wanted.seed)
    return _First(model, probe, monotonic() - started)


def _another(wanted: Refit, first: _First, index: int) -> Predictor | None:
    """Return a fit with another seed; None where it repeats the first one or fails."""
    try:
        model, probe = _probed(wanted, child_seed(wanted.seed, "refit again", index))
    except Exception:  # noqa: BLE001 - a model less, no lost run
        return None
    least = 1e-6 * float(np.std(first.probe))  # in its own spread: targets may be tiny, or far from 0
    return None if np.allclose(probe, first.probe, rtol=0.0, atol=least) else model


def _probed(wanted: Refit, seed: int) -> tuple[Predictor, FloatArray]:
    """Return a fit and what it predicts for some rows, all of it finite."""
    model = refit(wanted.configuration, wanted.path_value, wanted.rows, seed=seed)
    probe = np.asarray(model.predict(wanted.rows.table.part(0, PROBE_ROWS)))
    if not np.isfinite(probe).all():
        raise ValueError(f"{wanted.configuration.family} predicts values that are not finite")
    return model, probe
