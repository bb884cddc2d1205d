"""Our tuner as a method of the benchmark: its defaults, levers changed, and Optuna's number of fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from generalization_data import Problem
from generalization_lightgbm import N_CORES, Fitted, Predict
from generalization_optuna import MAX_INCUMBENTS, N_FOLDS, evenly_spaced

from search_spaces import DEFAULT_FAMILIES, Float, lightgbm
from tuner import TunedClassifier, TunedRegressor
from tuner._decisions.selection import N_FINALISTS
from tuner._metrics.metrics import METRICS, resolve_metric
from tuner._model import Blended, Member, deliver
from tuner._records import TrialRecord
from tuner._rows.data import Dataset, make_dataset, with_log_target
from tuner._trials.bench import all_rows
from tuner._trials.whole import Refit, refits

PREFIX = "ours:"
UNGUIDED = {name: replace(metric, guide=None) for name, metric in METRICS.items() if metric.guide}
ALIASES = {"ours": {}, "ours_bag": {"final": "bag"}, "ours_refit": {"final": "refit"}}
# Constants of the method, no options of a user: `ours:off=LEVER[+LEVER]` switches them off for an ablation.
LEVERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "portfolio": lambda: mock.patch.dict("tuner._options.spaces.PORTFOLIOS", clear=True),
    "family_bests": lambda: mock.patch("tuner._decisions.selection.family_bests", return_value=[]),
    "fresh_folds": lambda: mock.patch("tuner._line.choice.plan_fresh", return_value=None),
    "repeats": lambda: mock.patch("tuner._line.choice.wanted_repeats", return_value=1),
    "finer_folds": lambda: mock.patch("tuner._line.choice.finest_folds", return_value=0),
    "calibration": lambda: mock.patch("tuner._finals.held_out.choose_temperature", return_value=1.0),
    "making_room": lambda: mock.patch("tuner._decisions.shares.SMALL_SHARE", 0.0),
    "stopping": lambda: mock.patch("tuner._search.search.is_settled", return_value=False),
    "racing": lambda: mock.patch("tuner._search.search.make_race", return_value=None),
    "guide": lambda: mock.patch.dict("tuner._metrics.metrics.METRICS", UNGUIDED),
    "refits": lambda: mock.patch("tuner._finals.finals.REFITTED_TASKS", ()),
}
# Dimensions of our LightGBM space that the one of Optuna's users here does not have; the others differ
# little in their ends.
NOT_OPTUNAS = (
    *("max_depth", "path_smooth", "min_data_per_group", "max_cat_to_onehot", "extra_trees", "boosting"),
    "linear_tree",
)
DEFAULTS = lightgbm.SPACE.default()
# What a user would fix in `search_space`.
DIMENSIONS: dict[str, dict[str, dict[str, Any]]] = {
    "linear_leaves": {"lightgbm": {"linear_tree": False}},
    "relevance": {"kernel": {"relevance_rounds": 0, "shape": "gaussian"}},
    "ramps": {
        "linear": {"numeric": "standardize"},
        "kernel": {"numeric": "standardize"},
        "mlp": {"numeric": "robust"},
    },
    "own_dimensions": {"lightgbm": {name: DEFAULTS[name] for name in NOT_OPTUNAS}},
    "fixed_dropout": {"mlp": {"dropout": Float(0.0, 0.5, default=0.1)}},  # off: searched on tables, too
}
FOLDS = "right_folds"  # off: groups and time are not told


def options_of(method: str) -> dict[str, Any]:
    """Return the options of a method's name: ``"ours:families=lightgbm+linear,gap_weight=0"``.

    Raises
    ------
    ValueError
        If the name is none of ours.
    """
    if method in ALIASES:
        return dict(ALIASES[method])
    pairs = [pair.partition("=") for pair in method.removeprefix(PREFIX).split(",")]
    if not method.startswith(PREFIX) or not all(key and equals and value for key, equals, value in pairs):
        raise ValueError(
            f"A method of ours is one of {', '.join(ALIASES)} or ours:KEY=VALUE[,KEY=VALUE]. Got {method!r}. "
            "Try ours:gap_weight=0."
        )
    options = {key: _list(value) if key in ("families", "off") else _value(value) for key, _, value in pairs}
    levers = (*LEVERS, *DIMENSIONS, FOLDS)
    unknown = set(options.get("off", ())) - set(levers)
    if unknown:
        raise ValueError(
            f"A lever is one of {', '.join(levers)}. Got {', '.join(sorted(unknown))}. Try ours:off=racing."
        )
    return options


def _list(text: str) -> list[Any]:
    return [_scalar(part) for part in text.split("+")]


def _value(text: str) -> Any:
    value = _scalar(text)  # 1e+3 is a number
    return _list(text) if isinstance(value, str) and "+" in value else value


def _scalar(text: str) -> Any:
    words = {"None": None, "True": True, "False": False}
    if text in words:
        return words[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


def fit_ours(problem: Problem, seconds: float, *, options: Mapping[str, Any]) -> Fitted:
    """Tune with the defaults, but for the options and the levers switched off.

    The claim is what the result says of the delivered model; where it says nothing, of the procedure.
    """
    settings = dict(options)
    off = settings.pop("off", ())
    if FOLDS in off:
        problem = replace(problem, groups=None, time=None)
    settings |= fixed(off, settings.get("families", DEFAULT_FAMILIES))
    with switched_off(lever for lever in off if lever in LEVERS):
        model = tuned(problem, {"time_budget": seconds, **settings})
    result = model.result_
    estimate = result.estimate
    claim = result.delivered_estimate or estimate
    details = {
        "options": dict(options),
        "finalists": len(result.finalists),
        "family": result.best_params["family"],
        "shipped_default": result.shipped_default,
        "fold_fits": fold_fits(result),
        "families": by_family(result),
        "notes": list(result.notes),
    }
    if estimate is not None:
        details |= {"low": estimate.low, "high": estimate.high, "estimate": estimate.method}
        details["procedure"] = estimate.loss
    if result.default_estimate is not None:
        details["default_claim"] = result.default_estimate.loss
    best = evenly_spaced(best_so_far(result.trials), MAX_INCUMBENTS)
    return Fitted(
        model.predict if problem.kind == "regression" else model.predict_proba,
        claim=None if claim is None else claim.loss,
        trials=len(result.trials),
        incumbents=[partial(refit, problem, record, result.seed) for record in best],
        details=details,
    )


@contextmanager
def switched_off(levers: Iterable[str]) -> Iterator[None]:
    """Do without some of ``LEVERS``."""
    with ExitStack() as stack:
        for lever in levers:
            stack.enter_context(LEVERS[lever]())
        yield


def fixed(off: Sequence[str], families: Sequence[str]) -> dict[str, Any]:
    """Return the option that fixes the dimensions switched off, of the families searched."""
    space: dict[str, dict[str, Any]] = {}
    for lever in off:
        for family, values in DIMENSIONS.get(lever, {}).items():
            if family in families:
                space[family] = {**space.get(family, {}), **values}
    return {"search_space": space} if space else {}


def tuned(problem: Problem, options: Mapping[str, Any]) -> Any:
    """Return our estimator, fitted with the defaults but for the options."""
    estimator = TunedRegressor if problem.kind == "regression" else TunedClassifier
    settings = {
        "metric": problem.metric,
        "n_jobs": N_CORES,
        "random_state": problem.seed,
        "tracking": False,
        "verbose": 0,
        **options,
    }
    return estimator(**settings).fit(problem.X, problem.y, **problem.roles)


def fit_at_equal_fits(problem: Problem, seconds: float, *, optuna_trials: int) -> Fitted:
    """Optuna's space by our objective and selection, with the fold fits Optuna used; no clock, no estimate.

    What a finalist costs depends on the table's rows: a run of one trial tells, and is not counted.
    """
    options = {"families": ["lightgbm"], "final": "refit", "time_budget": None, "estimate": None}
    one = tuned(problem, {**options, "max_trials": 1}).result_
    n_trials = trials_at_equal_fits(
        N_FOLDS * optuna_trials, finalist_fits=len(one.finalists[0].scores.fold_losses)
    )
    off = ("own_dimensions", "portfolio")
    return fit_ours(problem, seconds, options={**options, "max_trials": n_trials, "off": off})


def trials_at_equal_fits(fold_fits: int, *, finalist_fits: int) -> int:
    """Return how many search trials leave the finalists their fits, with so many fold fits or fewer in all.

    m trials with f = min(m, N_FINALISTS) finalists fit N_FOLDS * m + finalist_fits * f folds; at least one
    trial. Races save some of them, which is not made up for.
    """
    for n_trials in range(fold_fits // N_FOLDS, 1, -1):
        if N_FOLDS * n_trials + finalist_fits * min(n_trials, N_FINALISTS) <= fold_fits:
            return n_trials
    return 1


def fold_fits(result: Any) -> int:
    """Return how many folds the search and the finals fitted; a race lost counts the folds it ran."""
    searched = [len(trial.scores.fold_losses) for trial in result.trials if trial.scores]
    raced = [len(trial.partial_losses) for trial in result.trials if not trial.scores]
    finals = [len(trial.scores.fold_losses) for trial in result.finalists if trial.scores]
    return sum(searched) + sum(raced) + sum(finals)


def by_family(result: Any) -> dict[str, dict[str, float]]:
    """Return of each family: search trials, seconds of a core in them, the best nested loss, its share."""
    found: dict[str, dict[str, float]] = {}
    for trial in result.trials:
        known = found.setdefault(trial.configuration.family, {"trials": 0, "seconds": 0.0, "share": 0.0})
        known["trials"] += 1
        known["seconds"] += trial.fit_seconds
        if trial.scores is not None:
            known["best"] = min(known.get("best", np.inf), trial.scores.nested_loss)
    for member in result.model.blended.members:
        found[member.family]["share"] += member.weight
    return found


def best_so_far(trials: Any) -> list[TrialRecord]:
    """Return the search trials whose objective was better than all before them, in order."""
    best: list[TrialRecord] = []
    for trial in trials:
        if trial.objective is not None and (not best or trial.objective < best[-1].objective):
            best.append(trial)
    return best


def refit(problem: Problem, record: TrialRecord, seed: int) -> Predict:
    """Fit a search trial's configuration once on all rows, up to its common path point."""
    dataset = dataset_of(problem)
    metric = resolve_metric(problem.metric, dataset.task, classes=dataset.classes, weighted=False)
    scores = record.scores
    assert scores is not None  # trials with an objective are complete
    wanted = Refit(record.configuration, scores.path_value, all_rows(dataset, metric), seed)
    (models,) = refits([wanted])
    member = Member(1.0, record.configuration.family, models)
    return predict_by(problem, dataset, Blended((member,), dataset.schema, scores.threshold))


def predict_by(problem: Problem, dataset: Dataset, blended: Blended) -> Predict:
    """Return what predicts as the benchmark wants it."""
    model: Any = deliver(blended, dataset)

    def predict(frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(
            model.predict(frame) if problem.kind == "regression" else model.predict_proba(frame)
        )

    return predict


def dataset_of(problem: Problem) -> Dataset:
    """Return the rows to tune on as our own code wants them."""
    dataset = make_dataset(problem.X, problem.y, task=problem.kind, **problem.roles)
    return with_log_target(dataset) if problem.log_target else dataset
