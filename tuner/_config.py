"""What the user asked for (`TuningConfig`) and what that means for one table (`Settings`)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Literal

import numpy as np

from search_spaces import (
    DEFAULT_FAMILIES,
    EXTRAS,
    PORTFOLIOS,
    SPACES,
    Categorical,
    Dimension,
    SearchSpace,
    augmentation,
)
from tuner._types import Scalar, Task
from tuner.exceptions import InputError
from tuner.findings import codes

AUTO_SEARCH_WEIGHT = 0.05
AUTO_NOMINATING_WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2)
AGGREGATES = ("mean", "worst_slice")
FINALS = ("ensemble", "bag", "refit")
ESTIMATES = ("auto", "nested", "crossfit", "bbc", None)
# Of the time budget. Forward windows train on half of the rows on average; crossfit does not search again.
OUTER_SHARES = {"nested": 0.5, "forward": 0.3, "crossfit": 0.3}
TASKS = ("auto", "classification", "regression")

SpaceChanges = Mapping[str, Mapping[str, Dimension | Scalar]]


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
        Model families to search; None: the fixed default list.
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
        How the score on new rows is estimated. "auto": bbc, with `time` or the worst slice nested.
    outer_folds, n_folds, n_repeats : int
        Folds around the whole procedure; folds and repeats that choose.
    n_jobs : int
        Threads; -1: all cores.
    random_state : int, numpy RandomState or None
        Seed of folds, sampler and fits; None: drawn, and reported in the result.
    tracking : bool
        Log every trial to MLflow.
    tracking_uri, experiment_name : str or None
        MLflow's own settings where None.
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
        0: silent, 1: progress on stderr.
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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A `TuningConfig` resolved for one table: nothing left to default.

    Attributes
    ----------
    seed : int
        The one seed all others derive from.
    spaces : tuple of SearchSpace
        One per family, the default family first.
    widen : bool
        Whether the search may move the ends of their ranges.
    portfolios : dict of str to tuple
        Known-good configurations per family.
    search_weight : float
        Gap weight the sampler sees.
    nominating_weights : tuple of float
        Gap weights that nominate finalists; 0 among them.
    outer_share : float
        Part of the time budget that the estimate's own fits get; 0 where it has none.
    """

    task: Task
    seed: int
    spaces: tuple[SearchSpace, ...]
    widen: bool = False
    portfolios: Mapping[str, tuple[Mapping[str, Scalar], ...]] = field(default_factory=dict)
    search_weight: float = AUTO_SEARCH_WEIGHT
    nominating_weights: tuple[float, ...] = AUTO_NOMINATING_WEIGHTS
    aggregate: Literal["mean", "worst_slice"] = "mean"
    final: Literal["ensemble", "bag", "refit"] = "ensemble"
    max_members: int | None = None
    estimate: Literal["nested", "crossfit", "bbc"] | None = None
    outer_share: float = 0.0
    outer_folds: int = 5
    n_folds: int = 5
    n_repeats: int = 1
    n_jobs: int = 1
    time_budget: float | None = None
    max_trials: int | None = None
    slices: tuple[str, ...] = ()

    def space(self, family: str) -> SearchSpace:
        """Return the search space of ``family``."""
        return next(space for space in self.spaces if space.family == family)


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
    _check_choice("task", config.task, TASKS)
    _check_choice("final", config.final, FINALS)
    _check_choice("estimate", config.estimate, ESTIMATES)
    if isinstance(config.gap_weight, str):
        _check_choice("gap_weight", config.gap_weight, ("auto",))
    elif not _is_number(config.gap_weight) or not 0 <= config.gap_weight < math.inf:
        raise InputError(
            '`gap_weight` must be "auto" or a number of at least 0.', config.gap_weight, 'Keep "auto".'
        )
    if not isinstance(config.widen, bool):
        raise InputError("`widen` must be True or False.", repr(config.widen), "Try `widen=True`.")
    _check_names("slices", config.slices, None, 'slices=["country"]')
    _check_aggregate(config)
    _check_names("allow", config.allow, [code for code in codes() if code.startswith("G")], 'allow=["G003"]')
    resolve_spaces(config)


