"""Frozen records that the stages exchange; a trial's record is lossless JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tuner._types import Phase, Scalar, State

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One sentence about the data or the model, with what it rests on and what to do.

    Attributes
    ----------
    code : str
        "G001", ... of the data, before any fit; "D001", ... of the model; a page each in `tuner.findings`.
    severity : {"info", "warning", "error"}
        An error stops the run before any fit, unless its code is allowed.
    title, evidence, next_step : str
    """

    code: str
    severity: Severity
    title: str
    evidence: str
    next_step: str


@dataclass(frozen=True)
class Configuration:
    """One point of the search space: a family and all of its active parameters, fixed ones included."""

    family: str
    params: Mapping[str, Scalar]

    def flat(self) -> dict[str, Scalar]:
        """Return ``{"family": ..., "family.parameter": ...}``, the names used outside."""
        return {"family": self.family, **{f"{self.family}.{name}": v for name, v in self.params.items()}}

    @property
    def key(self) -> str:
        """One text for all that are the same, whatever the order of their parameters."""
        return json.dumps(self.flat(), sort_keys=True)


@dataclass(frozen=True)
class Portion:
    """One configuration's part of a delivered model.

    Attributes
    ----------
    weight : float
        Its share; shares sum to one.
    configuration : Configuration
    path_value : float
        How far along its path each of its models is fitted.
    """

    weight: float
    configuration: Configuration
    path_value: float


@dataclass(frozen=True)
class Recipe:
    """What was elected, apart from the rows it was fitted on: with other rows it makes another model.

    Attributes
    ----------
    portions : tuple of Portion
    threshold : float or None
        Decision threshold, where the metric asks for decisions.
    temperature : float
        What the logits of the averaged probabilities are divided by.
    n_repeats : int
        So many repeats of folds elected it.
    is_refitted : bool
        Each portion is fitted on all rows; else it is the mean of its fold models.
    """

    portions: tuple[Portion, ...]
    threshold: float | None
    temperature: float
    n_repeats: int
    is_refitted: bool

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """The configurations inside, the largest share first."""
        ordered = sorted(self.portions, key=lambda each: -each.weight)
        return tuple(each.configuration for each in ordered)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Recipe:
        """Rebuild the recipe from what `dataclasses.asdict` made of it."""
        portions = tuple(
            Portion(each["weight"], Configuration(**each["configuration"]), each["path_value"])
            for each in raw["portions"]
        )
        return cls(**{**raw, "portions": portions})


@dataclass(frozen=True)
class Curves:
    """Losses of every fold along the path of model sizes (lower is better).

    Attributes
    ----------
    path_values : tuple of float, length n_points
        What each point stands for (boosting rounds, penalty); the smaller model first.
    thresholds : tuple of float or None
        Decision thresholds tried at every point (metrics of decisions only).
    repeats : tuple of int, length n_folds
        The repeat each fold belongs to.
    train, validation : tuple of n_folds tuples
        Losses; ``n_points`` each, or ``n_points * n_thresholds`` with the threshold running fastest.
    guide : tuple of n_folds tuples, or None
        Validation losses that choose the points where the metric is too coarse to; None: ``validation``.
    """

    path_values: tuple[float, ...]
    thresholds: tuple[float, ...] | None
    repeats: tuple[int, ...]
    train: tuple[tuple[float, ...], ...]
    validation: tuple[tuple[float, ...], ...]
    guide: tuple[tuple[float, ...], ...] | None = None

    @property
    def choosing(self) -> tuple[tuple[float, ...], ...]:
        """Validation losses by which points are chosen; same shape as ``validation``."""
        return self.validation if self.guide is None else self.guide

    def at(self, path_point: int) -> tuple[float, float | None]:
        """Return the path value and the threshold that ``path_point`` stands for."""
        if self.thresholds is None:
            return self.path_values[path_point], None
        size, threshold = divmod(path_point, len(self.thresholds))
        return self.path_values[size], self.thresholds[threshold]


@dataclass(frozen=True)
class Scores:
    """What the folds say of one configuration; all losses (lower is better).

    Attributes
    ----------
    nested_loss : float
        Mean over folds k of v_k(p_k), p_k chosen on the other folds of the repeat.
    train_loss : float
        Mean over folds k of t_k(p_k), on clean training rows.
    gap : float
        ``nested_loss - train_loss``.
    standard_error : float
        sd (ddof 1) of v_k(p_k) over all J folds, over sqrt(J).
    fold_losses, fold_train_losses : tuple of float, length n_folds
        v_k(p_k) and t_k(p_k); NaN where the fold cannot be scored (a class is missing there).
    fold_points : tuple of int, length n_folds
        p_k.
    path_point : int
        The common point of all folds: argmin of the mean validation loss, or guide.
    path_value : float
        What ``path_point`` stands for.
    threshold : float or None
        Decision threshold at ``path_point``.
    skipped_folds : int
        Folds that could not be scored.
    """

    nested_loss: float
    train_loss: float
    gap: float
    standard_error: float
    fold_losses: tuple[float, ...]
    fold_train_losses: tuple[float, ...]
    fold_points: tuple[int, ...]
    path_point: int
    path_value: float
    threshold: float | None
    skipped_folds: int


