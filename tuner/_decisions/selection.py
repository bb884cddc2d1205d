"""Who becomes a finalist and who wins: pure functions of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.augmentation import augmentation_of
from tuner._decisions.objective import objective
from tuner._records import TrialRecord

N_FINALISTS = 10


@dataclass(frozen=True)
class Nomination:
    """A search trial that goes to the finals.

    Attributes
    ----------
    number : int
        Number of the search trial.
    weights : tuple of float
        Gap weights under which it was among the best; may be empty for the default, for the best of a
        family and for what it is compared with, which are nominated beside the best.
    """

    number: int
    weights: tuple[float, ...]


def nominate(
    trials: Sequence[TrialRecord], *, weights: Sequence[float], cap: float, n_finalists: int, default: int
) -> tuple[Nomination, ...]:
    """Nominate the best few complete trials under each gap weight, the default always among them.

    The weights take turns: first every weight's best; then the best of every family, as models of different
    kinds err differently and an ensemble gains by it; then the best of a family without the augmentation or
    dropout that its best has, so that fresh folds can tell what they brought; then every weight's second,
    until ``n_finalists`` different trials are found. Repeated configurations count once.

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
    unique = {trial.configuration.key: trial for trial in reversed(complete)}
    numbers = {trial.number for trial in unique.values()}
    rankings = {weight: _ranking(list(unique.values()), weight, cap) for weight in weights}
    turns = [[ranking[place] for ranking in rankings.values()] for place in range(len(numbers))]
    leading = next(iter(rankings.values()), [])
    by_number = {trial.number: trial for trial in unique.values()}
    ranked = [by_number[number] for number in leading]
    turns.insert(1, [trial.number for trial in family_bests(ranked)])
    turns.insert(2, [trial.number for trial in _contrasts(ranked)])
    ordered = dict.fromkeys(number for turn in turns for number in turn if number != default)
    chosen = [*((default,) if default in numbers else ()), *ordered][:n_finalists]
    return tuple(
        Nomination(
            number,
            tuple(weight for weight, ranking in rankings.items() if ranking.index(number) < n_finalists),
        )
        for number in chosen
    )


def augments(trial: TrialRecord) -> bool:
    """Whether the configuration makes changed copies of training rows."""
    return bool(augmentation_of(trial.configuration.params))


def drops(trial: TrialRecord) -> bool:
    """Whether the configuration silences units at random."""
    return bool(trial.configuration.params.get("dropout"))


def family_bests(ranked: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the first trial of each family, in the same order."""
    bests: dict[str, TrialRecord] = {}
    for trial in ranked:
        bests.setdefault(trial.configuration.family, trial)
    return list(bests.values())


def _contrasts(ranked: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return, for the best of each family that has augmentation or dropout, the best without it."""
    found = []
    for best in family_bests(ranked):
        family = best.configuration.family
        for has_it in (augments, drops):
            without = (t for t in ranked if t.configuration.family == family and not has_it(t))
            if has_it(best) and (other := next(without, None)):
                found.append(other)
    return found


def _ranking(trials: Sequence[TrialRecord], weight: float, cap: float) -> list[int]:
    def key(trial: TrialRecord) -> tuple[float, int]:
        return objective(trial.known_scores, weight=weight, cap=cap), trial.number

    return [trial.number for trial in sorted(trials, key=key)]


def elect(finalists: Sequence[TrialRecord]) -> int:
    """Return the position of the finalist with the smallest loss on the fresh folds; on ties the earlier.

    Raises
    ------
    ValueError
        If no finalist is complete.
    """
    losses = [trial.loss for trial in finalists]
    if not np.isfinite(losses).any():
        raise ValueError("No finalist has a finite loss on the fresh folds.")
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
