"""Which parameters set good trials apart."""

from __future__ import annotations

import optuna
import pytest

from tuner._search.importance import LEAST_TRIALS, importances


def objective(trial):
    """Of `toy` only `size` matters; `fixed` never varies, `some` is not always there."""
    family = trial.suggest_categorical("family", ["toy", "other"])
    if family == "other":
        return trial.suggest_float("other.size", 0, 1)
    size = trial.suggest_float("toy.size", 0, 1)
    trial.suggest_float("toy.idle", 0, 1)
    trial.suggest_categorical("toy.fixed", ["same"])
    if trial.number % 2:
        trial.suggest_float("toy.some", 0, 1)
    return abs(size - 0.3)


def study_of(*families):
    """Return a study with one random trial of each of the families."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for family in families:
        study.enqueue_trial({"family": family})
    study.optimize(objective, n_trials=len(families))
    return study


def test_the_parameter_that_matters_comes_first():
    """Shares sum to one; what is constant, conditional or another family's has none."""
    shares = importances(study_of(*["toy"] * 40, *["other"] * 5), "toy")
    assert list(shares) == ["toy.size", "toy.idle"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["toy.size"] > 0.8


def test_a_family_is_looked_at_alone():
    """Another family is better throughout: none of its own trials is among the best tenth of all."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = study_of(*["toy"] * 40)
    for number in range(40):
        better = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
        better.enqueue_trial({"family": "other"})
        better.optimize(lambda trial: objective(trial) - 10, n_trials=1)
        study.add_trials(better.trials)
    shares = importances(study, "toy")
    assert shares["toy.size"] > 0.8
    assert shares == importances(study_of(*["toy"] * 40), "toy")


def test_few_trials_say_nothing():
    """One complete trial less than asked for, and no share is claimed."""
    study = study_of(*["toy"] * (LEAST_TRIALS - 1))
    assert importances(study, "toy") == {}
    study.add_trials(study_of("toy").trials)
    assert set(importances(study, "toy")) == {"toy.size", "toy.idle"}
    assert importances(study, "other") == {}
