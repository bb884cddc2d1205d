"""Who becomes a finalist, who wins, who joins the ensemble: pure functions of records and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tuner._objective import objective
from tuner._records import TrialRecord
from tuner._types import FloatArray

N_FINALISTS = 10
MAX_ENSEMBLE_ROUNDS = 25


@dataclass(frozen=True)
class Nomination:
    """A search trial that goes to the finals.

    Attributes
    ----------
    number : int
        Number of the search trial.
    weights : tuple of float
        Gap weights under which it was among the best; may be empty for the default and for the best of a
        family, which are always nominated.
    """

    number: int
    weights: tuple[float, ...]


def nominate(
    trials: Sequence[TrialRecord], *, weights: Sequence[float], cap: float, n_finalists: int, default: int
) -> tuple[Nomination, ...]:
    """Nominate the best few complete trials under each gap weight, the default always among them.

    The weights take turns: first every weight's best; then the best of every family, as models of different
    kinds err differently and an ensemble gains by it; then every weight's second, until ``n_finalists``
    different trials are found. Repeated configurations count once.

    Parameters
    ----------
    trials : sequence of TrialRecord
        The search trials; only complete ones are eligible.
    weights : sequence of float
        Nominating gap weights, 0 among them.
    cap : float
        The study's penalty cap.
    n_finalists : int
        How many to nominate, the default included.
    default : int
        Number of the named default.

    Returns
    -------
    tuple of Nomination
        The default first, then in the order of nomination.
    """
    complete = [trial for trial in trials if trial.state == "COMPLETE" and trial.scores is not None]
    unique = {json.dumps(trial.configuration.flat(), sort_keys=True): trial for trial in reversed(complete)}
    numbers = {trial.number for trial in unique.values()}
    rankings = {weight: _ranking(list(unique.values()), weight, cap) for weight in weights}
    turns = [[ranking[place] for ranking in rankings.values()] for place in range(len(numbers))]
    turns.insert(1, _family_bests(list(unique.values()), next(iter(rankings.values()), [])))
    ordered = dict.fromkeys(number for turn in turns for number in turn if number != default)
    chosen = [*((default,) if default in numbers else ()), *ordered][:n_finalists]
    return tuple(
        Nomination(
            number,
            tuple(weight for weight, ranking in rankings.items() if ranking.index(number) < n_finalists),
        )
        for number in chosen
    )


def _family_bests(trials: Sequence[TrialRecord], ranking: Sequence[int]) -> list[int]:
    """Return the first of each family in a ranking."""
    families = {trial.number: trial.configuration.family for trial in trials}
    return list({families[number]: number for number in reversed(ranking)}.values())[::-1]


def _ranking(trials: Sequence[TrialRecord], weight: float, cap: float) -> list[int]:
    def key(trial: TrialRecord) -> tuple[float, int]:
        assert trial.scores is not None  # only complete trials are ranked
        return objective(trial.scores, weight=weight, cap=cap), trial.number

    return [trial.number for trial in sorted(trials, key=key)]


def elect(finalists: Sequence[TrialRecord]) -> int:
    """Return the position of the finalist with the smallest loss on the fresh folds; on ties the earlier.

    Raises
    ------
    ValueError
        If no finalist is complete.
    """
    losses = [trial.scores.nested_loss if trial.scores else np.inf for trial in finalists]
    if not np.isfinite(losses).any():
        raise ValueError("No finalist has a finite loss on the fresh folds.")
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))


@dataclass(frozen=True)
class Blend:
    """Ensemble weights over finalists.

    Attributes
    ----------
    weights : tuple of float, one a finalist
        Shares that sum to one; 0 for finalists that did not join.
    loss : float
        Internal loss of the blend on the predictions it was chosen on: flattering, never a claim.
    """

    weights: tuple[float, ...]
    loss: float


def greedy_blend(
    predictions: Sequence[Sequence[FloatArray]],
    loss: Callable[[Sequence[FloatArray]], float],
    *,
    start: int,
    max_members: int | None = None,
) -> Blend:
    """Greedy ensemble selection with replacement, started from the elected finalist.

    Parameters
    ----------
    predictions : sequence of n_finalists sequences of arrays
        Each finalist's held-out predictions, fold by fold on the same folds.
    loss : callable
        Loss of a list of fold predictions (lower is better).
    start : int
        Position of the elected finalist.
    max_members : int or None
        Different finalists in the blend, at most.

    References
    ----------
    Caruana et al. (2004), Ensemble selection from libraries of models.
    """
    counts = np.zeros(len(predictions), dtype=int)
    counts[start] = 1
    total = [np.asarray(fold, dtype=float) for fold in predictions[start]]
    best = loss(total)
    for size in range(2, MAX_ENSEMBLE_ROUNDS + 1):
        is_full = max_members is not None and (counts > 0).sum() >= max_members
        losses = [
            np.inf if is_full and not counts[position] else loss(_mean_with(total, candidate, size))
            for position, candidate in enumerate(predictions)
        ]
        choice = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
        if not losses[choice] < best:
            break
        best = losses[choice]
        counts[choice] += 1
        total = [summed + fold for summed, fold in zip(total, predictions[choice], strict=True)]
    return Blend(tuple(float(count / counts.sum()) for count in counts), float(best))


def _mean_with(total: Sequence[FloatArray], candidate: Sequence[FloatArray], size: int) -> list[FloatArray]:
    return [(summed + fold) / size for summed, fold in zip(total, candidate, strict=True)]
