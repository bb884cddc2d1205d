"""Whether the best trial lies at the end of a range, and the spaces that go on beyond it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search_spaces import Float, Int, SearchSpace
from tuner._decisions.objective import best_first
from tuner._records import TrialRecord
from tuner._statistics.fold_noise import losses, repeats_of, surely_positive
from tuner._types import Scalar

LEAST_TRIALS = 5  # away from the end, to compare with
EDGE = 0.02  # of a range: at its end
OUTER = 0.25  # of a range: near its end


@dataclass(frozen=True)
class Edge:
    """An end of a range that the best trial lies at.

    Attributes
    ----------
    name : str
        The parameter.
    end : {"low", "high"}
    n_inside : int
        Trials outside the outer quarter, all of them worse beyond fold noise.
    """

    name: str
    end: Literal["low", "high"]
    n_inside: int


def find_edge(winner: TrialRecord, trials: Sequence[TrialRecord], space: SearchSpace) -> Edge | None:
    """Return the first end that the winner lies at where no trial away from it does as well.

    Ends that nothing lies beyond do not count: the library's limit or, where none is known, 0 and 1.

    Parameters
    ----------
    winner : TrialRecord
    trials : sequence of TrialRecord
        Complete trials on the winner's folds.
    space : SearchSpace
        Of the winner's family.
    """
    repeats = repeats_of(winner)
    relatives = [trial for trial in trials if trial.configuration.family == space.family]
    for name, value in winner.configuration.params.items():
        dimension = space.dimensions[name]
        if not isinstance(dimension, Float | Int):
            continue
        place = _place(dimension, value)
        if EDGE < place < 1 - EDGE:
            continue
        end: Literal["low", "high"] = "low" if place <= EDGE else "high"
        if space.widened(name, end) == space:
            continue
        inside = [
            trial
            for trial in relatives
            if name in trial.configuration.params
            and abs(_place(dimension, trial.configuration.params[name]) - (end == "high")) > OUTER
        ]
        if len(inside) >= LEAST_TRIALS and all(
            surely_positive(losses(trial) - losses(winner), repeats) for trial in inside
        ):
            return Edge(name, end, len(inside))
    return None


def _place(dimension: Float | Int, value: object) -> float:
    """Return where a value lies in its range, 0 at the low and 1 at the high end."""
    low, high, at = float(dimension.low), float(dimension.high), float(value)  # type: ignore[arg-type]
    if dimension.log:
        low, high, at = np.log(low), np.log(high), np.log(at)
    return float((at - low) / (high - low))


def widened(spaces: Sequence[SearchSpace], trials: Sequence[TrialRecord]) -> tuple[SearchSpace, ...]:
    """Return the spaces with the end moved that the best trial so far lies at; as they are if at none.

    Parameters
    ----------
    spaces : sequence of SearchSpace
    trials : sequence of TrialRecord
        Judged search trials, in trial order.
    """
    ranked = best_first(trials)
    if not ranked:
        return tuple(spaces)
    best = ranked[0]
    return tuple(
        _beyond(best, ranked, space) if space.family == best.configuration.family else space
        for space in spaces
    )


def reaching(space: SearchSpace, params: Mapping[str, Scalar]) -> SearchSpace:
    """Return the space with ends moved until these values lie within, as an earlier search had moved them."""
    for name, value in params.items():
        dimension = space.dimensions.get(name)
        while isinstance(dimension, Float | Int) and not dimension.low <= float(value) <= dimension.high:
            further = space.widened(name, "low" if float(value) < dimension.low else "high")
            if further == space:  # the library's limit
                break
            space, dimension = further, further.dimensions[name]
    return space


def _beyond(best: TrialRecord, trials: Sequence[TrialRecord], space: SearchSpace) -> SearchSpace:
    edge = find_edge(best, trials, space)
    return space if edge is None else space.widened(edge.name, edge.end)