def resolve(
    config: TuningConfig,
    *,
    task: Task,
    has_time: bool,
    has_categories: bool = True,
    has_images: bool = False,
    is_sparse: bool = False,
) -> Settings:
    """Turn a checked config into the settings of one run.

    Raises
    ------
    InputError
        If what was asked for does not fit the data.
    """
    kind = "image" if has_images else "sparse" if is_sparse else "table"
    changes = config.search_space or {}
    spaces = tuple(
        _augmented(space, changes.get(space.family, {}), kind)
        for space in resolve_spaces(config, has_images=has_images)
    )
    if not has_categories:
        spaces = tuple(space.without_categories() for space in spaces)
    if task == "regression":
        spaces = tuple(space.without_classes() for space in spaces)
    else:
        spaces = tuple(space.without_numbers(asked=changes.get(space.family, ())) for space in spaces)
    search_weight, nominating = _weights(config.gap_weight)
    estimate = _estimate_method(config, has_time=has_time)
    return Settings(
        task=task,
        seed=_seed(config.random_state),
        spaces=spaces,
        widen=config.widen,
        portfolios={space.family: _known_good(space, has_images=has_images) for space in spaces},
        search_weight=search_weight,
        nominating_weights=nominating,
        aggregate=config.aggregate,  # type: ignore[arg-type]
        final=config.final,  # type: ignore[arg-type]
        max_members=config.max_members,
        estimate=estimate,
        outer_share=OUTER_SHARES.get("forward" if has_time and estimate else str(estimate), 0.0),
        outer_folds=config.outer_folds,
        n_folds=config.n_folds,
        n_repeats=config.n_repeats,
        n_jobs=_threads(config.n_jobs),
        time_budget=config.time_budget,
        max_trials=config.max_trials,
        slices=tuple(config.slices),
    )


def resolve_spaces(config: TuningConfig, *, has_images: bool | None = None) -> tuple[SearchSpace, ...]:
    """Return the spaces of the chosen families with the user's changes, the default family first.

    Parameters
    ----------
    has_images : bool or None
        Whether the rows are images; None where that is not known yet.
    """
    given = DEFAULT_FAMILIES if config.families is None else config.families
    if isinstance(given, str) or not isinstance(given, Iterable) or not (families := tuple(given)):
        raise InputError("`families` must be a list of names.", repr(given), 'Try ["lightgbm"].')
    for family in families:
        _check_known("family", family, tuple(SPACES))
        _check_installed(family)
    if len(set(families)) < len(families):
        raise InputError("`families` must name each family once.", list(families), "Drop the repeated name.")
    changes = {} if config.search_space is None else config.search_space
    _check_mapping("search_space", changes)
    for family, change in changes.items():
        _check_known("family in `search_space`", family, families)
        _check_mapping(f'search_space["{family}"]', change)
    ordered = sorted(families, key=lambda family: family != "lightgbm")
    try:
        return tuple(_space(family, has_images).override(changes.get(family, {})) for family in ordered)
    except ValueError as error:
        raise _space_error(str(error)) from error


def _space(family: str, has_images: bool | None) -> SearchSpace:  # noqa: FBT001
    space = SPACES[family]
    return space if has_images is None else space.narrowed(has_images=has_images)


def _augmented(space: SearchSpace, changes: Mapping[str, Dimension | Scalar], kind: str) -> SearchSpace:
    """Let augmentation vary where the rows are images or the user names some of it, and nowhere else."""
    if "augment" not in space.dimensions:
        return space
    named = {
        kind_named
        for kind_named, names in (("image", augmentation.IMAGE), ("table", augmentation.TABLE))
        if names.keys() & changes.keys() or kind_named in _choices(changes.get("augment"))
    }
    for unfit in named - ({"image", "table"} if kind == "image" else {kind}):
        wanted = "images of shape (n, h, w) or (n, h, w, c)" if unfit == "image" else "a dense table"
        raise InputError(
            f"Augmentation of kind {unfit!r} needs {wanted}.",
            f"`search_space` for {space.family!r} on {'sparse rows' if kind == 'sparse' else 'a table'}",
            "Leave it out, or pass the rows in that form.",
        )
    if "augment" in changes:
        return space
    kinds = sorted(named | ({"image"} if kind == "image" else set()))
    return (
        space.override({"augment": Categorical(("none", *kinds))}) if kinds else augmentation.without(space)
    )


def _choices(change: object) -> tuple[object, ...]:
    return change.choices if isinstance(change, Categorical) else (change,)


