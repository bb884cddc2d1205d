"""What the user asks for, and all that can be said against it without data."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tuner._options.rules import check_choice, check_names, is_number, is_path
from tuner._options.spaces import SpaceChanges, resolve_spaces
from tuner._process.secrets import mask_secrets
from tuner.exceptions import InputError
from tuner.findings import codes

AGGREGATES = ("mean", "worst_slice")
FINALS = ("ensemble", "bag", "refit")
ESTIMATES = ("auto", "nested", "crossfit", "bbc", None)
TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """How to tune; every argument of the estimators, plus the task.

    Parameters
    ----------
    task : {"auto", "classification", "regression"}
        "auto": float y is regression; integer y with more than 20 distinct values asks for `task`.
    metric : str, callable or None
        Metric name, scikit-learn scorer name or callable scorer; None: log_loss / rmse.
    time_budget : float or None
        Seconds for everything, from entering `fit` to its return; None: no limit (then give `max_trials`).
    max_trials : int or None
        Number of search trials; None: no limit (then give `time_budget`).
    families : sequence of str or None
        Model families to search; None: the fixed default list, without networks (`"mlp"`) on images, sparse
        rows, and tables of more than 20,000 rows or 10 million cells.
    search_space : mapping or None
        ``{"lightgbm": {"num_leaves": Int(4, 64, log=True), "learning_rate": 0.05}}``; a scalar fixes a value.
    widen : bool
        Where the best trial so far lies at the end of a range and none away from it does as well, that end
        moves (fourfold on a log scale, else by the range's width; never beyond what the library accepts), and
        the search goes on beyond it, within `time_budget` and `max_trials`.
    gap_weight : float or "auto"
        Weight of the train/validation gap in the objective.
    aggregate : {"mean", "worst_slice"}
        What a fold's loss is: that of its rows, or the largest loss of its `slices` (those with at least 10
        rows in it). Search, election and estimate then judge the worst slice; the shares of an ensemble and
        its calibration are still fitted by likelihood on all rows.
    final : {"ensemble", "bag", "refit"}
        Form of the delivered model.
    max_members : int or None
        Configurations in an ensemble, at most: each predicts with all its models. None: as many as help.
    estimate : {"auto", "nested", "crossfit", "bbc"} or None
        How the score on new rows is estimated. "auto": with `time` or the worst slice nested; with at most
        1,000 rows and a metric that is no mean over rows, such as AUC, or with a scikit-learn scorer,
        crossfit (nested with ``n_folds=2``); else bbc.
    outer_folds, n_folds, n_repeats : int
        Folds around the whole procedure; folds and repeats that choose.
    n_jobs : int
        Threads; -1: all cores.
    random_state : int, numpy RandomState or None
        Seed of folds, sampler and fits; None: drawn, and reported in the result.
    tracking : bool
        Log every trial to MLflow.
    tracking_uri : str or None
        MLflow's own setting where None.
    experiment_name : str or None
        "tuner" where None.
    storage : str or None
        Database URL of the trial store; None: memory only, nothing survives the process.
    study_name : str or None
        Name of the study; None: derived.
    allow : sequence of str
        Codes of checks that may end in an error, such as "G003"; with "G001" folds part copies of a row.
    slices : sequence of str
        Feature columns; the rows of each of their values are scored on their own. The 95% intervals hold one
        at a time; with ``aggregate="worst_slice"`` all at once (Bonferroni over the slices).
    max_memory : int or None
        Bytes a run may take beyond its table; None: 80% of what is available when it starts.
    verbose : int
        1 or True: progress on stderr; 0 or False: only what is wrong, such as trials that MLflow misses.
    """

    task: str = "auto"
    metric: str | Callable[..., float] | None = None
    time_budget: float | None = 60.0
    max_trials: int | None = None
    families: Sequence[str] | None = None
    search_space: SpaceChanges | None = None
    widen: bool = False
    gap_weight: float | str = "auto"
    aggregate: str = "mean"
    final: str = "ensemble"
    max_members: int | None = None
    estimate: str | None = "auto"
    outer_folds: int = 5
    n_folds: int = 5
    n_repeats: int = 1
    n_jobs: int = -1
    random_state: int | np.random.RandomState | None = None
    tracking: bool = True
    tracking_uri: str | None = None
    experiment_name: str | None = None
    storage: str | None = None
    study_name: str | None = None
    allow: Sequence[str] = ()
    slices: Sequence[str] = ()
    max_memory: int | None = None
    verbose: int = 1


def check_config(config: TuningConfig) -> None:
    """Validate all that needs no data.

    Raises
    ------
    InputError
        With the rule, the value and the cure.
    """
    _check_limits(config)
    _check_counts(config)
    _check_texts(config)
    check_choice("task", config.task, TASKS)
    check_choice("final", config.final, FINALS)
    check_choice("estimate", config.estimate, ESTIMATES)
    if isinstance(config.gap_weight, str):
        check_choice("gap_weight", config.gap_weight, ("auto",))
    elif not is_number(config.gap_weight) or not 0 <= config.gap_weight < math.inf:
        raise InputError(
            '`gap_weight` must be "auto" or a number of at least 0.', config.gap_weight, 'Keep "auto".'
        )
    for name in ("widen", "tracking"):
        value = getattr(config, name)
        if not isinstance(value, bool | np.bool_):
            raise InputError(f"`{name}` must be True or False.", repr(value), f"Try `{name}=True`.")
    if not isinstance(config.verbose, int | np.integer | np.bool_) or config.verbose < 0:
        rule = "`verbose` must be True, False or an integer of at least 0."
        raise InputError(rule, repr(config.verbose), "Try `verbose=1`.")
    check_names("slices", config.slices, None, 'slices=["country"]')
    _check_aggregate(config)
    check_names("allow", config.allow, [code for code in codes() if code.startswith("G")], 'allow=["G003"]')
    resolve_spaces(config.families, config.search_space)


def _check_aggregate(config: TuningConfig) -> None:
    check_choice("aggregate", config.aggregate, AGGREGATES)
    if config.aggregate == "mean":
        return
    if not tuple(config.slices):
        raise InputError(
            '`aggregate="worst_slice"` needs slices to judge.',
            "`slices` without a name",
            'Try `slices=["country"]`.',
        )
    if config.estimate in ("bbc", "crossfit"):
        raise InputError(
            "The worst slice can only be estimated by folds around the whole procedure.",
            f"estimate={config.estimate!r}",
            'Use estimate="nested" or None.',
        )


def _check_limits(config: TuningConfig) -> None:
    if config.time_budget is None and config.max_trials is None:
        raise InputError(
            "A run must have an end.",
            "time_budget=None and max_trials=None",
            "Set `time_budget` (seconds) or `max_trials`.",
        )
    if config.time_budget is not None and (
        not is_number(config.time_budget) or not 0 < config.time_budget < math.inf
    ):
        raise InputError(
            "`time_budget` must be a positive number of seconds or None.",
            repr(config.time_budget),
            "Try `time_budget=60`.",
        )


def _check_counts(config: TuningConfig) -> None:
    may_be_none = {"max_trials": 1, "max_members": 1, "max_memory": 1}
    lowest = {**may_be_none, "outer_folds": 2, "n_folds": 2, "n_repeats": 1}
    for name, least in lowest.items():
        value = getattr(config, name)
        if value is None and name in may_be_none:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(
                f"`{name}` must be an integer of at least {least}.", repr(value), f"Try `{name}=5`."
            )
    jobs = config.n_jobs
    if isinstance(jobs, bool) or not isinstance(jobs, int | np.integer) or jobs == 0 or jobs < -1:
        raise InputError("`n_jobs` must be -1 or a positive integer.", repr(jobs), "Use -1 for all cores.")


def _check_texts(config: TuningConfig) -> None:
    examples = {
        "tracking_uri": "sqlite:///mlflow.db",
        "experiment_name": "churn",
        "storage": "sqlite:///tuner.db",
        "study_name": "churn",
    }
    for name, example in examples.items():
        value = getattr(config, name)
        if value is not None and not isinstance(value, str):
            kind = type(value).__name__  # not the value: it may hold a password
            raise InputError(f"`{name}` must be a text or None.", f"a {kind}", f'Try `{name}="{example}"`.')
    if config.tracking and config.tracking_uri:
        _check_tracking_uri(config.tracking_uri)


def _check_tracking_uri(uri: str) -> None:
    """Refuse what MLflow refuses whenever it is asked: a folder, or a server without its protocol."""
    is_server = re.fullmatch(r"[\w.-]+:\d+/?", uri)
    if not (is_server or is_path(uri) or uri.startswith("file:")):
        return
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return
    cure = (
        f'Try "http://{uri}".' if is_server else 'MLflow keeps no runs in folders: try "sqlite:///mlflow.db".'
    )
    rule = "`tracking_uri` must be the address of a server or a database."
    raise InputError(rule, repr(mask_secrets(uri)), cure)
