"""What the trials say of the search: noise, edges of the space, families, folds; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_spaces import Float, Int, SearchSpace
from tuner._diagnosis_noise import by_repeat, losses, noise, surely_positive
from tuner._records import Finding, TrialRecord

LEAST_TRIALS = 5  # of which half can be counted
EDGE = 0.02  # of a range: at its end
OUTER = 0.25  # of a range: near its end


def noise_limited(winner: TrialRecord, trials: Sequence[TrialRecord]) -> Finding | None:
    """D003: half of the other trials or more cannot be told from the winner on the folds of the search."""
    others = [trial for trial in trials if trial.number != winner.number]
    if len(others) < LEAST_TRIALS:
        return None
    alike = sum(not surely_positive(losses(trial) - losses(winner)) for trial in others)
    if 2 * alike < len(others):
        return None
    assert winner.scores is not None  # checked by the caller
    return Finding(
        "D003",
        "info",
        f"Fold noise hides the best trial: {alike} of {len(others)} others cannot be told from the winner.",
        f"standard error of the winner's loss {winner.scores.standard_error:.2g}; paired one-sided t at 95%",
        "More trials will not help. Raise `n_repeats`, or collect more rows.",
    )


def at_the_edge(winner: TrialRecord, trials: Sequence[TrialRecord], space: SearchSpace) -> Finding | None:
    """D005: the winner lies at an end of a range, and no trial away from that end does as well.

    Ends that nothing lies beyond do not count: the library's limit or, where none is known, 0 and 1.
    """
    relatives = [trial for trial in trials if trial.configuration.family == space.family]
    for name, value in winner.configuration.params.items():
        dimension = space.dimensions[name]
        if not isinstance(dimension, Float | Int) or isinstance(value, bool | str):
            continue
        place = _place(dimension, value)
        end = "low" if place <= EDGE else "high" if place >= 1 - EDGE else None
        limits = space.limits.get(name, (-np.inf, np.inf))
        natural = space.limits.get(name, (0, 1))
        if end is None or getattr(dimension, end) in natural:
            continue
        inside = [
            trial
            for trial in relatives
            if name in trial.configuration.params
            and abs(_place(dimension, trial.configuration.params[name]) - (end == "high")) > OUTER
        ]
        if len(inside) >= LEAST_TRIALS and all(
            surely_positive(losses(trial) - losses(winner)) for trial in inside
        ):
            return _edge_finding(space.family, name, dimension, end, limits, len(inside))
    return None


def _place(dimension: Float | Int, value: object) -> float:
    """Return where a value lies in its range, 0 at the low and 1 at the high end."""
    low, high, at = float(dimension.low), float(dimension.high), float(value)  # type: ignore[arg-type]
    if dimension.log:
        low, high, at = np.log(low), np.log(high), np.log(at)
    return float((at - low) / (high - low)) if high > low else 0.5


def _edge_finding(
    family: str, name: str, dimension: Float | Int, end: str, limits: tuple[float, float], n_inside: int
) -> Finding:
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high = (low / 4, high) if end == "low" else (low, high * 4)
    else:
        low, high = (low - (high - low), high) if end == "low" else (low, high + (high - low))
    low, high = max(low, limits[0]), min(high, limits[1])  # what is suggested must be accepted
    kind = type(dimension).__name__
    ends = f"{max(1, round(low))}, {round(high)}" if kind == "Int" else f"{low:.3g}, {high:.3g}"
    log = ", log=True" if dimension.log else ""
    return Finding(
        "D005",
        "warning",
        f"The winner lies at the {end} end of {family}.{name}: better values may lie beyond.",
        f"range [{dimension.low:g}, {dimension.high:g}]; all {n_inside} trials outside its outer quarter "
        "are worse beyond fold noise",
        f'Widen it: search_space={{"{family}": {{"{name}": {kind}({ends}{log})}}}}.',
    )


def families_disagree(winner: TrialRecord, finalists: Sequence[TrialRecord]) -> Finding | None:
    """D007: on the fresh folds another family's best cannot be told from the elected one.

    Parameters
    ----------
    winner : TrialRecord
        The elected, on the fresh folds.
    finalists : sequence of TrialRecord
        All of them, on the same folds.
    """
    best: dict[str, TrialRecord] = {}
    for trial in sorted(finalists, key=lambda each: each.scores.nested_loss if each.scores else np.inf):
        if trial.scores is not None:
            best.setdefault(trial.configuration.family, trial)
    rivals = {
        family: trial
        for family, trial in best.items()
        if family != winner.configuration.family
        and not surely_positive(by_repeat(losses(trial) - losses(winner), winner))
    }
    if not rivals:
        return None
    family, trial = next(iter(rivals.items()))
    difference = losses(trial) - losses(winner)
    return Finding(
        "D007",
        "info",
        f"On fresh folds {family} cannot be told from {winner.configuration.family}: the noise hides which "
        "does better.",
        f"loss difference {np.nanmean(difference):+.3g}, fold noise {noise(difference):.2g}",
        f'Keep final="ensemble", which mixes them; or choose by cost: families=["{family}"].',
    )


def unstable(winner: TrialRecord) -> Finding | None:
    """D008: the size the other folds choose for a fold costs it, beyond noise, against the common one."""
    curves, scores = winner.curves, winner.scores
    if curves is None or scores is None:
        return None
    common = np.asarray(curves.validation)[:, scores.path_point]
    costs = losses(winner) - common
    if not surely_positive(costs):
        return None
    sizes = [curves.at(point)[0] for point in scores.fold_points]
    return Finding(
        "D008",
        "warning",
        "The choice of the model's size is unstable: each fold's own choice costs against the common one.",
        f"sizes chosen from {min(sizes):g} to {max(sizes):g}; cost {np.nanmean(costs):.3g}, "
        f"fold noise {noise(costs):.2g}",
        "Raise `n_repeats` so that more folds have a say, or collect more rows.",
    )
