"""What was asked for, resolved for one table: nothing is left to default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from search_spaces import SearchSpace
from tuner._options.config import TuningConfig
from tuner._options.spaces import (
    default_families,
    known_good,
    resolve_spaces,
    with_augmentation,
    without_idle,
)
from tuner._types import Scalar, Task
from tuner.exceptions import InputError

AUTO_SEARCH_WEIGHT = 0.05
AUTO_NOMINATING_WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2)
COSTLY_ROWS = 20_000  # above, a trial of networks takes a large part of a minute
# Of the time budget. Forward windows train on half of the rows on average; crossfit does not search again.
OUTER_SHARES = {"nested": 0.5, "forward": 0.3, "crossfit": 0.3}
LEAST_CROSSFIT_FOLDS = 3  # one is left out, one scores, the others train


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A `TuningConfig` resolved for one table.

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
    or_bbc : bool
        Whether bbc estimates where there is no time or no folds for crossfit.
    outer_share : float
        Part of the time budget that the estimate's own fits get, for crossfit at most; 0 where it has none.
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
    or_bbc: bool = False
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


def resolve(
    config: TuningConfig,
    *,
    task: Task,
    has_time: bool,
    bbc_flatters: bool = False,
    bbc_is_slow: bool = False,
    has_categories: bool = True,
    has_images: bool = False,
    is_sparse: bool = False,
    is_large: bool = False,
    n_rows: int = 0,
) -> Settings:
    """Turn a checked config into the settings of one run.

    Parameters
    ----------
    bbc_flatters : bool
        See `tuner._claims.bbc.flatters`.
    bbc_is_slow : bool
        The metric is a scorer, which bbc would call for every draw, trial and fold: minutes, where our own
        metrics take a second.

    Raises
    ------
    InputError
        If what was asked for does not fit the data.
    """
    changes = config.search_space or {}
    families = config.families
    if families is None and (has_images or is_sparse or is_large or n_rows > COSTLY_ROWS):
        families = default_families(asked=changes)
    kind = "image" if has_images else "sparse" if is_sparse else "table"
    spaces = tuple(
        without_idle(
            with_augmentation(space, changes.get(space.family, {}), kind),
            changes.get(space.family, {}),
            has_categories=has_categories,
            has_classes=task != "regression",
            is_sparse=is_sparse,
            is_large=is_large,
        )
        for space in resolve_spaces(families, config.search_space, has_images=has_images)
    )
    search_weight, nominating = _weights(config.gap_weight)
    estimate = _estimate_method(config, has_time=has_time, bbc_flatters=bbc_flatters, bbc_is_slow=bbc_is_slow)
    return Settings(
        task=task,
        seed=_seed(config.random_state),
        spaces=spaces,
        widen=config.widen,
        portfolios={space.family: known_good(space, has_images=has_images) for space in spaces},
        search_weight=search_weight,
        nominating_weights=nominating,
        aggregate=config.aggregate,  # type: ignore[arg-type]
        final=config.final,  # type: ignore[arg-type]
        max_members=config.max_members,
        estimate=estimate,
        or_bbc=config.estimate == "auto" and estimate == "crossfit" and not bbc_is_slow,
        outer_share=OUTER_SHARES.get("forward" if has_time and estimate else str(estimate), 0.0),
        outer_folds=config.outer_folds,
        n_folds=config.n_folds,
        n_repeats=config.n_repeats,
        n_jobs=_threads(config.n_jobs),
        time_budget=config.time_budget,
        max_trials=config.max_trials,
        slices=tuple(config.slices),
    )


def _weights(gap_weight: float | str) -> tuple[float, tuple[float, ...]]:
    if isinstance(gap_weight, str):
        return AUTO_SEARCH_WEIGHT, AUTO_NOMINATING_WEIGHTS
    return float(gap_weight), tuple(sorted({0.0, float(gap_weight)}))


def _estimate_method(
    config: TuningConfig, *, has_time: bool, bbc_flatters: bool, bbc_is_slow: bool
) -> Literal["nested", "crossfit", "bbc"] | None:
    estimate = config.estimate
    if estimate is None:
        return None
    if estimate in ("bbc", "crossfit") and has_time:
        raise InputError(
            "With `time`, the estimate must look forward: block predictions have seen the future.",
            f"estimate={estimate!r}",
            'Use estimate="nested" (forward windows) or None.',
        )
    if has_time or config.aggregate == "worst_slice":
        return "nested"
    if estimate == "auto":
        if not (bbc_flatters or bbc_is_slow):
            return "bbc"
        return "crossfit" if config.n_folds >= LEAST_CROSSFIT_FOLDS else "nested"
    return estimate  # type: ignore[return-value]


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
