"""Fits on whole tables: each member once, then again with other seeds while these differ and time is left."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

import numpy as np

from tuner._bench import augmented
from tuner._deadline import Deadline
from tuner._records import Configuration
from tuner._seeds import child_seed
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
        firsts = list(pool.map(_timed, wanted))
        made = [[model] for model, _ in firsts]
        varied = list(range(len(wanted)))
        for index in range(1, n_fits):

            def again(position: int, index: int = index) -> Predictor | None:
                enough = firsts[position][1] <= deadline.left
                return _another(wanted[position], made[position][0], index) if enough else None

            further = dict(zip(varied, pool.map(again, varied), strict=True))
            found = {position: model for position, model in further.items() if model is not None}
            for position, model in found.items():
                made[position].append(model)
            varied = list(found)
    return [tuple(models) for models in made]


def _timed(wanted: Refit) -> tuple[Predictor, float]:
    started = monotonic()
    model = refit(wanted.configuration, wanted.path_value, wanted.rows, seed=wanted.seed)
    if not np.isfinite(_probed(model, wanted)).all():
        raise ValueError(f"{wanted.configuration.family} predicts values that are not finite")
    return model, monotonic() - started


def _another(wanted: Refit, first: Predictor, index: int) -> Predictor | None:
    """Return a fit with another seed; None where it repeats the first one or fails."""
    seed = child_seed(wanted.seed, "refit again", index)
    try:
        model = refit(wanted.configuration, wanted.path_value, wanted.rows, seed=seed)
    except Exception:  # noqa: BLE001 - a model less, no lost run
        return None
    probed = _probed(model, wanted)
    is_new = np.isfinite(probed).all() and not np.allclose(probed, _probed(first, wanted), rtol=1e-6)
    return model if is_new else None


def _probed(model: Predictor, wanted: Refit) -> np.ndarray:
    return np.asarray(model.predict(wanted.rows.table.part(0, PROBE_ROWS)))