def _known_good(space: SearchSpace, *, has_images: bool) -> tuple[Mapping[str, Scalar], ...]:
    """Return the family's known-good configurations, on images beside one of each kind of transform.

    These come first, but for boosting: it grows a tree a class and round, on the copies too, and gains least.
    """
    first = augmentation.FIRST if has_images and "augment" in space.dimensions else ()
    known = PORTFOLIOS.get(space.family, ())
    return (*known, *first) if space.family == "lightgbm" else (*first, *known)


def nearest(name: object, valid: Sequence[str]) -> str:
    """Return a sentence that names the closest valid name and lists the rest."""
    return f"{_hint(name, valid)}Valid: {', '.join(map(repr, valid))}."


def _hint(name: object, valid: Sequence[str]) -> str:
    close = get_close_matches(str(name), valid, n=1, cutoff=0.4)
    return f"Did you mean {close[0]!r}? " if close else ""


def _space_error(message: str) -> InputError:
    """Take the message of a search space, "rule. Got value. Cure.", apart."""
    parts = re.fullmatch(r"(.*?) Got (.*?)\. ([A-Z].*)", message, flags=re.DOTALL)
    if parts is None:
        return InputError("`search_space` must fit the families' parameters.", message, "Correct it.")
    return InputError(*parts.groups())


def _check_mapping(name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise InputError(
            f"`{name}` must be a mapping from names.",
            repr(value),
            'Try {"lightgbm": {"learning_rate": 0.05}}.',
        )


def _check_known(what: str, name: object, valid: Sequence[str]) -> None:
    if name not in valid:
        raise InputError(f"A {what} must be a known one.", repr(name), nearest(name, valid))


def _check_installed(family: str) -> None:
    package, extra = EXTRAS.get(family, ("", ""))
    if package and find_spec(package) is None:
        raise InputError(
            f"The family {family!r} trains with the package `{package}`.",
            "no such package in this environment",
            f'Install it: pip install "honest-tuner[{extra}]".',
        )


def _check_choice(name: str, value: object, valid: Sequence[str | None]) -> None:
    if value not in valid:
        hint = _hint(value, [each for each in valid if each is not None])
        cure = f"{hint}Use one of {', '.join(map(repr, valid))}."
        raise InputError(f"`{name}` must be one of its known values.", repr(value), cure)


def _check_names(name: str, given: object, valid: Sequence[str] | None, example: str) -> None:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"`{name}` must be a list of names.", repr(given), f"Try `{example}`.")
    for each in given:
        if valid is not None and each not in valid:
            raise InputError(f"`{name}` must hold known names only.", repr(each), nearest(each, valid))


def _check_aggregate(config: TuningConfig) -> None:
    _check_choice("aggregate", config.aggregate, AGGREGATES)
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
        not _is_number(config.time_budget) or not 0 < config.time_budget < math.inf
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _weights(gap_weight: float | str) -> tuple[float, tuple[float, ...]]:
    if isinstance(gap_weight, str):
        return AUTO_SEARCH_WEIGHT, AUTO_NOMINATING_WEIGHTS
    return float(gap_weight), tuple(sorted({0.0, float(gap_weight)}))


def _estimate_method(config: TuningConfig, *, has_time: bool) -> Literal["nested", "crossfit", "bbc"] | None:
    estimate = config.estimate
    if estimate is None:
        return None
    if estimate in ("bbc", "crossfit") and has_time:
        raise InputError(
            "With `time`, the estimate must look forward: block predictions have seen the future.",
            f"estimate={estimate!r}",
            'Use estimate="nested" (forward windows) or None.',
        )
    if estimate == "crossfit":
        return "crossfit"
    needs_outer_folds = has_time or config.aggregate == "worst_slice"
    return "nested" if estimate == "nested" or needs_outer_folds else "bbc"


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0] % 2**31)
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        draw = (
            random_state.randint if isinstance(random_state, np.random.RandomState) else random_state.integers
        )
        return int(draw(0, 2**31 - 1))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer) or random_state < 0:
        raise InputError(
            "`random_state` must be a non-negative integer, a RandomState or None.",
            repr(random_state),
            "Try `random_state=0`.",
        )
    return int(random_state)


def _threads(n_jobs: int) -> int:
    if n_jobs > 0:
        return n_jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
