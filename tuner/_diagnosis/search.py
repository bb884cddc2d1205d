"""What the trials say of the search: noise, edges of the space, families, folds; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_spaces import Float, Int, SearchSpace
from tuner._decisions.edges import find_edge
from tuner._decisions.selection import family_bests
from tuner._records import Finding, TrialRecord
from tuner._statistics.fold_noise import losses, noise, repeats_of, surely_positive

LEAST_TRIALS = 5  # of which half can be counted


def noise_limited(winner: TrialRecord, trials: Sequence[TrialRecord]) -> Finding | None:
    """D003: half of the other trials or more cannot be told from the winner on the folds of the search."""
    others = [trial for trial in trials if trial.number != winner.number]
    if len(others) < LEAST_TRIALS:
        return None
    repeats = repeats_of(winner)
    error = noise(losses(winner), repeats)
    alike = sum(not surely_positive(losses(trial) - losses(winner), repeats) for trial in others)
    if 2 * alike < len(others):
        return None
    return Finding(
        "D003",
        "info",
        f"Fold noise hides the best trial: {alike} of {len(others)} others cannot be told from the winner.",
        f"standard error of the winner's loss {error:.2g}; paired one-sided t at 95%",
        "More trials will not help; more rows will. `n_repeats` tells the noise better where folds are few.",
    )


def at_the_edge(winner: TrialRecord, trials: Sequence[TrialRecord], space: SearchSpace) -> Finding | None:
    """D005: the winner lies at an end of a range, and no trial away from that end does as well."""
    edge = find_edge(winner, trials, space)
    if edge is None:
        return None
    dimension, wider = (each.dimensions[edge.name] for each in (space, space.widened(edge.name, edge.end)))
    assert isinstance(dimension, Float | Int)  # only ranges have ends
    assert isinstance(wider, Float | Int)
    name = f"{space.family}.{edge.name}"
    return Finding(
        "D005",
        "warning",
        f"The winner lies at the {edge.end} end of {name}: better values may lie beyond.",
        f"range [{dimension.low:g}, {dimension.high:g}]; all {edge.n_inside} trials outside its outer "
        "quarter are worse beyond fold noise",
        f'Widen it: search_space={{"{space.family}": {{"{edge.name}": {_written(wider)}}}}}; '
        "or let the search do it: widen=True.",
    )


def _written(dimension: Float | Int) -> str:
    """Return a range as it is written in Python."""
    log = ", log=True" if dimension.log else ""
    if isinstance(dimension, Int):
        return f"Int({dimension.low}, {dimension.high}{log})"
    return f"Float({dimension.low:.3g}, {dimension.high:.3g}{log})"


def families_disagree(winner: TrialRecord, finalists: Sequence[TrialRecord]) -> Finding | None:
    """D007: on the fresh folds another family's best cannot be told from the elected one.

    Parameters
    ----------
    winner : TrialRecord
        The elected, on the fresh folds.
    finalists : sequence of TrialRecord
        All of them, on the same folds.
    """
    ranked = sorted((trial for trial in finalists if trial.scores), key=lambda trial: trial.loss)
    differences = {
        trial.configuration.family: losses(trial) - losses(winner)
        for trial in family_bests(ranked)
        if trial.configuration.family != winner.configuration.family
    }
    repeats = repeats_of(winner)
    # One that does surely better there, where the default is shipped, is told from it as well.
    rivals = {
        family: difference
        for family, difference in differences.items()
        if not (surely_positive(difference, repeats) or surely_positive(-difference, repeats))
    }
    if not rivals:
        return None
    family, difference = next(iter(rivals.items()))
    return Finding(
        "D007",
        "info",
        f"Scored again, {family} cannot be told from {winner.configuration.family}: the noise hides which "
        "does better.",
        f"loss difference {np.nanmean(difference):+.3g}, fold noise {noise(difference, repeats):.2g}",
        'An ensemble (final="ensemble", the default) may mix them; or choose by cost: '
        f'families=["{family}"].',
    )


def unstable(winner: TrialRecord) -> Finding | None:
    """D008: the size that the other folds choose for a fold costs it surely more than matters.

    The common size is the best of all folds together, so a choice without the fold hardly ever gains on it:
    on a flat, noisy path it costs a little in every fold. A cost beyond the error of the loss matters.
    """
    curves, scores = winner.curves, winner.scores
    if curves is None or scores is None:
        return None
    repeats = repeats_of(winner)
    costs = losses(winner) - np.asarray(curves.validation)[:, scores.path_point]
    matters = noise(losses(winner), repeats)
    chosen = zip(scores.fold_points, costs, strict=True)
    sizes = [curves.at(point)[0] for point, cost in chosen if np.isfinite(cost)]
    is_common = set(sizes) <= {curves.at(scores.path_point)[0]}  # then only thresholds differ
    if is_common or not surely_positive(costs - matters, repeats):
        return None
    return Finding(
        "D008",
        "warning",
        "The choice of the model's size is unstable: each fold's own choice costs against the common one.",
        f"sizes chosen from {min(sizes):g} to {max(sizes):g}; cost {np.nanmean(costs):.3g}, "
        f"fold noise {noise(costs, repeats):.2g}, standard error of the loss {matters:.2g}",
        "Collect more rows. What is delivered has the common size, which all folds of all repeats chose: "
        "`n_repeats` makes that one steadier, not the choice of a fold.",
    )