@dataclass(frozen=True)
class LearningCurve:
    """Losses of the shipped members on growing parts of the training rows (lower is better).

    Attributes
    ----------
    rows : tuple of int
        Training rows, growing; the last are those of the folds that elected.
    losses : tuple of tuples of float
        For each number of rows, the loss of every fold of one repeat.
    """

    rows: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class BagLosses:
    """Losses of models alone, and of their average, on rows that none of them trained on.

    Attributes
    ----------
    n_models : int
        How many are averaged: one a repeat.
    alone, averaged : tuple of float
        One a fold of the first repeat (lower is better); squared for RMSE and RMSLE.
    """

    n_models: int
    alone: tuple[float, ...]
    averaged: tuple[float, ...]


@dataclass(frozen=True)
class SliceScore:
    """How well some rows are predicted on folds that did not train on them.

    Attributes
    ----------
    column, label : str
        The rows with this label in this column.
    n_rows : int
    value, low, high : float
        The metric in natural units with its 95% interval (corrected t over folds); where the worst slice is
        judged, one that holds for all slices at once.
    loss : float
        The value as a loss (lower is better).
    excess : tuple of float
        For each fold of one repeat, the loss on these rows minus that on all others.
    """

    column: str
    label: str
    n_rows: int
    value: float
    low: float
    high: float
    loss: float
    excess: tuple[float, ...]


@dataclass(frozen=True)
class GroupScores:
    """The winner's configuration with groups known and left out, on the same rows (losses, lower is better).

    Attributes
    ----------
    random_losses : tuple of float
        Of the rows of every part, where folds ignore the groups.
    left_out_losses : tuple of float
        Of every part, a group or several, left out whole; NaN where it cannot be scored.
    """

    random_losses: tuple[float, ...]
    left_out_losses: tuple[float, ...]


TIME_BUDGET = "time budget:"  # begins the reason of a trial that the clock has pruned


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One configuration judged on one fold plan: all that any later decision needs.

    Attributes
    ----------
    study : str
        Name of the study.
    phase : {"search", "finalist", "outer_fold"}
        Where in the run the trial was judged.
    outer : int
        Outer fold it belongs to; 0 in the main run.
    number : int
        Our own sequence within study, phase and outer fold.
    state : {"COMPLETE", "PRUNED", "FAIL"}
        PRUNED and FAIL trials carry a ``reason`` and are never eligible.
    configuration : Configuration
        What was judged.
    scores, curves : Scores, Curves or None
        None where the trial did not complete.
    gap_weight, penalty_cap : float or None
        The weight the search used and the study's cap.
    gap_penalty, objective : float or None
        ``min(gap_weight * max(0, gap - standard_error), penalty_cap)`` and ``nested_loss + gap_penalty``.
    fit_seconds : float
        Seconds of work of the thread that judged it.
    started, completed : float
        Unix time in seconds.
    reason : str or None
        Why it was pruned or failed.
    partial_losses : tuple of float
        Of a trial that lost a race: its smallest loss on the path of each fold it was judged on.
    shortened : bool
        Whether time ended its path, not its own curve.
    """

    study: str
    phase: Phase
    outer: int
    number: int
    state: State
    configuration: Configuration
    scores: Scores | None = None
    curves: Curves | None = None
    gap_weight: float | None = None
    penalty_cap: float | None = None
    gap_penalty: float | None = None
    objective: float | None = None
    fit_seconds: float
    started: float
    completed: float
    reason: str | None = None
    partial_losses: tuple[float, ...] = ()
    shortened: bool = False

    @property
    def trial_key(self) -> str:
        """Unique name of the trial across phases: ``study/phase/outer/number``."""
        return f"{self.study}/{self.phase}/{self.outer}/{self.number}"

    @property
    def known_scores(self) -> Scores:
        """Its scores; only a complete trial is asked for them."""
        assert self.scores is not None
        return self.scores

    @property
    def loss(self) -> float:
        """Its nested loss; infinite where it did not complete."""
        return math.inf if self.scores is None else self.scores.nested_loss

    @property
    def n_points(self) -> int | None:
        """How many points of its path were looked at; None where it did not complete."""
        return None if self.curves is None else len(self.curves.path_values)

    @property
    def was_cut(self) -> bool:
        """Whether the clock ended it, or its path: with more time it is judged otherwise."""
        return self.shortened or (self.reason or "").startswith(TIME_BUDGET)

    @property
    def digest(self) -> str:
        """What tells it from another record under its key: what was judged, and what came out."""
        what = (self.state, self.configuration, self.scores, self.partial_losses, self.was_cut)
        return hashlib.sha256(repr(what).encode()).hexdigest()[:12]  # by the text: NaN differs from itself

    def to_json(self) -> str:
        """Return the record as JSON; floats survive bit for bit, NaN and infinities as Python writes them."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrialRecord:
        """Rebuild the record that ``to_json`` wrote."""
        raw: dict[str, Any] = json.loads(text)
        raw["configuration"] = Configuration(**raw["configuration"])
        if raw["scores"] is not None:
            raw["scores"] = Scores(**_with_tuples(raw["scores"]))
        if raw["curves"] is not None:
            raw["curves"] = Curves(**_with_tuples(raw["curves"]))
        raw["partial_losses"] = _as_tuple(raw.get("partial_losses", []))
        return cls(**raw)


def _with_tuples(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: _as_tuple(value) for name, value in raw.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
