"""What trials are proposed: the first ones by rule, the others as a study draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna

from search_spaces import Categorical, Float, Int, SearchSpace, augmentation
from tuner._decisions.objective import best_first
from tuner._options.settings import Settings
from tuner._records import Configuration, TrialRecord
from tuner._types import Scalar


@dataclass(frozen=True)
class Proposal:
    """A configuration that is tried by rule.

    Attributes
    ----------
    configuration : Configuration
    adopts : bool
        Whether it takes over the augmentation of its family's best trial so far: a known-good configuration
        that says nothing of augmentation.
    after : int
        The last trial whose result it must know for that; -1: none.
    """

    configuration: Configuration
    adopts: bool = False
    after: int = -1


def first_proposals(settings: Settings) -> list[Proposal]:
    """Return the defaults, one a family, then the families' known-good configurations in turn."""
    ordered = [Proposal(Configuration(space.family, space.default())) for space in settings.spaces]
    for place in range(max(len(known) for known in settings.portfolios.values())):
        for space in settings.spaces:
            for entry in settings.portfolios[space.family][place : place + 1]:
                configuration = Configuration(space.family, space.complete(entry))
                ordered.append(Proposal(configuration, adopts="augment" not in entry))
    unique: dict[str, Proposal] = {}
    last: dict[str, int] = {}  # trial with augmentation of each family
    for proposal in ordered:
        family = proposal.configuration.family
        key = proposal.configuration.key
        if key not in unique:
            unique[key] = replace(proposal, after=last.get(family, -1)) if proposal.adopts else proposal
            if augmentation.augmentation_of(proposal.configuration.params):
                last[family] = len(unique) - 1
    return list(unique.values())


def with_best_augmentation(known: Configuration, judged: Sequence[TrialRecord]) -> Configuration:
    """Return the configuration with the augmentation of its family's best trial so far.

    Changed copies of rows add to what regularization does, so a configuration known to be good without them
    is tried with those that the family's best trial had, if any.
    """
    ranked = (trial.configuration for trial in best_first(judged))
    best = next((each for each in ranked if each.family == known.family), None)
    if best is None:
        return known
    copies = {name: value for name, value in best.params.items() if name in augmentation.DIMENSIONS}
    return replace(known, params={**augmentation.others(known.params), **copies})


def suggest(trial: optuna.Trial, settings: Settings) -> Configuration:
    """Draw a configuration from the study: the family, then its active parameters, parents first."""
    family = str(trial.suggest_categorical("family", [space.family for space in settings.spaces]))
    space = settings.space(family)
    params: dict[str, Scalar] = {}
    for name in space.ordered():
        if space.active(name, params):
            params[name] = _draw(trial, f"{family}.{name}", space.dimensions[name])
    return Configuration(family, params)


def _draw(trial: optuna.Trial, name: str, dimension: Any) -> Scalar:
    if isinstance(dimension, Float):
        return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Int):
        return trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Categorical):
        choice: Scalar = trial.suggest_categorical(name, list(dimension.choices))  # type: ignore[assignment]
        return choice
    value: Scalar = dimension
    return value


def suggested(configuration: Configuration, settings: Settings) -> dict[str, Scalar]:
    """Return the parameters of a configuration that the study suggests (fixed ones are not)."""
    space: SearchSpace = settings.space(configuration.family)
    varied = {
        f"{configuration.family}.{name}": value
        for name, value in configuration.params.items()
        if isinstance(space.dimensions[name], Float | Int | Categorical)
    }
    return {"family": configuration.family, **varied}
